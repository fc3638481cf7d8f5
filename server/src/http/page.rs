//! Pages: live state and records put into views.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use contract::alarm::{AlarmState, AlarmView, Priority};
use contract::device::{DeviceView, ZoneView};
use contract::{DeviceId, ZoneId};
use serde::Deserialize;
use uuid::Uuid;
use web_ui::{
    AlarmsPage, DevicePage, ErrorKind, ErrorPage, KnownDevice, Notice, Offer, Overview,
    OverviewZone, Permissions, Person, PriorityCount, Shell, Template, ZoneFilter,
};

use super::App;
use super::error::log_unavailable;
use super::idle;
use super::viewer::Viewer;
use crate::identity::policy::{Permission, Place, Policy};
use crate::identity::principal::Principal;
use crate::live::zone_views;
use crate::site::{Site, Zone};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The strip shows three; a few more cost nothing and let it stay full while one is acknowledged.
const NEWEST: usize = 5;

/// A rendered page, or the plain word that it could not be rendered.
pub(super) fn html(status: StatusCode, page: Result<String, web_ui::Error>) -> Response {
    match page {
        Ok(page) => (
            status,
            [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
            page,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "this page could not be rendered",
            )
                .into_response()
        }
    }
}

/// What a viewer may do, as far as pages offer it.
pub(super) fn permissions(
    policy: &Policy,
    viewer: &Viewer,
    zone: Option<&ZoneId>,
    site: &Site,
) -> Permissions {
    let zones: Vec<&ZoneId> = match zone {
        Some(zone) => vec![zone],
        None => site.zones().iter().map(|zone| &zone.id).collect(),
    };
    let principal = viewer.principal();
    let open = !viewer.is_locked;
    let may = |permission| {
        zones
            .iter()
            .any(|zone| policy.entitles(principal, permission, Place::In(zone)))
    };
    let everywhere = |permission| policy.entitles(principal, permission, Place::Anywhere);
    let code = |permission| policy.awaits_second_factor(principal, permission, viewer.viewing.now);
    Permissions {
        acknowledge: open && may(Permission::AlarmAcknowledge),
        command_view: may(Permission::CommandView),
        command_normal: may(Permission::CommandNormal),
        command_critical: may(Permission::CommandCritical),
        command_emergency: may(Permission::CommandEmergency),
        approve: open && may(Permission::DeviceApprove),
        people: everywhere(Permission::PeopleManage),
        code_for_view: code(Permission::CommandView),
        code_for_normal: code(Permission::CommandNormal),
        code_for_critical: code(Permission::CommandCritical),
        locked: viewer.is_locked,
        reveal: open && may(Permission::PlateReveal),
        audit: everywhere(Permission::AuditRead),
    }
}

/// Everything that a page is made of, read in the one order that loses nothing: the position first, then the state.
pub(super) struct Scene {
    pub(super) position: String,
    /// By which it was decided what the viewer sees.
    pub(super) policy: Arc<Policy>,
    pub(super) site: Arc<Site>,
    pub(super) zones: Vec<ZoneId>,
    pub(super) devices: Vec<DeviceView>,
    pub(super) alarms: Vec<AlarmView>,
}

impl Scene {
    /// What this viewer may see of now.
    pub(super) async fn read(app: &App, principal: &Principal) -> Self {
        let position = app.publisher.position().to_string();
        let policy = app.policy.now();
        let may_see = |zone: &ZoneId| policy.may_see(principal, zone);
        let mut devices = app.live.devices().await;
        devices.retain(|device| may_see(&device.zone));
        let mut alarms = app.alarms.open().to_vec();
        alarms.retain(|alarm| may_see(&alarm.zone));
        let site = app.site();
        let zones = site
            .zones()
            .iter()
            .map(|zone| zone.id.clone())
            .filter(may_see)
            .collect();
        Self {
            position,
            policy,
            site,
            zones,
            devices,
            alarms,
        }
    }

    pub(super) fn counts(&self) -> [PriorityCount; 4] {
        let mut counts = [PriorityCount::default(); 4];
        for alarm in &self.alarms {
            let place = Priority::ALL
                .iter()
                .position(|priority| *priority == alarm.priority);
            let Some(count) = place.and_then(|place| counts.get_mut(place)) else {
                continue;
            };
            count.active += u32::from(is_active(alarm));
            count.unacknowledged += u32::from(is_unacknowledged(alarm));
        }
        counts
    }

    /// The most urgent ones that nobody acknowledged; the server's own times decide, since those of an agent may lag.
    pub(super) fn newest(&self) -> Vec<AlarmView> {
        let mut newest: Vec<_> = self
            .alarms
            .iter()
            .filter(|alarm| is_unacknowledged(alarm))
            .cloned()
            .collect();
        newest.sort_by_key(|alarm| (alarm.priority, std::cmp::Reverse(alarm.received_at)));
        newest.truncate(NEWEST);
        newest
    }

    pub(super) fn zone_views(&self) -> Vec<ZoneView> {
        let mut views = zone_views(&self.site, self.devices.iter());
        views.retain(|zone| self.zones.contains(&zone.id));
        views
    }

    pub(super) fn overview<'a>(&'a self, zones: &'a [ZoneView]) -> Vec<OverviewZone<'a>> {
        zones
            .iter()
            .map(|zone| {
                let devices = self.devices.iter().filter(|device| device.zone == zone.id);
                OverviewZone::new(zone, devices.map(|view| self.known(view)))
            })
            .collect()
    }

    pub(super) fn known<'a>(&'a self, view: &'a DeviceView) -> KnownDevice<'a> {
        let profile = self.site.device(&view.id).map(|device| &*device.profile);
        KnownDevice { view, profile }
    }

