//! What administrators do for others: invitations, rights, who may not come any more. Each takes effect at once, also in
//! sessions that live.

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use chrono::{DateTime, Utc};
use contract::Role;
use serde::Deserialize;
use serde_json::json;
use web_ui::{ErrorKind, NewLink, Notice, PeoplePage, PersonRow, Template};

use super::App;
use super::account::refused;
use super::error::log_unavailable;
use super::form::{answer, not_recording};
use super::idle::entry;
use super::page::{PageQuery, Scene, error_page, html};
use super::viewer::Viewer;
use crate::identity::call_back::CallBack;
use crate::identity::digest::of_secret;
use crate::identity::invitation;
use crate::identity::name::is_name;
use crate::identity::policy::Permission;
use crate::identity::principal::{Principal, Proof, Zones};
use crate::identity::random::secret;
use crate::store::people::InviteError;
use crate::store::{Store, StoreError, Unit};
use crate::wire;

const PAGE: Option<&str> = Some("/people");

/// A link that was just made.
struct Made {
    name: String,
    url: String,
    until: DateTime<Utc>,
}

async fn page(app: &App, viewer: &Viewer, made: Option<&Made>, notice: Option<Notice>) -> Response {
    let scene = Scene::read(app, viewer.principal()).await;
    if !may_manage(app, viewer) {
        return error_page(app, &scene, viewer, ErrorKind::Forbidden, None);
    }
    let people = match app.store.people().await {
        Ok(people) => people,
        Err(error) => {
            let reference = log_unavailable(&error).to_string();
            return error_page(
                app,
                &scene,
                viewer,
                ErrorKind::Unavailable,
                Some(&reference),
            );
        }
    };
    let zones: Vec<String> = people
        .iter()
        .map(|person| person.principal.zones.to_words().join(" "))
        .collect();
    let rows: Vec<PersonRow<'_>> = people
        .iter()
        .zip(&zones)
        .map(|(person, zones)| PersonRow {
            name: &person.principal.subject,
            full_name: &person.principal.full_name,
            role: person
                .principal
                .roles
                .first()
                .copied()
                .unwrap_or(Role::Viewer),
            zones,
            from_file: person.from_file,
            disabled: person.disabled,
            is_awaited: !person.has_password,
            invited_until: person.invited_until,
            has_second_factor: person.has_second_factor,
            last_seen_at: person.last_seen_at,
            is_self: person.principal.subject == viewer.principal().subject,
        })
        .collect();
    let newest = scene.newest();
    let page = PeoplePage {
        shell: scene.shell(app, viewer, &newest, notice),
        people: &rows,
        link: made.map(|made| NewLink {
            name: &made.name,
            url: &made.url,
            until: made.until,
        }),
    };
    html(StatusCode::OK, page.render())
}

pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<PageQuery>,
) -> Response {
    page(&app, &viewer, None, query.notice()).await
}

/// Who is let in, and what they may, is said by whoever has all zones to give.
fn may_manage(app: &App, viewer: &Viewer) -> bool {
    let policy = app.policy.now();
    policy.may_somewhere(viewer.principal(), Permission::PeopleManage)
}

/// Why this viewer may not do this form at all.
fn not_now(app: &App, viewer: &Viewer, csrf: Option<&str>) -> Option<Notice> {
    let not_permitted = !may_manage(app, viewer);
    refused(viewer, csrf, false).or(not_permitted.then_some(Notice::NotPermitted))
}

#[derive(Deserialize)]
pub(super) struct InviteForm {
    csrf: Option<String>,
    name: String,
    full_name: String,
    role: Role,
    zones: String,
}

/// Zones as they are typed; `None` for one that is not there.
fn read_zones(app: &App, typed: &str) -> Option<Zones> {
    let words: Vec<String> = typed
        .split([' ', ','])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let zones = Zones::from_words(&words)
        .ok()
        .filter(|_| !words.is_empty())?;
    let site = app.site();
    let known = |wanted: &Zones| match wanted {
        Zones::All => true,
        Zones::Some(named) => named
            .iter()
            .all(|zone| site.zones().iter().any(|known| known.id == *zone)),
    };
    known(&zones).then_some(zones)
}

