//! What a device-agent says, said by a test.

use std::time::Instant;

use chrono::{DateTime, Utc};
use contract::alarm::Severity;
use contract::command::{Command, CommandResult, CommandState, Reason};
use contract::event::{Event, Events, Happening};
use contract::heartbeat::Heartbeat;
use contract::inventory::{CommandType, Device, Fault, Inventory, Personal, Point, Profile};
use contract::reading::{DeviceReadings, PollClass, Quality, Reading, Readings};
use contract::{AgentId, Epoch, InstanceId, Text, Value};
use uuid::Uuid;

use crate::stomp_client::StompClient;

pub(crate) struct FakeAgent {
    pub(crate) stomp: StompClient,
    pub(crate) id: AgentId,
    pub(crate) instance: InstanceId,
    pub(crate) epoch: Epoch,
    readings: u64,
    started: Instant,
}

/// What its monotonic clock says when it joins.
const MONOTONIC_MS: u64 = 1_000;

pub(crate) fn at(second: u32) -> DateTime<Utc> {
    format!("2026-11-22T07:00:{second:02}Z").parse().unwrap()
}

fn text(en: &str) -> Text {
    Text {
        ko: format!("{en} (ko)"),
        en: en.to_owned(),
    }
}

fn profile() -> Profile {
    let point = |id: &str, is_state| Point {
        id: id.parse().unwrap(),
        name: text(id),
        unit: String::new(),
        poll: PollClass::Fast,
        period_ms: 250,
        range: None,
        is_state,
        labels: [("open".to_owned(), text("Open"))].into(),
        personal: None,
    };
    let plate = Point {
        personal: Some(Personal::NumberPlate),
        labels: [].into(),
        ..point("plate", false)
    };
    let command = |name: &str, risk| CommandType {
        name: name.to_owned(),
        text: text(name),
        risk,
        confirm: false,
        ttl_ms: 5_000,
        timeout_ms: 10_000,
        params: Vec::new(),
    };
    Profile {
        id: "gate.test".parse().unwrap(),
        version: 1,
        hash: "gate-test-1".to_owned(),
        name: text("Gate"),
        class: "barrier".to_owned(),
        points: vec![point("state", true), point("position", false), plate],
        faults: vec![
            Fault {
                code: "BAR-ERR".parse().unwrap(),
                severity: Severity::Major,
                text: text("Gate error {value}"),
                personal: None,
            },
            Fault {
                code: "CAM-NO-ENTRY".parse().unwrap(),
                severity: Severity::Minor,
                text: text("No entry {value}"),
                personal: Some(Personal::NumberPlate),
            },
        ],
        commands: vec![
            command("open", contract::command::Risk::Normal),
            command("reset", contract::command::Risk::Critical),
            command("evacuate", contract::command::Risk::Emergency),
            command("look", contract::command::Risk::View),
        ],
    }
}

/// One raise or clear.
pub(crate) fn event(sequence: u64, device: &str, code: &str, raised: bool) -> Event {
    let fault = code.parse().unwrap();
    let happening = if raised {
        Happening::FaultRaised {
            fault,
            severity: Severity::Major,
            detail: Some(Value::Number(17.0)),
        }
    } else {
        Happening::FaultCleared { fault }
    };
    let second = u32::try_from(sequence % 60).unwrap();
    Event {
        sequence,
        device: device.parse().unwrap(),
        at: at(second),
        happening,
    }
}

impl FakeAgent {
    /// Announces the devices of `id` on an open connection.
    pub(crate) async fn join(mut stomp: StompClient, id: &str) -> Self {
        let (instance, epoch) = (InstanceId(Uuid::new_v4()), Epoch(Uuid::new_v4()));
        stomp
            .send("/app/inventory", &inventory(id, instance, epoch))
            .await;
        Self {
            stomp,
            id: id.parse().unwrap(),
            instance,
            epoch,
            readings: 0,
            started: Instant::now(),
        }
    }

