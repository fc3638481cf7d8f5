//! What is taken as a provider, and what each mistake is called.

use super::*;

const SMALL: &str = r#"
issuer = "https://id.example/staff"
client_id = "landside"
name = { ko = "공항 계정", en = "Airport account" }
"#;

fn load(text: &str) -> Result<ProviderConfig, String> {
    load_at(text, "https://landside.example")
}

fn load_at(text: &str, public_url: &str) -> Result<ProviderConfig, String> {
    let section: ProviderSection = toml::from_str(text).map_err(|error| error.to_string())?;
    let zones: Vec<ZoneId> = ["p1", "p2"].map(|zone| zone.parse().unwrap()).to_vec();
    let environment = |name: &str| (name == "SECRET").then(|| "hush".to_owned());
    section
        .check(
            Path::new("/etc/server.toml"),
            &zones.iter().collect::<Vec<_>>(),
            &public_url.parse().unwrap(),
            &environment,
        )
        .map_err(|error| error.to_string())
}

/// A provider with `more` in its section.
pub(crate) fn provider(more: &str) -> ProviderConfig {
    load(&format!("{SMALL}{more}")).unwrap()
}

const MAPS: &str = "[roles]\nops = \"operator\"\n[zones]\nops = [\"p1\"]\n";

#[track_caller]
fn check(more: &str, words: &[&str]) {
    let error = load(&format!("{SMALL}{more}")).expect_err("the section is broken");
    for word in words {
        assert!(error.contains(word), "{word:?} is missing in: {error}");
    }
}

#[test]
fn a_small_section_is_enough() {
    let config = provider(MAPS);
    assert_eq!(
        config.return_url,
        "https://landside.example/sign-in/external/return"
    );
    assert_eq!(config.scopes, ["openid", "profile"]);
    assert_eq!(config.audience, None);
    assert!(config.client_secret.is_none());
}

#[test]
fn a_secret_comes_from_the_environment_and_is_never_printed() {
    let config = provider(&format!("client_secret_env = \"SECRET\"\n{MAPS}"));
    assert_eq!(config.client_secret.as_ref().unwrap().0, "hush");
    assert!(!format!("{config:?}").contains("hush"));
    check(
        &format!("client_secret_env = \"OTHER\"\n{MAPS}"),
        &["provider.client_secret_env", "OTHER"],
    );
}

#[test]
fn each_mistake_is_named() {
    check("", &["roles"]);
    check(
        "[roles]\nops = \"operator\"",
        &["provider.zones", "zones_claim"],
    );
    check(
        &format!("zones_claim = \"z\"\n{MAPS}"),
        &["provider.zones", "either"],
    );
    check("[roles]\n[zones]\n", &["provider.roles", "nobody"]);
    check(
        "[roles]\nops = \"agent\"\n[zones]\nops = [\"*\"]",
        &["provider.roles", "ops", "agent"],
    );
    check(
        "[roles]\nops = \"operator\"\n[zones]\nops = [\"p9\"]",
        &["provider.zones", "p9"],
    );
    check(
        &format!("audience = \"landside\"\n{MAPS}"),
        &["provider.audience", "ID tokens"],
    );
    check(
        &format!("algorithms = []\n{MAPS}"),
        &["provider.algorithms", "ES256"],
    );
    check(&format!("algorithms = [\"HS256\"]\n{MAPS}"), &["HS256"]);
    check(
        &format!("audience = \"a\"\ntoken_types = []\n{MAPS}"),
        &["provider.token_types"],
    );
    check(&format!("isuer = \"x\"\n{MAPS}"), &["isuer"]);
}

#[test]
fn secrets_travel_over_tls_or_not_at_all() {
    for (url, taken) in [
        ("https://id.example", true),
        ("http://127.0.0.1:8080", true),
        ("http://[::1]:8080", true),
        ("http://localhost", true),
        ("http://id.example", false),
        ("http://127.0.0.1.evil.example", false),
        ("https://user:secret@id.example", false),
        ("ftp://id.example", false),
        ("id.example", false),
    ] {
        assert_eq!(secure_url(url).is_ok(), taken, "{url}");
        let text = SMALL.replace("https://id.example/staff", url);
        assert_eq!(load(&format!("{text}{MAPS}")).is_ok(), taken, "{url}");
    }
    for issuer in ["https://id.example?a", "https://id.example#a"] {
        let text = SMALL.replace("https://id.example/staff", issuer);
        assert!(load(&format!("{text}{MAPS}")).is_err(), "{issuer}");
    }
    let back = load_at(&format!("{SMALL}{MAPS}"), "http://landside.example");
    let error = back.unwrap_err();
    assert!(error.contains("http.public_url: `[provider]`"), "{error}");
}

#[test]
fn what_browsers_call_this_server_is_said_once() {
    let config = load_at(&format!("{SMALL}{MAPS}"), "http://127.0.0.1:8080/").unwrap();
    let expected = "http://127.0.0.1:8080/sign-in/external/return";
    assert_eq!(config.return_url, expected);
    check(
        &format!("public_url = \"https://landside.example\"\n{MAPS}"),
        &["provider.public_url", "move it to `[http] public_url`"],
    );
}
