//! An identity provider in this process that says what a test tells it to say, be it wrong.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::EncodePrivateKey;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// What stands for the API at the provider.
pub(crate) const AUDIENCE: &str = "landside-api";

/// A key to sign with, under a name.
#[derive(Clone)]
pub(crate) struct SigningKey {
    kid: String,
    secret: SecretKey,
}

impl SigningKey {
    /// The same `seed` is the same key.
    pub(crate) fn new(kid: &str, seed: u8) -> Self {
        Self {
            kid: kid.to_owned(),
            secret: SecretKey::from_slice(&[seed; 32]).unwrap(),
        }
    }

    /// The public key, as bytes that an attacker could take for a shared secret.
    pub(crate) fn public(&self) -> Vec<u8> {
        self.secret
            .public_key()
            .to_encoded_point(false)
            .as_bytes()
            .to_vec()
    }

    fn jwk(&self) -> Value {
        let point = self.secret.public_key().to_encoded_point(false);
        let [x, y] =
            [point.x().unwrap(), point.y().unwrap()].map(|half| URL_SAFE_NO_PAD.encode(half));
        json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.kid, "use": "sig", "alg": "ES256"})
    }

    /// A token of this type with these claims.
    pub(crate) fn sign(&self, typ: &str, claims: &Value) -> String {
        let header = Header {
            kid: Some(self.kid.clone()),
            typ: Some(typ.to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        let der = self.secret.to_pkcs8_der().unwrap();
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(der.as_bytes())).unwrap()
    }
}

/// What the provider says just now.
struct Script {
    keys: Vec<SigningKey>,
    keys_asked: usize,
    id_token: String,
    userinfo: Value,
}

type Shared = Arc<Mutex<Script>>;

/// A provider that listens.
pub(crate) struct FakeProvider {
    pub(crate) issuer: String,
    pub(crate) key: SigningKey,
    script: Shared,
    task: AbortHandle,
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeProvider {
    pub(crate) async fn start() -> Self {
        Self::start_with(&json!({})).await
    }

    /// One that says more of itself.
    pub(crate) async fn start_with(more: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let key = SigningKey::new("one", 1);
        let script = Arc::new(Mutex::new(Script {
            keys: vec![key.clone()],
            keys_asked: 0,
            id_token: String::new(),
            userinfo: Value::Null,
        }));
        let mut metadata = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/auth"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
        });
        for (name, value) in more.as_object().unwrap() {
            metadata[name] = value.clone();
        }
        let routes = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(move || async { Json(metadata) }),
            )
            .route("/keys", get(keys))
            .route("/token", post(token))
            .route("/userinfo", get(userinfo))
            .with_state(Arc::clone(&script));
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            issuer,
            key,
            script,
            task: task.abort_handle(),
        }
    }

    /// The server's `[provider]`, and where it sends people back.
    pub(crate) fn section(&self) -> String {
        format!(
            r#"
[http]
public_url = "http://127.0.0.1:1"
[provider]
issuer = "{}"
client_id = "landside"
client_secret_env = "SECRET"
name = {{ ko = "공항 계정", en = "Airport account" }}
audience = "{AUDIENCE}"
[provider.roles]
operators = "operator"
viewers = "viewer"
[provider.zones]
operators = ["p1"]
viewers = ["*"]
"#,
            self.issuer
        )
    }

    /// The claims of a good access token, with changes; `null` takes one away.
    pub(crate) fn claims(&self, changes: &Value) -> Value {
        let now = now();
        let mut claims = json!({
            "iss": self.issuer, "sub": "7", "aud": AUDIENCE, "iat": now, "exp": now + 300, "jti": "a",
            "preferred_username": "kim", "name": "Kim", "groups": ["operators"],
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        claims
    }

    /// What it answers to the next code.
    pub(crate) fn answers(&self, id_token: String) {
        self.script.lock().unwrap().id_token = id_token;
    }

    /// What it says of a person when it is asked.
    pub(crate) fn says(&self, userinfo: Value) {
        self.script.lock().unwrap().userinfo = userinfo;
    }

    /// It signs with this key only, from now on.
    pub(crate) fn rotates_to(&self, key: &SigningKey) {
        self.script.lock().unwrap().keys = vec![key.clone()];
    }

    /// How often somebody asked for its keys.
    pub(crate) fn keys_asked(&self) -> usize {
        self.script.lock().unwrap().keys_asked
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

async fn keys(State(script): State<Shared>) -> Json<Value> {
    let mut script = script.lock().unwrap();
    script.keys_asked += 1;
    Json(json!({"keys": script.keys.iter().map(SigningKey::jwk).collect::<Vec<_>>()}))
}

async fn token(State(script): State<Shared>) -> Json<Value> {
    Json(
        json!({"id_token": script.lock().unwrap().id_token, "access_token": "x", "token_type": "Bearer"}),
    )
}

async fn userinfo(State(script): State<Shared>) -> Json<Value> {
    Json(script.lock().unwrap().userinfo.clone())
}
