//! A small airport in every condition: shared by the tests and the gallery.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, FixedOffset, Utc};
use contract::alarm::{Acknowledgement, AlarmState, AlarmView, Priority};
use contract::command::{CommandState, CommandView, Reason, ReasonCode};
use contract::device::{Condition, DeviceView, PointView, ZoneView};
use contract::inventory::Profile;
use contract::{CommandId, DeviceId, Language, Quality, Role, Text, Value, ZoneId};
use uuid::Uuid;
use web_ui::{KnownDevice, Lock, Notice, Permissions, Person, PriorityCount, Shell, Viewing};

#[path = "sample/profile.rs"]
mod profile;

use profile::{gate_profile, kiosk_profile, printer_profile};

pub(crate) fn now() -> DateTime<Utc> {
    "2026-11-22T07:08:12Z".parse().expect("a time")
}

pub(crate) fn viewing(language: Language) -> Viewing {
    Viewing {
        language,
        offset: FixedOffset::east_opt(9 * 3_600).expect("nine hours"),
        now: now(),
    }
}

pub(crate) fn text(ko: &str, en: &str) -> Text {
    Text {
        ko: ko.to_owned(),
        en: en.to_owned(),
    }
}

pub(crate) fn ago(seconds: i64) -> DateTime<Utc> {
    now() - Duration::seconds(seconds)
}

fn reading(
    id: &str,
    value: Option<Value>,
    quality: Quality,
    at: Option<DateTime<Utc>>,
) -> PointView {
    PointView {
        point: id.parse().expect("a point id"),
        value,
        quality,
        at,
    }
}

pub(crate) fn device(
    profile: &Profile,
    id: &str,
    name: Text,
    zone: &str,
    lane: &str,
) -> DeviceView {
    let state = if profile.class == "barrier" {
        "closed"
    } else {
        "ok"
    };
    let points = profile
        .points
        .iter()
        .map(|point| {
            let value = match point.id.as_str() {
                "state" | "printer.paper" => Value::Text(state.to_owned()),
                "card.state" => Value::Text("up".to_owned()),
                "position" => Value::Number(0.0),
                "operations" => Value::Number(104_233.0),
                "board_temp" => Value::Number(21.3),
                "cash.level" => Value::Number(63.0),
                "uptime" => Value::Number(532_100.0),
                _ => Value::Number(0.0),
            };
            reading(point.id.as_str(), Some(value), Quality::Good, Some(ago(1)))
        })
        .collect();
    DeviceView {
        id: id.parse().expect("a device id"),
        name,
        zone: zone.parse().expect("a zone id"),
        lane: (!lane.is_empty()).then(|| lane.parse().expect("a lane id")),
        profile: profile.id.clone(),
        class: profile.class.clone(),
        agent: "agent-p1".parse().expect("an agent id"),
        condition: Condition::Ok,
        condition_since: ago(90_000),
        highest_alarm: None,
        active_alarms: 0,
        unacknowledged_alarms: 0,
        last_heard_at: Some(ago(1)),
        points,
    }
}

pub(crate) fn set_quality(view: &mut DeviceView, quality: Quality, at: Option<DateTime<Utc>>) {
    for point in &mut view.points {
        point.quality = quality;
        point.at = at;
        if quality == Quality::Unknown {
            point.value = None;
        }
    }
}

pub(crate) fn set_value(view: &mut DeviceView, point: &str, value: Value) {
    let found = view
        .points
        .iter_mut()
        .find(|found| found.point.as_str() == point);
    found.expect("a point of the device").value = Some(value);
}

/// What is wrong at the sample airport.
pub(crate) fn alarms() -> Vec<AlarmView> {
    let alarm =
        |id, device: &str, device_name, code: &str, what, priority, state, since| AlarmView {
            id,
            device: device.parse().expect("a device id"),
            device_name,
            zone: "p1".parse().expect("a zone id"),
            lane: None,
            code: code.parse().expect("a fault code"),
            text: what,
            priority,
            state,
            occurrence: 3,
            count: 1,
            raised_at: ago(since),
            received_at: ago(since),
            cleared_at: None,
            acknowledged: None,
            detail: None,
        };
    let mut alarms = vec![
        alarm(
            12,
            "gate-p1-in-2",
            text("P1 입구 2 차단기", "P1 entry 2 gate"),
            "BAR-STUCK",
            text(
                "차단기 동작 시간 초과",
                "Gate did not reach its end position",
            ),
            Priority::Critical,
            AlarmState::Unacknowledged,
            8,
        ),
        alarm(
            15,
            "kiosk-p1-out-1",
            text("P1 출구 1 정산기", "P1 exit 1 kiosk"),
            "KSK-CARD-DOWN",
            text("카드 단말기 중단", "Card terminal down"),
            Priority::High,
            AlarmState::Unacknowledged,
            52,
        ),
        alarm(
            17,
            "kiosk-t1-1",
            text("T1 하차장 정산기", "T1 kerb kiosk"),
            "KSK-CASH-FULL",
            text("현금함 가득 참 (97 %)", "Cash box full (97 %)"),
            Priority::Medium,
            AlarmState::Unacknowledged,
            610,
        ),
        alarm(
            9,
            "printer-p1-out-2",
            text("P1 출구 2 프린터", "P1 exit 2 printer"),
            "COMM",
            text("장치와 통신할 수 없음", "The device does not answer"),
            Priority::High,
            AlarmState::Acknowledged,
            4_210,
        ),
        alarm(
            21,
            "kiosk-p1-out-2",
            text("P1 출구 2 정산기", "P1 exit 2 kiosk"),
            "KSK-PAPER-LOW",
            text("용지 부족", "Paper low"),
            Priority::Low,
            AlarmState::Acknowledged,
            9_000,
        ),
        alarm(
            7,
            "gate-p1-out-1",
            text("P1 출구 1 차단기", "P1 exit 1 gate"),
            "BAR-ERR",
            text("차단기 오류 17", "Gate error 17"),
            Priority::High,
            AlarmState::ReturnedUnacknowledged,
            88_000,
        ),
    ];
    let seen = Acknowledgement {
        by: "김민서".to_owned(),
        at: ago(4_150),
    };
    alarms[3].acknowledged = Some(seen.clone());
    alarms[4].acknowledged = Some(seen);
    alarms[1].count = 4;
    alarms[5].cleared_at = Some(ago(400));
    alarms
}

