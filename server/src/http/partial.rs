//! Parts of pages that depend on the viewer: fetched again by the script after a notice.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use uuid::Uuid;
use web_ui::{
    AlarmList, AlarmStrip, CommandList, CommandPanel, DeviceAlarms, Offer, OverviewBody, RowForm,
    Template, ZoneFilter,
};

use super::App;
use super::error::Problem;
use super::page::{Scene, html, permissions};
use super::viewer::Viewer;

/// Where a form of a partial leads without scripts: back to its page.
fn form<'a>(viewer: &'a Viewer, next: &'a str) -> RowForm<'a> {
    RowForm {
        csrf: &viewer.login.csrf,
        next,
    }
}

pub(super) async fn strip(State(app): State<App>, viewer: Viewer) -> Response {
    let scene = Scene::read(&app, viewer.principal()).await;
    let newest = scene.newest();
    let strip = AlarmStrip {
        viewing: viewer.viewing,
        newest: &newest,
        counts: scene.counts(),
        recording: true, // As in `Scene::shell`.
        form: form(&viewer, "/alarms"),
    };
    html(StatusCode::OK, strip.render())
}

pub(super) async fn overview(State(app): State<App>, viewer: Viewer) -> Response {
    let scene = Scene::read(&app, viewer.principal()).await;
    let zones = scene.zone_views();
    let zones = scene.overview(&zones);
    html(
        StatusCode::OK,
        OverviewBody {
            viewing: viewer.viewing,
            zones: &zones,
        }
        .render(),
    )
}

#[derive(Deserialize)]
pub(super) struct AlarmsQuery {
    zone: Option<String>,
}

pub(super) async fn alarms(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<AlarmsQuery>,
) -> Response {
    let scene = Scene::read(&app, viewer.principal()).await;
    let zone = scene.zone(query.zone.as_deref());
    let alarms = scene.alarms_in(zone);
    let next = zone.map_or_else(
        || "/alarms".to_owned(),
        |zone| format!("/alarms?zone={}", zone.id),
    );
    let list = AlarmList {
        viewing: viewer.viewing,
        alarms: &alarms,
        zone: zone.map(|zone| ZoneFilter {
            id: &zone.id,
            name: &zone.name,
        }),
        form: form(&viewer, &next),
    };
    html(StatusCode::OK, list.render())
}

fn no_such_device(id: &str) -> Response {
    Problem::not_found(format!("there is no device {id} that you may see")).into_response()
}

pub(super) async fn device_alarms(
    State(app): State<App>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Response {
    let scene = Scene::read(&app, viewer.principal()).await;
    let Some(view) = id.parse().ok().and_then(|id| scene.device(&id)) else {
        return no_such_device(&id);
    };
    let (alarms, next) = (scene.alarms_of(&view.id), format!("/devices/{id}"));
    let part = DeviceAlarms {
        viewing: viewer.viewing,
        device: scene.known(view),
        alarms: &alarms,
        form: form(&viewer, &next),
    };
    html(StatusCode::OK, part.render())
}

pub(super) async fn device_panel(
    State(app): State<App>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Response {
    let scene = Scene::read(&app, viewer.principal()).await;
    let Some(view) = id.parse().ok().and_then(|id| scene.device(&id)) else {
        return no_such_device(&id);
    };
    let may = permissions(&scene.policy, &viewer, Some(&view.zone), &scene.site);
    let (offers, next) = (
        Offer::all(scene.known(view), may, true, Uuid::new_v4),
        format!("/devices/{id}"),
    );
    let part = CommandPanel {
        viewing: viewer.viewing,
        device: scene.known(view),
        offers: &offers,
        may_approve: may.approve,
        form: form(&viewer, &next),
    };
    html(StatusCode::OK, part.render())
}

pub(super) async fn device_commands(
    State(app): State<App>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Response {
    let scene = Scene::read(&app, viewer.principal()).await;
    let Some(view) = id.parse().ok().and_then(|id| scene.device(&id)) else {
        return no_such_device(&id);
    };
    match app.store.recent_commands(&view.id).await {
        Ok(commands) => {
            let part = CommandList {
                viewing: viewer.viewing,
                device: scene.known(view),
                commands: &commands,
            };
            html(StatusCode::OK, part.render())
        }
        Err(error) => Problem::from(error).into_response(),
    }
}
