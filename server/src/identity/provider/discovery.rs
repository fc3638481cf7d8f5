//! What the provider says of itself (OpenID Connect Discovery 1.0), checked before it is believed. Pure.

use serde::Deserialize;
use url::Url;

use crate::config::{is_loopback, secure_url};

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// Where the provider is asked for what, and how.
#[derive(Debug, Clone)]
pub(super) struct Metadata {
    pub(super) authorization: Url,
    pub(super) token: Url,
    pub(super) keys: Url,
    pub(super) userinfo: Option<Url>,
    /// Whether the client's secret goes into the form, not into a header (RFC 6749 section 2.3.1).
    pub(super) secret_in_form: bool,
    /// Whether every answer names its issuer (RFC 9207).
    pub(super) answers_name_issuer: bool,
}

/// Where a provider's metadata is: section 4.
pub(super) fn address(issuer: &str) -> String {
    format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    )
}

impl Metadata {
    /// Reads the metadata of `issuer`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(body: &[u8], issuer: &str) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(body)
            .map_err(|error| format!("its metadata cannot be read: {error}"))?;
        // Section 4.3: exactly, or somebody else's metadata would be believed.
        if document.issuer != issuer {
            return Err(format!(
                "its metadata calls it {:?}: write that as `issuer`, letter by letter, if it is the right one",
                document.issuer
            ));
        }
        let on_loopback = Url::parse(issuer).is_ok_and(|url| is_loopback(&url));
        let address = |text: &str| {
            let url = secure_url(text)?;
            // A provider far away must not make this server ask what listens on its own machine.
            if is_loopback(&url) && !on_loopback {
                return Err(format!(
                    "{text:?} leads to this machine, and its issuer does not"
                ));
            }
            Ok::<_, String>(url)
        };
        let methods = document.token_endpoint_auth_methods_supported;
        let has = |name: &str| {
            let methods = methods.as_ref();
            methods.is_some_and(|methods| methods.iter().any(|method| method == name))
        };
        Ok(Self {
            authorization: address(&document.authorization_endpoint)?,
            token: address(&document.token_endpoint)?,
            keys: address(&document.jwks_uri)?,
            userinfo: document
                .userinfo_endpoint
                .as_deref()
                .map(address)
                .transpose()?,
            secret_in_form: has("client_secret_post") && !has("client_secret_basic"),
            answers_name_issuer: document.authorization_response_iss_parameter_supported,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ISSUER: &str = "https://id.example/staff";

    fn read(change: impl FnOnce(&mut serde_json::Value)) -> Result<Metadata, String> {
        let mut document = json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://id.example/staff/auth",
            "token_endpoint": "https://id.example/staff/token",
            "jwks_uri": "https://keys.example/staff",
        });
        change(&mut document);
        Metadata::read(document.to_string().as_bytes(), ISSUER)
    }

    #[test]
    fn the_address_follows_from_the_issuer() {
        let expected = "https://id.example/staff/.well-known/openid-configuration";
        assert_eq!(address(ISSUER), expected);
        assert_eq!(address("https://id.example/staff/"), expected);
    }

    #[test]
    fn metadata_of_another_or_over_an_open_line_is_refused() {
        assert!(read(|_| ()).is_ok());
        for (key, value) in [
            ("issuer", "https://id.example/staff/"),
            ("issuer", "https://evil.example"),
            ("token_endpoint", "http://id.example/token"),
            ("jwks_uri", "http://127.0.0.1:9/keys"),
            ("jwks_uri", "https://127.0.0.1:9/keys"),
            ("jwks_uri", "file:///etc/passwd"),
            ("userinfo_endpoint", "https://user:password@id.example/"),
            ("authorization_endpoint", "javascript:alert(1)"),
        ] {
            let refused = read(|document| document[key] = json!(value));
            assert!(refused.is_err(), "{key} {value}");
        }
        assert!(read(|document| document["token_endpoint"] = json!(null)).is_err());
    }

    #[test]
    fn the_secret_goes_where_the_provider_takes_it() {
        for (methods, in_form) in [
            (json!(null), false),
            (json!(["client_secret_basic", "client_secret_post"]), false),
            (json!(["client_secret_post"]), true),
        ] {
            let key = "token_endpoint_auth_methods_supported";
            let metadata = read(|document| document[key] = methods.clone()).unwrap();
            assert_eq!(metadata.secret_in_form, in_form, "{methods}");
        }
    }
}
