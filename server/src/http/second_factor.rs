//! The second factor: asked on the way in and for what the policy asks it for, connected by a picture, confirmed by a code.
//!
//! What is offered to an app belongs to one login, is good for minutes and is another one each time: whoever saw an earlier
//! picture has nothing. On the page of the account, whoever begins shows once more who they are.

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::TimeDelta;
use qrcode::{Color, QrCode};
use serde::Deserialize;
use serde_json::json;
use web_ui::{Enrolment, Notice, SecondFactorPage, SecondFactorStep, Template, Viewing};

use super::App;
use super::csrf::is_of;
use super::error::Problem;
use super::form::{not_recording, own_path};
use super::idle::entry;
use super::page::html;
use super::sent::Sent;
use super::sign_in::{known_browser, refusal, right_password, shown_device, trial};
use super::viewer::{Peer, Viewer, in_query};
use crate::identity::gate::Trial;
use crate::identity::random::random;
use crate::identity::totp;
use crate::store::audit::AuditEntry;
use crate::store::login::Login;
use crate::store::{Store, StoreError};

/// Somebody who came in, or signed in at the provider once more, this long ago need not do it again to connect an app.
pub(super) const RECENT: TimeDelta = TimeDelta::minutes(10);

/// What the audit calls it when a code counts for a login: who has to show one is in from then on.
const SHOWN: &str = "login.second_factor";

/// And when an app is connected.
const CONNECTED: &str = "person.second_factor";

/// Why nothing came of a code, as an answer.
type Refusal = (StatusCode, Notice);

/// Somebody in a login that is whole, or awaits its second factor.
#[derive(Clone, Copy)]
struct Someone<'a> {
    login: &'a Login,
    peer: &'a str,
    device: Option<&'a str>,
}

impl<'a> From<&'a Viewer> for Someone<'a> {
    fn from(viewer: &'a Viewer) -> Self {
        Self {
            login: &viewer.login,
            peer: &viewer.peer,
            device: viewer.device_cookie.as_deref(),
        }
    }
}

impl<'a> Someone<'a> {
    fn name(self) -> &'a str {
        &self.login.principal.subject
    }

    fn trial(self, action: &'static str) -> Trial<'a> {
        Trial {
            name: self.name(),
            action,
            peer: self.peer,
            device_cookie: self.device,
        }
    }

    fn entry(self, action: &'static str) -> AuditEntry<'a> {
        AuditEntry::new(self.name(), self.peer, action, self.name()).login(self.login.id)
    }

    /// Takes a code of the app: from now on it counts for the login.
    async fn show(self, app: &App, code: &str) -> Result<(), Refusal> {
        let has = app.store.has_second_factor(self.name()).await;
        if !has.map_err(|error| not_recording(&error))? {
            return Err((StatusCode::FORBIDDEN, Notice::NoSecondFactor));
        }
        let right = app.entrance.gate.code(&self.trial(SHOWN), code).await;
        if !right.map_err(refusal)? {
            return Err((StatusCode::FORBIDDEN, Notice::CodeWrong));
        }
        let shown = async {
            let mut unit = app.store.begin().await?;
            Store::second_factor_shown(&mut unit, self.login.id).await?;
            Store::audit(&mut unit, self.entry(SHOWN)).await?;
            unit.commit().await.map_err(StoreError::from)
        };
        shown.await.map_err(|error| not_recording(&error))
    }

    /// A new secret for this login to put into an app.
    async fn offer(self, app: &App) -> Result<Vec<u8>, StoreError> {
        let secret = random::<{ totp::SECRET_BYTES }>();
        let sealed = app.entrance.gate.keys.seal(self.name(), &secret);
        let mut unit = app.store.begin().await?;
        Store::offer_second_factor(&mut unit, self.login.id, &sealed).await?;
        Store::audit(&mut unit, self.entry("person.second_factor_offer")).await?;
        unit.commit().await.map_err(StoreError::from)?;
        Ok(secret.to_vec())
    }

    /// What was offered in this login, while it is good.
    async fn offered(self, app: &App) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed = app.store.offered_second_factor(self.login.id).await?;
        Ok(sealed.and_then(|sealed| {
            let secret = app.entrance.gate.keys.unseal(self.name(), &sealed);
            secret
                .inspect_err(|error| tracing::error!(%error, "a second factor cannot be offered"))
                .ok()
        }))
    }

    /// Takes a code of what was offered: it is the person's second factor then, and these are its recovery codes.
    async fn connect(self, app: &App, code: &str) -> Result<Vec<String>, Refusal> {
        let sealed = app.store.offered_second_factor(self.login.id).await;
        let sealed = sealed.map_err(|error| not_recording(&error))?;
        let sealed = sealed.ok_or((StatusCode::CONFLICT, Notice::OfferGone))?;
        let gate = &app.entrance.gate;
        let step = gate
            .offered_code(&self.trial(CONNECTED), &sealed, code)
            .await;
        let step = step.map_err(refusal)?;
        let step = step.ok_or((StatusCode::FORBIDDEN, Notice::CodeWrong))?;
        let codes = new_codes();
        let stored = async {
            let mut unit = app.store.begin().await?;
            if !Store::confirm_second_factor(&mut unit, self.name(), &sealed, step).await? {
                return Ok(false);
            }
            Store::put_recovery_codes(&mut unit, self.name(), &hashes(&codes)).await?;
            Store::second_factor_shown(&mut unit, self.login.id).await?;
            Store::audit(&mut unit, self.entry(CONNECTED)).await?;
            Store::audit(&mut unit, self.entry(SHOWN)).await?;
            unit.commit().await.map_err(StoreError::from)?;
            Ok(true)
        };
        match stored.await {
            Ok(true) => Ok(codes),
            Ok(false) => Err((StatusCode::CONFLICT, Notice::OfferGone)),
            Err(error) => Err(not_recording(&error)),
        }
    }
}

