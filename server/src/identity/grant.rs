//! What a person lets an application do: redirection, proof of possession, narrowing, and when a refresh token is good.
//! RFC 6749, 7636 (PKCE), 8252 (applications on phones and desktops), 9700 (what went wrong with them). Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use contract::Role;
use sha2::{Digest, Sha256};
use url::Url;

use super::principal::{Principal, Zones};

/// A code travels from a browser to its application, which exchanges it at once.
pub(crate) const CODE_LIFETIME: TimeDelta = TimeDelta::seconds(60);

/// Whoever uses an application signs in again once a month, whatever the application does.
pub(crate) const GRANT_LIFETIME: TimeDelta = TimeDelta::days(30);

/// A phone that was left in a drawer for a week is a phone that may have been lost.
pub(crate) const GRANT_IDLE: TimeDelta = TimeDelta::days(7);

/// The answer to a refresh may be lost on the way, and the application asks again with the same token. Within this time
/// that is no theft, if nobody has used the answer: only one of two answers is ever good, so whoever stole the token and
/// whoever lost it cannot both go on (RFC 9700 section 4.14.2).
pub(crate) const RETRY_WINDOW: TimeDelta = TimeDelta::seconds(10);

/// An application through which people act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Application {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) redirect_uris: Vec<String>,
    /// `None`: whatever the person has.
    pub(crate) roles: Option<Vec<Role>>,
    pub(crate) zones: Zones,
    /// Of these rights: counted up whenever some are taken away.
    pub(crate) generation: i64,
}

impl Application {
    /// Whether answers may be sent to `asked`: to what was registered, letter by letter, but for the port of this machine
    /// itself, which a program cannot choose (RFC 8252 section 7.3).
    pub(crate) fn may_redirect_to(&self, asked: &str) -> bool {
        self.redirect_uris.iter().any(|registered| {
            registered == asked
                || without_port(registered)
                    .zip(without_port(asked))
                    .is_some_and(|(registered, asked)| registered == asked)
        })
    }

    /// The person as they act through this application: with nothing that they have not, and nothing that it may not have.
    /// Whoever may do more may look as well, so an application for looking serves everybody. `None`: nothing is left.
    pub(crate) fn narrow(&self, person: &Principal) -> Option<Principal> {
        let roles: Vec<Role> = match &self.roles {
            None => person.roles.clone(),
            Some(allowed) => {
                let mut roles: Vec<Role> = person
                    .roles
                    .iter()
                    .copied()
                    .filter(|role| allowed.contains(role))
                    .collect();
                if roles.is_empty() && allowed.contains(&Role::Viewer) && !person.roles.is_empty() {
                    roles.push(Role::Viewer);
                }
                roles
            }
        };
        let zones = match (&person.zones, &self.zones) {
            (zones, Zones::All) | (Zones::All, zones) => zones.clone(),
            (Zones::Some(theirs), Zones::Some(its)) => {
                Zones::Some(theirs.intersection(its).cloned().collect())
            }
        };
        let something =
            !roles.is_empty() && zones != Zones::Some(std::collections::BTreeSet::new());
        something.then(|| Principal {
            roles,
            zones,
            ..person.clone()
        })
    }
}

/// The host of this machine and what follows the port.
fn without_port(uri: &str) -> Option<(&str, &str)> {
    let host = LOOPBACK.into_iter().find(|host| uri.starts_with(host))?;
    let rest = uri.strip_prefix(host)?;
    let Some(port) = rest.strip_prefix(':') else {
        return (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest));
    };
    let end = port
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(port.len());
    let (port, rest) = port.split_at(end);
    let plain = rest.is_empty() || rest.starts_with(['/', '?']);
    (plain && port.parse::<u16>().is_ok()).then_some((host, rest))
}

const LOOPBACK: [&str; 2] = ["http://127.0.0.1", "http://[::1]"];

/// What is wrong with a redirection that somebody wants to register, or `None`.
pub(crate) fn redirect_problem(uri: &str) -> Option<&'static str> {
    let Ok(parsed) = Url::parse(uri) else {
        return Some("is no address; write it whole, like \"https://app.example/signed-in\"");
    };
    if uri.contains('#') || uri.contains('*') || !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some("may have no fragment, no star and no space: it is compared letter by letter");
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Some("may not carry a name or password");
    }
    match parsed.scheme() {
        "https" => None,
        "http" if without_port(uri).is_some() => None,
        "http" => Some(
            "is not encrypted; use https, or http://127.0.0.1 for a program on the person's own machine",
        ),
        scheme if scheme.contains('.') => None,
        _ => Some(
            "has a scheme that others may use too; take your own domain's, like \"kr.airport.app:/signed-in\"",
        ),
    }
}

/// RFC 7636 section 4.1: 43 to 128 characters that need no escaping.
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// Whether this can be the S256 challenge of a verifier.
pub(crate) fn is_challenge(text: &str) -> bool {
    URL_SAFE_NO_PAD
        .decode(text)
        .is_ok_and(|bytes| bytes.len() == 32)
}

/// RFC 7636 section 4.6, S256.
pub(crate) fn proves(verifier: &str, challenge: &str) -> bool {
    is_verifier(verifier) && URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) == challenge
}

/// What somebody does who shows a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// For the first time: it is exchanged.
    First,
    /// Again, since the answer did not arrive: the token of that answer is void, and there is another one.
    Again,
    /// It is in two hands: the whole family ends.
    Replayed,
}

