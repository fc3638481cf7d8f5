//! The audit for whoever may read it: a page, a table to take away, and the API.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, FixedOffset, NaiveDateTime, SecondsFormat, Utc};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use web_ui::{AuditFields, AuditLine, AuditPage, ErrorKind, Notice, Template};

use super::App;
use super::api::Asked;
use super::caller::Caller;
use super::error::{Problem, log_unavailable};
use super::page::{Scene, error_page, html};
use super::second_factor;
use super::viewer::{Awake, Viewer};
use crate::audit::AuditEntry;
use crate::identity::idle_lock::admit;
use crate::identity::policy::Denial;
use crate::store::StoreError;
use crate::store::audit_list::{AuditFilter, AuditRow};
use crate::wire;

/// Rows of a page, and of the API unless it asks for others.
const ROWS: i64 = 100;

/// The most that the API hands out at once.
const ROWS_MAX: i64 = 1000;

/// Excel takes a text for UTF-8 only when it begins so.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// What was asked, as it stands in the address.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub(super) struct AuditQuery {
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<i64>,
    #[serde(skip_serializing)]
    limit: Option<i64>,
}

impl AuditQuery {
    /// What it means; times without a zone are the site's.
    fn filter(&self, offset: FixedOffset) -> Result<AuditFilter, String> {
        let text = |field: &Option<String>| {
            let text = wire::clean(field.as_deref().unwrap_or_default());
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let time = |field: &Option<String>| {
            text(field)
                .map(|text| {
                    read_time(&text, offset).ok_or_else(|| {
                        format!("{text:?} is no time: write it like 2026-11-22T07:08")
                    })
                })
                .transpose()
        };
        Ok(AuditFilter {
            actor: text(&self.actor),
            action: text(&self.action),
            subject: text(&self.subject),
            from: time(&self.from)?,
            to: time(&self.to)?,
            before: self.cursor,
        })
    }

    /// The address of another page of the same rows.
    fn address(&self, path: &str, cursor: Option<i64>) -> String {
        let query = Self {
            cursor,
            ..self.clone()
        };
        let mut address = url::form_urlencoded::Serializer::new(String::new());
        let pairs = serde_json::to_value(query).expect("texts and a number can be written");
        for (name, value) in pairs.as_object().into_iter().flatten() {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            if !text.is_empty() {
                address.append_pair(name, &text);
            }
        }
        format!("{path}?{}", address.finish())
    }
}

/// RFC 3339, or what a browser's field for a date and a time says.
fn read_time(text: &str, offset: FixedOffset) -> Option<DateTime<Utc>> {
    let with_zone = text.parse::<DateTime<Utc>>().ok();
    let at = with_zone.or_else(|| {
        let local = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())?;
        let local = local.and_local_timezone(offset).single()?;
        Some(local.to_utc())
    });
    at.filter(|at| wire::is_storable(*at))
}

/// The rows, and where the next page begins.
async fn read(
    app: &App,
    filter: &AuditFilter,
    rows: i64,
) -> Result<(Vec<AuditRow>, Option<i64>), StoreError> {
    let found = app.store.audit_rows(filter, rows).await?;
    let is_full = i64::try_from(found.len()).is_ok_and(|count| count == rows);
    let next = found
        .last()
        .map(|row| row.number)
        .filter(|number| is_full && *number > 1);
    Ok((found, next))
}

pub(super) async fn page(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<AuditQuery>,
) -> Response {
    let scene = Scene::read(&app, viewer.principal()).await;
    match app.may_read_audit(viewer.principal()) {
        Ok(()) => {}
        Err(Denial::NotGranted) => {
            return error_page(&app, &scene, &viewer, ErrorKind::Forbidden, None);
        }
        Err(Denial::SecondFactorNeeded) => return second_factor::lead(&viewer.path),
    }
    let (filter, notice) = match query.filter(app.offset) {
        Ok(filter) => (filter, None),
        Err(_told_by_the_notice) => (AuditFilter::default(), Some(Notice::BadInput)),
    };
    let (rows, next) = match read(&app, &filter, ROWS).await {
        Ok(found) => found,
        Err(error) => {
            let reference = log_unavailable(&error).to_string();
            return error_page(
                &app,
                &scene,
                &viewer,
                ErrorKind::Unavailable,
                Some(&reference),
            );
        }
    };
    let lines: Vec<AuditLine> = rows.into_iter().map(line).collect();
    let newest = scene.newest();
    let page = AuditPage {
        shell: scene.shell(&app, &viewer, &newest, notice),
        lines: &lines,
        fields: AuditFields {
            actor: query.actor.as_deref().unwrap_or_default(),
            action: query.action.as_deref().unwrap_or_default(),
            subject: query.subject.as_deref().unwrap_or_default(),
            from: query.from.as_deref().unwrap_or_default(),
            to: query.to.as_deref().unwrap_or_default(),
        },
        next: next.map(|number| query.address("/audit", Some(number))),
        table: query.address("/audit.csv", None),
    };
    html(StatusCode::OK, page.render())
}

fn line(row: AuditRow) -> AuditLine {
    AuditLine {
        number: row.number,
        at: row.at,
        actor: row.actor,
        identity: members(&row.identity),
        peer: row.peer,
        action: row.action,
        subject: row.subject,
        reason: row.reason.unwrap_or_default(),
        detail: members(&row.detail),
        outcome: row.outcome,
    }
}

