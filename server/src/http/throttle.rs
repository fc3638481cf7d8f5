//! How often an address may sign in, ask for tokens and give commands, before anybody looks at who it is. How often a
//! principal may is decided where it is known: for commands in `command`, for tokens after the secret was right.
//!
//! Guessing is slowed here and by the lock-out; what costs the server work (Argon2) is bounded by its own queue besides. The
//! limits leave room for what a site really does at once, and each says what that is.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::FixedOffset;
use serde_json::json;
use web_ui::{ErrorKind, ErrorPage, Template, Viewing};

use super::error::Problem;
use super::page::html;
use super::viewer::language;
use crate::listener::asker::Asker;
use crate::listener::is_console;
use crate::listener::rate::{Buckets, Rate};
use crate::observability::{Refused, count_refused};

/// 60, and one each two seconds: at a change of shifts everybody of an office signs in from one address.
const SIGN_IN: Rate = Rate {
    burst: 60,
    every: Duration::from_secs(2),
};

/// 6,000, and 50 a second: after a restart 2,000 agents behind one address fetch tokens at once, and some of them try three
/// times; from then on they renew a few a second.
const TOKEN: Rate = Rate {
    burst: 6000,
    every: Duration::from_millis(20),
};

/// 60, and one each two seconds: an agent that connects again in a loop, or a person with some pages.
const TOKEN_OF_PRINCIPAL: Rate = Rate {
    burst: 60,
    every: Duration::from_secs(2),
};

/// 2,400, and 40 a second: four people behind one address who open every barrier of the largest site.
const COMMAND: Rate = Rate {
    burst: 2400,
    every: Duration::from_millis(25),
};

/// What is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    SignIn,
    Token,
    Command,
}

impl Kind {
    fn of(method: &Method, path: &str) -> Option<Self> {
        // Going to the provider keeps something, too.
        if method != Method::POST && path != "/sign-in/external" {
            return None;
        }
        match path {
            _ if path == "/sign-in" || path.starts_with("/sign-in/") => Some(Self::SignIn),
            // It asks for no login, as little as signing in does.
            "/language" => Some(Self::SignIn),
            "/login/token" => Some(Self::Token),
            _ if path.starts_with("/oauth/") => Some(Self::Token),
            _ if path.ends_with("/commands") => Some(Self::Command),
            _ => None,
        }
    }
}

/// The buckets of one kind. Consoles have theirs apart: nobody else fills the table that they stand in.
struct Kept {
    addresses: Buckets<IpAddr>,
    consoles: Buckets<IpAddr>,
}

impl Kept {
    fn new(rate: Rate) -> Mutex<Self> {
        Mutex::new(Self {
            addresses: Buckets::new(rate),
            consoles: Buckets::new(rate),
        })
    }
}

/// Who asked how often. Cheap to clone: all clones count together.
#[derive(Clone)]
pub(crate) struct Throttle {
    shared: Arc<Shared>,
}

struct Shared {
    sign_in: Mutex<Kept>,
    token: Mutex<Kept>,
    command: Mutex<Kept>,
    token_of_principal: Mutex<Buckets<String>>,
    consoles: Vec<IpAddr>,
    offset: FixedOffset,
}

impl Throttle {
    pub(crate) fn new(consoles: Vec<IpAddr>, offset: FixedOffset) -> Self {
        Self {
            shared: Arc::new(Shared {
                sign_in: Kept::new(SIGN_IN),
                token: Kept::new(TOKEN),
                command: Kept::new(COMMAND),
                token_of_principal: Mutex::new(Buckets::new(TOKEN_OF_PRINCIPAL)),
                consoles,
                offset,
            }),
        }
    }

    fn take(&self, kind: Kind, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let buckets = match kind {
            Kind::SignIn => &self.shared.sign_in,
            Kind::Token => &self.shared.token,
            Kind::Command => &self.shared.command,
        };
        let mut buckets = buckets.lock().expect("nothing panics while it is held");
        if is_console(address, &self.shared.consoles) {
            buckets.consoles.take(address.to_canonical(), now)
        } else {
            buckets.addresses.take(network::network(address), now)
        }
    }

    /// One more token for somebody who has proved to be this; or when to ask again. Not before: whoever names another must
    /// not use up what is the other's.
    pub(super) fn token_of(&self, subject: &str) -> Result<(), Duration> {
        let buckets = &self.shared.token_of_principal;
        let mut buckets = buckets.lock().expect("nothing panics while it is held");
        buckets.take(subject.to_owned(), Instant::now())
    }
}

