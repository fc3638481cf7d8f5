//! Styles and scripts: the only files that may be cached, under names that change with their content.

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use web_ui::Asset;

pub(super) async fn serve(uri: Uri) -> Response {
    match web_ui::asset(uri.path()) {
        Some(asset) => (
            [
                (header::CONTENT_TYPE, asset.content_type),
                (header::CACHE_CONTROL, Asset::CACHE_CONTROL),
            ],
            asset.bytes,
        )
            .into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
