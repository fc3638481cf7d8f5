//! A session against a server that is played by hand.

use chrono::DateTime;
use contract::command::{CommandResult, CommandState};
use contract::event::Happening;
use contract::{CommandId, Epoch, InstanceId};
use stomp::{Command, Decoder, Limits, Version};
use uuid::Uuid;

use super::*;

struct Bench {
    session: Session,
    now: Instant,
    sent: Decoder,
}

impl Bench {
    /// A session whose CONNECT was answered.
    fn connected() -> Self {
        let now = Instant::now();
        let session = Session::new("localhost".to_owned(), "Bearer a".to_owned(), now);
        let mut bench = Self {
            session,
            now,
            sent: Decoder::new(Limits::default()),
        };
        let connect = bench.sent();
        assert_eq!(connect[0].header("Authorization"), Some("Bearer a"));
        bench.receive("CONNECTED\nversion:1.2\n\n\0");
        assert_eq!(bench.session.poll_action(), Some(Action::Open));
        bench.sent.set_version(Version::V1_2);
        bench.session.open(&inventory(), now);
        bench
    }

    /// A session whose inventory was taken.
    fn ready() -> Self {
        let mut bench = Self::connected();
        let receipt = bench.sent()[0].header("receipt").unwrap().to_owned();
        bench.receipt(&receipt);
        assert_eq!(bench.session.poll_action(), Some(Action::Ready));
        bench
    }

    fn receive(&mut self, frame: &str) {
        self.session.handle_bytes(frame.as_bytes(), self.now);
    }

    fn receipt(&mut self, id: &str) {
        self.receive(&format!("RECEIPT\nreceipt-id:{id}\n\n\0"));
    }

    fn sent(&mut self) -> Vec<Frame> {
        while let Some(bytes) = self.session.poll_transmit(self.now) {
            self.sent.push(&bytes);
        }
        std::iter::from_fn(|| self.sent.decode().unwrap()).collect()
    }
}

fn inventory() -> Inventory {
    Inventory {
        agent: "agent-p1".parse().unwrap(),
        instance: InstanceId(Uuid::nil()),
        epoch: Epoch(Uuid::nil()),
        version: String::new(),
        sent_at: DateTime::UNIX_EPOCH,
        monotonic_ms: 0,
        profiles: vec![],
        devices: vec![],
    }
}

fn heartbeat() -> Heartbeat {
    Heartbeat {
        agent: "agent-p1".parse().unwrap(),
        instance: InstanceId(Uuid::nil()),
        sent_at: DateTime::UNIX_EPOCH,
        monotonic_ms: 0,
        outbox_events: 0,
        lines: vec![],
    }
}

fn events(sequences: std::ops::Range<u64>) -> Events {
    let fault: contract::FaultCode = "A".parse().unwrap();
    Events {
        agent: "agent-p1".parse().unwrap(),
        epoch: Epoch(Uuid::nil()),
        events: sequences
            .map(|sequence| Event {
                sequence,
                device: "d".parse().unwrap(),
                at: DateTime::UNIX_EPOCH,
                happening: Happening::FaultCleared {
                    fault: fault.clone(),
                },
            })
            .collect(),
    }
}

fn result(id: i64) -> StoredResult {
    StoredResult {
        id,
        result: CommandResult {
            agent: "agent-p1".parse().unwrap(),
            command: CommandId(Uuid::nil()),
            device: "d".parse().unwrap(),
            state: CommandState::Delivered,
            reason: None,
            at: DateTime::UNIX_EPOCH,
        },
    }
}

#[test]
fn the_inventory_comes_first_and_nothing_durable_before_its_receipt() {
    let mut bench = Bench::connected();
    assert!(bench.session.wants_heartbeat(bench.now));
    bench.session.send_heartbeat(&heartbeat(), bench.now);
    let frames = bench.sent();
    let seen: Vec<_> = frames
        .iter()
        .map(|frame| (frame.command, frame.header("destination").unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            (Command::Send, "/app/inventory"),
            (Command::Subscribe, "/user/queue/commands"),
            (Command::Subscribe, "/user/queue/errors"),
            (Command::Send, "/app/heartbeats"),
        ]
    );
    assert_eq!(frames[1].header("ack"), Some("client-individual"));
    assert!(!bench.session.wants_events());
    assert_eq!(bench.session.wants_results_after(), None);
    assert!(!bench.session.takes_full_report(bench.now));
    bench.receipt(frames[0].header("receipt").unwrap());
    assert_eq!(bench.session.poll_action(), Some(Action::Ready));
    assert!(bench.session.wants_events());
    assert_eq!(bench.session.wants_results_after(), Some(0));
    assert!(bench.session.takes_full_report(bench.now));
    assert!(!bench.session.takes_full_report(bench.now));
    assert!(
        bench
            .session
            .takes_full_report(bench.now + FULL_REPORT_PERIOD)
    );
}