pub(crate) fn counts() -> [PriorityCount; 4] {
    [(1, 1), (2, 2), (1, 1), (1, 0)].map(|(active, unacknowledged)| PriorityCount {
        active,
        unacknowledged,
    })
}

pub(crate) const OPERATOR: Permissions = Permissions {
    acknowledge: true,
    command_view: true,
    command_normal: true,
    command_critical: false,
    command_emergency: true,
    approve: true,
    people: false,
    code_for_view: false,
    code_for_normal: false,
    code_for_critical: false,
    locked: false,
    reveal: true,
    audit: true,
};

pub(crate) fn zone_ids() -> Vec<ZoneId> {
    ["p1", "t1"]
        .map(|id| id.parse().expect("a zone id"))
        .to_vec()
}

pub(crate) fn shell<'a>(
    language: Language,
    path: &'a str,
    zones: &'a [ZoneId],
    alarms: &'a [AlarmView],
    notice: Option<Notice>,
) -> Shell<'a> {
    Shell {
        viewing: viewing(language),
        person: Person {
            full_name: match language {
                Language::Ko => "김민서",
                Language::En => "Minseo Kim",
            },
            role: Role::Operator,
        },
        may: OPERATOR,
        lock: Lock {
            idle_seconds: 900,
            is_locked: false,
            provider: None,
        },
        csrf: "csrf-token-of-the-login",
        position: "7f3a-1042",
        zones,
        path,
        newest_alarms: alarms,
        alarm_counts: if alarms.is_empty() {
            Default::default()
        } else {
            counts()
        },
        recording: true,
        notice,
        version: "0.1.0",
    }
}

/// The airport's devices, in the order of their lanes.
pub(crate) struct Airport {
    pub(crate) profiles: [Profile; 3],
    pub(crate) devices: Vec<DeviceView>,
    pub(crate) zones: Vec<ZoneView>,
}

impl Airport {
    pub(crate) fn new() -> Self {
        let profiles = [gate_profile(), kiosk_profile(), printer_profile()];
        let [gate, kiosk, printer] = &profiles;
        let mut devices = Vec::new();
        for (lane, ko, en) in [
            ("in-1", "입구 1", "entry 1"),
            ("in-2", "입구 2", "entry 2"),
            ("in-3", "입구 3", "entry 3"),
            ("out-1", "출구 1", "exit 1"),
            ("out-2", "출구 2", "exit 2"),
        ] {
            for (profile, kind, kind_ko, kind_en) in [
                (gate, "gate", "차단기", "gate"),
                (kiosk, "kiosk", "정산기", "kiosk"),
                (printer, "printer", "프린터", "printer"),
            ] {
                devices.push(device(
                    profile,
                    &format!("{kind}-p1-{lane}"),
                    text(&format!("P1 {ko} {kind_ko}"), &format!("P1 {en} {kind_en}")),
                    "p1",
                    lane,
                ));
            }
        }
        for number in 1..=4 {
            devices.push(device(
                kiosk,
                &format!("kiosk-t1-{number}"),
                text(
                    &format!("T1 하차장 정산기 {number}"),
                    &format!("T1 kerb kiosk {number}"),
                ),
                "t1",
                if number < 3 { "kerb-a" } else { "" },
            ));
        }
        let mut airport = Self {
            zones: vec![
                zone(
                    "p1",
                    text("주차장 P1", "Car park P1"),
                    15,
                    (2, 3, 4, 3),
                    Some(Priority::Critical),
                ),
                zone(
                    "t1",
                    text("제1터미널 하차장", "Terminal 1 kerb"),
                    4,
                    (0, 1, 1, 1),
                    Some(Priority::Medium),
                ),
                zone(
                    "p2",
                    text("주차장 P2", "Car park P2"),
                    0,
                    (0, 0, 0, 0),
                    None,
                ),
            ],
            profiles,
            devices,
        };
        airport.trouble();
        airport
    }

