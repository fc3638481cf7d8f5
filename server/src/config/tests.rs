//! What a configuration may say, and what is told of its mistakes.

use super::*;

fn load(text: &str, access: &str) -> Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("server.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::write(directory.path().join("access.toml"), access).unwrap();
    let environment = |name: &str| (name == "PASSWORD").then(|| "secret".to_owned());
    Config::load(&path, &environment).map_err(|error| error.to_string())
}

#[track_caller]
fn check(text: &str, access: &str, words: &[&str]) {
    let error = load(text, access).expect_err("the file is broken");
    for word in words {
        assert!(error.contains(word), "{word:?} is missing in: {error}");
    }
    assert!(!error.contains('\n'), "one sentence: {error}");
}

#[test]
fn a_small_file_is_enough() {
    let config = load("data = \"data\"", "").unwrap();
    assert!(config.data.ends_with("data") && config.data.is_absolute());
    assert_eq!(config.http.to_string(), "127.0.0.1:8080");
    assert_eq!(config.database_url, None);
    assert!(config.proxies.is_empty());
}

#[test]
fn origins_are_written_as_browsers_write_them() {
    let origins = |list: &str| {
        let text = format!("data = \"d\"\n[http]\norigins = [{list}]");
        load(&text, "").map(|config| config.origins)
    };
    let listed = |origin: &str| Ok(Origins::Listed(vec![origin.to_owned()]));
    assert_eq!(origins(""), Ok(Origins::SAME));
    assert_eq!(origins("\"*\""), Ok(Origins::Any));
    assert_eq!(
        origins("\"https://a.example\""),
        listed("https://a.example")
    );
    assert_eq!(
        origins("\"http://a.example:81\""),
        listed("http://a.example:81")
    );
    for (wrong, better) in [
        ("https://a.example/", "https://a.example"),
        ("https://A.example", "https://a.example"),
        ("https://a.example:443", "https://a.example"),
        ("a.example", "https://kiosk.example"),
        ("null", "https://kiosk.example"),
    ] {
        let message = origins(&format!("\"{wrong}\"")).unwrap_err();
        assert!(message.contains("http.origins"), "{message}");
        assert!(
            message.ends_with(&format!("write it like \"{better}\"")),
            "{message}"
        );
    }
}

#[test]
fn proxies_are_named_by_their_addresses() {
    let config = load(
        "data = \"d\"\n[http]\nproxies = [\"10.0.0.1\", \"::1\"]",
        "",
    );
    let expected: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
    assert_eq!(config.unwrap().proxies, expected);
    check(
        "data = \"d\"\n[http]\nproxies = [\"10.0.0.0/8\"]",
        "",
        &["server.toml", "proxies"],
    );
}

#[test]
fn heads_go_into_the_data_directory_unless_told() {
    let config = load("data = \"d\"", "").unwrap();
    assert!(config.audit.head.ends_with("d/audit-head.log"));
    assert_eq!((config.audit.syslog, config.number_plates_days), (None, 30));
    let text = "data = \"d\"\n[audit]\nhead = \"/var/log/heads\"\nsyslog = \"/dev/log\"\n[personal]\nnumber_plates_days = 7";
    let config = load(text, "").unwrap();
    assert_eq!(config.audit.head, Path::new("/var/log/heads"));
    assert_eq!(
        (config.audit.syslog.is_some(), config.number_plates_days),
        (true, 7)
    );
    check(
        "data = \"d\"\n[audit]\nsyslog = \"loghost\"",
        "",
        &["server.toml", "audit.syslog", "loghost", "/dev/log"],
    );
    check(
        "data = \"d\"\n[personal]\nnumber_plates_days = 0",
        "",
        &["server.toml", "number_plates_days", "1 and 3650"],
    );
}

#[test]
fn each_mistake_is_named() {
    check("", "", &["server.toml", "data"]);
    check("data = \"d\"\nport = 1", "", &["server.toml", "port"]);
    check(
        "data = \"d\"\n[http]\nlisten = \"8080\"",
        "",
        &["server.toml", "listen"],
    );
    check(
        "data = \"d\"\n[[zone]]\nid = \"P 1\"\nname = {ko=\"a\",en=\"b\"}",
        "",
        &["server.toml", "zone id", "a-z"],
    );
    let zone = "[[zone]]\nid = \"p1\"\nname = {ko=\"a\",en=\"b\"}\n";
    check(
        &format!("data = \"d\"\n{zone}{zone}"),
        "",
        &["server.toml", "p1", "twice"],
    );
    check(
        "data = \"d\"\n[pages]\nutc_offset_minutes = 71582788",
        "",
        &["utc_offset_minutes"],
    );
    check(
        "data = \"d\"\n[tokens]\nkey_days = 0",
        "",
        &["tokens.key_days"],
    );
    for seconds in [0, 29, 3601] {
        check(
            &format!("data = \"d\"\n[tokens]\nlife_seconds = {seconds}"),
            "",
            &["tokens.life_seconds", "30", "3600"],
        );
    }
    check(
        "data = \"d\"\n[access]\nfile = \"missing.toml\"",
        "",
        &["missing.toml"],
    );
}

#[test]
fn other_machines_are_listened_to_with_tls_or_in_words() {
    for (section, key) in [("http", "http.listen"), ("stomp", "stomp.listen")] {
        let open = format!("data = \"d\"\n[{section}]\nlisten = \"0.0.0.0:1\"\n");
        check(&open, "", &[key, "certificate", "proxy", WITHOUT_TLS]);
        let config = load(&format!("{open}without_tls = \"{WITHOUT_TLS}\""), "").unwrap();
        assert!(!config.secure_cookies, "browsers would not send them");
        check(
            &format!("{open}without_tls = \"yes\""),
            "",
            &[key, WITHOUT_TLS],
        );
    }
    let without = "data = \"d\"\n[stomp]\nlisten_tls = \"0.0.0.0:61614\"";
    check(without, "", &["stomp.listen_tls", "[tls]"]);
    let missing = "data = \"d\"\n[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"";
    check(missing, "", &["server.toml", "c.pem"]);
    let unasked = format!("{missing}\nagents_need_certificate = true");
    check(&unasked, "", &["client_authority"]);
    let named = load(
        "data = \"d\"\n[http]\npublic_url = \"https://a.example\"",
        "",
    )
    .unwrap();
    assert!(named.secure_cookies);
    assert_eq!(named.public_url.as_str(), "https://a.example/");
}

#[test]
fn the_access_file_is_checked_too() {
    let server = "data = \"d\"\n[access]\nfile = \"access.toml\"";
    let user = |role: &str, zones: &str, variable: &str| {
        format!(
            "[[user]]\nname=\"kim\"\nfull_name=\"Kim\"\nrole=\"{role}\"\nzones=[\"{zones}\"]\npassword_env=\"{variable}\""
        )
    };
    assert!(load(server, &user("operator", "*", "PASSWORD")).is_ok());
    check(
        server,
        &user("operator", "*", "NOT_SET"),
        &["access.toml", "kim", "NOT_SET"],
    );
    check(
        server,
        &user("agent", "*", "PASSWORD"),
        &["access.toml", "kim", "agent"],
    );
    check(
        server,
        &user("boss", "*", "PASSWORD"),
        &["access.toml", "boss"],
    );
    check(
        server,
        &user("operator", "P 1", "PASSWORD"),
        &["access.toml", "kim", "P 1"],
    );
    check(
        server,
        &user("operator", "p9", "PASSWORD"),
        &["access.toml", "kim", "p9", "no zone"],
    );
}