#[test]
fn events_are_deleted_only_when_their_receipt_came() {
    let mut bench = Bench::ready();
    bench.session.send_events(&events(3..8), bench.now);
    assert!(!bench.session.wants_events(), "one frame at a time");
    let receipt = bench
        .sent()
        .pop()
        .unwrap()
        .header("receipt")
        .unwrap()
        .to_owned();
    bench.receipt("r-999");
    assert_eq!(bench.session.poll_action(), None);
    bench.receipt(&receipt);
    assert_eq!(bench.session.poll_action(), Some(Action::DeleteEvents(7)));
    assert!(bench.session.wants_events());
    bench.session.send_events(&events(1..1), bench.now);
    assert!(bench.sent().is_empty(), "no events, no frame");
}

#[test]
fn results_are_sent_once_in_a_session_and_at_most_so_many_at_a_time() {
    let mut bench = Bench::ready();
    let all: Vec<_> = (1..=20).map(result).collect();
    bench.session.send_results(all, bench.now);
    assert_eq!(bench.sent().len(), MAX_RESULTS_IN_FLIGHT);
    assert_eq!(bench.session.wants_results_after(), None);
    bench.receipt("r-4"); // After the inventory and two subscriptions.
    assert_eq!(bench.session.poll_action(), Some(Action::DeleteResult(1)));
    assert_eq!(bench.session.wants_results_after(), Some(16));
}

#[test]
fn a_result_that_the_server_refuses_is_not_sent_for_ever() {
    let mut bench = Bench::ready();
    bench.session.send_results(vec![result(5)], bench.now);
    let receipt = bench
        .sent()
        .pop()
        .unwrap()
        .header("receipt")
        .unwrap()
        .to_owned();
    bench.receive(&format!(
        "MESSAGE\nsubscription:s-3\nmessage-id:1\ndestination:/user/queue/errors\nreceipt-id:{receipt}\n\n\0"
    ));
    assert_eq!(bench.session.poll_action(), Some(Action::DeleteResult(5)));
}

#[test]
fn a_missing_receipt_ends_the_session() {
    let mut bench = Bench::ready();
    bench.session.send_events(&events(1..2), bench.now);
    bench.sent();
    let just_before = bench.now + RECEIPT_TIMEOUT - Duration::from_millis(1);
    assert_eq!(bench.session.handle_deadline(just_before), None);
    let overdue = bench.session.handle_deadline(bench.now + RECEIPT_TIMEOUT);
    assert!(matches!(overdue, Some(Action::Closed(_))));
}

#[test]
fn a_command_is_handed_on_with_what_acknowledges_it() {
    let mut bench = Bench::ready();
    bench.receive(
        "MESSAGE\nsubscription:s-2\nmessage-id:1\nack:a-7\ndestination:/user/queue/commands\n\n{}\0",
    );
    let Some(Action::Command { ack, body }) = bench.session.poll_action() else {
        panic!("a command");
    };
    assert_eq!((ack.as_str(), &body[..]), ("a-7", &b"{}"[..]));
    bench.session.ack(&ack);
    let frame = bench.sent().pop().unwrap();
    assert_eq!(
        (frame.command, frame.header("id")),
        (Command::Ack, Some("a-7"))
    );
}

#[test]
fn a_new_token_travels_with_a_heartbeat_at_once_and_only_once() {
    let mut bench = Bench::ready();
    bench.session.send_heartbeat(&heartbeat(), bench.now);
    assert!(!bench.session.wants_heartbeat(bench.now));
    bench.session.renew("Bearer b".to_owned(), bench.now);
    let mut authorizations = vec![];
    for _ in 0..2 {
        bench.session.send_heartbeat(&heartbeat(), bench.now);
        let frame = bench.sent().pop().unwrap();
        authorizations.push(frame.header("Authorization").map(str::to_owned));
    }
    assert_eq!(authorizations, [Some("Bearer b".to_owned()), None]);
}

#[test]
fn readings_are_collected_before_they_go() {
    let mut bench = Bench::ready();
    let takes = |bench: &mut Bench, at: Duration| bench.session.takes_readings(bench.now + at);
    bench.session.note_readings(true, bench.now);
    assert!(!takes(&mut bench, Duration::ZERO));
    bench
        .session
        .note_readings(true, bench.now + FLUSH_PERIOD / 2);
    assert!(takes(&mut bench, FLUSH_PERIOD));
    assert!(!takes(&mut bench, FLUSH_PERIOD));
    // That something is as it was can wait, but not for what has changed.
    bench.session.note_readings(false, bench.now);
    assert!(!takes(&mut bench, FLUSH_PERIOD));
    bench.session.note_readings(true, bench.now + FLUSH_PERIOD);
    assert!(takes(&mut bench, FLUSH_PERIOD * 2));
    bench.session.note_readings(false, bench.now);
    assert!(takes(&mut bench, POLLS_PERIOD));
}

#[test]
fn an_error_says_why_the_session_ended() {
    for (code, words) in [
        ("token-expired", "so it is (token-expired)"),
        (
            "certificate-needed",
            "(certificate-needed): write server.url with https",
        ),
        (
            "wrong-certificate",
            "(wrong-certificate): server.certificate must have",
        ),
    ] {
        let mut bench = Bench::ready();
        bench.receive(&format!("ERROR\nmessage:so it is\ncode:{code}\n\n\0"));
        let Some(Action::Closed(why)) = bench.session.poll_action() else {
            panic!("{code} ends the session");
        };
        assert!(why.contains(words), "{why}");
    }
}
