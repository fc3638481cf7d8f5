//! The shipped profiles are right; each kind of mistake is refused with a sentence.

use std::path::{Path, PathBuf};

use contract::command::Risk;

use super::*;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles")
}

fn file(name: &str) -> String {
    std::fs::read_to_string(directory().join(name)).unwrap()
}

fn gate() -> Profile {
    parse(Path::new("gate.toml"), &file("gate-came-crp.toml")).unwrap()
}

#[test]
fn the_shipped_profiles_are_right() {
    let profiles = load_dir(&directory()).unwrap();
    let ids: Vec<_> = profiles.keys().map(ProfileId::as_str).collect();
    assert_eq!(
        ids,
        [
            "gate.came.crp",
            "kiosk.jsonl",
            "loop.ld120",
            "printer.escpos"
        ]
    );
    for profile in profiles.values() {
        assert_eq!(profile.hash.len(), 64);
        let mut fetched: Vec<usize> = profile
            .blocks
            .iter()
            .flat_map(|block| block.points.clone())
            .collect();
        fetched.sort_unstable();
        let every_point: Vec<usize> = (0..profile.points.len()).collect();
        assert_eq!(
            fetched, every_point,
            "each point of {} is fetched once",
            profile.id
        );
    }
}

#[test]
fn neighbouring_points_of_one_class_are_read_together() {
    let profile = gate();
    let reads: Vec<_> = profile
        .blocks
        .iter()
        .map(|block| (block.class, block.read, block.points.len()))
        .collect();
    let holding = |addr, count| Read::Modbus {
        table: Table::HoldingRegister,
        addr,
        count,
    };
    assert_eq!(
        reads,
        [
            (PollClass::Fast, holding(100, 3), 3),
            (PollClass::Normal, holding(103, 7), 3),
            (PollClass::Slow, holding(104, 4), 2),
            (PollClass::Once, holding(1, 1), 1),
        ]
    );
}

#[test]
fn limits_and_gaps_split_blocks_but_never_values() {
    let text = file("gate-came-crp.toml")
        .replace("max_regs = 40", "max_regs = 3")
        .replace("max_gap = 8 ", "max_gap = 0 ");
    let profile = parse(Path::new("gate.toml"), &text).unwrap();
    for block in &profile.blocks {
        let Read::Modbus { addr, count, .. } = block.read else {
            panic!("a gate speaks Modbus");
        };
        assert!(count <= 3);
        for &index in &block.points {
            let Source::Modbus {
                addr: point, kind, ..
            } = profile.points[index].source
            else {
                panic!("a gate speaks Modbus");
            };
            assert!(addr <= point && point + kind.width() <= addr + count);
        }
    }
    let normal = profile
        .blocks
        .iter()
        .filter(|block| block.class == PollClass::Normal)
        .count();
    assert_eq!(
        normal, 2,
        "the hole between 103 and 108 is not read in vain"
    );
}

#[test]
fn the_inventory_says_what_the_profile_says() {
    let announced = gate().announced();
    let state = &announced.points[0];
    assert!(state.is_state && state.period_ms == 250);
    assert_eq!(state.labels["open"].ko, "열림");
    assert_eq!(announced.points[1].range, Some((0.0, 100.0)));
    assert_eq!(announced.faults.len(), 4, "its own three and COMM");
    let open = &announced.commands[0];
    assert_eq!((open.ttl_ms, open.timeout_ms), (10_000, 20_000));
    let kiosk = parse(Path::new("kiosk.toml"), &file("kiosk-jsonl.toml"))
        .unwrap()
        .announced();
    let reboot = &kiosk.commands[0];
    assert_eq!(reboot.risk, Risk::Critical);
    assert_eq!(
        (reboot.params[0].max, reboot.timeout_ms),
        (600.0, 785_000),
        "the longest delay counts"
    );
}

