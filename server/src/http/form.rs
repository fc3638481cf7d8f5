//! What people do on pages. A script that sends a form along with its CSRF header gets the outcome as an answer;
//! without scripts, the outcome comes with the page that the form leads back to.

use std::collections::BTreeMap;

use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use contract::alarm::{Acknowledge, AlarmState};
use contract::command::{CommandRequest, CommandState, Risk};
use contract::{DeviceId, Value};
use serde::Deserialize;
use serde_json::json;
use web_ui::{Notice, NoticeView, Template};

use super::App;
use super::error::log_unavailable;
use super::page::html;
use super::throttle::Share;
use super::viewer::Viewer;
use super::{idle, second_factor};
use crate::alarm::{AcknowledgeError, Actor};
use crate::audit::AuditEntry;
use crate::command::CommandError;
use crate::identity::policy::Permission;
use crate::identity::seconds::second_of;
use crate::store::StoreError;
use crate::wire;

/// The prefix of a parameter's field in a command's form.
const PARAMETER: &str = "param.";

/// Whether a form (or the script that sent it) comes from a page of this login.
pub(super) fn is_ours(viewer: &Viewer, field: Option<&str>) -> bool {
    let shown = viewer.script_csrf.as_deref().or(field);
    shown == Some(viewer.login.csrf.as_str())
}

/// Browsers drop control characters and read a backslash as a slash before they look where a path leads.
fn is_plain(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && byte != b'\\'
}

/// The longest path of ours with its query is a few hundred bytes; it is kept while somebody signs in elsewhere.
const NEXT_BYTES_MAX: usize = 2048;

/// A path of this site, or its start: whoever writes a form elsewhere cannot lead people away.
pub(super) fn own_path(next: Option<&str>) -> &str {
    next.filter(|path| {
        path.len() <= NEXT_BYTES_MAX
            && path.starts_with('/')
            && !path.starts_with("//")
            && path.bytes().all(is_plain)
    })
    .unwrap_or("/")
}

pub(super) fn answer(
    viewer: &Viewer,
    next: Option<&str>,
    status: StatusCode,
    notice: &Notice,
) -> Response {
    if viewer.script_csrf.is_some() {
        return html(
            status,
            NoticeView {
                viewing: viewer.viewing,
                notice,
            }
            .render(),
        );
    }
    let path = own_path(next);
    // The notice of an earlier form does not stay beside this one's.
    let kept: Vec<&str> = path
        .split_once('?')
        .map(|(_, query)| {
            query
                .split('&')
                .filter(|pair| !pair.starts_with("notice="))
                .collect()
        })
        .unwrap_or_default();
    let path = path.split('?').next().unwrap_or("/");
    let query: String = kept.iter().map(|pair| format!("{pair}&")).collect();
    Redirect::to(&format!("{path}?{query}notice={}", notice.code())).into_response()
}

pub(super) fn not_recording(error: &StoreError) -> (StatusCode, Notice) {
    log_unavailable(error);
    (StatusCode::SERVICE_UNAVAILABLE, Notice::NotRecording)
}

#[derive(Deserialize)]
pub(super) struct AcknowledgeForm {
    csrf: Option<String>,
    occurrence: i64,
    note: Option<String>,
    next: Option<String>,
}

pub(super) async fn acknowledge(
    State(app): State<App>,
    viewer: Viewer,
    Path(alarm): Path<i64>,
    Form(form): Form<AcknowledgeForm>,
) -> Response {
    let next = form.next.as_deref();
    if !is_ours(&viewer, form.csrf.as_deref()) {
        return answer(&viewer, next, StatusCode::FORBIDDEN, &Notice::FormExpired);
    }
    if viewer.is_locked {
        return answer(&viewer, next, StatusCode::FORBIDDEN, &Notice::Locked);
    }
    let seen = Acknowledge {
        occurrence: form.occurrence,
        note: form
            .note
            .map(|note| wire::clean(&note).into_owned())
            .filter(|note| !note.is_empty()),
    };
    let (status, notice) = match app.alarms.acknowledge(alarm, seen, viewer.actor()).await {
        Ok(view) => {
            let mine = view
                .acknowledged
                .as_ref()
                .is_some_and(|by| by.by == viewer.principal().subject);
            let seen_by_another = !mine && view.state != AlarmState::Unacknowledged;
            let notice = if seen_by_another {
                Notice::AlreadyAcknowledged(view.acknowledged)
            } else {
                Notice::Acknowledged
            };
            (StatusCode::OK, notice)
        }
        Err(AcknowledgeError::NotOpen(_)) => (StatusCode::OK, Notice::AlreadyAcknowledged(None)),
        Err(AcknowledgeError::Superseded(_)) => (StatusCode::CONFLICT, Notice::NewerOccurrence),
        Err(AcknowledgeError::Forbidden(_)) => (StatusCode::FORBIDDEN, Notice::NotPermitted),
        Err(AcknowledgeError::TooMany(_)) => (StatusCode::TOO_MANY_REQUESTS, Notice::TooMany),
        Err(AcknowledgeError::Store(error)) => not_recording(&error),
    };
    answer(&viewer, next, status, &notice)
}

