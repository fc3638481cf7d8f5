//! What administrators do for others: invitations, rights, who may not come any more. Each takes effect at once, also in
//! sessions that live.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use chrono::{DateTime, Utc};
use contract::Role;
use serde::Deserialize;
use serde_json::json;
use web_ui::{ErrorKind, NewLink, Notice, PeoplePage, PersonRow, Template};

use super::App;
use super::error::log_unavailable;
use super::form::{denied, not_recording};
use super::idle::entry;
use super::page::{PageQuery, Scene, error_page, html};
use super::second_factor;
use super::sent::Sent;
use super::viewer::Viewer;
use crate::identity::call_back::CallBack;
use crate::identity::digest::of_secret;
use crate::identity::invitation;
use crate::identity::name::is_name;
use crate::identity::policy::{Denial, Permission, Place};
use crate::identity::principal::{Principal, Proof, Zones};
use crate::identity::random::secret;
use crate::store::people::{InviteError, KeptBy};
use crate::store::{Store, StoreError, Unit};
use crate::wire;

const PAGE: &str = "/people";

/// A link that was just made.
struct Made {
    name: String,
    url: String,
    until: DateTime<Utc>,
}

async fn page(app: &App, viewer: &Viewer, made: Option<&Made>, notice: Option<Notice>) -> Response {
    let scene = Scene::read(app, viewer.principal()).await;
    match may_manage(app, viewer) {
        Ok(()) => {}
        Err(Denial::NotGranted) => {
            return error_page(app, &scene, viewer, ErrorKind::Forbidden, None);
        }
        Err(Denial::SecondFactorNeeded) => return second_factor::lead(PAGE),
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
            is_external: person.is_external,
            disabled: person.disabled,
            is_awaited: !person.has_password && !person.is_external,
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
fn may_manage(app: &App, viewer: &Viewer) -> Result<(), Denial> {
    app.allow(
        viewer.principal(),
        Permission::PeopleManage,
        Place::Anywhere,
    )
}

/// Why a form did nothing, as an answer.
type Refusal = (StatusCode, Notice);

/// A form about this person, by somebody who may send it; nobody does any of this to themselves.
fn about_another(app: &App, viewer: &Viewer, name: &str) -> Result<(), Refusal> {
    may_manage(app, viewer).map_err(denied)?;
    if name == viewer.principal().subject {
        return Err((StatusCode::CONFLICT, Notice::NotYourself));
    }
    Ok(())
}

const BAD_INPUT: Refusal = (StatusCode::UNPROCESSABLE_ENTITY, Notice::BadInput);

#[derive(Deserialize)]
pub(super) struct InviteForm {
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
    headers: HeaderMap,
    sent: Sent<InviteForm>,
) -> Response {
    let made = match invitee(&app, &sent.viewer, &sent.fields).await {
        Ok(person) => make_link(&app, &sent.viewer, &headers, person, "person.invite").await,
        Err(refusal) => Err(refusal),
    };
    shown(&app, &sent, made).await
}

/// Who is to be invited: somebody new. Whoever is here already gets a new link, which says what is lost by it.
async fn invitee(app: &App, viewer: &Viewer, form: &InviteForm) -> Result<Principal, Refusal> {
    let name = form.name.trim().to_owned();
    about_another(app, viewer, &name)?;
    let full_name = wire::clean(&form.full_name).trim().to_owned();
    let zones = read_zones(app, &form.zones).ok_or(BAD_INPUT)?;
    if !is_name(&name) || full_name.is_empty() || !form.role.is_for_people() {
        return Err(BAD_INPUT);
    }
    let known = app.store.kept_by(&name).await;
    if known.map_err(|error| not_recording(&error))?.is_some() {
        return Err((StatusCode::CONFLICT, Notice::PersonExists));
    }
    Ok(Principal {
        subject: name,
        full_name,
        roles: vec![form.role],
        zones,
        proof: Proof::default(),
    })
}

#[derive(Deserialize)]
pub(super) struct NameForm {
    name: String,
}

/// A new link for somebody who is there: what they knew before is void.
pub(super) async fn link(
    State(app): State<App>,
    headers: HeaderMap,
    sent: Sent<NameForm>,
) -> Response {
    let made = match known_person(&app, &sent.viewer, &sent.fields.name).await {
        Ok(person) => make_link(&app, &sent.viewer, &headers, person, "person.link").await,
        Err(refusal) => Err(refusal),
    };
    shown(&app, &sent, made).await
}

/// Somebody who is here, and may come.
async fn known_person(app: &App, viewer: &Viewer, name: &str) -> Result<Principal, Refusal> {
    about_another(app, viewer, name)?;
    let people = app.store.people().await;
    let people = people.map_err(|error| not_recording(&error))?;
    let known = people
        .into_iter()
        .find(|person| person.principal.subject == name)
        .ok_or((StatusCode::NOT_FOUND, Notice::NoSuchPerson))?;
    if known.disabled {
        return Err((StatusCode::CONFLICT, Notice::PersonDisabled));
    }
    Ok(known.principal)
}

/// The link that was made, which is shown once; or why there is none.
async fn shown<F>(app: &App, sent: &Sent<F>, made: Result<Made, Refusal>) -> Response {
    match made {
        Ok(made) => {
            // What refreshes itself or changes the language goes back to the page, not to where the form was sent.
            let path = PAGE.to_owned();
            let viewer = Viewer {
                path,
                ..sent.viewer.clone()
            };
            page(app, &viewer, Some(&made), None).await
        }
        Err((status, notice)) => sent.answer(status, &notice),
    }
}

async fn make_link(
    app: &App,
    viewer: &Viewer,
    headers: &HeaderMap,
    person: Principal,
    action: &'static str,
) -> Result<Made, Refusal> {
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
    made.await.map_err(|error| match error {
        InviteError::NotAPerson(_) => (StatusCode::CONFLICT, Notice::NameTaken),
        InviteError::FromFile(_) => (StatusCode::CONFLICT, Notice::KeptByFile),
        InviteError::FromProvider(_) => (StatusCode::CONFLICT, Notice::KeptByProvider),
        InviteError::Store(error) => not_recording(&error),
    })?;
    Ok(Made {
        url: format!("{}{}", base(app, headers), invitation::path(&token)),
        name: person.subject,
        until,
    })
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
    name: String,
    role: Role,
    zones: String,
}

pub(super) async fn rights(State(app): State<App>, sent: Sent<RightsForm>) -> Response {
    let RightsForm { name, role, zones } = &sent.fields;
    let zones = read_zones(&app, zones).filter(|_| role.is_for_people());
    let made = match zones {
        Some(zones) => change(&app, &sent.viewer, name, Change::Rights(*role, zones)).await,
        None => Err(BAD_INPUT),
    };
    told(&sent, made)
}

pub(super) async fn disable(State(app): State<App>, sent: Sent<NameForm>) -> Response {
    let made = change(&app, &sent.viewer, &sent.fields.name, Change::Disable).await;
    told(&sent, made)
}

pub(super) async fn enable(State(app): State<App>, sent: Sent<NameForm>) -> Response {
    let made = change(&app, &sent.viewer, &sent.fields.name, Change::Enable).await;
    told(&sent, made)
}

pub(super) async fn end_logins(State(app): State<App>, sent: Sent<NameForm>) -> Response {
    let made = change(&app, &sent.viewer, &sent.fields.name, Change::EndLogins).await;
    told(&sent, made)
}

fn told<F>(sent: &Sent<F>, made: Result<(), Refusal>) -> Response {
    let (status, notice) = made
        .err()
        .unwrap_or((StatusCode::OK, Notice::PersonChanged));
    sent.answer(status, &notice)
}

/// What is changed of somebody.
enum Change {
    Rights(Role, Zones),
    Disable,
    Enable,
    EndLogins,
}

impl Change {
    fn action(&self) -> &'static str {
        match self {
            Self::Rights(..) => "person.rights",
            Self::Disable => "person.disable",
            Self::Enable => "person.enable",
            Self::EndLogins => "person.end_logins",
        }
    }

    fn detail(&self) -> serde_json::Value {
        match self {
            Self::Rights(role, zones) => json!({"role": role, "zones": zones.to_words()}),
            Self::Disable | Self::Enable | Self::EndLogins => json!({}),
        }
    }

    /// Whether somebody who has one of `managers` may give out access no longer.
    fn weakens(&self, managers: &[Role]) -> bool {
        match self {
            Self::Rights(role, zones) => !managers.contains(role) || *zones != Zones::All,
            Self::Disable => true,
            Self::Enable | Self::EndLogins => false,
        }
    }

    async fn apply(self, unit: &mut Unit<'_>, name: &str) -> Result<(), StoreError> {
        match self {
            Self::Rights(role, zones) => {
                Store::set_rights(unit, name, role, &zones).await?;
            }
            Self::Disable => {
                Store::end_logins(unit, name).await?;
                Store::set_disabled(unit, name, true).await?;
            }
            Self::Enable => {
                Store::set_disabled(unit, name, false).await?;
            }
            Self::EndLogins => Store::end_logins(unit, name).await?,
        }
        Ok(())
    }
}

/// Changes somebody with its audit row, and lets it take effect.
async fn change(app: &App, viewer: &Viewer, name: &str, change: Change) -> Result<(), Refusal> {
    about_another(app, viewer, name)?;
    let kept_by = app.store.kept_by(name).await;
    match (kept_by.map_err(|error| not_recording(&error))?, &change) {
        (None, _) => return Err((StatusCode::NOT_FOUND, Notice::NoSuchPerson)),
        (Some(KeptBy::File), Change::Rights(..)) => {
            return Err((StatusCode::CONFLICT, Notice::KeptByFile));
        }
        (Some(KeptBy::Provider), Change::Rights(..)) => {
            return Err((StatusCode::CONFLICT, Notice::KeptByProvider));
        }
        _ => {}
    }
    let managers = app.policy.now().roles_with(Permission::PeopleManage);
    let stored = async {
        let mut back = CallBack::begin(&app.store).await?;
        if change.weakens(&managers)
            && !Store::has_other_manager(&mut back.unit, name, &managers).await?
        {
            return Ok(false);
        }
        let (action, detail) = (change.action(), change.detail());
        back.subject(name).await?;
        change.apply(&mut back.unit, name).await?;
        Store::audit(&mut back.unit, entry(viewer, action, name, detail)).await?;
        back.commit(&app.authenticator).await?;
        Ok(true)
    };
    match stored.await {
        Ok(true) => Ok(()),
        Ok(false) => Err((StatusCode::CONFLICT, Notice::LastAdministrator)),
        Err(error) => Err(not_recording(&error)),
    }
}
