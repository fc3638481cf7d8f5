//! The audit for whoever may read it: a page, a table to take away, and the API.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, FixedOffset, NaiveDateTime, SecondsFormat, Utc};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use web_ui::{AuditFields, AuditLine, AuditPage, AuditTime, ErrorKind, Template};

use super::App;
use super::api::Asked;
use super::caller::Caller;
use super::error::{Problem, log_unavailable};
use super::page::{Scene, error_page, html};
use super::second_factor;
use super::viewer::{Awake, Viewer};
use crate::alarm::Actor;
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
    fn filter(&self, offset: FixedOffset) -> Result<AuditFilter, NoTime> {
        let text = |field: &Option<String>| {
            let text = wire::clean(field.as_deref().unwrap_or_default());
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let time = |field: &Option<String>| {
            let read = |text: String| read_time(&text, offset).ok_or(text);
            text(field).map(read).transpose()
        };
        match (time(&self.from), time(&self.to)) {
            (Ok(from), Ok(to)) => Ok(AuditFilter {
                actor: text(&self.actor),
                action: text(&self.action),
                subject: text(&self.subject),
                from,
                to,
                before: self.cursor,
            }),
            (from, to) => Err(NoTime {
                from: from.err(),
                to: to.err(),
            }),
        }
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

/// What was typed where a time belongs, and is none.
#[derive(Debug, PartialEq, Eq)]
struct NoTime {
    from: Option<String>,
    to: Option<String>,
}

impl From<NoTime> for Problem {
    fn from(wrong: NoTime) -> Self {
        let fields = [("from", wrong.from), ("to", wrong.to)];
        let sentences = fields.into_iter().filter_map(|(field, typed)| {
            let typed = typed?;
            Some(format!(
                "{field}: {typed:?} is no time: write it like 2026-11-22T07:08"
            ))
        });
        let detail = sentences.collect::<Vec<_>>().join("; ");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-parameter", detail)
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
    match app.may_read_audit(&viewer.actor()) {
        Ok(()) => {}
        Err(Denial::NotGranted) => {
            return error_page(&app, &scene, &viewer, ErrorKind::Forbidden, None);
        }
        Err(Denial::SecondFactorNeeded) => return second_factor::lead(&viewer.path),
    }
    // Without its filter the audit would be somebody else's under the name that stands in the box.
    let (found, wrong) = match query.filter(app.offset) {
        Ok(filter) => (read(&app, &filter, ROWS).await.map(Some), None),
        Err(wrong) => (Ok(None), Some(wrong)),
    };
    let (rows, next) = match found {
        Ok(found) => found.map_or((None, None), |(rows, next)| (Some(rows), next)),
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
    let lines: Option<Vec<AuditLine>> = rows.map(|rows| rows.into_iter().map(line).collect());
    let newest = scene.newest();
    let page = AuditPage {
        shell: scene.shell(&app, &viewer, &newest, None),
        lines: lines.as_deref(),
        fields: fields(&query, wrong.as_ref()),
        next: next.map(|number| query.address("/audit", Some(number))),
        table: query.address("/audit.csv", None),
    };
    let status = match wrong {
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        None => StatusCode::OK,
    };
    html(status, page.render())
}

fn fields<'a>(query: &'a AuditQuery, wrong: Option<&NoTime>) -> AuditFields<'a> {
    let time = |typed: &'a Option<String>, wrong: Option<&String>| AuditTime {
        typed: typed.as_deref().unwrap_or_default(),
        is_wrong: wrong.is_some(),
    };
    AuditFields {
        actor: query.actor.as_deref().unwrap_or_default(),
        action: query.action.as_deref().unwrap_or_default(),
        subject: query.subject.as_deref().unwrap_or_default(),
        from: time(&query.from, wrong.and_then(|wrong| wrong.from.as_ref())),
        to: time(&query.to, wrong.and_then(|wrong| wrong.to.as_ref())),
    }
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
        detail: match row.detail {
            Value::Object(members) => members.iter().flat_map(member).collect(),
            other => vec![("detail".to_owned(), values(&other))],
        },
        outcome: row.outcome,
    }
}