/// A refresh token that was used at `used_at`, whose successor was used or not.
pub(crate) fn judge(
    used_at: Option<DateTime<Utc>>,
    successor_used: bool,
    now: DateTime<Utc>,
) -> Shown {
    match used_at {
        None => Shown::First,
        Some(at) if !successor_used && now < at + RETRY_WINDOW => Shown::Again,
        Some(_) => Shown::Replayed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::principal::Proof;

    fn application(redirect_uris: &[&str]) -> Application {
        Application {
            id: "app".to_owned(),
            name: "App".to_owned(),
            redirect_uris: redirect_uris.iter().map(|uri| (*uri).to_owned()).collect(),
            roles: None,
            zones: Zones::All,
            generation: 0,
        }
    }

    #[test]
    fn answers_go_where_was_registered() {
        for (registered, asked, expected) in [
            ("https://app.example/cb", "https://app.example/cb", true),
            ("https://app.example/cb", "https://app.example/cb/", false),
            (
                "https://app.example/cb",
                "https://app.example/cb?x=1",
                false,
            ),
            (
                "https://app.example/cb",
                "https://app.example/cb/../evil",
                false,
            ),
            (
                "https://app.example/cb",
                "https://app.example.evil/cb",
                false,
            ),
            (
                "https://app.example/cb",
                "https://app.example@evil/cb",
                false,
            ),
            ("https://app.example/cb", "https://APP.example/cb", false),
            ("https://app.example/cb", "http://app.example/cb", false),
            (
                "https://app.example/cb",
                "https://app.example:8443/cb",
                false,
            ),
            ("https://app.example/cb", "//app.example/cb", false),
            ("https://app.example/cb", "", false),
            ("kr.app:/cb", "kr.app:/cb", true),
            ("kr.app:/cb", "kr.app:/other", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb", true),
            ("http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb", true),
            ("http://127.0.0.1:1/cb", "http://127.0.0.1/cb", true),
            ("http://[::1]/cb", "http://[::1]:5/cb", true),
            ("http://127.0.0.1/cb", "http://[::1]:5/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:5/other", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:99999/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:5@evil/cb", false),
            ("http://127.0.0.1", "http://127.0.0.1.evil.example", false),
            ("http://127.0.0.1/cb", "https://127.0.0.1:5/cb", false),
        ] {
            let app = application(&[registered]);
            assert_eq!(app.may_redirect_to(asked), expected, "{registered} {asked}");
        }
    }

    #[test]
    fn what_cannot_be_trusted_is_not_registered() {
        for (uri, good) in [
            ("https://app.example/cb", true),
            ("http://127.0.0.1/cb", true),
            ("http://[::1]:1/cb", true),
            ("kr.airport.app:/cb", true),
            ("http://app.example/cb", false),
            ("http://localhost/cb", false),
            ("https://app.example/cb#x", false),
            ("https://*.example/cb", false),
            ("https://kim:pw@app.example/cb", false),
            ("javascript:alert(1)", false),
            ("app:/cb", false),
            ("/cb", false),
        ] {
            assert_eq!(redirect_problem(uri).is_none(), good, "{uri}");
        }
    }

    #[test]
    fn only_the_verifier_of_the_challenge_proves() {
        // RFC 7636 appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(is_challenge(challenge) && proves(verifier, challenge));
        let short = "x".repeat(42);
        let of = |verifier: &str| URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        for (verifier, challenge) in [
            ("", challenge),
            (challenge, challenge),
            (&verifier[1..], challenge),
            (verifier, verifier),
            (&short, &of(&short)),
            (&"x".repeat(129), &of(&"x".repeat(129))),
            (&" ".repeat(43), &of(&" ".repeat(43))),
        ] {
            assert!(!proves(verifier, challenge), "{verifier}");
        }
        for wrong in ["", "short", &"x".repeat(44), &format!("{challenge}=")] {
            assert!(!is_challenge(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_lost_answer_is_no_theft_and_a_theft_is_none_of_it() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        for (used_at, successor_used, now, expected) in [
            (None, false, 100, Shown::First),
            (Some(100), false, 100, Shown::Again),
            (Some(100), false, 109, Shown::Again),
            (Some(100), false, 110, Shown::Replayed),
            (Some(100), true, 101, Shown::Replayed),
            (Some(0), false, 100, Shown::Replayed),
        ] {
            assert_eq!(judge(used_at.map(at), successor_used, at(now)), expected);
        }
    }

    #[test]
    fn an_application_gives_nobody_anything() {
        let zones = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            Zones::from_words(&words).unwrap()
        };
        for (role, theirs, allowed, its, expected) in [
            (
                Role::Operator,
                zones(&["*"]),
                None,
                zones(&["*"]),
                Some((Role::Operator, zones(&["*"]))),
            ),
            (
                Role::Operator,
                zones(&["p1", "p2"]),
                None,
                zones(&["p2", "p3"]),
                Some((Role::Operator, zones(&["p2"]))),
            ),
            (Role::Operator, zones(&["p1"]), None, zones(&["p2"]), None),
            (
                Role::Operator,
                zones(&["*"]),
                Some(vec![Role::Viewer]),
                zones(&["p1"]),
                Some((Role::Viewer, zones(&["p1"]))),
            ),
            (
                Role::Viewer,
                zones(&["*"]),
                Some(vec![Role::Supervisor]),
                zones(&["*"]),
                None,
            ),
            (
                Role::Supervisor,
                zones(&["*"]),
                Some(vec![Role::Operator]),
                zones(&["*"]),
                None,
            ),
        ] {
            let person = Principal {
                subject: "kim".to_owned(),
                full_name: String::new(),
                roles: vec![role],
                zones: theirs,
                proof: Proof::default(),
            };
            let app = Application {
                roles: allowed,
                zones: its,
                ..application(&[])
            };
            let narrowed = app.narrow(&person);
            assert_eq!(
                narrowed.map(|who| (who.roles[0], who.zones)),
                expected,
                "{role}"
            );
        }
    }
}
