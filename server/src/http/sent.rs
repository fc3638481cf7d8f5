//! Forms of people who are signed in: that a page of their login sent it, and that the login is not locked, is asked here,
//! once for all of them.

use axum::body::Body;
use axum::extract::{Form, FromRequest, FromRequestParts, RawForm, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded;
use web_ui::Notice;

use super::App;
use super::csrf::is_of;
use super::form::answer;
use super::viewer::{EvenLocked, Viewer};

/// A form that a page of this login sent.
pub(super) struct Sent<F> {
    pub(super) viewer: Viewer,
    /// Where the form leads back to, if it says so.
    pub(super) next: Option<String>,
    pub(super) fields: F,
}

/// A form that is nothing but a button.
#[derive(Deserialize)]
pub(super) struct Nothing {}

/// Why a form is not taken.
pub(super) enum NotSent {
    /// Nobody is signed in, or it is no form at all.
    Answered(Box<Response>),
    /// It is not of this login, not now, or not readable.
    Refused(Box<Sent<()>>, StatusCode, Notice),
}

impl IntoResponse for NotSent {
    fn into_response(self) -> Response {
        match self {
            Self::Answered(response) => *response,
            Self::Refused(sent, status, notice) => sent.answer(status, &notice),
        }
    }
}

impl<F> Sent<F> {
    /// Says what became of it: to the script that sent it, or on the page that it leads back to.
    pub(super) fn answer(&self, status: StatusCode, notice: &Notice) -> Response {
        let page = self.next.as_deref().unwrap_or_else(|| self.viewer.page());
        answer(&self.viewer, Some(page), status, notice)
    }
}

async fn read<F: DeserializeOwned>(
    request: Request,
    app: &App,
    even_locked: bool,
) -> Result<Sent<F>, NotSent> {
    let (mut parts, body) = request.into_parts();
    let viewer = EvenLocked::<Viewer>::from_request_parts(&mut parts, app).await;
    let EvenLocked(viewer) = viewer.map_err(|answer| NotSent::Answered(Box::new(answer)))?;
    let raw = RawForm::from_request(Request::from_parts(parts.clone(), body), app).await;
    let RawForm(bytes) =
        raw.map_err(|no_form| NotSent::Answered(Box::new(no_form.into_response())))?;
    let field = |name: &str| {
        form_urlencoded::parse(&bytes)
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    let (csrf, next) = (
        viewer.script_csrf.clone().or_else(|| field("csrf")),
        field("next"),
    );
    let sent = Sent {
        viewer,
        next,
        fields: (),
    };
    let refused = |sent, status, notice| NotSent::Refused(Box::new(sent), status, notice);
    if !is_of(&sent.viewer.login, csrf.as_deref()) {
        return Err(refused(sent, StatusCode::FORBIDDEN, Notice::FormExpired));
    }
    if !even_locked && sent.viewer.admit(app).is_err() {
        return Err(refused(sent, StatusCode::FORBIDDEN, Notice::Locked));
    }
    let again = Request::from_parts(parts, Body::from(bytes));
    match Form::<F>::from_request(again, app).await {
        Ok(Form(fields)) => Ok(Sent {
            viewer: sent.viewer,
            next: sent.next,
            fields,
        }),
        Err(_told_by_the_notice) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Err(refused(sent, status, Notice::BadInput))
        }
    }
}

impl<F: DeserializeOwned> FromRequest<App> for Sent<F> {
    type Rejection = NotSent;

    async fn from_request(request: Request, app: &App) -> Result<Self, NotSent> {
        read(request, app, false).await
    }
}

impl<F: DeserializeOwned> FromRequest<App> for EvenLocked<Sent<F>> {
    type Rejection = NotSent;

    async fn from_request(request: Request, app: &App) -> Result<Self, NotSent> {
        read(request, app, true).await.map(Self)
    }
}
