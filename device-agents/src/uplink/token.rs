//! Tokens by client credentials (RFC 6749, 4.4).

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::time::Duration;

use contract::AgentId;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::time::timeout;
use url::form_urlencoded::Serializer;
use url::{Position, Url};

use super::dial::{DialError, Dialer};
use super::session::remedy;
use crate::tls;

/// The token endpoint hashes a secret, which is slow on purpose, on a machine that may be busy.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// A token has a few kilobytes.
const REPLY_MAX: usize = 64 * 1024;

/// A token is renewed when this much of its life is over: two more attempts fit into the rest.
const RENEW_AFTER: (u32, u32) = (2, 3);

/// The shortest life that is believed; a server that says less would be asked without pause.
const MIN_LIFE: Duration = Duration::from_secs(30);

/// What an agent proves itself with. Not printed by `Debug`.
#[derive(Clone)]
pub struct Credentials {
    /// Client id.
    pub agent: AgentId,
    /// Client secret.
    pub secret: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}

/// A token for CONNECT and for renewal.
#[derive(Clone)]
pub(super) struct Token {
    /// `Bearer …`.
    pub(super) authorization: String,
    /// Time to ask for the next one.
    pub(super) renew_in: Duration,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{url} does not answer: {source}")]
    Broken {
        url: Url,
        #[source]
        source: hyper::Error,
    },
    #[error("{url} took longer than {TOKEN_TIMEOUT:?} to give a token")]
    TooSlow { url: Url },
    #[error("{url} answered something else than a token: is server.url right?")]
    NoToken { url: Url },
    #[error(
        "{url} does not know client \"{agent}\" or its secret ({status}): set LANDSIDE_AGENT_SECRET to the secret of that client, or give the server's access file a [[client]] of that name with this secret"
    )]
    Refused {
        url: Url,
        agent: AgentId,
        status: StatusCode,
    },
    #[error("{url} refuses the certificate of this connection: {remedy}")]
    Certificate { url: Url, remedy: &'static str },
    #[error(
        "{url} did not understand the request for a token ({status}): are agent and server of the same version, and is server.url right?"
    )]
    NotUnderstood { url: Url, status: StatusCode },
    #[error(
        "{url} gave too many tokens of late ({status}): tried again when it allows that; does another agent have the same id?"
    )]
    TooMany {
        url: Url,
        status: StatusCode,
        after: Duration,
    },
    #[error(
        "{url} gives no tokens just now ({status}): the server is busy or its database is away; tried again when it allows that"
    )]
    Busy {
        url: Url,
        status: StatusCode,
        after: Duration,
    },
    #[error("{url} answered {status} instead of a token: is server.url right?")]
    Unexpected { url: Url, status: StatusCode },
}

impl TokenError {
    /// When the server wants to be asked again, if it said so.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooMany { after, .. } | Self::Busy { after, .. } => Some(*after),
            _ => None,
        }
    }
}

/// How the server says what is wrong with a request (RFC 6749, 5.2).
#[derive(Deserialize, Default)]
struct Refusal {
    #[serde(default)]
    error: String,
    /// Ours: what it is about, as in an ERROR.
    #[serde(default)]
    code: String,
}

/// Whoever says nothing of it is asked again after this.
const RETRY_DEFAULT: Duration = Duration::from_secs(5);

/// No server keeps an agent out for longer by a word.
const RETRY_MAX: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct TokenReply {
    access_token: String,
    expires_in: u64,
}

pub(super) async fn fetch(
    dialer: Dialer,
    url: Url,
    credentials: Credentials,
) -> Result<Token, TokenError> {
    let form = Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", credentials.agent.as_str())
        .append_pair("client_secret", &credentials.secret)
        .finish();
    let Ok(reply) = timeout(TOKEN_TIMEOUT, post(&dialer, &url, form)).await else {
        return Err(TokenError::TooSlow { url });
    };
    let Reply {
        status,
        after,
        body,
    } = reply?;
    if status != StatusCode::OK {
        let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
        let agent = credentials.agent;
        if let Some(remedy) = remedy(&refusal.code) {
            return Err(TokenError::Certificate { url, remedy });
        }
        return Err(match (status, refusal.error.as_str()) {
            // RFC 6749, 5.2: it is 401, and 400 for servers that want no WWW-Authenticate.
            (StatusCode::UNAUTHORIZED, _) | (StatusCode::BAD_REQUEST, "invalid_client") => {
                TokenError::Refused { url, agent, status }
            }
            (StatusCode::BAD_REQUEST, _) => TokenError::NotUnderstood { url, status },
            (StatusCode::TOO_MANY_REQUESTS, _) => TokenError::TooMany { url, status, after },
            (StatusCode::SERVICE_UNAVAILABLE, _) => TokenError::Busy { url, status, after },
            _ => TokenError::Unexpected { url, status },
        });
    }
    let Ok(reply) = serde_json::from_slice::<TokenReply>(&body) else {
        return Err(TokenError::NoToken { url });
    };
    let life = Duration::from_secs(reply.expires_in).max(MIN_LIFE);
    Ok(Token {
        authorization: format!("Bearer {}", reply.access_token),
        renew_in: life * RENEW_AFTER.0 / RENEW_AFTER.1,
    })
}

