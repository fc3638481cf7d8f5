//! The three types of device of the sample airport.

use std::collections::BTreeMap;

use contract::Text;
use contract::command::Risk;
use contract::inventory::{CommandType, Parameter, Point, Profile};
use contract::reading::PollClass;

use super::text;

fn point(id: &str, name: Text, unit: &str, range: Option<(f64, f64)>) -> Point {
    Point {
        id: id.parse().expect("a point id"),
        name,
        unit: unit.to_owned(),
        poll: PollClass::Normal,
        period_ms: 1_000,
        range,
        is_state: false,
        labels: BTreeMap::new(),
        personal: None,
    }
}

fn command(name: &str, label: Text, risk: Risk, confirm: bool) -> CommandType {
    CommandType {
        name: name.to_owned(),
        text: label,
        risk,
        confirm,
        ttl_ms: 10_000,
        timeout_ms: 15_000,
        params: Vec::new(),
    }
}

pub(crate) fn gate_profile() -> Profile {
    let mut state = point("state", text("상태", "State"), "", None);
    state.is_state = true;
    for (label, ko, en) in [
        ("open", "열림", "Open"),
        ("closed", "닫힘", "Closed"),
        ("opening", "열리는 중", "Opening"),
        ("stopped", "정지", "Stopped"),
    ] {
        state.labels.insert(label.to_owned(), text(ko, en));
    }
    Profile {
        id: "gate.came.crp".parse().expect("a profile id"),
        version: 1,
        hash: String::new(),
        name: text("차단기 (CAME CRP)", "Barrier gate (CAME CRP)"),
        class: "barrier".to_owned(),
        points: vec![
            state,
            point(
                "position",
                text("위치", "Position"),
                "%",
                Some((0.0, 100.0)),
            ),
            point("last_error", text("마지막 오류", "Last error"), "", None),
            point("operations", text("동작 횟수", "Operations"), "", None),
            point(
                "board_temp",
                text("기판 온도", "Board temperature"),
                "°C",
                Some((-40.0, 85.0)),
            ),
        ],
        faults: Vec::new(),
        commands: vec![
            command("open", text("열기", "Open"), Risk::Normal, false),
            command("close", text("닫기", "Close"), Risk::Normal, true),
            command("stop", text("정지", "Stop"), Risk::Normal, false),
            command(
                "reset",
                text("오류 해제", "Reset error"),
                Risk::Normal,
                true,
            ),
        ],
    }
}

pub(crate) fn kiosk_profile() -> Profile {
    let mut paper = point("printer.paper", text("용지", "Paper"), "", None);
    paper.is_state = true;
    for (label, ko, en) in [
        ("ok", "정상", "OK"),
        ("low", "부족", "Low"),
        ("out", "없음", "Out"),
    ] {
        paper.labels.insert(label.to_owned(), text(ko, en));
    }
    let mut reboot = command("reboot", text("재시작", "Reboot"), Risk::Critical, true);
    reboot.params.push(Parameter {
        name: "delay".to_owned(),
        text: text("지연", "Delay"),
        min: 0.0,
        max: 600.0,
        default: 10.0,
        unit: "s".to_owned(),
    });
    Profile {
        id: "kiosk.jsonl".parse().expect("a profile id"),
        version: 1,
        hash: String::new(),
        name: text("무인정산기", "Pay kiosk"),
        class: "kiosk".to_owned(),
        points: vec![
            paper,
            point("card.state", text("카드 단말기", "Card terminal"), "", None),
            point(
                "cash.level",
                text("현금함", "Cash box"),
                "%",
                Some((0.0, 100.0)),
            ),
            point("uptime", text("가동 시간", "Uptime"), "s", None),
        ],
        faults: Vec::new(),
        commands: vec![reboot],
    }
}

pub(crate) fn printer_profile() -> Profile {
    let mut profile = kiosk_profile();
    profile.id = "printer.escpos".parse().expect("a profile id");
    profile.name = text("영수증 프린터", "Receipt printer");
    profile.class = "printer".to_owned();
    profile.points.truncate(1);
    profile.commands.clear();
    profile
}
