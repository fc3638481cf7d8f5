//! How often an address may sign in, ask for tokens, give commands and do what leaves a row in the audit, before anybody
//! looks at who it is. How often a principal may is decided where it is known: for commands in `command`, for alarms in
//! `alarm`, for all else here, by [`Throttle::of_principal`].
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
use crate::identity::principal::Principal;
use crate::listener::asker::Asker;
use crate::listener::console::has_reserve;
use crate::listener::rate::{Buckets, Rate};
use crate::observability::{Unserved, count_unserved};

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

/// 2,400, and 40 a second: after a storm, four people behind one address acknowledge every alarm of the largest site.
const ACT: Rate = COMMAND;

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

/// 300, and five a second: an administrator who approves the devices of a new site, or calls everybody back.
const ACT_OF_PRINCIPAL: Rate = Rate {
    burst: 300,
    every: Duration::from_millis(200),
};

/// 60, and one each ten seconds: a dispute about a car takes a look or two, and nobody reads the plates of a whole site.
const REVEAL_OF_PRINCIPAL: Rate = Rate {
    burst: 60,
    every: Duration::from_secs(10),
};

/// What is bounded for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    SignIn,
    Token,
    Command,
    /// What leaves a row in the audit whether it is allowed or not.
    Act,
}

/// What is bounded for a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// Getting a token, whatever for.
    Token,
    /// Approving a device, calling something back.
    Act,
    /// Reading a whole number plate.
    Reveal,
}

impl Kind {
    fn of(method: &Method, path: &str) -> Option<Self> {
        // Going to the provider keeps something, too.
        const TO_THE_PROVIDER: [&str; 2] = ["/sign-in/external", "/login/prove"];
        if method != Method::POST && !TO_THE_PROVIDER.contains(&path) {
            return None;
        }
        match path {
            "/login/prove" => Some(Self::SignIn),
            _ if path == "/sign-in" || path.starts_with("/sign-in/") => Some(Self::SignIn),
            // It asks for no login, as little as signing in does.
            "/language" => Some(Self::SignIn),
            "/login/token" => Some(Self::Token),
            _ if path.starts_with("/oauth/") => Some(Self::Token),
            "/api/v1/revocations" => Some(Self::Act),
            _ if path.ends_with("/commands") => Some(Self::Command),
            _ if ACTS.iter().any(|act| path.ends_with(act)) => Some(Self::Act),
            _ => None,
        }
    }
}

/// How the paths of what leaves a row end.
const ACTS: [&str; 3] = ["/acknowledge", "/approve", "/reveal"];

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

/// Somebody, and through what they act: an application that asks too often takes nothing from its person's pages.
type Whose = (String, Option<String>);

struct Shared {
    sign_in: Mutex<Kept>,
    token: Mutex<Kept>,
    command: Mutex<Kept>,
    act: Mutex<Kept>,
    token_of_principal: Mutex<Buckets<Whose>>,
    act_of_principal: Mutex<Buckets<Whose>>,
    reveal_of_principal: Mutex<Buckets<Whose>>,
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
                act: Kept::new(ACT),
                token_of_principal: Mutex::new(Buckets::new(TOKEN_OF_PRINCIPAL)),
                act_of_principal: Mutex::new(Buckets::new(ACT_OF_PRINCIPAL)),
                reveal_of_principal: Mutex::new(Buckets::new(REVEAL_OF_PRINCIPAL)),
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
            Kind::Act => &self.shared.act,
        };
        let mut buckets = buckets.lock().expect("nothing panics while it is held");
        if has_reserve(address, &self.shared.consoles) {
            buckets.consoles.take(address.to_canonical(), now)
        } else {
            buckets.addresses.take(network::network(address), now)
        }
    }

    /// Once more for somebody who has proved to be this; or when to ask again. Not before: whoever names another must not use
    /// up what is the other's.
    pub(super) fn of_principal(&self, share: Share, who: &Principal) -> Result<(), Duration> {
        let buckets = match share {
            Share::Token => &self.shared.token_of_principal,
            Share::Act => &self.shared.act_of_principal,
            Share::Reveal => &self.shared.reveal_of_principal,
        };
        let holder = (who.subject.clone(), who.proof.client.clone());
        let mut buckets = buckets.lock().expect("nothing panics while it is held");
        let taken = buckets.take(holder, Instant::now());
        taken.inspect_err(|_| count_unserved(Unserved::Rate))
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
            count_unserved(Unserved::Rate);
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
    use crate::identity::principal::{Proof, Zones};

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
            (Method::POST, "/alarms/1/acknowledge", Some(Kind::Act)),
            (
                Method::POST,
                "/api/v1/alarms/1/acknowledge",
                Some(Kind::Act),
            ),
            (Method::POST, "/devices/gate-1/approve", Some(Kind::Act)),
            (
                Method::POST,
                "/devices/lpr-1/points/plate/reveal",
                Some(Kind::Act),
            ),
            (
                Method::POST,
                "/api/v1/devices/lpr-1/points/plate/reveal",
                Some(Kind::Act),
            ),
            (Method::POST, "/api/v1/revocations", Some(Kind::Act)),
            (Method::POST, "/login/active", None),
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
    fn an_application_uses_up_nothing_of_its_persons_pages() {
        let throttle = Throttle::new(Vec::new(), FixedOffset::east_opt(0).unwrap());
        let by = |client: Option<&str>| Principal {
            subject: "kim".to_owned(),
            full_name: String::new(),
            roles: Vec::new(),
            zones: Zones::All,
            proof: Proof {
                client: client.map(str::to_owned),
                ..Proof::default()
            },
        };
        let given = |share, client| throttle.of_principal(share, &by(client)).is_ok();
        let asked = (0..1000).filter(|_| given(Share::Token, Some("app")));
        assert!(asked.count() < 70, "the rate binds");
        assert!(given(Share::Token, None));
        assert!(given(Share::Reveal, Some("app")), "each has its own");
        let asked = (0..1000).filter(|_| given(Share::Reveal, None));
        assert!(asked.count() < 65);
    }

    #[test]
    fn nobody_is_told_to_come_back_too_early() {
        assert_eq!(retry_after(Duration::from_millis(1)), "1");
        assert_eq!(retry_after(Duration::from_secs(2)), "2");
        assert_eq!(retry_after(Duration::from_millis(2001)), "3");
    }
}