/// What a server answered.
struct Reply {
    status: StatusCode,
    /// When to ask again, should it be too early.
    after: Duration,
    body: Vec<u8>,
}

/// In whole seconds (RFC 9110, 10.2.3); dates are for caches.
fn retry_after(headers: &header::HeaderMap) -> Duration {
    let said = headers.get(header::RETRY_AFTER);
    let seconds = said.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    seconds
        .map_or(RETRY_DEFAULT, Duration::from_secs)
        .min(RETRY_MAX)
}

/// One request on a connection of its own. What redirects is not followed: the secret is for this server.
async fn post(dialer: &Dialer, url: &Url, form: String) -> Result<Reply, TokenError> {
    let broken = |source: hyper::Error| match tls::explain(&dialer.server(), &source) {
        Some(sentence) => DialError::Tls(sentence).into(),
        None => TokenError::Broken {
            url: url.clone(),
            source,
        },
    };
    let request = Request::post(url.path())
        .header(
            header::HOST,
            &url[Position::BeforeHost..Position::AfterPort],
        )
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::CONNECTION, "close")
        .body(form)
        .expect("a parsed URL has a path and a host that a request can have");
    let connection = dialer.dial().await?;
    let (mut sender, exchange) = http1::handshake(TokioIo::new(connection))
        .await
        .map_err(broken)?;
    let mut answer = pin!(async {
        let reply = sender.send_request(request).await?;
        Ok(Reply {
            status: reply.status(),
            after: retry_after(reply.headers()),
            body: whole(reply.into_body()).await?,
        })
    });
    // The answer comes while the connection is driven, and is there at the latest when that has ended.
    let answer = tokio::select! {
        answer = &mut answer => answer,
        ended = exchange => match (answer.await, ended) {
            (Err(_cut_off), Err(why)) => Err(why),
            (answer, _) => answer,
        },
    };
    answer.map_err(broken)
}

/// What is longer than any token is cut off, and then is none.
async fn whole(mut body: Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > REPLY_MAX {
            bytes.truncate(REPLY_MAX);
            break;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// What comes of asking a server that answers with `status` and `body`.
    async fn ask(status: &str, body: &str) -> Result<Token, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let reply = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = String::new();
            while !request.ends_with("client_secret=a%26b") {
                let mut chunk = [0; 1024];
                let length = stream.read(&mut chunk).await.unwrap();
                request.push_str(std::str::from_utf8(&chunk[..length]).unwrap());
            }
            stream.write_all(reply.as_bytes()).await.unwrap();
            request
        });
        let credentials = Credentials {
            agent: "agent-p1".parse().unwrap(),
            secret: "a&b".to_owned(),
        };
        assert!(!format!("{credentials:?}").contains("a&b"));
        let url: Url = format!("http://{address}/oauth/token").parse().unwrap();
        let token = fetch(Dialer::plain(&url), url, credentials).await;
        let request = server.await.unwrap();
        assert!(request.starts_with("POST /oauth/token "), "{request}");
        assert!(request.contains("grant_type=client_credentials&client_id=agent-p1"));
        token.map_err(|error| match error.retry_after() {
            Some(after) => format!("{error} ({after:?})"),
            None => error.to_string(),
        })
    }

    #[tokio::test]
    async fn a_token_is_renewed_well_before_its_end() {
        let body = r#"{"access_token":"x.y.z","token_type":"Bearer","expires_in":900}"#;
        let token = ask("200 OK", body).await.unwrap();
        assert_eq!(token.authorization, "Bearer x.y.z");
        assert_eq!(token.renew_in, Duration::from_secs(600));
        let body = r#"{"access_token":"x","token_type":"Bearer","expires_in":0}"#;
        let token = ask("200 OK", body).await.unwrap();
        assert_eq!(
            token.renew_in,
            Duration::from_secs(20),
            "never without pause"
        );
    }

    #[tokio::test]
    async fn a_refusal_says_what_to_do() {
        for (status, body, expected) in [
            (
                "401 Unauthorized",
                "{}",
                "client \"agent-p1\" or its secret",
            ),
            (
                "400 Bad Request",
                r#"{"error":"invalid_client"}"#,
                "LANDSIDE_AGENT_SECRET",
            ),
            (
                "400 Bad Request",
                r#"{"error":"invalid_request"}"#,
                "did not understand",
            ),
            (
                "429 Too Many Requests\r\nretry-after: 7",
                "{}",
                "(429 Too Many Requests): tried again when it allows that; does another agent have the same id? (7s)",
            ),
            (
                "503 Service Unavailable\r\nretry-after: 99999",
                "{}",
                "its database is away; tried again when it allows that (60s)",
            ),
            (
                "503 Service Unavailable",
                "",
                "the server is busy or its database is away; tried again when it allows that (5s)",
            ),
            ("404 Not Found", "", "is server.url right?"),
            ("200 OK", "<html>", "something else than a token"),
        ] {
            let Err(error) = ask(status, body).await else {
                panic!("{status} is no token");
            };
            assert!(error.contains(expected), "{error}");
        }
    }
}