pub(super) async fn invite(
    State(app): State<App>,
    viewer: Viewer,
    headers: HeaderMap,
    Form(form): Form<InviteForm>,
) -> Response {
    if let Some(notice) = not_now(&app, &viewer, form.csrf.as_deref()) {
        return answer(&viewer, PAGE, StatusCode::FORBIDDEN, &notice);
    }
    let name = form.name.trim().to_owned();
    let full_name = wire::clean(&form.full_name).trim().to_owned();
    let zones = read_zones(&app, &form.zones);
    let Some(zones) =
        zones.filter(|_| is_name(&name) && !full_name.is_empty() && form.role.is_for_people())
    else {
        return answer(
            &viewer,
            PAGE,
            StatusCode::UNPROCESSABLE_ENTITY,
            &Notice::BadInput,
        );
    };
    let person = Principal {
        subject: name,
        full_name,
        roles: vec![form.role],
        zones,
        proof: Proof::default(),
    };
    make_link(&app, &viewer, &headers, person, "person.invite").await
}

#[derive(Deserialize)]
pub(super) struct NameForm {
    csrf: Option<String>,
    name: String,
}

/// A new link for somebody who is there: what they knew before is void.
pub(super) async fn link(
    State(app): State<App>,
    viewer: Viewer,
    headers: HeaderMap,
    Form(form): Form<NameForm>,
) -> Response {
    if let Some(notice) = not_now(&app, &viewer, form.csrf.as_deref()) {
        return answer(&viewer, PAGE, StatusCode::FORBIDDEN, &notice);
    }
    let people = match app.store.people().await {
        Ok(people) => people,
        Err(error) => {
            let (status, notice) = not_recording(&error);
            return answer(&viewer, PAGE, status, &notice);
        }
    };
    let known = people
        .into_iter()
        .find(|person| person.principal.subject == form.name);
    match known {
        Some(person) => make_link(&app, &viewer, &headers, person.principal, "person.link").await,
        None => answer(&viewer, PAGE, StatusCode::NOT_FOUND, &Notice::BadInput),
    }
}

async fn make_link(
    app: &App,
    viewer: &Viewer,
    headers: &HeaderMap,
    person: Principal,
    action: &'static str,
) -> Response {
    if person.subject == viewer.principal().subject {
        return answer(viewer, PAGE, StatusCode::CONFLICT, &Notice::NotYourself);
    }
    let token = secret();
    let until = viewer.viewing.now + invitation::GOOD_FOR;
    let made = async {
        let mut back = CallBack::begin(&app.store).await?;
        let hash = of_secret(&token);
        let by = &viewer.principal().subject;
        back.invite(&person, &hash, by, until).await?;
        let detail = json!({"roles": person.roles, "zones": person.zones.to_words()});
        let entry = entry(viewer, action, &person.subject, detail);
        Store::audit(&mut back.unit, entry).await?;
        back.commit(&app.authenticator).await?;
        Ok::<_, InviteError>(())
    };
    let notice = match made.await {
        Ok(()) => {
            let made = Made {
                url: format!("{}{}", base(app, headers), invitation::path(&token)),
                name: person.subject,
                until,
            };
            return page(app, viewer, Some(&made), None).await;
        }
        Err(InviteError::NotAPerson(_)) => Notice::NameTaken,
        Err(InviteError::FromFile(_)) => Notice::KeptByFile,
        Err(InviteError::Store(error)) => not_recording(&error).1,
    };
    answer(viewer, PAGE, StatusCode::CONFLICT, &notice)
}

/// The address under which the administrator reached this page.
fn base(app: &App, headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let scheme = if app.entrance.secure_cookies {
        "https"
    } else {
        "http"
    };
    host.map_or_else(String::new, |host| format!("{scheme}://{host}"))
}

#[derive(Deserialize)]
pub(super) struct RightsForm {
    csrf: Option<String>,
    name: String,
    role: Role,
    zones: String,
}