/// A command's form, whose fields depend on the command.
struct CommandForm {
    csrf: Option<String>,
    next: Option<String>,
    confirmed: bool,
    /// Of the second factor.
    code: Option<String>,
    request: CommandRequest,
}

impl CommandForm {
    fn read(fields: Vec<(String, String)>) -> Option<Self> {
        let (mut csrf, mut next, mut confirmed, mut key, mut name) =
            (None, None, false, None, None);
        let mut code = None;
        let mut params = BTreeMap::new();
        for (field, value) in fields {
            match field.as_str() {
                "csrf" => csrf = Some(value),
                "next" => next = Some(value),
                "confirmed" => confirmed = value == "yes",
                "key" => key = value.parse().ok(),
                "name" => name = Some(value),
                "code" => code = Some(value),
                _ => {
                    let parameter = field.strip_prefix(PARAMETER)?;
                    params.insert(
                        parameter.to_owned(),
                        Value::Number(value.trim().parse().ok()?),
                    );
                }
            }
        }
        Some(Self {
            csrf,
            next,
            confirmed,
            code,
            request: CommandRequest {
                key: key?,
                name: name?,
                params,
            },
        })
    }
}

pub(super) async fn command(
    State(app): State<App>,
    viewer: Viewer,
    Path(device): Path<DeviceId>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    let page = format!("/devices/{device}");
    let Some(form) = CommandForm::read(fields) else {
        return answer(
            &viewer,
            Some(&page),
            StatusCode::UNPROCESSABLE_ENTITY,
            &Notice::BadInput,
        );
    };
    let next = form.next.as_deref().or(Some(&page));
    if !is_ours(&viewer, form.csrf.as_deref()) {
        return answer(&viewer, next, StatusCode::FORBIDDEN, &Notice::FormExpired);
    }
    let (risk, confirm) = care(&app, &device, &form.request.name);
    if !form.confirmed && confirm {
        return answer(&viewer, next, StatusCode::CONFLICT, &Notice::NotConfirmed);
    }
    let actor = match may_command_now(&app, &viewer, risk, &device, &form).await {
        Ok(actor) => actor,
        Err((status, notice)) => {
            let detail = json!({"name": form.request.name, "params": form.request.params});
            let entry = idle::entry(&viewer, "command.give", device.as_str(), detail);
            return match app.store.audit_alone(entry.outcome(notice.code())).await {
                Ok(()) => answer(&viewer, next, status, &notice),
                Err(error) => {
                    let (status, notice) = not_recording(&error);
                    answer(&viewer, next, status, &notice)
                }
            };
        }
    };
    let (status, notice) = match app.commands.submit(device, form.request, actor).await {
        Ok(command) if command.state.is_final() && command.state != CommandState::Succeeded => {
            (StatusCode::CONFLICT, Notice::CommandRefused(command.reason))
        }
        Ok(_) => (StatusCode::ACCEPTED, Notice::CommandQueued),
        Err(CommandError::Forbidden { .. }) => (StatusCode::FORBIDDEN, Notice::NotPermitted),
        Err(CommandError::SecondFactorNeeded(_)) => {
            (StatusCode::FORBIDDEN, Notice::SecondFactorNeeded)
        }
        Err(CommandError::BadParameter(_)) => (StatusCode::UNPROCESSABLE_ENTITY, Notice::BadInput),
        Err(CommandError::NoSuchDevice(_)) => (StatusCode::NOT_FOUND, Notice::BadInput),
        Err(CommandError::TooMany(_)) => (StatusCode::TOO_MANY_REQUESTS, Notice::TooMany),
        Err(CommandError::Store(error)) => not_recording(&error),
        Err(
            CommandError::Unregistered(_)
            | CommandError::NotSupported { .. }
            | CommandError::KeyReused(_),
        ) => (StatusCode::CONFLICT, Notice::CommandRefused(None)),
    };
    answer(&viewer, next, status, &notice)
}

