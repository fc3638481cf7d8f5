//! What people do on pages. A script that sends a form along with its CSRF header gets the outcome as an answer;
//! without scripts, the outcome comes with the page that the form leads back to.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use contract::alarm::{Acknowledge, AlarmState};
use contract::command::{CommandRequest, CommandState, Risk};
use contract::{DeviceId, Value};
use serde::Deserialize;
use web_ui::{Notice, NoticeView, Template};

use super::App;
use super::error::log_unavailable;
use super::page::html;
use super::second_factor;
use super::sent::{Nothing, Sent};
use super::throttle::Share;
use super::viewer::{EvenLocked, Viewer};
use crate::alarm::{AcknowledgeError, Actor};
use crate::audit::AuditEntry;
use crate::command::{CommandError, refused_detail};
use crate::identity::idle_lock::{Asleep, admit_command};
use crate::identity::policy::{Denial, Permission, Place};
use crate::identity::seconds::second_of;
use crate::store::StoreError;

/// The prefix of a parameter's field in a command's form.
const PARAMETER: &str = "param.";

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
    let path = own_path(next);
    if viewer.script_csrf.is_some() {
        let notice = NoticeView {
            viewing: viewer.viewing,
            notice,
            page: path,
        };
        return html(status, notice.render());
    }
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
    if *notice == Notice::SecondFactorNeeded {
        return second_factor::lead(&format!("{path}?{}", query.trim_end_matches('&')));
    }
    Redirect::to(&format!("{path}?{query}notice={}", notice.code())).into_response()
}

pub(super) fn not_recording(error: &StoreError) -> (StatusCode, Notice) {
    log_unavailable(error);
    (StatusCode::SERVICE_UNAVAILABLE, Notice::NotRecording)
}

/// What somebody is told who may not do something, or not yet.
pub(super) fn denied(denial: Denial) -> (StatusCode, Notice) {
    let notice = match denial {
        Denial::NotGranted => Notice::NotPermitted,
        Denial::SecondFactorNeeded => Notice::SecondFactorNeeded,
    };
    (StatusCode::FORBIDDEN, notice)
}

#[derive(Deserialize)]
pub(super) struct AcknowledgeForm {
    occurrence: i64,
    note: Option<String>,
}

pub(super) async fn acknowledge(
    State(app): State<App>,
    Path(alarm): Path<i64>,
    sent: Sent<AcknowledgeForm>,
) -> Response {
    let (viewer, form) = (&sent.viewer, &sent.fields);
    let seen = Acknowledge {
        occurrence: form.occurrence,
        note: form.note.clone(),
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
        Err(AcknowledgeError::Forbidden(_)) => denied(Denial::NotGranted),
        Err(AcknowledgeError::SecondFactorNeeded) => denied(Denial::SecondFactorNeeded),
        Err(AcknowledgeError::LongNote) => (StatusCode::UNPROCESSABLE_ENTITY, Notice::BadInput),
        Err(AcknowledgeError::TooMany(_)) => (StatusCode::TOO_MANY_REQUESTS, Notice::TooMany),
        Err(AcknowledgeError::Store(error)) => not_recording(&error),
    };
    sent.answer(status, &notice)
}

/// A command's form, whose fields depend on the command.
struct CommandForm {
    confirmed: bool,
    /// Of the second factor.
    code: Option<String>,
    request: CommandRequest,
}