#[test]
fn a_write_takes_the_function_of_its_values() {
    let write = |to: &str| {
        let one = "write = [{ table = \"coil\", addr = 1, value = true }]";
        let text = file("gate-came-crp.toml").replacen(one, to, 1);
        let profile = parse(Path::new("gate.toml"), &text).unwrap();
        let Action::Modbus(mut writes) = profile.commands[0].action.clone() else {
            panic!("a gate speaks Modbus");
        };
        writes.remove(0)
    };
    for (to, expected) in [
        (
            "write = [{ table = \"coil\", addr = 1, values = [true, false] }]",
            RegisterWrite::Coils {
                addr: 1,
                on: vec![true, false],
            },
        ),
        (
            "write = [{ table = \"holding\", addr = 65534, values = [7, 65535] }]",
            RegisterWrite::Registers {
                addr: 65534,
                words: vec![7, 65535],
            },
        ),
        (
            "write = [{ table = \"holding\", addr = 9, values = [7], read = { addr = 3, count = 2 } }]",
            RegisterWrite::Exchange {
                read: 3,
                count: 2,
                addr: 9,
                words: vec![7],
            },
        ),
    ] {
        assert_eq!(write(to), expected);
    }
}

/// Replaces `from` by `to` in a shipped profile, and expects an error that has `expected`.
fn check(name: &str, from: &str, to: &str, expected: &str) {
    let text = file(name);
    assert!(text.contains(from), "{name} has no {from:?}");
    let error = parse(Path::new("p.toml"), &text.replacen(from, to, 1))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("p.toml: ") && error.contains(expected) && !error.contains('\n'),
        "{from:?} -> {to:?}: {error}"
    );
}

#[test]
fn a_mistake_in_a_gate_is_told() {
    let file = "gate-came-crp.toml";
    for (from, to, expected) in [
        (
            "max_regs = 40",
            "max_regs = 126",
            "max_regs must be 1 to 125",
        ),
        (
            "kind = \"modbus\"",
            "kind = \"rtu\"",
            "unknown variant `rtu`",
        ),
        (
            "min_gap = \"5ms\"",
            "min_gap = \"5ms\"\nspeed = 9",
            "unknown field `speed`",
        ),
        (
            "timeout = \"400ms\"",
            "timeout = \"400\"",
            "no length of time",
        ),
        (
            "ref = \"40101\"",
            "ref = \"40102\"",
            "is address 101, but addr says 100",
        ),
        (
            "ref = \"40101\"",
            "ref = \"30101\"",
            "not of the point's table",
        ),
        (
            "value = 100000 }",
            "value = 100001 }",
            "sample decodes to 100000, but says 100001",
        ),
        (
            "byte_order = \"CDAB\"            # least",
            "byte_order = \"ABCD\"            # least",
            "sample decodes to",
        ),
        (
            "sample = { regs = [0x86A0, 0x0001], value = 100000 }\n",
            "",
            "needs a sample",
        ),
        (
            "type = \"u16\"\npoll = \"fast\"\nrole",
            "type = \"f64\"\npoll = \"fast\"\nrole",
            "in a Modbus table",
        ),
        (
            "table = \"holding\"\naddr = 101",
            "addr = 101",
            "say where it comes from",
        ),
        ("range = [0, 100]", "range = [100, 0]", "wrong way round"),
        ("fast = \"250ms\"", "fast = \"1ms\"", "at least 20ms"),
        ("fast = \"250ms\"\n", "", "has no period"),
        (
            "0 = { id = \"unknown\"",
            "x = { id = \"unknown\"",
            "is no number",
        ),
        ("en = \"State\" }", "}", "missing field `en`"),
    ] {
        check(file, from, to, expected);
    }
}