/// Takes a code that came with a form of something else.
pub(super) async fn accept(app: &App, viewer: &Viewer, code: &str) -> Result<(), Refusal> {
    Someone::from(viewer).show(app, code).await
}

/// To the page that asks for a code, and from there to where it was needed.
pub(super) fn lead(next: &str) -> Response {
    Redirect::to(&format!("{ONCE_MORE}?next={}", in_query(next))).into_response()
}

#[derive(Deserialize)]
pub(super) struct NextQuery {
    next: Option<String>,
}

/// The code of somebody who is not signed in yet: its token and next page are not read by `Sent`.
#[derive(Deserialize)]
pub(super) struct WayInForm {
    csrf: Option<String>,
    code: Option<String>,
    next: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct CodeForm {
    code: String,
}

#[derive(Deserialize)]
pub(super) struct BeginForm {
    password: Option<String>,
}

const ON_THE_WAY_IN: &str = "/sign-in/second-factor";
const OF_THE_ACCOUNT: &str = "/account/second-factor";
const ONCE_MORE: &str = "/second-factor";

/// The page whose form leads to `action`.
struct Page<'a> {
    viewing: Viewing,
    action: &'static str,
    next: &'a str,
    csrf: &'a str,
}

impl Page<'_> {
    fn show(&self, step: SecondFactorStep<'_>, refusal: Option<Refusal>) -> Response {
        let (status, notice) = match refusal {
            Some((status, notice)) => (status, Some(notice)),
            None => (StatusCode::OK, None),
        };
        let page = SecondFactorPage {
            viewing: self.viewing,
            step,
            notice,
            action: self.action,
            next: self.next,
            csrf: self.csrf,
        };
        html(status, page.render())
    }

    fn offer(&self, name: &str, secret: &[u8], refusal: Option<Refusal>) -> Response {
        let (path, width) = picture(&totp::uri(secret, name));
        let secret = totp::base32(secret);
        let enrolment = Enrolment {
            path: &path,
            width,
            secret: &secret,
        };
        self.show(SecondFactorStep::Enrol(enrolment), refusal)
    }
}

/// The dark squares of a QR code as a path, and the width with the margin that the standard asks for.
fn picture(text: &str) -> (String, usize) {
    const MARGIN: usize = 4;
    let Ok(code) = QrCode::new(text) else {
        return (String::new(), 1);
    };
    let width = code.width();
    let mut path = String::new();
    for (place, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            let (x, y) = (place % width + MARGIN, place / width + MARGIN);
            path.push_str(&format!("M{x} {y}h1v1h-1z"));
        }
    }
    (path, width + 2 * MARGIN)
}

fn new_codes() -> Vec<String> {
    (0..totp::RECOVERY_CODES)
        .map(|_| totp::recovery_code(random()))
        .collect()
}

fn hashes(codes: &[String]) -> Vec<Vec<u8>> {
    codes
        .iter()
        .filter_map(|code| totp::recovery_hash(code))
        .collect()
}

