//! What administrators do for others: invitations, rights, who may not come any more. Each takes effect at once, also in
//! sessions that live.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use contract::Role;
use serde::Deserialize;
use serde_json::json;
use web_ui::{
    ErrorKind, InviteFields, NewLink, Notice, PeoplePage, PersonRow, Template, ZoneChoice,
};

use super::App;
use super::error::log_unavailable;
use super::form::{denied, not_recording};
use super::idle::entry;
use super::new_link::{self, KeptLink};
use super::page::{Scene, error_page, html};
use super::second_factor;
use super::sent::Sent;
use super::viewer::Viewer;
use crate::identity::admission::{AdmissionError, Invitee, admit};
use crate::identity::call_back::CallBack;
use crate::identity::digest::of_secret;
use crate::identity::invitation;
use crate::identity::name::{BadName, NAME_CHARS_MAX, is_name};
use crate::identity::policy::{Denial, Permission};
use crate::identity::principal::Zones;
use crate::identity::random::secret;
use crate::store::people::{InviteError, KeptBy};
use crate::store::{Store, StoreError, Unit};
use crate::wire;

const PAGE: &str = "/people";

/// What the page shows beside the people.
#[derive(Default)]
struct Beside {
    notice: Option<Notice>,
    /// Of whom something is to be changed.
    changing: Option<String>,
    /// A link that was just made, and where this server is.
    link: Option<KeptLink>,
    /// A form that invited nobody.
    invite: Option<(PersonForm, Wrong)>,
}

async fn page(app: &App, viewer: &Viewer, beside: Beside) -> Response {
    let scene = Scene::read(app, viewer.principal()).await;
    match may_manage(app, viewer, PAGE) {
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
    let zones: Vec<Vec<String>> = people
        .iter()
        .map(|person| person.principal.zones.to_words())
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
    let choices: Vec<ZoneChoice<'_>> = scene
        .site
        .zones()
        .iter()
        .map(|zone| ZoneChoice {
            id: &zone.id,
            name: &zone.name,
        })
        .collect();
    let link = beside.link.as_ref();
    let url = link.map(|link| format!("{}{}", base(app), link.path()));
    let status = match &beside.invite {
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        None => StatusCode::OK,
    };
    let page = PeoplePage {
        shell: scene.shell(app, viewer, &newest, beside.notice),
        people: &rows,
        changing: beside.changing.as_deref(),
        link: link.and_then(|link| {
            let row = rows.iter().find(|row| row.name == link.name)?;
            let until = row.invited_until?;
            let is_new = link.is_new(until, viewer.viewing.now);
            is_new.then_some(NewLink {
                name: row.name,
                url: url.as_deref()?,
                until,
            })
        }),
        zones: &choices,
        invite: beside
            .invite
            .as_ref()
            .map_or_else(InviteFields::default, |(form, wrong)| wrong.of(form)),
    };
    html(status, page.render())
}

#[derive(Deserialize)]
pub(super) struct PeopleQuery {
    notice: Option<String>,
    change: Option<String>,
}

pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    headers: HeaderMap,
    Query(query): Query<PeopleQuery>,
) -> Response {
    // Where the database is away, the page says so: it asks the same one.
    let link = new_link::kept(&app, &viewer, &headers).await;
    let link = link.unwrap_or_default();
    let beside = Beside {
        notice: query.notice.as_deref().and_then(Notice::from_code),
        changing: query.change,
        link,
        invite: None,
    };
    page(&app, &viewer, beside).await
}

/// Who is let in, and what they may, is said by whoever has all zones to give.
fn may_manage(app: &App, viewer: &Viewer, whom: &str) -> Result<(), Denial> {
    app.demand(&viewer.actor(), Permission::PeopleManage, whom)
}

/// Why a form did nothing, as an answer.
type Refusal = (StatusCode, Notice);

/// A form about this person, by somebody who may send it; nobody does any of this to themselves.
fn about_another(app: &App, viewer: &Viewer, name: &str) -> Result<(), Refusal> {
    may_manage(app, viewer, name).map_err(denied)?;
    if name == viewer.principal().subject {
        return Err((StatusCode::CONFLICT, Notice::NotYourself));
    }
    Ok(())
}

const BAD_INPUT: Refusal = (StatusCode::UNPROCESSABLE_ENTITY, Notice::BadInput);

/// What was typed and chosen of a person. Each chosen zone comes as a field of its own.
#[derive(Default)]
struct PersonForm {
    name: String,
    full_name: String,
    role: Option<Role>,
    zones: Vec<String>,
}

