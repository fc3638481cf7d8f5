//! Groups, names and factors, as providers write them.

use serde_json::json;

use super::*;
use crate::config::provider_for_tests;

fn map(config: &ProviderConfig, claims: Value) -> Result<Visitor, Stranger> {
    visitor(claims.as_object().unwrap(), config)
}

const EXTRA: &str = r#"
trusts_second_factor = true
[roles]
operators = "operator"
chiefs = "supervisor"
machines = "program"
[zones]
operators = ["p1"]
chiefs = ["*"]
machines = ["p2"]
"#;

#[test]
fn groups_bring_a_role_and_zones() {
    let config = provider_for_tests(EXTRA);
    for (groups, roles, zones) in [
        (json!(["operators"]), vec![Role::Operator], vec!["p1"]),
        (json!("operators"), vec![Role::Operator], vec!["p1"]),
        (
            json!(["x", "operators", "chiefs"]),
            vec![Role::Supervisor],
            vec!["*"],
        ),
        (
            json!(["machines", "operators"]),
            vec![Role::Operator, Role::Program],
            vec!["p1", "p2"],
        ),
        (json!(["machines"]), vec![Role::Program], vec!["p2"]),
    ] {
        let visitor = map(&config, json!({"sub": "7", "groups": groups})).unwrap();
        assert_eq!(visitor.roles, roles, "{groups}");
        assert_eq!(visitor.zones.to_words(), zones, "{groups}");
    }
    for groups in [
        json!(null),
        json!([]),
        json!(["Operators"]),
        json!([7]),
        json!({"operators": 1}),
    ] {
        let refused = map(&config, json!({"sub": "7", "groups": groups}));
        assert_eq!(refused, Err(Stranger::Roleless), "{groups}");
    }
}

#[test]
fn zones_come_from_a_claim_or_for_everybody() {
    let by_claim = provider_for_tests("zones_claim = \"where\"\n[roles]\nall = \"viewer\"");
    for (said, zones) in [
        (json!(["p1", "P 9", "p2"]), Some(vec!["p1", "p2"])),
        (json!("*"), Some(vec!["*"])),
        (json!(["P 9"]), None),
        (json!(null), None),
    ] {
        let got = map(
            &by_claim,
            json!({"sub": "7", "groups": "all", "where": said}),
        );
        let got = got.map(|visitor| visitor.zones.to_words());
        assert_eq!(
            got.ok(),
            zones.map(|zones| zones.into_iter().map(str::to_owned).collect()),
            "{said}"
        );
    }
    let everybody = provider_for_tests("[roles]\nall = \"viewer\"\n[zones]\n\"*\" = [\"p1\"]");
    let got = map(&everybody, json!({"sub": "7", "groups": "all"})).unwrap();
    assert_eq!(got.zones.to_words(), ["p1"]);
}

#[test]
fn a_claim_may_stand_within_another() {
    let nested = provider_for_tests(
        "role_claim = \"realm_access.roles\"\n[roles]\nall = \"viewer\"\n[zones]\nall = [\"*\"]",
    );
    for claims in [
        json!({"sub": "7", "realm_access": {"roles": ["all"]}}),
        json!({"sub": "7", "realm_access.roles": ["all"]}),
    ] {
        assert!(map(&nested, claims.clone()).is_ok(), "{claims}");
    }
    assert!(map(&nested, json!({"sub": "7", "realm_access": ["all"]})).is_err());
}

#[test]
fn a_name_is_one_that_people_can_tell_from_others() {
    let config = provider_for_tests(EXTRA);
    for (name, expected) in [
        (json!("kim"), Ok("kim")),
        (
            json!("김하늘@airport.example"),
            Ok("김하늘@airport.example"),
        ),
        (json!(null), Ok("7")),
        (json!(""), Err(Stranger::Nameless)),
        (json!(" kim"), Err(Stranger::Nameless)),
        (json!("kim\u{0}"), Err(Stranger::Nameless)),
        (json!("ki\u{200b}m"), Err(Stranger::Nameless)),
        (json!("\u{202e}mik"), Err(Stranger::Nameless)),
        (json!("k".repeat(65)), Err(Stranger::Nameless)),
    ] {
        let got = map(
            &config,
            json!({"sub": "7", "groups": "chiefs", "preferred_username": name}),
        );
        assert_eq!(
            got.map(|visitor| visitor.name),
            expected.map(str::to_owned),
            "{name}"
        );
    }
    let named = map(
        &config,
        json!({"sub": "7", "groups": "chiefs", "name": "Kim\nHa-neul"}),
    )
    .unwrap();
    assert_eq!(named.full_name, "KimHa-neul");
}

#[test]
fn a_second_factor_counts_where_the_provider_is_trusted() {
    let trusting = provider_for_tests(EXTRA);
    let doubting = provider_for_tests(&EXTRA.replace("true", "false"));
    for (more, at) in [
        (json!({"amr": ["pwd", "otp"], "auth_time": 5}), Some(5)),
        // Shown, and nobody knows when: certainly not when the token was made.
        (json!({"amr": ["mfa"]}), Some(0)),
        (json!({"acr": "https://refeds.org/profile/mfa"}), Some(0)),
        (json!({"amr": ["mfa"], "auth_time": "now"}), Some(0)),
        (json!({"amr": ["pwd"], "acr": "1"}), None),
        (json!({}), None),
    ] {
        let mut claims = json!({"sub": "7", "groups": "chiefs", "iat": 9});
        claims
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        assert_eq!(
            map(&trusting, claims.clone()).unwrap().second_factor_at,
            at,
            "{claims}"
        );
        assert_eq!(
            map(&doubting, claims.clone()).unwrap().second_factor_at,
            None,
            "{claims}"
        );
    }
}