fn keep(viewing: Viewing, codes: &[String], next: &str) -> Response {
    let page = Page {
        viewing,
        action: OF_THE_ACCOUNT,
        next,
        csrf: "",
    };
    page.show(SecondFactorStep::Keep(codes), None)
}

/// Somebody on the way in, whose password was right.
pub(super) async fn ask(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<NextQuery>,
) -> Response {
    let login = match app.awaiting_login(&headers).await {
        Ok(Some(login)) => login,
        Ok(None) => return Redirect::to("/sign-in").into_response(),
        Err(error) => return Problem::from(error).into_response(),
    };
    let page = Page {
        viewing: app.viewing(&headers),
        action: ON_THE_WAY_IN,
        next: own_path(query.next.as_deref()),
        csrf: &login.csrf,
    };
    match app.store.has_second_factor(&login.principal.subject).await {
        Ok(true) => page.show(SecondFactorStep::Ask, None),
        Ok(false) => page.show(SecondFactorStep::Begin, None),
        Err(error) => Problem::from(error).into_response(),
    }
}

/// On the way in: a code, or, without one, the wish to connect an app.
pub(super) async fn enter(
    State(app): State<App>,
    Peer(peer): Peer,
    headers: HeaderMap,
    Form(form): Form<WayInForm>,
) -> Response {
    let (viewing, next) = (app.viewing(&headers), own_path(form.next.as_deref()));
    let login = match app.awaiting_login(&headers).await {
        Ok(Some(login)) => login,
        Ok(None) => return Redirect::to("/sign-in?ended=expired").into_response(),
        Err(error) => return Problem::from(error).into_response(),
    };
    let device = shown_device(&app, &headers);
    let someone = Someone {
        login: &login,
        peer: &peer,
        device: device.as_deref(),
    };
    let page = Page {
        viewing,
        action: ON_THE_WAY_IN,
        next,
        csrf: &login.csrf,
    };
    let has = match app.store.has_second_factor(someone.name()).await {
        Ok(has) => has,
        Err(error) => return Problem::from(error).into_response(),
    };
    if !is_of(&login, form.csrf.as_deref()) {
        let step = if has {
            SecondFactorStep::Ask
        } else {
            SecondFactorStep::Begin
        };
        return page.show(step, Some((StatusCode::FORBIDDEN, Notice::FormExpired)));
    }
    let Some(code) = &form.code else {
        return match has {
            true => page.show(SecondFactorStep::Ask, None),
            false => match someone.offer(&app).await {
                Ok(secret) => page.offer(someone.name(), &secret, None),
                Err(error) => Problem::from(error).into_response(),
            },
        };
    };
    let taken = match has {
        true => someone.show(&app, code).await.map(|()| None),
        false => someone.connect(&app, code).await.map(Some),
    };
    match (taken, has) {
        (Ok(codes), _) => {
            let response = match codes {
                Some(codes) => keep(viewing, &codes, next),
                None => Redirect::to(next).into_response(),
            };
            known_browser(&app, &headers, someone.name(), response)
        }
        (Err(refusal), true) => page.show(SecondFactorStep::Ask, Some(refusal)),
        (Err(refusal), false) => again(&app, &page, someone, refusal).await,
    }
}

/// What was offered, once more, if it is still good.
async fn again(app: &App, page: &Page<'_>, someone: Someone<'_>, refusal: Refusal) -> Response {
    match someone.offered(app).await {
        Ok(Some(secret)) => page.offer(someone.name(), &secret, Some(refusal)),
        Ok(None) if page.action == OF_THE_ACCOUNT => {
            Redirect::to(&format!("/account?notice={}", Notice::OfferGone.code())).into_response()
        }
        Ok(None) => page.show(SecondFactorStep::Begin, Some(refusal)),
        Err(error) => Problem::from(error).into_response(),
    }
}

/// Somebody who is in connects an app: first they show who they are.
pub(super) async fn begin(State(app): State<App>, sent: Sent<BeginForm>) -> Response {
    let viewer = &sent.viewer;
    let someone = Someone::from(viewer);
    match app.store.has_second_factor(someone.name()).await {
        Ok(true) => return Redirect::to("/account").into_response(),
        Ok(false) => {}
        Err(error) => return Problem::from(error).into_response(),
    }
    if let Err((status, notice)) = prove(&app, viewer, sent.fields.password.as_deref()).await {
        return sent.answer(status, &notice);
    }
    let page = Page {
        viewing: viewer.viewing,
        action: OF_THE_ACCOUNT,
        next: "/account",
        csrf: &viewer.login.csrf,
    };
    match someone.offer(&app).await {
        Ok(secret) => page.offer(someone.name(), &secret, None),
        Err(error) => {
            let (status, notice) = not_recording(&error);
            sent.answer(status, &notice)
        }
    }
}

