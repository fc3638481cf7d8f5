//! The one way to a whole number plate: with a reason, and a row in the audit before it is shown. No row, no plate.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use contract::device::PointView;
use contract::{DeviceId, PointId};
use serde::Deserialize;
use serde_json::json;
use web_ui::{ErrorKind, Notice, PlatePage, Template};

use super::App;
use super::api::{Body, Named};
use super::caller::Caller;
use super::error::Problem;
use super::form::{denied, not_recording};
use super::page::{Scene, error_page, html};
use super::sent::Sent;
use super::throttle::Share;
use super::viewer::Viewer;
use crate::alarm::Actor;
use crate::audit::{AuditEntry, REASON_CHARS_MAX, readable};
use crate::identity::policy::{Denial, Permission, Place};
use crate::personal::masked;
use crate::store::StoreError;

/// Why a plate is not shown.
enum NotShown {
    NoSuchPoint,
    NoReason,
    Denied(Denial),
    TooMany(Duration),
    Store(StoreError),
}

impl From<StoreError> for NotShown {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The newest whole value of a point that carries number plates.
async fn reveal(
    app: &App,
    actor: &Actor,
    device: &str,
    point: &str,
    reason: &str,
) -> Result<PointView, NotShown> {
    let (Ok(id), Ok(point)) = (device.parse::<DeviceId>(), point.parse::<PointId>()) else {
        return Err(NotShown::NoSuchPoint);
    };
    let (site, subject) = (app.site(), format!("{id}/{point}"));
    let known = site
        .device(&id)
        .filter(|device| app.may_see(&actor.principal, &device.zone));
    let entry = AuditEntry::by(actor, "plate.reveal", &subject);
    let Some(known) = known else {
        let why = "there is no such device that they may see";
        app.record.refused(entry.outcome(why));
        return Err(NotShown::NoSuchPoint);
    };
    let carries =
        |known: &contract::inventory::Point| known.id == point && known.personal.is_some();
    if !known.profile.points.iter().any(carries) {
        return Err(NotShown::NoSuchPoint);
    }
    let reason = readable(reason).filter(|reason| reason.chars().count() <= REASON_CHARS_MAX);
    let reason = reason.ok_or(NotShown::NoReason)?;
    // Refused ones leave a row as well.
    let taken = app.throttle.of_principal(Share::Reveal, &actor.principal);
    taken.map_err(NotShown::TooMany)?;
    let entry = entry.reason(Some(&reason));
    let (permission, here) = (Permission::PlateReveal, Place::In(&known.zone));
    if let Err(denial) = app.allow(&actor.principal, permission, here) {
        let why = denial.to_string();
        app.store.audit_alone(entry.outcome(&why)).await?;
        return Err(NotShown::Denied(denial));
    }
    let whole = app.live.whole(&id, &point).await;
    let whole = whole.ok_or(NotShown::NoSuchPoint)?;
    let shown = whole.value.as_ref().map(masked);
    app.store
        .audit_alone(entry.detail(json!({"shown": shown, "at": whole.at})))
        .await?;
    Ok(whole)
}

#[derive(Deserialize)]
pub(super) struct RevealRequest {
    reason: String,
}

pub(super) async fn api(
    State(app): State<App>,
    Caller(actor): Caller,
    Named((device, point)): Named<(String, String)>,
    Body(request): Body<RevealRequest>,
) -> Result<Json<PointView>, Problem> {
    let shown = reveal(&app, &actor, &device, &point, &request.reason).await;
    shown.map(Json).map_err(|why| match why {
        NotShown::NoSuchPoint => Problem::not_found(format!(
            "there is no point {point} with number plates on a device {device} that you may see"
        )),
        NotShown::NoReason => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad-parameter",
            format!("a reason of at most {REASON_CHARS_MAX} characters is needed, with a letter or a digit"),
        ),
        NotShown::Denied(denial) => denial.into(),
        NotShown::TooMany(wait) => Problem::too_many(wait),
        NotShown::Store(error) => error.into(),
    })
}

#[derive(Deserialize)]
pub(super) struct RevealForm {
    reason: String,
}

pub(super) async fn page(
    State(app): State<App>,
    Path((device, point)): Path<(String, String)>,
    mut sent: Sent<RevealForm>,
) -> Response {
    // Where the page leads back to, by itself after a while.
    sent.viewer.path = format!("/devices/{device}");
    let viewer = &sent.viewer;
    let shown = reveal(&app, &viewer.actor(), &device, &point, &sent.fields.reason).await;
    let (status, notice) = match shown {
        Ok(shown) => return plate(&app, viewer, &device, &shown).await,
        Err(NotShown::NoSuchPoint) => {
            let scene = Scene::read(&app, viewer.principal()).await;
            return error_page(&app, &scene, viewer, ErrorKind::NotFound, None);
        }
        Err(NotShown::NoReason) => (StatusCode::UNPROCESSABLE_ENTITY, Notice::BadInput),
        Err(NotShown::Denied(denial)) => denied(denial),
        Err(NotShown::TooMany(_)) => (StatusCode::TOO_MANY_REQUESTS, Notice::TooMany),
        Err(NotShown::Store(error)) => not_recording(&error),
    };
    sent.answer(status, &notice)
}

async fn plate(app: &App, viewer: &Viewer, device: &str, shown: &PointView) -> Response {
    let scene = Scene::read(app, viewer.principal()).await;
    let Some(view) = device.parse().ok().and_then(|id| scene.device(&id)) else {
        return error_page(app, &scene, viewer, ErrorKind::NotFound, None);
    };
    let newest = scene.newest();
    let page = PlatePage {
        shell: scene.shell(app, viewer, &newest, None),
        device: scene.known(view),
        shown,
    };
    html(StatusCode::OK, page.render()).into_response()
}
