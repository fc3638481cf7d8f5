//! Tokens by client credentials (RFC 6749, 4.4).

use std::fmt;
use std::time::Duration;

use contract::AgentId;
use reqwest::StatusCode;
use serde::Deserialize;
use url::Url;

/// The token endpoint hashes a secret, which is slow on purpose, on a machine that may be busy.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

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
    #[error("{url} does not answer: {source}")]
    Unreachable {
        url: Url,
        #[source]
        source: reqwest::Error,
    },
    #[error(
        "{url} does not know client \"{agent}\" or its secret ({status}): set LANDSIDE_AGENT_SECRET to the secret of that client, or give the server's access file a [[client]] of that name with this secret"
    )]
    Refused {
        url: Url,
        agent: AgentId,
        status: StatusCode,
    },
    #[error("{url} answered {status} instead of a token: is server.url right?")]
    Unexpected { url: Url, status: StatusCode },
}

#[derive(Deserialize)]
struct TokenReply {
    access_token: String,
    expires_in: u64,
}

pub(super) async fn fetch(
    client: reqwest::Client,
    url: Url,
    credentials: Credentials,
) -> Result<Token, TokenError> {
    let unreachable = |source| TokenError::Unreachable {
        url: url.clone(),
        source,
    };
    let reply = client
        .post(url.clone())
        .timeout(TOKEN_TIMEOUT)
        .form(&[
            ("grant_type", "client_credentials"),
            ("client_id", credentials.agent.as_str()),
            ("client_secret", &credentials.secret),
        ])
        .send()
        .await
        .map_err(unreachable)?;
    let status = reply.status();
    match status {
        StatusCode::OK => {}
        // RFC 6749, 5.2: invalid_client is 401, and 400 for servers that want no WWW-Authenticate.
        StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST => {
            return Err(TokenError::Refused {
                url,
                agent: credentials.agent,
                status,
            });
        }
        _ => return Err(TokenError::Unexpected { url, status }),
    }
    let reply: TokenReply = reply.json().await.map_err(unreachable)?;
    let life = Duration::from_secs(reply.expires_in).max(MIN_LIFE);
    Ok(Token {
        authorization: format!("Bearer {}", reply.access_token),
        renew_in: life * RENEW_AFTER.0 / RENEW_AFTER.1,
    })
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
        let url = format!("http://{address}/oauth/token").parse().unwrap();
        let token = fetch(reqwest::Client::new(), url, credentials).await;
        let request = server.await.unwrap();
        assert!(request.starts_with("POST /oauth/token "), "{request}");
        assert!(request.contains("grant_type=client_credentials&client_id=agent-p1"));
        token.map_err(|error| error.to_string())
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
            ("400 Bad Request", "{}", "LANDSIDE_AGENT_SECRET"),
            ("404 Not Found", "", "is server.url right?"),
            ("200 OK", "<html>", "does not answer"),
        ] {
            let Err(error) = ask(status, body).await else {
                panic!("{status} is no token");
            };
            assert!(error.contains(expected), "{error}");
        }
    }
}