/// An object as `name: value, …`; its braces tell nobody anything.
fn members(value: &serde_json::Value) -> String {
    let Some(members) = value.as_object() else {
        return value.to_string();
    };
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| match value.as_str() {
            Some(text) => format!("{name}: {text}"),
            None => format!("{name}: {value}"),
        })
        .collect();
    members.join(", ")
}

#[derive(Serialize)]
pub(super) struct Rows {
    items: Vec<AuditRow>,
    next: Option<String>,
}

fn bad_time(wrong: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-parameter", wrong)
}

pub(super) async fn api(
    State(app): State<App>,
    Caller(actor): Caller,
    Asked(query): Asked<AuditQuery>,
) -> Result<Json<Rows>, Problem> {
    // It gives away what the table gives, though it changes nothing.
    admit(app.is_locked(&actor).await)?;
    app.may_read_audit(&actor.principal)?;
    let filter = query.filter(app.offset).map_err(bad_time)?;
    let limit = query.limit.unwrap_or(ROWS).clamp(1, ROWS_MAX);
    let (items, next) = read(&app, &filter, limit).await?;
    Ok(Json(Rows {
        items,
        next: next.map(|number| number.to_string()),
    }))
}

/// The whole filtered audit as a table, a page at a time; that it was taken away is in the audit.
pub(super) async fn table(
    State(app): State<App>,
    Awake(viewer): Awake,
    Query(query): Query<AuditQuery>,
) -> Result<Response, Problem> {
    match app.may_read_audit(viewer.principal()) {
        Ok(()) => {}
        Err(Denial::SecondFactorNeeded) => return Ok(second_factor::lead(&viewer.path)),
        Err(denial @ Denial::NotGranted) => return Err(denial.into()),
    }
    let filter = query.filter(app.offset).map_err(bad_time)?;
    let actor = viewer.actor();
    let entry = AuditEntry::by(&actor, "audit.export", "audit")
        .detail(json!({"filter": serde_json::to_value(&query).unwrap_or_default()}));
    app.store.audit_alone(entry).await?;
    let first = format!("{BYTE_ORDER_MARK}{HEADER}\r\n");
    let offset = app.offset;
    let pages = stream::unfold(Some((filter, Some(first))), move |state| {
        let app = app.clone();
        async move {
            let (mut filter, first) = state?;
            if let Some(first) = first {
                return Some((Ok(Bytes::from(first)), Some((filter, None))));
            }
            match read(&app, &filter, ROWS_MAX).await {
                Ok((rows, next)) => {
                    let text: String = rows.iter().map(|row| csv(row, offset)).collect();
                    filter.before = next;
                    Some((Ok(Bytes::from(text)), next.map(|_| (filter, None))))
                }
                // The connection breaks: half a table must not look like a whole one.
                Err(error) => {
                    log_unavailable(&error);
                    Some((Err(error), None))
                }
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"audit.csv\"",
        ),
    ];
    Ok((headers, Body::from_stream(pages)).into_response())
}

const HEADER: &str = "number,at,actor,identity,peer,action,subject,reason,detail,outcome";

/// One line of RFC 4180.
fn csv(row: &AuditRow, offset: FixedOffset) -> String {
    let at = row.at.with_timezone(&offset);
    let fields = [
        row.number.to_string(),
        at.to_rfc3339_opts(SecondsFormat::Micros, false),
        row.actor.clone(),
        row.identity.to_string(),
        row.peer.clone(),
        row.action.clone(),
        row.subject.clone(),
        row.reason.clone().unwrap_or_default(),
        row.detail.to_string(),
        row.outcome.clone(),
    ];
    fields.map(|field| quoted(&field)).join(",") + "\r\n"
}

/// A field that a spreadsheet shows and never calculates: strangers choose the names that they fail to sign in with.
fn quoted(field: &str) -> String {
    let is_formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let guard = if is_formula { "'" } else { "" };
    format!("\"{guard}{}\"", field.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn korea() -> FixedOffset {
        FixedOffset::east_opt(9 * 3600).unwrap()
    }

    #[test]
    fn times_without_a_zone_are_the_sites() {
        for (text, expected) in [
            ("2026-11-22T07:08", Some("2026-11-21T22:08:00Z")),
            ("2026-11-22T07:08:30", Some("2026-11-21T22:08:30Z")),
            ("2026-11-22T07:08:30Z", Some("2026-11-22T07:08:30Z")),
            ("2026-11-22", None),
            ("0001-01-01T00:00", None),
            ("yesterday", None),
        ] {
            let expected = expected.map(|at| at.parse().unwrap());
            assert_eq!(read_time(text, korea()), expected, "{text}");
        }
    }

    #[test]
    fn an_address_keeps_what_was_asked() {
        let query = AuditQuery {
            actor: Some("김 & 이".to_owned()),
            subject: Some(String::new()),
            cursor: Some(7),
            ..AuditQuery::default()
        };
        let address = query.address("/audit", Some(3));
        assert_eq!(address, "/audit?actor=%EA%B9%80+%26+%EC%9D%B4&cursor=3");
    }

    #[test]
    fn a_field_is_shown_and_never_calculated() {
        for (field, expected) in [
            ("a\"b,c", "\"a\"\"b,c\""),
            ("=1+1", "\"'=1+1\""),
            ("@x", "\"'@x\""),
            ("가", "\"가\""),
            ("", "\"\""),
        ] {
            assert_eq!(quoted(field), expected);
        }
    }
}
