//! Tokens that are good, and every kind that is not.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "http://landside.example";
const LIFE: Duration = Duration::from_secs(60);

fn current() -> StoredKey {
    let now = Utc::now();
    StoredKey {
        activated_at: Some(now),
        ..StoredKey::new(now)
    }
}

fn tokens_of(keys: &[StoredKey]) -> Tokens {
    Tokens::new(ISSUER.to_owned(), LIFE, Ring::new(keys).unwrap())
}

fn tokens() -> Tokens {
    tokens_of(&[current()])
}

fn kim() -> Principal {
    Principal {
        subject: "kim".to_owned(),
        full_name: "김하늘".to_owned(),
        roles: vec![Role::Operator],
        zones: Zones::from_words(&["p1".to_owned()]).unwrap(),
        proof: Proof {
            grant: Some(Uuid::new_v4()),
            client: Some("kiosk-app".to_owned()),
            holder: Holder::Application(3),
            as_of: AsOf::Generation(5),
            second_factor_at: Some(7),
            ..Proof::default()
        },
    }
}

/// As if it had been made elsewhere.
fn forget(tokens: &Tokens) {
    tokens.known().clear();
}

#[test]
fn a_token_says_who_and_until_when() {
    let tokens = tokens();
    let kim = kim();
    let issued = tokens.issue(&kim).token;
    let remembered = tokens.check(&issued).unwrap();
    forget(&tokens);
    let checked = tokens.check(&issued).unwrap();
    assert_eq!(checked, remembered, "what is remembered is what is read");
    let proof = &checked.principal.proof;
    assert!(proof.token.is_some() && proof.key.is_some());
    let expected = Principal {
        proof: Proof {
            token: proof.token,
            key: proof.key.clone(),
            ..kim.proof.clone()
        },
        ..kim
    };
    assert_eq!(checked.principal, expected);
    assert!(checked.expires_at > SystemTime::now());
}

#[test]
fn the_end_is_the_end() {
    let tokens = tokens();
    let now = UNIX_EPOCH + Duration::from_secs(second_of(SystemTime::now()));
    let token = tokens.issue_at(&kim(), now - LIFE).token;
    let second = Duration::from_secs(1);
    for is_known in [true, false] {
        if !is_known {
            forget(&tokens);
        }
        assert!(tokens.check_at(&token, now - second).is_ok());
        for late in [now, now + second] {
            let error = tokens.check_at(&token, late);
            assert!(matches!(error, Err(TokenError::Expired)), "{error:?}");
        }
    }
}

#[test]
fn keys_overlap_and_a_removed_one_is_worth_nothing() {
    let (first, second) = (current(), StoredKey::new(Utc::now()));
    let tokens = tokens_of(&[first.clone(), second.clone()]);
    let old = tokens.issue(&kim()).token;
    let retired = StoredKey {
        retired_at: Some(Utc::now()),
        ..first
    };
    let used = StoredKey {
        activated_at: Some(Utc::now()),
        ..second
    };
    let both = [retired.clone(), used.clone()];
    assert!(tokens.use_keys(&both).unwrap().is_empty());
    let new = tokens.issue(&kim()).token;
    assert!(tokens.check(&old).is_ok() && tokens.check(&new).is_ok());
    let kid = |token| jsonwebtoken::decode_header(token).unwrap().kid;
    assert_ne!(kid(&old), kid(&new));
    let gone = tokens.use_keys(std::slice::from_ref(&used)).unwrap();
    assert_eq!(gone, std::slice::from_ref(&retired.kid));
    assert!(matches!(tokens.check(&old), Err(TokenError::Invalid(_))));
    assert!(tokens.check(&new).is_ok());
    assert!(tokens.use_keys(&[retired]).is_err(), "none signs");
    assert!(tokens.check(&new).is_ok(), "everything stays as it was");
}

/// A token of `key` that says what a good one says, but for `change`.
fn forged(key: &StoredKey, header: &Value, change: impl Fn(&mut Value)) -> String {
    let now = second_of(SystemTime::now());
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "kim", "exp": now + 600, "nbf": now, "iat": now,
        "jti": Uuid::new_v4(), "name": "Kim", "roles": ["operator"], "zones": ["p1"],
    });
    change(&mut claims);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(&claims));
    let signing = EncodingKey::from_ec_der(&key.private_der);
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &signing, Algorithm::ES256).unwrap();
    format!("{message}.{signature}")
}

