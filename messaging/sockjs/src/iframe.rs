//! The page that pages of other sites open in a hidden frame, where scripts may talk to this server (SockJS protocol
//! 0.3, "IFrame page").

use std::hash::{DefaultHasher, Hasher};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::answer::{self, HTML, kept, set, silent};
use crate::origin::Origins;

/// For browsers without `frame-ancestors`.
const FRAME_OPTIONS: HeaderName = HeaderName::from_static("x-frame-options");

const SCRIPT: &str = "
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  ";

/// Lets [`SCRIPT`] run and nothing else that stands in the page.
const SCRIPT_HASH: &str = "'sha256-lYmFXEsqdsgpRcqXPmVFJyV4CiaTNuS5IK/HjT7/fdk='";

/// The page, made once.
#[derive(Debug)]
pub(crate) struct Page {
    html: String,
    etag: HeaderValue,
    policy: HeaderValue,
    /// Only pages of this server may frame it.
    same_only: bool,
}

impl Page {
    /// `client_url` is where `sockjs-client` is.
    pub(crate) fn new(client_url: &str, origins: &Origins) -> Self {
        let escaped = client_url.replace('&', "&amp;").replace('"', "&quot;");
        let html = format!(
            "<!DOCTYPE html>
<html>
<head>
  <meta http-equiv=\"X-UA-Compatible\" content=\"IE=edge\" />
  <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />
  <script src=\"{escaped}\"></script>
  <script>{SCRIPT}</script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>"
        );
        let mut hasher = DefaultHasher::new();
        hasher.write(html.as_bytes());
        let script = script_source(client_url);
        let policy = format!(
            "default-src 'none'; script-src {script} {SCRIPT_HASH}; connect-src 'self'; frame-src 'self'; base-uri 'none'{}",
            framed_by(origins)
        );
        Self {
            html,
            etag: header_value(format!("\"{:016x}\"", hasher.finish())),
            policy: header_value(policy),
            same_only: *origins == Origins::SAME,
        }
    }

    pub(crate) fn answer(&self, asked: &HeaderMap) -> Response {
        let etag = self.etag.to_str().unwrap_or_default();
        // A proxy that compresses makes a weak tag of ours; the bytes are the same.
        let known = asked
            .get(header::IF_NONE_MATCH)
            .and_then(|tags| tags.to_str().ok())
            .is_some_and(|tags| {
                tags.split(',')
                    .any(|tag| tag.trim().trim_start_matches("W/") == etag)
            });
        let mut response = if known {
            silent(StatusCode::NOT_MODIFIED)
        } else {
            answer::answer(StatusCode::OK, HTML, Body::from(self.html.clone()))
        };
        kept(&mut response);
        set(&mut response, header::ETAG, self.etag.clone());
        set(
            &mut response,
            header::CONTENT_SECURITY_POLICY,
            self.policy.clone(),
        );
        if self.same_only {
            set(
                &mut response,
                FRAME_OPTIONS,
                HeaderValue::from_static("SAMEORIGIN"),
            );
        }
        response
    }
}

/// Where the policy lets the client come from: this server, or the host that its URL names.
fn script_source(client_url: &str) -> String {
    let host = client_url
        .strip_prefix("//")
        .and_then(|rest| rest.split('/').next());
    match (host, url::Url::parse(client_url)) {
        (Some(host), _) => host.to_owned(),
        (None, Ok(client)) => client.origin().ascii_serialization(),
        (None, Err(_)) => "'self'".to_owned(),
    }
}

/// What a streamed page of scripts may do: run them, in frames of allowed pages.
pub(crate) fn html_file_policy(origins: &Origins) -> HeaderValue {
    let ancestors = framed_by(origins);
    header_value(format!(
        "default-src 'none'; script-src 'unsafe-inline'; base-uri 'none'{ancestors}"
    ))
}

/// What the answer to a form may do, which pages send into a hidden frame: nothing, in frames of allowed pages.
pub(crate) fn form_answer_policy(origins: &Origins) -> HeaderValue {
    header_value(format!("default-src 'none'{}", framed_by(origins)))
}

fn framed_by(origins: &Origins) -> String {
    match origins {
        Origins::Any => String::new(),
        Origins::Listed(listed) => {
            let mut ancestors = String::from("; frame-ancestors 'self'");
            for origin in listed {
                ancestors.push(' ');
                ancestors.push_str(origin);
            }
            ancestors
        }
    }
}

/// Settings of the administrator stand in these: what is no header value is left out, which allows nothing.
fn header_value(text: String) -> HeaderValue {
    HeaderValue::from_str(&text).unwrap_or_else(|error| {
        tracing::warn!(%error, text, "a setting of the service is no header value");
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")
    })
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, Engine};
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_policy_lets_the_pages_script_run() {
        let hash = BASE64_STANDARD.encode(Sha256::digest(SCRIPT));
        assert_eq!(SCRIPT_HASH, format!("'sha256-{hash}'"));
    }

    #[test]
    fn the_policy_names_who_may_frame_and_from_where_the_client_comes() {
        let policy = |url: &str, origins: &Origins| {
            let page = Page::new(url, origins);
            page.policy.to_str().unwrap().to_owned()
        };
        let own = policy("/assets/sockjs.js", &Origins::SAME);
        assert!(own.contains("script-src 'self' '"), "{own}");
        assert!(own.ends_with("frame-ancestors 'self'"), "{own}");
        let listed = Origins::Listed(vec!["https://a.example".to_owned()]);
        let far = policy("https://cdn.example/sockjs.js", &listed);
        assert!(far.contains("script-src https://cdn.example '"), "{far}");
        assert!(
            far.ends_with("frame-ancestors 'self' https://a.example"),
            "{far}"
        );
        let near = policy("//cdn.example/sockjs.js", &listed);
        assert!(near.contains("script-src cdn.example '"), "{near}");
        assert!(!policy("/s.js", &Origins::Any).contains("frame-ancestors"));
        assert_eq!(
            form_answer_policy(&listed),
            "default-src 'none'; frame-ancestors 'self' https://a.example"
        );
    }
}