    fn trouble(&mut self) {
        let gate = self.device_mut("gate-p1-in-1");
        set_value(gate, "state", Value::Text("open".to_owned()));
        set_value(gate, "position", Value::Number(100.0));
        let gate = self.device_mut("gate-p1-in-2");
        gate.condition = Condition::Faulty;
        gate.condition_since = ago(8);
        (
            gate.highest_alarm,
            gate.active_alarms,
            gate.unacknowledged_alarms,
        ) = (Some(Priority::Critical), 2, 1);
        set_value(gate, "state", Value::Text("opening".to_owned()));
        set_value(gate, "position", Value::Number(38.0));
        set_value(gate, "last_error", Value::Number(17.0));
        gate.points[4].quality = Quality::Stale;
        gate.points[4].at = Some(ago(95));
        let kiosk = self.device_mut("kiosk-p1-out-1");
        kiosk.condition = Condition::Faulty;
        (
            kiosk.highest_alarm,
            kiosk.active_alarms,
            kiosk.unacknowledged_alarms,
        ) = (Some(Priority::High), 1, 1);
        for id in ["printer-p1-out-2", "gate-p1-out-2"] {
            let silent = self.device_mut(id);
            silent.condition = Condition::Unknown;
            silent.condition_since = ago(4_210);
            silent.last_heard_at = Some(ago(4_220));
            (silent.highest_alarm, silent.active_alarms) = (Some(Priority::High), 1);
            set_quality(silent, Quality::CommLost, Some(ago(4_220)));
        }
        let low = self.device_mut("kiosk-p1-out-2");
        set_value(low, "printer.paper", Value::Text("low".to_owned()));
        low.condition = Condition::Faulty;
        (low.highest_alarm, low.active_alarms) = (Some(Priority::Low), 1);
        self.device_mut("gate-p1-out-1").unacknowledged_alarms = 1;
        self.device_mut("printer-p1-in-3").condition = Condition::OutOfService;
        self.device_mut("kiosk-p1-in-3").condition = Condition::OffOnPurpose;
        let new = self.device_mut("kiosk-t1-4");
        new.condition = Condition::Unregistered;
        set_quality(new, Quality::Unknown, None);
        let full = self.device_mut("kiosk-t1-1");
        full.condition = Condition::Faulty;
        (
            full.highest_alarm,
            full.active_alarms,
            full.unacknowledged_alarms,
        ) = (Some(Priority::Medium), 1, 1);
        set_quality(
            self.device_mut("printer-p1-in-1"),
            Quality::Stale,
            Some(ago(31)),
        );
    }

    fn device_mut(&mut self, id: &str) -> &mut DeviceView {
        let found = self
            .devices
            .iter_mut()
            .find(|device| device.id.as_str() == id);
        found.expect("a device of the airport")
    }

    pub(crate) fn known(&self, id: &str) -> KnownDevice<'_> {
        let view = self.devices.iter().find(|device| device.id.as_str() == id);
        let view = view.expect("a device of the airport");
        KnownDevice {
            view,
            profile: self
                .profiles
                .iter()
                .find(|profile| profile.id == view.profile),
        }
    }
}

fn zone(
    id: &str,
    name: Text,
    devices: u32,
    (unknown, faulty, active_alarms, unacknowledged_alarms): (u32, u32, u32, u32),
    highest_alarm: Option<Priority>,
) -> ZoneView {
    ZoneView {
        id: id.parse().expect("a zone id"),
        name,
        devices,
        unknown,
        faulty,
        highest_alarm,
        active_alarms,
        unacknowledged_alarms,
    }
}

/// What a gate was told: one command of each kind of outcome.
pub(crate) fn commands(device: &DeviceId) -> Vec<CommandView> {
    let because = |code, detail: &str| {
        Some(Reason {
            code,
            detail: detail.to_owned(),
        })
    };
    let given: [(u128, &str, CommandState, Option<Reason>, i64); 5] = [
        (5, "open", CommandState::Executing, None, 2),
        (4, "stop", CommandState::Unverified, None, 70),
        (
            3,
            "close",
            CommandState::Rejected,
            because(ReasonCode::Interlock, "loop_safety.detect = true"),
            340,
        ),
        (
            2,
            "open",
            CommandState::Unknown,
            because(ReasonCode::Interrupted, ""),
            3_700,
        ),
        (1, "open", CommandState::Succeeded, None, 7_200),
    ];
    given
        .into_iter()
        .map(|(id, name, state, reason, seconds)| CommandView {
            id: CommandId(Uuid::from_u128(id)),
            device: device.clone(),
            name: name.to_owned(),
            params: BTreeMap::new(),
            state,
            reason,
            issued_by: "kim".to_owned(),
            issued_at: ago(seconds),
            state_at: ago(seconds),
        })
        .collect()
}
