//! Asking the provider: over TLS, with a bound on the time that it takes and on what it answers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use super::cache;

/// The whole of one request. A person waits for it, and an agent's reconnect may.
pub(super) const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Key sets with certificate chains are the longest documents, some tens of kilobytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Idle connections that are kept open: sign-ins come in a burst at the change of a shift.
const IDLE_MAX: usize = 2;

/// The provider did not answer, or not as it should: one sentence for the log.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct Away(pub(super) String);

/// What it answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Bytes,
    pub(super) fresh_for: Option<Duration>,
}

/// A client for the provider alone.
#[derive(Debug, Clone)]
pub(super) struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Body>,
}

impl Fetcher {
    /// A client that believes the system's certificates and those of `ca_file`.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn new(ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        // What the system has and nobody can read is of no use here, and no reason not to start.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = ca_file {
            let remedy = "name an existing file with the authority's certificate as PEM";
            let trusted = pem_files::read(path, remedy)
                .and_then(|bytes| pem_files::trust(&mut roots, path, &bytes));
            trusted.context("provider.ca_file")?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            // Which URLs may be without TLS was decided when they were read.
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        Ok(Self { client })
    }

    /// Fetches a document.
    ///
    /// # Errors
    /// [`Away`].
    pub(super) async fn get(&self, url: &Url, bearer: Option<&str>) -> Result<Answer, Away> {
        let mut request = Request::get(url.as_str()).header(header::ACCEPT, "application/json");
        if let Some(token) = bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Body::empty());
        let (status, answer) = self.send(url, request).await?;
        if status != StatusCode::OK {
            return Err(Away(format!("{} answered {status}", place(url))));
        }
        Ok(answer)
    }

    /// Sends a form; an answer that refuses is one, too.
    ///
    /// # Errors
    /// [`Away`].
    pub(super) async fn post(
        &self,
        url: &Url,
        authorization: Option<String>,
        form: String,
    ) -> Result<(StatusCode, Bytes), Away> {
        let mut request = Request::post(url.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let (status, answer) = self.send(url, request.body(Body::from(form))).await?;
        if status.is_server_error() {
            return Err(Away(format!("{} answered {status}", place(url))));
        }
        Ok((status, answer.body))
    }

    async fn send(
        &self,
        url: &Url,
        request: Result<Request<Body>, axum::http::Error>,
    ) -> Result<(StatusCode, Answer), Away> {
        let away = |why: &dyn std::fmt::Display| Away(format!("{}: {why}", place(url)));
        let request = request.map_err(|error| away(&error))?;
        let exchange = async {
            let response = self.client.request(request).await;
            // Its source says what happened; the error itself only that something did.
            let response = response.map_err(|error| away(&cause(&error)))?;
            let (parts, body) = response.into_parts();
            let body = axum::body::to_bytes(Body::new(body), ANSWER_BYTES_MAX).await;
            let body = body.map_err(|error| away(&error))?;
            let cache_control = parts.headers.get(header::CACHE_CONTROL);
            let fresh_for = cache_control
                .and_then(|value| value.to_str().ok())
                .and_then(cache::fresh_for);
            Ok((parts.status, Answer { body, fresh_for }))
        };
        tokio::time::timeout(FETCH_TIMEOUT, exchange)
            .await
            .unwrap_or_else(|_| Err(away(&"no answer in time")))
    }
}

/// A URL without its query, which may hold what is nobody's business.
fn place(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), cause)
}