    pub(super) fn device(&self, id: &DeviceId) -> Option<&DeviceView> {
        self.devices.iter().find(|device| device.id == *id)
    }

    /// The zone of this id, if the viewer sees it.
    pub(super) fn zone(&self, asked: Option<&str>) -> Option<&Zone> {
        let zone = self
            .site
            .zones()
            .iter()
            .find(|zone| Some(zone.id.as_str()) == asked)?;
        self.zones.contains(&zone.id).then_some(zone)
    }

    /// The alarms of a zone, or all.
    pub(super) fn alarms_in(&self, zone: Option<&Zone>) -> Vec<AlarmView> {
        let here = |alarm: &&AlarmView| zone.is_none_or(|zone| zone.id == alarm.zone);
        self.alarms.iter().filter(here).cloned().collect()
    }

    pub(super) fn alarms_of(&self, id: &DeviceId) -> Vec<AlarmView> {
        self.alarms
            .iter()
            .filter(|alarm| alarm.device == *id)
            .cloned()
            .collect()
    }

    pub(super) fn shell<'a>(
        &'a self,
        app: &'a App,
        viewer: &'a Viewer,
        newest: &'a [AlarmView],
        notice: Option<Notice>,
    ) -> Shell<'a> {
        Shell {
            viewing: viewer.viewing,
            person: Person {
                full_name: &viewer.principal().full_name,
                role: viewer
                    .principal()
                    .roles
                    .first()
                    .copied()
                    .unwrap_or(contract::Role::Viewer),
            },
            may: permissions(&self.policy, viewer, None, &self.site),
            lock: idle::lock(app, viewer),
            csrf: &viewer.login.csrf,
            position: &self.position,
            zones: &self.zones,
            path: &viewer.path,
            newest_alarms: newest,
            alarm_counts: self.counts(),
            // The viewer's login was just read from the database that records what happens.
            recording: true,
            notice,
            version: VERSION,
        }
    }
}

fn is_active(alarm: &AlarmView) -> bool {
    matches!(
        alarm.state,
        AlarmState::Unacknowledged | AlarmState::Acknowledged
    )
}

fn is_unacknowledged(alarm: &AlarmView) -> bool {
    matches!(
        alarm.state,
        AlarmState::Unacknowledged | AlarmState::ReturnedUnacknowledged
    )
}

/// What any page may be asked.
#[derive(Deserialize)]
pub(super) struct PageQuery {
    zone: Option<String>,
    notice: Option<String>,
}

impl PageQuery {
    pub(super) fn notice(&self) -> Option<Notice> {
        self.notice.as_deref().and_then(Notice::from_code)
    }
}

pub(super) async fn overview(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<PageQuery>,
) -> Response {
    let scene = Scene::read(&app, viewer.principal()).await;
    let (zones, newest) = (scene.zone_views(), scene.newest());
    let zones = scene.overview(&zones);
    let page = Overview {
        shell: scene.shell(&app, &viewer, &newest, query.notice()),
        zones: &zones,
    };
    html(StatusCode::OK, page.render())
}

pub(super) async fn alarms(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<PageQuery>,
) -> Response {
    let scene = Scene::read(&app, viewer.principal()).await;
    let newest = scene.newest();
    let zone = scene.zone(query.zone.as_deref());
    let shown = scene.alarms_in(zone);
    let page = AlarmsPage {
        shell: scene.shell(&app, &viewer, &newest, query.notice()),
        alarms: &shown,
        zone: zone.map(|zone| ZoneFilter {
            id: &zone.id,
            name: &zone.name,
        }),
    };
    html(StatusCode::OK, page.render())
}

pub(super) async fn device(
    State(app): State<App>,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Response {
    let scene = Scene::read(&app, viewer.principal()).await;
    let Some(view) = id.parse().ok().and_then(|id| scene.device(&id)) else {
        return error_page(&app, &scene, &viewer, ErrorKind::NotFound, None);
    };
    let commands = match app.store.recent_commands(&view.id).await {
        Ok(commands) => commands,
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
    let (newest, alarms) = (scene.newest(), scene.alarms_of(&view.id));
    let known = scene.known(view);
    let may = permissions(&scene.policy, &viewer, Some(&view.zone), &scene.site);
    let offers = Offer::all(known, may, true, Uuid::new_v4);
    let Some(zone) = scene.site.zones().iter().find(|zone| zone.id == view.zone) else {
        unreachable!("a device's zone is stored with it");
    };
    let page = DevicePage {
        shell: scene.shell(&app, &viewer, &newest, query.notice()),
        device: known,
        zone_name: &zone.name,
        alarms: &alarms,
        offers: &offers,
        commands: &commands,
        may_reveal: may.reveal,
    };
    html(StatusCode::OK, page.render())
}

pub(super) async fn not_found(State(app): State<App>, viewer: Viewer) -> Response {
    let scene = Scene::read(&app, viewer.principal()).await;
    error_page(&app, &scene, &viewer, ErrorKind::NotFound, None)
}

pub(super) fn error_page(
    app: &App,
    scene: &Scene,
    viewer: &Viewer,
    kind: ErrorKind,
    reference: Option<&str>,
) -> Response {
    let newest = scene.newest();
    let shell = scene.shell(app, viewer, &newest, None);
    let page = ErrorPage {
        viewing: viewer.viewing,
        kind,
        reference,
        path: &viewer.path,
        shell: Some(&shell),
    };
    html(
        StatusCode::from_u16(kind.status()).expect("the kinds of error have real status codes"),
        page.render(),
    )
}