    fn monotonic_ms(&self) -> u64 {
        MONOTONIC_MS + u64::try_from(self.started.elapsed().as_millis()).unwrap()
    }

    /// Sends events, and waits until they are durable.
    pub(crate) async fn events(&mut self, events: Vec<Event>) {
        let body = Events {
            agent: self.id.clone(),
            epoch: self.epoch,
            events,
        };
        self.stomp.send("/app/events", &body).await;
    }

    /// Says that it runs.
    pub(crate) async fn heartbeat(&mut self, monotonic_ms: u64) {
        let body = Heartbeat {
            agent: self.id.clone(),
            instance: self.instance,
            sent_at: Utc::now(),
            monotonic_ms,
            outbox_events: 0,
            lines: Vec::new(),
        };
        self.stomp.send("/app/heartbeats", &body).await;
    }

    /// Says that the gate is in this state.
    pub(crate) async fn gate_is(&mut self, state: &str) {
        self.read("state", state).await;
    }

    /// Says that a camera of the gate read this plate.
    pub(crate) async fn plate_is(&mut self, plate: &str) {
        self.read("plate", plate).await;
    }

    async fn read(&mut self, point: &str, value: &str) {
        self.readings += 1;
        let now = Utc::now();
        let reading = Reading {
            point: point.parse().unwrap(),
            value: Some(Value::Text(value.to_owned())),
            quality: Quality::Good,
            at: now,
        };
        let body = Readings {
            agent: self.id.clone(),
            instance: self.instance,
            sequence: self.readings,
            sent_at: now,
            monotonic_ms: self.monotonic_ms(),
            devices: vec![DeviceReadings {
                device: "gate-1".parse().unwrap(),
                polls: [(PollClass::Fast, now)].into(),
                readings: vec![reading],
            }],
        };
        self.stomp.send("/app/readings", &body).await;
    }

    /// Takes the next command.
    pub(crate) async fn command(&mut self) -> Command {
        let message = self.stomp.message().await;
        assert_eq!(message.header("destination"), Some("/user/queue/commands"));
        serde_json::from_slice(&message.body).unwrap()
    }

    /// Reports on a command.
    pub(crate) async fn result(
        &mut self,
        command: &Command,
        state: CommandState,
        reason: Option<Reason>,
    ) {
        let body = self.report(command, state, reason);
        self.stomp.send("/app/command-results", &body).await;
    }

    /// Reports on a command, and does not wait until that is durable.
    pub(crate) async fn cast_result(&mut self, command: &Command, state: CommandState) {
        let body = self.report(command, state, None);
        self.stomp.cast("/app/command-results", &body).await;
    }

    fn report(
        &self,
        command: &Command,
        state: CommandState,
        reason: Option<Reason>,
    ) -> CommandResult {
        CommandResult {
            agent: self.id.clone(),
            command: command.id,
            device: command.device.clone(),
            state,
            reason,
            at: Utc::now(),
        }
    }
}

/// The whole inventory of an agent: a gate and a kiosk in p1, numbered as the agent.
pub(crate) fn inventory(agent: &str, instance: InstanceId, epoch: Epoch) -> Inventory {
    let number = agent.trim_start_matches("agent-");
    let device = |kind: &str| Device {
        id: format!("{kind}-{number}").parse().unwrap(),
        name: text(&format!("{kind} {number} <x2>")),
        zone: "p1".parse().unwrap(),
        lane: None,
        profile: "gate.test".parse().unwrap(),
        line: "line-1".parse().unwrap(),
    };
    Inventory {
        agent: agent.parse().unwrap(),
        instance,
        epoch,
        version: "test".to_owned(),
        sent_at: Utc::now(),
        monotonic_ms: MONOTONIC_MS,
        profiles: vec![profile()],
        devices: vec![device("gate"), device("kiosk")],
    }
}