pub(super) async fn rights(
    State(app): State<App>,
    viewer: Viewer,
    Form(form): Form<RightsForm>,
) -> Response {
    if let Some(notice) = not_now(&app, &viewer, form.csrf.as_deref()) {
        return answer(&viewer, PAGE, StatusCode::FORBIDDEN, &notice);
    }
    let zones = read_zones(&app, &form.zones).filter(|_| form.role.is_for_people());
    let Some(zones) = zones else {
        return answer(
            &viewer,
            PAGE,
            StatusCode::UNPROCESSABLE_ENTITY,
            &Notice::BadInput,
        );
    };
    let stays = form.role == Role::Administrator && zones == Zones::All;
    let detail = json!({"role": form.role, "zones": zones.to_words()});
    let change = Change::Rights(form.role, zones);
    let change = (change, "person.rights", detail);
    made(&app, &viewer, &form.name, !stays, change).await
}

pub(super) async fn disable(
    State(app): State<App>,
    viewer: Viewer,
    Form(form): Form<NameForm>,
) -> Response {
    if let Some(notice) = not_now(&app, &viewer, form.csrf.as_deref()) {
        return answer(&viewer, PAGE, StatusCode::FORBIDDEN, &notice);
    }
    let change = (Change::Disable, "person.disable", json!({}));
    made(&app, &viewer, &form.name, true, change).await
}

pub(super) async fn enable(
    State(app): State<App>,
    viewer: Viewer,
    Form(form): Form<NameForm>,
) -> Response {
    if let Some(notice) = not_now(&app, &viewer, form.csrf.as_deref()) {
        return answer(&viewer, PAGE, StatusCode::FORBIDDEN, &notice);
    }
    let change = (Change::Enable, "person.enable", json!({}));
    made(&app, &viewer, &form.name, false, change).await
}

pub(super) async fn end_logins(
    State(app): State<App>,
    viewer: Viewer,
    Form(form): Form<NameForm>,
) -> Response {
    if let Some(notice) = not_now(&app, &viewer, form.csrf.as_deref()) {
        return answer(&viewer, PAGE, StatusCode::FORBIDDEN, &notice);
    }
    let change = (Change::EndLogins, "person.end_logins", json!({}));
    made(&app, &viewer, &form.name, false, change).await
}

/// What is changed of somebody.
enum Change {
    Rights(Role, Zones),
    Disable,
    Enable,
    EndLogins,
}

/// Changes somebody with its audit row, and lets it take effect. `weakens`: an administrator may be one no longer.
async fn made(
    app: &App,
    viewer: &Viewer,
    name: &str,
    weakens: bool,
    (change, action, detail): (Change, &'static str, serde_json::Value),
) -> Response {
    if name == viewer.principal().subject {
        return answer(viewer, PAGE, StatusCode::CONFLICT, &Notice::NotYourself);
    }
    let stored = async {
        let mut back = CallBack::begin(&app.store).await?;
        if weakens && !Store::has_other_administrator(&mut back.unit, name).await? {
            return Ok(Some(Notice::LastAdministrator));
        }
        if !back.subject(name).await? || !apply(&mut back.unit, name, change).await? {
            return Ok(Some(Notice::KeptByFile));
        }
        Store::audit(&mut back.unit, entry(viewer, action, name, detail)).await?;
        back.commit(&app.authenticator).await?;
        Ok(None)
    };
    let (status, notice) = match stored.await {
        Ok(None) => (StatusCode::OK, Notice::PersonChanged),
        Ok(Some(refused)) => (StatusCode::CONFLICT, refused),
        Err(error) => not_recording(&error),
    };
    answer(viewer, PAGE, status, &notice)
}

async fn apply(unit: &mut Unit<'_>, name: &str, change: Change) -> Result<bool, StoreError> {
    match change {
        Change::Rights(role, zones) => Store::set_rights(unit, name, role, &zones).await,
        Change::Disable => {
            Store::end_logins(unit, name).await?;
            Store::set_disabled(unit, name, true).await
        }
        Change::Enable => Store::set_disabled(unit, name, false).await,
        Change::EndLogins => {
            Store::end_logins(unit, name).await?;
            Ok(true)
        }
    }
}