impl CommandForm {
    fn read(fields: Vec<(String, String)>) -> Option<Self> {
        let (mut confirmed, mut key, mut name, mut code) = (false, None, None, None);
        let mut params = BTreeMap::new();
        for (field, value) in fields {
            match field.as_str() {
                "csrf" | "next" => {} // Read by `Sent`.
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
    Path(device): Path<DeviceId>,
    EvenLocked(mut sent): EvenLocked<Sent<Vec<(String, String)>>>,
) -> Response {
    let Some(form) = CommandForm::read(std::mem::take(&mut sent.fields)) else {
        return sent.answer(StatusCode::UNPROCESSABLE_ENTITY, &Notice::BadInput);
    };
    let (risk, confirm) = care(&app, &device, &form.request.name);
    if !form.confirmed && confirm {
        return sent.answer(StatusCode::CONFLICT, &Notice::NotConfirmed);
    }
    let actor = match may_command_now(&app, &sent.viewer, risk, &device, &form).await {
        Ok(actor) => actor,
        Err((status, notice)) => return sent.answer(status, &notice),
    };
    let (status, notice) = match app.commands.submit(device, form.request, actor).await {
        Ok(command) if command.state.is_final() && command.state != CommandState::Succeeded => {
            (StatusCode::CONFLICT, Notice::CommandRefused(command.reason))
        }
        Ok(_) => (StatusCode::ACCEPTED, Notice::CommandQueued),
        Err(CommandError::Forbidden { .. }) => denied(Denial::NotGranted),
        Err(CommandError::SecondFactorNeeded(_)) => denied(Denial::SecondFactorNeeded),
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
    sent.answer(status, &notice)
}

/// The risk of a command, and whether a person is asked once more.
fn care(app: &App, device: &DeviceId, name: &str) -> (Option<Risk>, bool) {
    let site = app.site();
    let kind = site
        .device(device)
        .and_then(|device| device.command_type(name));
    let asked = kind
        .is_some_and(|kind| kind.confirm || matches!(kind.risk, Risk::Critical | Risk::Emergency));
    (site.risk_of(device, name), asked)
}

/// What the state of the login has to say: a locked one gives emergency commands only, and what the policy asks a second
/// factor for takes the code that came along, or one that was shown a moment ago.
async fn may_command_now(
    app: &App,
    viewer: &Viewer,
    risk: Option<Risk>,
    device: &DeviceId,
    form: &CommandForm,
) -> Result<Actor, (StatusCode, Notice)> {
    let mut actor = viewer.actor();
    let named = (device, &*form.request.name);
    admit_command(
        (&app.store, &app.record),
        Ok(viewer.is_locked),
        risk,
        &actor,
        named,
    )
    .await
    .map_err(|asleep| match asleep {
        Asleep::Locked => (StatusCode::FORBIDDEN, Notice::Locked),
        Asleep::Store(error) => not_recording(&error),
    })?;
    let (policy, now) = (app.policy.now(), viewer.viewing.now);
    let is_asked = risk.is_some_and(|risk| {
        let permission = Permission::to_command(risk);
        policy.awaits_second_factor(viewer.principal(), permission, now)
    });
    if is_asked {
        let code = form.code.as_deref().filter(|code| !code.is_empty());
        let accepted = match code {
            Some(code) => second_factor::accept(app, viewer, code).await,
            None => Err(denied(Denial::SecondFactorNeeded)),
        };
        accepted.inspect_err(|(_, notice)| {
            let entry = AuditEntry::by(&actor, "command.give", device.as_str());
            let entry = entry.detail(refused_detail(&form.request));
            app.record.refused(entry.outcome(notice.code()));
        })?;
        actor.principal.proof.second_factor_at = Some(second_of(now));
    }
    Ok(actor)
}

pub(super) async fn approve(
    State(app): State<App>,
    Path(device): Path<DeviceId>,
    sent: Sent<Nothing>,
) -> Response {
    let viewer = &sent.viewer;
    let taken = app.throttle.of_principal(Share::Act, viewer.principal());
    if taken.is_err() {
        return sent.answer(StatusCode::TOO_MANY_REQUESTS, &Notice::TooMany);
    }
    let zone = app.site().device(&device).map(|device| device.zone.clone());
    let allowed = zone.ok_or(Denial::NotGranted).and_then(|zone| {
        let permission = Permission::DeviceApprove;
        app.allow(viewer.principal(), permission, Place::In(&zone))
    });
    if let Err(denial) = allowed {
        let (actor, why) = (viewer.actor(), denial.to_string());
        let entry = AuditEntry::by(&actor, "device.approve", device.as_str());
        let (status, notice) = match app.store.audit_alone(entry.outcome(&why)).await {
            Ok(()) => denied(denial),
            Err(error) => not_recording(&error),
        };
        return sent.answer(status, &notice);
    }
    let (status, notice) = match app.keeper.approve(&device, &viewer.actor()).await {
        Ok(()) => (StatusCode::OK, Notice::Approved),
        Err(error) => not_recording(&error),
    };
    sent.answer(status, &notice)
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
