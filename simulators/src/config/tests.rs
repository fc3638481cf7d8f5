//! What a good airport file gives, and which sentence each bad one gets.

use super::*;

const GOOD: &str = r#"
[[zone]]
id = "p1"
name = { ko = "주차장 P1", en = "Car park P1" }

[[agent]]
id = "agent-p1"

[[device]]
id = "gate-1"
kind = "gate"
zone = "p1"
lane = "in-1"
agent = "agent-p1"
name = { ko = "차단기", en = "Gate" }

[[device]]
id = "kiosk-1"
kind = "kiosk"
zone = "p1"
agent = "agent-p1"
name = { ko = "정산기", en = "Kiosk" }

[scenario]
every = "5m"

[[scenario.step]]
at = "20s"
device = "gate-1"
fault = "jammed"
for = "40s"
"#;

#[test]
fn a_good_file_is_understood() {
    let airport = AirportConfig::parse(GOOD, "airport.toml").unwrap();
    assert_eq!(airport.zones[0].name.en, "Car park P1");
    assert_eq!(airport.agents[0].as_str(), "agent-p1");
    let gate = airport.device("gate-1").unwrap();
    assert_eq!(gate.kind, Kind::Gate);
    assert_eq!(gate.lane.as_ref().map(LaneId::as_str), Some("in-1"));
    assert!(airport.device("gate-2").is_none());
    let scenario = airport.scenario.unwrap();
    assert_eq!(scenario.every, Some(Duration::from_secs(300)));
    let step = &scenario.steps[0];
    assert_eq!(
        (step.at, step.fault, step.duration),
        (
            Duration::from_secs(20),
            Fault::Jammed,
            Duration::from_secs(40)
        )
    );
}

#[test]
fn each_mistake_gets_its_sentence() {
    let check = |from: &str, to: &str, sentence: &[&str]| {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replacen(from, to, 1);
        let error = AirportConfig::parse(&text, "airport.toml")
            .unwrap_err()
            .to_string();
        for part in sentence {
            assert!(error.contains(part), "{error:?} lacks {part:?}");
        }
        assert!(!error.contains('\n'), "one line: {error:?}");
        assert!(error.starts_with("airport.toml: "), "{error:?}");
    };
    check(
        "lane = ",
        "lame = ",
        &["line 13", "unknown field `lame`", "`lane`"],
    );
    check(
        "kind = \"gate\"",
        "kind = \"door\"",
        &["line 11", "`door`", "`gate`"],
    );
    check(
        "id = \"gate-1\"",
        "id = \"Gate 1\"",
        &["line 10", "\"Gate 1\"", "device id"],
    );
    check("ko = \"차단기\", ", "", &["line 15", "missing field `ko`"]);
    check(
        "zone = \"p1\"",
        "zone = \"p9\"",
        &["\"gate-1\"", "[[zone]] \"p9\"", "there are: p1"],
    );
    check(
        "agent = \"agent-p1\"",
        "agent = \"agent-x\"",
        &["\"gate-1\"", "[[agent]] \"agent-x\"", "agent-p1"],
    );
    check(
        "id = \"kiosk-1\"",
        "id = \"gate-1\"",
        &["[[device]] \"gate-1\" is there twice"],
    );
    check(
        "[[agent]]",
        "[[zone]]\nid = \"p1\"\nname = { ko = \"\", en = \"\" }\n[[agent]]",
        &["[[zone]] \"p1\" is there twice"],
    );
    check(
        "fault = \"jammed\"",
        "fault = \"paper_out\"",
        &["number 1", "a gate has no fault \"paper_out\"", "jammed"],
    );
    check(
        "device = \"gate-1\"",
        "device = \"gate-9\"",
        &["number 1", "no device \"gate-9\""],
    );
    check(
        "at = \"20s\"",
        "at = \"soon\"",
        &["line 28", "\"soon\" is no duration", "\"20s\""],
    );
    check("at = \"20s\"", "at = 20", &["line 28", "expected a string"]);
    check(
        "for = \"40s\"",
        "for = \"0s\"",
        &["number 1", "`for` is zero"],
    );
    check(
        "for = \"40s\"",
        "for = \"281s\"",
        &["number 1", "301s", "300s"],
    );
    check("every = \"5m\"", "every = \"1ms\"", &["every", "too short"]);
    check(
        "for = \"40s\"",
        "for = \"40s\"\n[[scenario.step]]\nat = \"59s\"\ndevice = \"gate-1\"\nfault = \"jammed\"\nfor = \"9s\"",
        &[
            "number 2",
            "jammed of gate-1 is already on then, by number 1",
        ],
    );
    check("[[agent]]", "[[agent]", &["line 6"]);
}

#[test]
fn a_file_without_devices_is_refused() {
    let error = AirportConfig::parse("", "a.toml").unwrap_err().to_string();
    assert_eq!(
        error,
        "a.toml: there is no [[device]]: an airport needs at least one"
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = AirportConfig::read(Path::new("/nonexistent/airport.toml")).unwrap_err();
    let sentence = error.to_string();
    assert!(
        sentence.starts_with("/nonexistent/airport.toml: cannot be read: "),
        "{sentence}"
    );
}

#[test]
fn durations() {
    let check = |text: &str, ms: Option<u64>| {
        assert_eq!(
            parse_duration(text),
            ms.map(Duration::from_millis),
            "{text:?}"
        );
    };
    check("250ms", Some(250));
    check("20s", Some(20_000));
    check("5m", Some(300_000));
    check("1h", Some(3_600_000));
    check("720h", Some(720 * 3_600_000));
    for bad in [
        "",
        "s",
        "20",
        "-1s",
        "1.5s",
        "20 s",
        "721h",
        "20d",
        "99999999999999999999s",
        "초",
    ] {
        check(bad, None);
    }
}
