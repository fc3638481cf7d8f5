//! Every claim, changed one at a time.

use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://id.example";

fn claims(value: Value, changes: Value) -> Claims {
    let Value::Object(mut claims) = value else {
        panic!("claims are an object")
    };
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.remove(name);
        } else {
            claims.insert(name.clone(), value.clone());
        }
    }
    claims
}

#[track_caller]
fn id_token(changes: Value, expected: Result<(), &str>) {
    let good = json!({"iss": ISSUER, "sub": "7", "aud": "app", "exp": NOW + 600, "iat": NOW, "nonce": "n"});
    let claims = claims(good, changes);
    let got = check_id_token(&claims, ISSUER, "app", "n", NOW);
    assert_eq!(word(got), expected, "{claims:?}");
}

#[track_caller]
fn access_token(changes: Value, expected: Result<u64, &str>) {
    let good =
        json!({"iss": ISSUER, "sub": "7", "aud": ["api", "other"], "exp": NOW + 600, "iat": NOW});
    let claims = claims(good, changes);
    let got = check_access_token(&claims, ISSUER, "api", "app", NOW);
    assert_eq!(word(got), expected, "{claims:?}");
}

fn word<T>(got: Result<T, BadClaims>) -> Result<T, &'static str> {
    got.map_err(|refused| match refused {
        BadClaims::Expired => "expired",
        BadClaims::Wrong(why) => why,
    })
}

const FOREIGN: Result<(), &str> = Err("it is for somebody else");
const MADE_FOREIGN: Result<(), &str> = Err("it was made for somebody else");
const FUTURE: &str = "it is from the future: one of the clocks is wrong";
const OLD: Result<(), &str> = Err("it is old, or one of the clocks is wrong");

#[test]
fn an_id_token_is_of_this_sign_in() {
    id_token(json!({}), Ok(()));
    id_token(
        json!({"iss": "https://id.example/"}),
        Err("it is of another issuer"),
    );
    id_token(json!({"aud": "other"}), FOREIGN);
    id_token(json!({"aud": null}), FOREIGN);
    id_token(json!({"aud": ["app"]}), Ok(()));
    id_token(json!({"aud": ["app", "other"]}), MADE_FOREIGN);
    id_token(json!({"aud": ["app", "other"], "azp": "app"}), Ok(()));
    id_token(json!({"azp": "other"}), MADE_FOREIGN);
    id_token(json!({"nonce": "m"}), Err("it is of another sign-in"));
    id_token(json!({"nonce": null}), Err("it is of another sign-in"));
    id_token(json!({"sub": ""}), Err("it has no usable `sub`"));
    id_token(json!({"sub": "a\u{0}"}), Err("it has no usable `sub`"));
    id_token(
        json!({"sub": "x".repeat(256)}),
        Err("it has no usable `sub`"),
    );
    id_token(json!({"exp": null}), Err("it has no `exp`"));
    id_token(json!({"iat": null}), Err("it has no `iat`"));
}

#[test]
fn clocks_may_differ_by_a_minute_and_no_more() {
    id_token(json!({"exp": NOW - 59}), Ok(()));
    id_token(json!({"exp": NOW - 60}), Err("expired"));
    id_token(json!({"iat": NOW + 60}), Ok(()));
    id_token(json!({"iat": NOW + 61}), Err(FUTURE));
    id_token(json!({"nbf": NOW + 61}), Err(FUTURE));
    id_token(json!({"iat": NOW - 300}), Ok(()));
    id_token(json!({"iat": NOW - 301}), OLD);
    access_token(json!({"exp": NOW - 59}), Ok(NOW + 1));
    access_token(json!({"exp": NOW - 60}), Err("expired"));
    access_token(json!({"iat": NOW + 61}), Err(FUTURE));
    access_token(json!({"nbf": NOW + 61}), Err(FUTURE));
    access_token(json!({"nbf": NOW + 60}), Ok(NOW + 660));
    access_token(json!({"exp": 1.8e9 + 10.7}), Ok(NOW + 70));
    access_token(json!({"exp": -1}), Err("it has no `exp`"));
    access_token(json!({"nbf": "tomorrow"}), Err("its `nbf` is no time"));
    access_token(json!({"nbf": -1}), Err("its `nbf` is no time"));
}

#[test]
fn an_access_token_is_for_us_and_no_id_token() {
    access_token(json!({}), Ok(NOW + 660));
    access_token(json!({"aud": "api"}), Ok(NOW + 660));
    access_token(json!({"aud": "other"}), Err("it is for somebody else"));
    access_token(json!({"aud": null}), Err("it is for somebody else"));
    access_token(json!({"aud": "app"}), Err("it is for somebody else"));
    access_token(json!({"aud": ["api", "app"]}), Err("it is an ID token"));
    access_token(json!({"iss": "landside"}), Err("it is of another issuer"));
}

#[test]
fn no_access_token_lives_longer_than_a_shift() {
    let life = LIFE_MAX.as_secs();
    access_token(json!({"exp": NOW + 10 * life}), Ok(NOW + life + 60));
    let late = json!({"iat": NOW - life - 60, "exp": NOW + 10 * life});
    access_token(late, Err("expired"));
}