/// A member of a detail: one of its own, or each of the members in it.
fn member((name, value): (&String, &Value)) -> Vec<(String, Vec<String>)> {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(inner, value)| (format!("{name}.{inner}"), values(value)))
            .collect(),
        value => vec![(name.clone(), values(value))],
    }
}

/// What a member of a detail says: one text, several of a list or an object, or none.
fn values(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(values).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| format!("{name}: {}", values(value).join(", ")))
            .collect(),
        other => vec![other.to_string()],
    }
}

/// An object as `name: value, …`; its braces tell nobody anything.
fn members(value: &Value) -> String {
    values(value).join(", ")
}

#[derive(Serialize)]
pub(super) struct Rows {
    items: Vec<AuditRow>,
    next: Option<String>,
}

pub(super) async fn api(
    State(app): State<App>,
    Caller(actor): Caller,
    Asked(query): Asked<AuditQuery>,
) -> Result<Json<Rows>, Problem> {
    // It gives away what the table gives, though it changes nothing.
    admit(&app.record, app.is_locked(&actor).await, &actor, "audit")?;
    app.may_read_audit(&actor)?;
    let filter = query.filter(app.offset)?;
    let limit = query.limit.unwrap_or(ROWS).clamp(1, ROWS_MAX);
    if app.record.is_single_reading(&actor) {
        app.store.audit_alone(export(&actor, &query)).await?;
    }
    let (items, next) = read(&app, &filter, limit).await?;
    Ok(Json(Rows {
        items,
        next: next.map(|number| number.to_string()),
    }))
}

/// What is taken away, as it stands in the audit before it is.
fn export<'a>(actor: &'a Actor, query: &AuditQuery) -> AuditEntry<'a> {
    AuditEntry::by(actor, "audit.export", "audit").detail(json!({"filter": query}))
}

/// The whole filtered audit as a table, a page at a time; that it was taken away is in the audit.
pub(super) async fn table(
    State(app): State<App>,
    Awake(viewer): Awake,
    Query(query): Query<AuditQuery>,
) -> Result<Response, Problem> {
    let actor = viewer.actor();
    match app.may_read_audit(&actor) {
        Ok(()) => {}
        Err(Denial::SecondFactorNeeded) => return Ok(second_factor::lead(&viewer.path)),
        Err(denial @ Denial::NotGranted) => return Err(denial.into()),
    }
    let filter = query.filter(app.offset)?;
    app.store.audit_alone(export(&actor, &query)).await?;
    let first = format!("{BYTE_ORDER_MARK}{HEADER}\r\n");
    let offset = app.offset;
    let pages = stream::unfold(Some((filter, Some(first))), move |state| {
        let (app, actor) = (app.clone(), actor.clone());
        async move {
            let (mut filter, first) = state?;
            if let Some(first) = first {
                return Some((Ok(Bytes::from(first)), Some((filter, None))));
            }
            match next_page(&app, &actor, &filter).await {
                Ok((rows, next)) => {
                    let text: String = rows.iter().map(|row| csv(row, offset)).collect();
                    filter.before = next;
                    Some((Ok(Bytes::from(text)), next.map(|_| (filter, None))))
                }
                // The connection breaks: half a table must not look like a whole one.
                Err(error) => {
                    tracing::warn!(%error, "a table of the audit was broken off");
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

/// Why a table ends in the middle.
#[derive(Debug, thiserror::Error)]
enum BrokenOff {
    #[error("whoever asked for it may not have it any more")]
    NotAnyMore,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The next page, for whoever still may: a long table takes its time.
async fn next_page(
    app: &App,
    actor: &Actor,
    filter: &AuditFilter,
) -> Result<(Vec<AuditRow>, Option<i64>), BrokenOff> {
    let may = app.may_read_audit(actor).is_ok() && !app.is_locked(actor).await?;
    if !may || app.authenticator.admitted(&actor.principal).is_err() {
        return Err(BrokenOff::NotAnyMore);
    }
    Ok(read(app, filter, ROWS_MAX).await?)
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