#[test]
fn whatever_is_not_pinned_so_is_refused() {
    let key = current();
    let tokens = tokens_of(std::slice::from_ref(&key));
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": key.kid});
    let now = second_of(SystemTime::now());
    assert!(tokens.check(&forged(&key, &header, |_| {})).is_ok());
    for (what, claim, value) in [
        ("another issuer", "iss", json!("http://other.example")),
        ("another audience", "aud", json!("other")),
        ("no audience", "aud", Value::Null),
        ("not yet", "nbf", json!(now + 30)),
        ("made in the future", "iat", json!(now + 30)),
        ("no end", "exp", Value::Null),
        ("an end too far", "exp", json!(now + 2 * 24 * 3600)),
        ("expired by a second", "exp", json!(now - 1)),
        ("no name of its own", "jti", Value::Null),
        ("nobody", "sub", Value::Null),
        ("a role that is none", "roles", json!(["emperor"])),
        ("a zone that is none", "zones", json!(["P 1"])),
    ] {
        let token = forged(&key, &header, |claims| claims[claim] = value.clone());
        assert!(tokens.check(&token).is_err(), "{what}");
        let token = forged(&key, &header, |claims| {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(claim);
            } else {
                claims[claim] = value.clone();
            }
        });
        assert!(tokens.check(&token).is_err(), "{what}, left out");
    }
    for (what, header) in [
        (
            "an ID token",
            json!({"alg": "ES256", "typ": "JWT", "kid": key.kid}),
        ),
        ("no type", json!({"alg": "ES256", "kid": key.kid})),
        ("no key", json!({"alg": "ES256", "typ": "at+jwt"})),
        (
            "an unknown key",
            json!({"alg": "ES256", "typ": "at+jwt", "kid": "x"}),
        ),
        (
            "another algorithm",
            json!({"alg": "HS256", "typ": "at+jwt", "kid": key.kid}),
        ),
    ] {
        assert!(
            tokens.check(&forged(&key, &header, |_| {})).is_err(),
            "{what}"
        );
    }
    let theirs = forged(&current(), &header, |_| {});
    assert!(
        tokens.check(&theirs).is_err(),
        "another key of the same name"
    );
    let id = tokens.id_token(&kim(), AUDIENCE, None);
    assert!(tokens.check(&id).is_err(), "an ID token of ours");
}

#[test]
fn the_public_key_is_no_secret_to_sign_with() {
    let key = current();
    let tokens = tokens_of(std::slice::from_ref(&key));
    let good = forged(
        &key,
        &json!({"alg": "ES256", "typ": "at+jwt", "kid": key.kid}),
        |_| {},
    );
    let claims = good.split('.').nth(1).unwrap();
    let public = &tokens.key_set()["keys"][0];
    for alg in ["HS256", "none"] {
        let header = json!({"alg": alg, "typ": "at+jwt", "kid": key.kid}).to_string();
        let message = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header));
        for secret in [public.to_string(), public["x"].as_str().unwrap().to_owned()] {
            let secret = EncodingKey::from_secret(secret.as_bytes());
            let signature =
                jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap();
            assert!(tokens.check(&format!("{message}.{signature}")).is_err());
        }
        assert!(tokens.check(&format!("{message}.")).is_err());
    }
}

#[test]
fn a_changed_token_is_refused() {
    let tokens = tokens();
    let token = tokens.issue(&kim()).token;
    let (head, rest) = token.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    let promoted = URL_SAFE_NO_PAD.encode(claims.replace("operator", "supervisor"));
    let changed = format!("{head}.{promoted}.{signature}");
    for bad in [
        changed.as_str(),
        "x.y.z",
        "",
        "..",
        &"x".repeat(TOKEN_BYTES_MAX + 1),
    ] {
        assert!(matches!(tokens.check(bad), Err(TokenError::Invalid(_))));
    }
}
