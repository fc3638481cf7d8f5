//! The API as it is written down (OpenAPI 3.1), for programs that are made from it and for those who try it. It is kept by
//! hand: a test holds every route against it, another one what a running server answers.

use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::error::Problem;
use super::viewer::page_of;

/// Not a secret: it says nothing of this site.
const DOCUMENT: &str = include_str!("../../openapi.json");

/// As long as a browser or a generator may keep it; it changes with the server only.
const CACHE_CONTROL: &str = "public, max-age=300";

pub(super) async fn document() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, CACHE_CONTROL),
    ];
    (headers, DOCUMENT)
}

/// Where forms are sent to: whoever asks for one of these by its address is led to the page of the form.
const OF_FORMS: [&str; 8] = [
    "/account/",
    "/alarms/",
    "/devices/",
    "/language",
    "/login/active",
    "/login/unlock",
    "/people/",
    "/sign-out",
];

/// Of what is there and takes other methods. Which, is in the header `Allow`.
pub(super) async fn no_such_method(method: Method, uri: Uri) -> Response {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let path = uri.path();
    if method == Method::GET && OF_FORMS.iter().any(|form| path.starts_with(form)) {
        return Redirect::to(page_of(path)).into_response();
    }
    if !path.starts_with("/api/") && path != "/login/token" {
        return status.into_response();
    }
    let detail = format!("{path} does not take {method}: see Allow, and /api/v1/openapi.json");
    Problem::new(status, "method-not-allowed", detail).into_response()
}