/// Stands before every route.
pub(super) async fn guard(
    State(throttle): State<Throttle>,
    Asker(peer): Asker,
    request: Request,
    next: Next,
) -> Response {
    let Some(kind) = Kind::of(request.method(), request.uri().path()) else {
        return next.run(request).await;
    };
    match throttle.take(kind, peer.address.ip(), Instant::now()) {
        Ok(()) => next.run(request).await,
        Err(wait) => {
            count_refused(Refused::Rate);
            too_many(&throttle, &request, wait)
        }
    }
}

/// The same refusal as each kind of client reads it.
fn too_many(throttle: &Throttle, request: &Request, wait: Duration) -> Response {
    let path = request.uri().path();
    let response = if path.starts_with("/api/") || path == "/login/token" {
        Problem::too_many(wait).into_response()
    } else if path.starts_with("/oauth/") {
        return too_many_tokens(wait);
    } else {
        let page = ErrorPage {
            viewing: Viewing {
                language: language(request.headers()),
                offset: throttle.shared.offset,
                now: chrono::Utc::now(),
            },
            kind: ErrorKind::TooMany,
            reference: None,
            path: "/",
            shell: None,
        };
        html(StatusCode::TOO_MANY_REQUESTS, page.render())
    };
    with_retry_after(response, wait)
}

/// As RFC 6749 section 5.2 has errors.
pub(super) fn too_many_tokens(wait: Duration) -> Response {
    let description = "too many tokens were asked for; try again after the time in Retry-After";
    let body = Json(json!({"error": "temporarily_unavailable", "error_description": description}));
    with_retry_after((StatusCode::TOO_MANY_REQUESTS, body).into_response(), wait)
}

fn with_retry_after(mut response: Response, wait: Duration) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, retry_after(wait));
    response
}

/// In whole seconds (RFC 9110 section 10.2.3), and never too early.
pub(super) fn retry_after(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_bounded_is_known_by_its_path() {
        for (method, path, expected) in [
            (Method::POST, "/sign-in", Some(Kind::SignIn)),
            (Method::GET, "/sign-in", None),
            (Method::POST, "/language", Some(Kind::SignIn)),
            (Method::POST, "/oauth/token", Some(Kind::Token)),
            (Method::POST, "/oauth/revoke", Some(Kind::Token)),
            (Method::POST, "/login/token", Some(Kind::Token)),
            (
                Method::POST,
                "/devices/gate-1/commands",
                Some(Kind::Command),
            ),
            (
                Method::POST,
                "/api/v1/devices/gate-1/commands",
                Some(Kind::Command),
            ),
            (Method::GET, "/api/v1/devices/gate-1/commands", None),
            (Method::POST, "/alarms/1/acknowledge", None),
        ] {
            assert_eq!(Kind::of(&method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn two_thousand_agents_behind_one_address_get_their_tokens_at_once() {
        let throttle = Throttle::new(Vec::new(), FixedOffset::east_opt(0).unwrap());
        let now = Instant::now();
        let address = IpAddr::from([10, 0, 0, 1]);
        for agent in 0..2 * 2000 {
            assert_eq!(throttle.take(Kind::Token, address, now), Ok(()), "{agent}");
        }
    }

    #[test]
    fn whoever_guesses_uses_up_nothing_of_a_console() {
        let console = IpAddr::from([10, 0, 0, 5]);
        let throttle = Throttle::new(vec![console], FixedOffset::east_opt(0).unwrap());
        let now = Instant::now();
        let mut refused = 0;
        for guess in 0..10_000u32 {
            let [_, high, middle, low] = guess.to_be_bytes();
            let address = IpAddr::from([172, 16 + high, middle, low]);
            refused += u32::from(
                throttle
                    .take(Kind::SignIn, IpAddr::from([10, 9, 9, 9]), now)
                    .is_err(),
            );
            assert_eq!(
                throttle.take(Kind::SignIn, address, now),
                Ok(()),
                "{address} has its own"
            );
        }
        assert_eq!(refused, 10_000 - SIGN_IN.burst);
        assert_eq!(throttle.take(Kind::SignIn, console, now), Ok(()));
        assert_eq!(
            throttle.take(Kind::SignIn, IpAddr::from([127, 0, 0, 1]), now),
            Ok(())
        );
    }

    #[test]
    fn nobody_is_told_to_come_back_too_early() {
        assert_eq!(retry_after(Duration::from_millis(1)), "1");
        assert_eq!(retry_after(Duration::from_secs(2)), "2");
        assert_eq!(retry_after(Duration::from_millis(2001)), "3");
    }
}