impl PersonForm {
    fn read(fields: &[(String, String)]) -> Self {
        let mut form = Self::default();
        for (name, value) in fields {
            match name.as_str() {
                "name" => form.name = value.trim().to_owned(),
                "full_name" => form.full_name = wire::clean(value).trim().to_owned(),
                "role" => {
                    form.role = value
                        .parse()
                        .ok()
                        .filter(|role: &Role| role.is_for_people())
                }
                "zones" => form.zones.push(value.clone()),
                _ => {}
            }
        }
        form
    }
}

/// What of a form to invite somebody is wrong.
#[derive(Default)]
struct Wrong {
    name: Option<Notice>,
    full_name: bool,
    zones: bool,
}

impl Wrong {
    fn in_form(app: &App, form: &PersonForm) -> Self {
        let is_too_long = form.full_name.chars().count() > NAME_CHARS_MAX;
        Self {
            name: (!is_name(&form.name)).then_some(Notice::BadInput),
            full_name: form.full_name.is_empty() || is_too_long,
            zones: read_zones(app, &form.zones).is_none(),
        }
    }

    fn is_anything(&self) -> bool {
        self.name.is_some() || self.full_name || self.zones
    }

    fn of<'a>(&'a self, form: &'a PersonForm) -> InviteFields<'a> {
        InviteFields {
            name: &form.name,
            full_name: &form.full_name,
            role: form.role.unwrap_or(Role::Viewer),
            zones: &form.zones,
            wrong_name: self.name.as_ref(),
            wrong_full_name: self.full_name,
            wrong_zones: self.zones,
        }
    }
}