#[test]
fn a_mistake_in_a_gates_rules_or_commands_is_told() {
    let file = "gate-came-crp.toml";
    for (from, to, expected) in [
        (
            "point = \"flags\", bit = 0",
            "point = \"flag\", bit = 0",
            "no point \"flag\"",
        ),
        ("bit = 0", "bit = 16", "bit (below 16)"),
        ("bit = 0", "bit = 0, eq = 1", "exactly one of"),
        (
            "in = [\"opening\", \"closing\"], for",
            "in = [\"flying\"], for",
            "no value that the point can have",
        ),
        (
            "for = \"15s\" }",
            "for = \"15s\" }\non_delay = \"1s\"",
            "keep one of them",
        ),
        (
            "suppress_when = [\"COMM\"]",
            "suppress_when = [\"COMN\"]",
            "no fault of this profile",
        ),
        ("code = \"BAR-CAL\"", "code = \"COMM\"", "built in"),
        ("code = \"BAR-CAL\"", "code = \"BAR-ERR\"", "twice"),
        ("detail = \"last_error\"\n", "", "{value}"),
        (
            "write = [{ table = \"coil\", addr = 1, value = true }]",
            "write = [{ table = \"coil\", addr = 1, value = 7 }]",
            "a coil takes true or false",
        ),
        (
            "write = [{ table = \"coil\", addr = 1, value = true }]",
            "write = [{ table = \"coil\", addr = 1 }]",
            "either `value`, or `values`",
        ),
        (
            "write = [{ table = \"coil\", addr = 1, value = true }]",
            "write = [{ table = \"coil\", addr = 1, values = [] }]",
            "1 to 1968 values",
        ),
        (
            "write = [{ table = \"coil\", addr = 1, value = true }]",
            "write = [{ table = \"holding\", addr = 65535, values = [1, 2] }]",
            "the last one at 65535",
        ),
        (
            "write = [{ table = \"coil\", addr = 1, value = true }]",
            "write = [{ table = \"holding\", addr = 1, values = [65536] }]",
            "0 to 65535",
        ),
        (
            "write = [{ table = \"coil\", addr = 1, value = true }]",
            "write = [{ table = \"input\", addr = 1, values = [1] }]",
            "cannot be written",
        ),
        (
            "write = [{ table = \"coil\", addr = 1, value = true }]",
            "write = [{ table = \"coil\", addr = 1, values = [true], read = { addr = 1, count = 1 } }]",
            "holding registers only",
        ),
        (
            "write = [{ table = \"coil\", addr = 1, value = true }]",
            "write = [{ table = \"holding\", addr = 1, values = [1], read = { addr = 1, count = 0 } }]",
            "1 to 125",
        ),
        (
            "write = [{ table = \"coil\", addr = 1, value = true }]",
            "raw = \"10\"",
            "the modbus driver cannot do that",
        ),
        (
            "not = { fault = \"COMM\" }",
            "not = { fault = \"X\" }",
            "no fault \"X\"",
        ),
        ("within = \"3s\", final", "final", "say `within`"),
        (
            "expire = \"10s\"",
            "expire = \"0s\"",
            "expire must be more than 0",
        ),
        ("name = \"open\"", "name = \"close\"", "twice"),
    ] {
        check(file, from, to, expected);
    }
}

#[test]
fn a_mistake_in_a_kiosk_or_a_printer_is_told() {
    let kiosk = "kiosk-jsonl.toml";
    for (from, to, expected) in [
        (
            "type = \"line\"",
            "type = \"stx_etx\"",
            "unknown variant `stx_etx`",
        ),
        (
            "payload = \"json\"",
            "payload = \"xml\"",
            "unknown variant `xml`",
        ),
        (
            "correlate = \"/id\"",
            "correlate = \"id\"",
            "no JSON pointer",
        ),
        ("\"id\":\"{seq}\"", "\"id\":\"1\"", "must hold {seq}"),
        (
            "from = \"status\"",
            "from = \"state\"",
            "no request \"state\"",
        ),
        ("{delay}", "{delai}", "{delai}"),
        ("\"id\":\"{cmd_id}\",", "", "must hold {cmd_id}"),
        ("default = 10", "default = 601", "must rise"),
        ("plus = \"delay\"", "plus = \"pause\"", "no parameter"),
        ("unit = \"s\"\ndeadband = 60", "deadband = 60", "unit \"s\""),
        ("gt = 95", "gt = \"full\"", "expected f64"),
    ] {
        check(kiosk, from, to, expected);
    }
    let printer = "printer-escpos.toml";
    for (from, to, expected) in [
        ("query = 1", "query = 5", "1 to 4"),
        (
            "query = 1",
            "query = 1\ntable = \"coil\"\naddr = 1",
            "nothing else",
        ),
        ("value = 0x12", "value = 0x16", "no reply could pass"),
        ("raw = \"10 05 02\"", "raw = \"10 5\"", "not hexadecimal"),
        (
            "mask = 0x0C, eq = 0x0C",
            "mask = 0x10C, eq = 0x0C",
            "8 bits",
        ),
        ("data = 8", "data = 9", "7 or 8"),
    ] {
        check(printer, from, to, expected);
    }
}

#[test]
fn two_files_with_one_id_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["a.toml", "b.toml"] {
        std::fs::write(directory.path().join(name), file("printer-escpos.toml")).unwrap();
    }
    let error = load_dir(directory.path()).unwrap_err().to_string();
    assert!(
        error.contains("b.toml") && error.contains("printer.escpos"),
        "{error}"
    );
}
