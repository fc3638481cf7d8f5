//! The API: what pages show and do, for programs. Lists answer `{"items": [...], "next": null}`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use contract::DeviceId;
use contract::alarm::{Acknowledge, AlarmView};
use contract::command::{CommandRequest, CommandView};
use contract::device::DeviceView;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::App;
use super::caller::Caller;
use super::error::Problem;
use super::viewer::EvenLocked;
use crate::alarm::Actor;
use crate::identity::idle_lock::admit_command;
use crate::wire;

/// A list; `next` will name the next page once lists are long enough to have one.
#[derive(Serialize)]
pub(super) struct List<T> {
    items: Vec<T>,
    next: Option<String>,
}

impl<T> List<T> {
    pub(super) fn whole(items: Vec<T>) -> Json<Self> {
        Json(Self { items, next: None })
    }
}

/// A JSON body; what is wrong with it is told as every other problem is.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|rejection| {
            Problem::new(rejection.status(), "bad-body", rejection.body_text())
        })?;
        wire::read(&body).map(Self).map_err(|error| {
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "bad-body",
                format!("the body cannot be read: {error}"),
            )
        })
    }
}

/// What an address names; one that cannot be read is told as every other problem is.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let named = Path::from_request_parts(parts, state).await;
        let named = named.map_err(|rejection| bad_path(rejection.body_text()))?;
        Ok(Self(named.0))
    }
}

/// What is asked for behind the `?`, likewise.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let asked = Query::from_request_parts(parts, state).await;
        let asked = asked.map_err(|rejection| bad_path(rejection.body_text()))?;
        Ok(Self(asked.0))
    }
}

fn bad_path(what: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-path", what)
}

pub(super) async fn devices(
    State(app): State<App>,
    Caller(actor): Caller,
) -> Json<List<DeviceView>> {
    let mut devices = app.live.devices().await;
    devices.retain(|device| app.may_see(&actor.principal, &device.zone));
    List::whole(devices)
}

async fn visible(app: &App, actor: &Actor, id: &str) -> Result<DeviceView, Problem> {
    let known = match id.parse::<DeviceId>() {
        Ok(id) => app.live.device(&id).await,
        Err(_) => None,
    };
    known
        .filter(|device| app.may_see(&actor.principal, &device.zone))
        .ok_or_else(|| no_device(id))
}

fn no_device(id: &str) -> Problem {
    Problem::not_found(format!("there is no device {id} that you may see"))
}

pub(super) async fn device(
    State(app): State<App>,
    Caller(actor): Caller,
    Named(id): Named<String>,
) -> Result<Json<DeviceView>, Problem> {
    visible(&app, &actor, &id).await.map(Json)
}

pub(super) async fn commands(
    State(app): State<App>,
    Caller(actor): Caller,
    Named(id): Named<String>,
) -> Result<Json<List<CommandView>>, Problem> {
    let device = visible(&app, &actor, &id).await?;
    Ok(List::whole(app.store.recent_commands(&device.id).await?))
}

pub(super) async fn command(
    State(app): State<App>,
    EvenLocked(Caller(actor)): EvenLocked<Caller>,
    Named(id): Named<String>,
    Body(request): Body<CommandRequest>,
) -> Result<(StatusCode, Json<CommandView>), Problem> {
    // Which devices somebody may see is asked where a refusal is written down.
    let device = id.parse().map_err(|_no_id| no_device(&id))?;
    let risk = app.site().risk_of(&device, &request.name);
    let (locked, named) = (app.is_locked(&actor).await, (&device, &*request.name));
    admit_command((&app.store, &app.record), locked, risk, &actor, named).await?;
    let command = app.commands.submit(device, request, actor).await?;
    Ok((StatusCode::ACCEPTED, Json(command)))
}

pub(super) async fn alarms(State(app): State<App>, Caller(actor): Caller) -> Json<List<AlarmView>> {
    let mut alarms = app.alarms.open().to_vec();
    alarms.retain(|alarm| app.may_see(&actor.principal, &alarm.zone));
    List::whole(alarms)
}

pub(super) async fn acknowledge(
    State(app): State<App>,
    Caller(actor): Caller,
    Named(alarm): Named<String>,
    Body(seen): Body<Acknowledge>,
) -> Result<Json<AlarmView>, Problem> {
    let number = alarm
        .parse()
        .map_err(|error| Problem::not_found(format!("{alarm:?} is no alarm's number: {error}")))?;
    Ok(Json(app.alarms.acknowledge(number, seen, actor).await?))
}

/// Whatever else is asked below `/api`.
pub(super) async fn not_found(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}", uri.path()))
}