/// Whether the person of a login is there: by their password, or, where that is the provider's, by having signed in there a
/// moment ago.
async fn prove(app: &App, viewer: &Viewer, password: Option<&str>) -> Result<(), Refusal> {
    if viewer.login.is_external {
        let is_recent = viewer.viewing.now - viewer.login.proved_at < RECENT;
        return is_recent
            .then_some(())
            .ok_or((StatusCode::FORBIDDEN, Notice::SignInAtProvider));
    }
    let password = password.unwrap_or_default().to_owned();
    right_password(app, viewer, "person.second_factor_offer", password).await
}

/// The code of what was offered to somebody who is in.
pub(super) async fn confirm(State(app): State<App>, sent: Sent<CodeForm>) -> Response {
    let viewer = &sent.viewer;
    let someone = Someone::from(viewer);
    match someone.connect(&app, &sent.fields.code).await {
        Ok(codes) => keep(viewer.viewing, &codes, "/account"),
        Err(refusal) => {
            let page = Page {
                viewing: viewer.viewing,
                action: OF_THE_ACCOUNT,
                next: "/account",
                csrf: &viewer.login.csrf,
            };
            again(&app, &page, someone, refusal).await
        }
    }
}

/// Somebody who is in needs a code that was shown a moment ago.
pub(super) async fn ask_once_more(
    State(app): State<App>,
    viewer: Viewer,
    Query(query): Query<NextQuery>,
) -> Response {
    let has = app.store.has_second_factor(&viewer.principal().subject);
    match has.await {
        Ok(true) => {}
        Ok(false) => {
            let code = Notice::NoSecondFactor.code();
            return Redirect::to(&format!("/account?notice={code}")).into_response();
        }
        Err(error) => return Problem::from(error).into_response(),
    }
    let page = Page {
        viewing: viewer.viewing,
        action: ONCE_MORE,
        next: own_path(query.next.as_deref()),
        csrf: &viewer.login.csrf,
    };
    page.show(SecondFactorStep::Ask, None)
}

/// The code of somebody who is in.
pub(super) async fn enter_once_more(State(app): State<App>, sent: Sent<CodeForm>) -> Response {
    let (viewer, next) = (&sent.viewer, own_path(sent.next.as_deref()));
    let shown = Someone::from(viewer).show(&app, &sent.fields.code).await;
    match shown {
        Ok(()) => Redirect::to(next).into_response(),
        Err(refusal) => {
            let page = Page {
                viewing: viewer.viewing,
                action: ONCE_MORE,
                next,
                csrf: &viewer.login.csrf,
            };
            page.show(SecondFactorStep::Ask, Some(refusal))
        }
    }
}

/// Nothing is offered by looking.
pub(super) async fn to_account(_: Viewer) -> Redirect {
    Redirect::to("/account")
}

/// New recovery codes, for a code of the app.
pub(super) async fn renew(State(app): State<App>, sent: Sent<CodeForm>) -> Response {
    let viewer = &sent.viewer;
    let name = &viewer.principal().subject;
    let gate = &app.entrance.gate;
    let right = gate
        .code(&trial(viewer, "person.recovery_codes"), &sent.fields.code)
        .await;
    let (status, notice) = match right.map_err(refusal) {
        Ok(true) => {
            let codes = new_codes();
            let stored = async {
                let mut unit = app.store.begin().await?;
                Store::put_recovery_codes(&mut unit, name, &hashes(&codes)).await?;
                let entry = entry(viewer, "person.recovery_codes", name, json!({}));
                Store::audit(&mut unit, entry).await?;
                unit.commit().await.map_err(StoreError::from)
            };
            match stored.await {
                Ok(()) => return keep(viewer.viewing, &codes, "/account"),
                Err(error) => not_recording(&error),
            }
        }
        Ok(false) => (StatusCode::FORBIDDEN, Notice::CodeWrong),
        Err(refusal) => refusal,
    };
    sent.answer(status, &notice)
}