/// The risk of a command, and whether a person is asked once more.
fn care(app: &App, device: &DeviceId, name: &str) -> (Option<Risk>, bool) {
    let site = app.site();
    let kind = site
        .device(device)
        .and_then(|device| device.command_type(name));
    let asked = kind
        .is_some_and(|kind| kind.confirm || matches!(kind.risk, Risk::Critical | Risk::Emergency));
    (kind.map(|kind| kind.risk), asked)
}

/// What the state of the login has to say: a locked one gives emergency commands only, and a critical command takes a
/// second factor. An emergency is never hindered, and written down as such.
async fn may_command_now(
    app: &App,
    viewer: &Viewer,
    risk: Option<Risk>,
    device: &DeviceId,
    form: &CommandForm,
) -> Result<Actor, (StatusCode, Notice)> {
    if viewer.is_locked && risk != Some(Risk::Emergency) {
        return Err((StatusCode::FORBIDDEN, Notice::Locked));
    }
    if viewer.is_locked {
        idle::write_emergency_down(app, viewer, device.as_str(), &form.request.name).await;
    }
    if risk == Some(Risk::Critical) && second_factor::is_asked(&app.policy.now(), viewer) {
        second_factor::show(app, viewer, form.code.as_deref()).await?;
        let mut actor = viewer.actor();
        actor.principal.proof.second_factor_at = Some(second_of(viewer.viewing.now));
        return Ok(actor);
    }
    Ok(viewer.actor())
}

#[derive(Deserialize)]
pub(super) struct ApproveForm {
    csrf: Option<String>,
    next: Option<String>,
}

pub(super) async fn approve(
    State(app): State<App>,
    viewer: Viewer,
    Path(device): Path<DeviceId>,
    Form(form): Form<ApproveForm>,
) -> Response {
    let next = form.next.as_deref();
    if !is_ours(&viewer, form.csrf.as_deref()) {
        return answer(&viewer, next, StatusCode::FORBIDDEN, &Notice::FormExpired);
    }
    if viewer.is_locked {
        return answer(&viewer, next, StatusCode::FORBIDDEN, &Notice::Locked);
    }
    let taken = app.throttle.of_principal(Share::Act, viewer.principal());
    if taken.is_err() {
        let status = StatusCode::TOO_MANY_REQUESTS;
        return answer(&viewer, next, status, &Notice::TooMany);
    }
    let zone = app.site().device(&device).map(|device| device.zone.clone());
    let policy = app.policy.now();
    let may = |zone| policy.may(viewer.principal(), Permission::DeviceApprove, zone);
    if !zone.as_ref().is_some_and(may) {
        let actor = viewer.actor();
        let entry = AuditEntry::by(&actor, "device.approve", device.as_str());
        let refused = entry.outcome("you may not approve devices of this zone");
        if let Err(error) = app.store.audit_alone(refused).await {
            let (status, notice) = not_recording(&error);
            return answer(&viewer, next, status, &notice);
        }
        return answer(&viewer, next, StatusCode::FORBIDDEN, &Notice::NotPermitted);
    }
    let (status, notice) = match app.keeper.approve(&device, &viewer.actor()).await {
        Ok(()) => (StatusCode::OK, Notice::Approved),
        Err(error) => not_recording(&error),
    };
    answer(&viewer, next, status, &notice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_lead_to_our_own_pages_only() {
        for (next, path) in [
            (None, "/"),
            (Some("/alarms?zone=p1"), "/alarms?zone=p1"),
            (Some("//evil.example"), "/"),
            (Some("/\\evil.example"), "/"),
            (Some("https://evil.example"), "/"),
            (Some("/a\r\nset-cookie: x"), "/"),
            (Some("/\t/evil.example"), "/"),
            (Some(""), "/"),
        ] {
            assert_eq!(own_path(next), path);
        }
    }

    #[test]
    fn a_commands_form_is_read_or_refused_as_a_whole() {
        let fields = |pairs: &[(&str, &str)]| {
            let key = (
                "key".to_owned(),
                "0193b3a0-0000-4000-8000-000000000004".to_owned(),
            );
            let mut fields = vec![key, ("name".to_owned(), "reboot".to_owned())];
            fields.extend(
                pairs
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
            );
            fields
        };
        let form =
            CommandForm::read(fields(&[("param.delay", " 10 "), ("confirmed", "yes")])).unwrap();
        assert_eq!(form.request.params["delay"], Value::Number(10.0));
        assert!(form.confirmed);
        assert!(CommandForm::read(fields(&[("param.delay", "soon")])).is_none());
        assert!(CommandForm::read(fields(&[("surprise", "1")])).is_none());
        assert!(
            CommandForm::read(vec![("name".to_owned(), "open".to_owned())]).is_none(),
            "no key"
        );
    }
}
