//! The link of somebody who was just invited, on its way from the form to the page that shows it: sealed, in a cookie of this
//! one login, for minutes. It stands in no address, in no log, and nowhere in the server.

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};

use super::App;
use super::cookie::{SetCookie, cookie};
use super::viewer::Viewer;
use crate::identity::digest::of_secret;
use crate::identity::invitation;
use crate::store::StoreError;

/// Whoever was not handed the link by then gets a new one.
const SHOWN_FOR: TimeDelta = TimeDelta::minutes(5);

/// What is sealed is good on this page only.
const PAGE: &str = "/people";

/// Sent to [`PAGE`] only. Nobody else can seal one, wherever it is planted.
const COOKIE: &str = "landside_new_link";

/// A link of this login that may still be shown.
pub(super) struct KeptLink {
    token: String,
    /// For whom it is.
    pub(super) name: String,
}

impl KeptLink {
    pub(super) fn path(&self) -> String {
        invitation::path(&self.token)
    }

    /// Whether it was made a moment ago, by when it ends.
    pub(super) fn is_new(&self, until: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        until - invitation::GOOD_FOR + SHOWN_FOR > now
    }
}

/// No name of a person has a blank, so that nothing else is sealed for this.
fn owner(viewer: &Viewer) -> String {
    format!("new link of {}", viewer.login.id)
}

/// Leads to the page that shows the link of `token`.
pub(super) fn lead(app: &App, viewer: &Viewer, token: &str) -> Response {
    let keys = &app.entrance.gate.keys;
    let sealed = URL_SAFE_NO_PAD.encode(keys.seal(&owner(viewer), token.as_bytes()));
    let cookie = SetCookie {
        path: PAGE,
        ..SetCookie::new(COOKIE, &sealed, SHOWN_FOR.num_seconds())
    };
    cookie.into(app, Redirect::to(PAGE).into_response())
}

/// The link that this login made, if nobody used it.
pub(super) async fn kept(
    app: &App,
    viewer: &Viewer,
    headers: &HeaderMap,
) -> Result<Option<KeptLink>, StoreError> {
    let sealed = cookie(headers, COOKIE);
    let sealed = sealed.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    // A locked console gives nothing away.
    let Some(sealed) = sealed.filter(|_| !viewer.is_locked) else {
        return Ok(None);
    };
    let token = app.entrance.gate.keys.unseal(&owner(viewer), &sealed).ok();
    let Some(token) = token.and_then(|bytes| String::from_utf8(bytes).ok()) else {
        return Ok(None);
    };
    let invited = app.store.invitation(&of_secret(&token)).await?;
    Ok(invited.map(|invited| KeptLink {
        token,
        name: invited.person,
    }))
}
