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

const BUS: &str = r#"
[[zone]]
id = "p1"
name = { ko = "주차장 P1", en = "Car park P1" }
[[agent]]
id = "agent-p1"
[[bus]]
id = "bus-1"
agent = "agent-p1"
kind = "pty"
baud = 9600
[[device]]
id = "loop-1"
kind = "loop"
zone = "p1"
bus = "bus-1"
unit = 1
name = { ko = "루프", en = "Loop" }
[[device]]
id = "gate-1"
kind = "gate"
zone = "p1"
bus = "bus-1"
unit = 2
name = { ko = "차단기", en = "Gate" }
"#;

#[test]
fn devices_stand_on_a_bus_and_have_its_agent() {
    let airport = AirportConfig::parse(BUS, "airport.toml").unwrap();
    let bus = &airport.buses[0];
    assert_eq!((bus.kind, bus.baud), (BusKind::Pty, 9_600));
    assert_eq!(bus.turn_round, Duration::from_millis(10));
    let gate = airport.device("gate-1").unwrap();
    assert_eq!(
        (gate.agent.as_str(), gate.unit(), gate.medium()),
        ("agent-p1", Some(2), Medium::Bus)
    );
    assert!(gate.fault("wrong_crc").is_ok());
    assert!(
        gate.fault("disconnected").is_err(),
        "a bus has no connections to refuse"
    );
}

#[test]
fn each_mistake_with_a_bus_gets_its_sentence() {
    let check = |from: &str, to: &str, sentence: &str| {
        assert!(BUS.contains(from), "{from}");
        let text = BUS.replacen(from, to, 1);
        let error = AirportConfig::parse(&text, "airport.toml")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(sentence) && !error.contains('\n'),
            "{error:?}"
        );
    };
    check(
        "baud = 9600",
        "baud = 12",
        "[[bus]] \"bus-1\": baud is 300 to 1000000",
    );
    check(
        "baud = 9600",
        "baud = 9600\nturn_round = \"2s\"",
        "turn_round is at most 1s",
    );
    check(
        "agent = \"agent-p1\"",
        "agent = \"agent-x\"",
        "[[bus]] \"bus-1\": there is no [[agent]] \"agent-x\"",
    );
    check("kind = \"pty\"", "kind = \"rope\"", "`rope`");
    check(
        "unit = 2",
        "unit = 1",
        "unit 1 of \"bus-1\" is \"loop-1\" already",
    );
    check("unit = 1", "unit = 0", "unit is 1 to 247");
    check("unit = 1\n", "", "write `agent`, or `bus` and `unit`");
    check(
        "unit = 1",
        "unit = 1\nagent = \"agent-p1\"",
        "write `agent`, or `bus` and `unit`",
    );
    check(
        "kind = \"gate\"",
        "kind = \"kiosk\"",
        "a kiosk does not speak Modbus",
    );
    check(
        "bus = \"bus-1\"",
        "bus = \"bus-9\"",
        "there is no [[bus]] \"bus-9\"",
    );
    check(
        "id = \"bus-1\"",
        "id = \"loop-1\"",
        "\"loop-1\" is there twice",
    );
    let second =
        "[[bus]]\nid = \"bus-2\"\nagent = \"agent-p1\"\nkind = \"tcp\"\nbaud = 9600\n[[bus]]";
    check(
        "[[bus]]",
        second,
        "[[bus]] \"bus-2\": no device stands on it",
    );
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