/// The zones that were chosen; `None` for none, and for one that is not there.
fn read_zones(app: &App, words: &[String]) -> Option<Zones> {
    let zones = Zones::from_words(words)
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

pub(super) async fn invite(State(app): State<App>, sent: Sent<Vec<(String, String)>>) -> Response {
    let viewer = &sent.viewer;
    let form = PersonForm::read(&sent.fields);
    let mut wrong = Wrong::in_form(&app, &form);
    let made = match invitee(&app, viewer, &form) {
        Ok(person) => let_in(&app, viewer, person).await,
        Err(refusal) => Err(refusal),
    };
    let refusal = match made {
        Ok(token) => return new_link::lead(&app, viewer, &token),
        Err(refusal) => refusal,
    };
    // What is wrong with no other field is the name: it is somebody's, or looks like it.
    let is_the_name = match refusal.0 {
        StatusCode::CONFLICT => true,
        StatusCode::UNPROCESSABLE_ENTITY => !wrong.is_anything(),
        _ => false,
    };
    if is_the_name {
        wrong.name = Some(refusal.1.clone());
    }
    let is_told_there = wrong.is_anything() && refusal.0 != StatusCode::FORBIDDEN;
    if !is_told_there || viewer.script_csrf.is_some() {
        return sent.answer(refusal.0, &refusal.1);
    }
    // What refreshes itself or changes the language goes back to the page, not to where the form was sent.
    let viewer = Viewer {
        path: PAGE.to_owned(),
        ..viewer.clone()
    };
    let beside = Beside {
        notice: Some(Notice::BadInput),
        invite: Some((form, wrong)),
        ..Beside::default()
    };
    page(&app, &viewer, beside).await
}

/// Who is to be invited: somebody new. Whoever is here already gets a new link, which says what is lost by it.
fn invitee(app: &App, viewer: &Viewer, form: &PersonForm) -> Result<Invitee, Refusal> {
    about_another(app, viewer, &form.name)?;
    let (role, zones) = (form.role, read_zones(app, &form.zones));
    let (Some(role), Some(zones)) = (role, zones) else {
        return Err(BAD_INPUT);
    };
    if Wrong::in_form(app, form).full_name {
        return Err(BAD_INPUT);
    }
    Ok(Invitee {
        name: form.name.clone(),
        full_name: form.full_name.clone(),
        role,
        zones,
    })
}

/// The token of the link of somebody new.
async fn let_in(app: &App, viewer: &Viewer, person: Invitee) -> Result<String, Refusal> {
    let (token, name) = (secret(), person.name.clone());
    let until = viewer.viewing.now + invitation::GOOD_FOR;
    let entry = entry(viewer, "person.invite", &name, json!({}));
    let made = async {
        let mut back = CallBack::begin(&app.store).await?;
        admit(&mut back, person, &of_secret(&token), until, false, entry).await?;
        back.commit(&app.authenticator).await?;
        Ok::<_, AdmissionError>(())
    };
    made.await.map_err(not_admitted)?;
    Ok(token)
}

/// Why nobody is invited, or taken back.
fn not_admitted(error: AdmissionError) -> Refusal {
    let conflict = |notice| (StatusCode::CONFLICT, notice);
    match error {
        AdmissionError::Name(BadName::Alike(..)) => conflict(Notice::NameLooksAlike),
        AdmissionError::Name(_) | AdmissionError::FullName | AdmissionError::Role(_) => BAD_INPUT,
        AdmissionError::Exists(_)
        | AdmissionError::Disabled(_)
        | AdmissionError::Invite(InviteError::FromFile(_) | InviteError::FromProvider(_)) => {
            conflict(Notice::PersonExists)
        }
        AdmissionError::NotAwaited(_) => conflict(Notice::HasComeIn),
        AdmissionError::Invite(InviteError::NotAPerson(_)) => conflict(Notice::NameTaken),
        AdmissionError::Invite(InviteError::Store(error)) => not_recording(&error),
    }
}

#[derive(Deserialize)]
pub(super) struct NameForm {
    name: String,
}

/// A new link for somebody who is there: what they knew before is void.
pub(super) async fn link(State(app): State<App>, sent: Sent<NameForm>) -> Response {
    match make_link(&app, &sent.viewer, &sent.fields.name).await {
        Ok(token) => new_link::lead(&app, &sent.viewer, &token),
        Err((status, notice)) => sent.answer(status, &notice),
    }
}

/// The token of a new link of somebody who is here, and may come. Their rights are those that they have at that moment.
async fn make_link(app: &App, viewer: &Viewer, name: &str) -> Result<String, Refusal> {
    about_another(app, viewer, name)?;
    let kept_by = app.store.kept_by(name).await;
    let conflict = |notice| Err((StatusCode::CONFLICT, notice));
    match kept_by.map_err(|error| not_recording(&error))? {
        None => return Err((StatusCode::NOT_FOUND, Notice::NoSuchPerson)),
        Some(KeptBy::File) => return conflict(Notice::KeptByFile),
        Some(KeptBy::Provider) => return conflict(Notice::KeptByProvider),
        Some(KeptBy::Us) => {}
    }
    let token = secret();
    let until = viewer.viewing.now + invitation::GOOD_FOR;
    let made = async {
        let mut back = CallBack::begin(&app.store).await?;
        let by = &viewer.principal().subject;
        back.link(name, &of_secret(&token), by, until).await?;
        let known = Store::forget_password(&mut back.unit, name).await?;
        let Some((role, zones)) = known else {
            return Ok(false);
        };
        let detail = json!({"roles": [role], "zones": zones});
        let entry = entry(viewer, "person.link", name, detail);
        Store::audit(&mut back.unit, entry).await?;
        back.commit(&app.authenticator).await?;
        Ok::<_, InviteError>(true)
    };
    match made.await {
        Ok(true) => Ok(token),
        Ok(false) => conflict(Notice::PersonDisabled),
        Err(error) => Err(not_admitted(AdmissionError::Invite(error))),
    }
}

/// Where links lead: as configured, and not as the request says, which whoever brought it here could have chosen.
fn base(app: &App) -> &str {
    app.entrance.public_url.as_str().trim_end_matches('/')
}

pub(super) async fn rights(State(app): State<App>, sent: Sent<Vec<(String, String)>>) -> Response {
    let form = PersonForm::read(&sent.fields);
    let made = match (form.role, read_zones(&app, &form.zones)) {
        (Some(role), Some(zones)) => {
            let rights = Change::Rights(role, zones);
            change(&app, &sent.viewer, &form.name, rights).await
        }
        (Some(_), None) => Err((StatusCode::UNPROCESSABLE_ENTITY, Notice::NoZone)),
        (None, _) => Err(BAD_INPUT),
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

/// Takes somebody back who was invited and has never come in.
pub(super) async fn withdraw(State(app): State<App>, sent: Sent<NameForm>) -> Response {
    let made = take_back(&app, &sent.viewer, &sent.fields.name).await;
    told(&sent, made)
}

async fn take_back(app: &App, viewer: &Viewer, name: &str) -> Result<(), Refusal> {
    about_another(app, viewer, name)?;
    let known = app.store.kept_by(name).await;
    if known.map_err(|error| not_recording(&error))?.is_none() {
        return Err((StatusCode::NOT_FOUND, Notice::NoSuchPerson));
    }
    let made = async {
        let mut unit = app.store.begin().await?;
        if !Store::withdraw(&mut unit, name).await? {
            return Ok(false);
        }
        let entry = entry(viewer, "person.withdraw", name, json!({}));
        Store::audit(&mut unit, entry).await?;
        unit.commit().await?;
        Ok(true)
    };
    match made.await {
        Ok(true) => Ok(()),
        Ok(false) => Err((StatusCode::CONFLICT, Notice::HasComeIn)),
        Err(error) => Err(not_recording(&error)),
    }
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
            Self::EndLogins => {
                Store::end_logins(unit, name).await?;
            }
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
