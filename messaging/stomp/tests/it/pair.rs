//! A client and a server session joined in memory, with a clock that only the test moves.

use std::time::{Duration, Instant};

use bytes::Bytes;
use stomp::{
    AckMode, ClientConfig, ClientEvent, ClientSession, CloseReason, Command, Frame, ReceiptId,
    ServerConfig, ServerEvent, ServerSession, SubscriptionId, Version,
};

const BEAT: Duration = Duration::from_secs(10);

struct Pair {
    client: ClientSession,
    server: ServerSession,
    now: Instant,
    /// A broken link swallows everything, and tells nobody.
    link_works: bool,
    at_client: Vec<ClientEvent>,
    at_server: Vec<ServerEvent>,
}

impl Pair {
    fn new(versions: &[Version]) -> Self {
        let now = Instant::now();
        let client = ClientConfig {
            versions: versions.to_vec(),
            heart_beat_send: BEAT,
            heart_beat_receive: BEAT,
            heart_beat_tolerance: 2,
            ..ClientConfig::default()
        };
        let server = ServerConfig {
            heart_beat_send: BEAT,
            heart_beat_receive: BEAT,
            heart_beat_tolerance: 3,
            ..ServerConfig::default()
        };
        Self {
            client: ClientSession::new(client, now),
            server: ServerSession::new(server, now),
            now,
            link_works: true,
            at_client: Vec::new(),
            at_server: Vec::new(),
        }
    }

    fn connected(version: Version) -> Self {
        let mut pair = Self::new(&[version]);
        pair.drive();
        assert!(matches!(
            pair.at_client.as_slice(),
            [ClientEvent::Connected { version: agreed, .. }] if *agreed == version
        ));
        pair.at_client.clear();
        pair.at_server.clear();
        pair
    }

    /// Moves bytes until nobody has any; the server accepts, echoes what is sent to subscribers, and gives receipts.
    fn drive(&mut self) {
        loop {
            let mut moved = false;
            while let Some(bytes) = self.client.poll_transmit(self.now) {
                moved = true;
                if self.link_works {
                    self.server.handle_bytes(&bytes, self.now);
                }
            }
            while let Some(event) = self.server.poll_event() {
                moved = true;
                self.serve(event);
            }
            while let Some(bytes) = self.server.poll_transmit(self.now) {
                moved = true;
                if self.link_works {
                    self.client.handle_bytes(&bytes, self.now);
                }
            }
            while let Some(event) = self.client.poll_event() {
                self.at_client.push(event);
            }
            if !moved {
                return;
            }
        }
    }

    fn serve(&mut self, event: ServerEvent) {
        match &event {
            ServerEvent::Connect(_) => self.server.accept("1", self.now),
            ServerEvent::Subscribe {
                subscription,
                frame,
                ..
            } => {
                self.server.receipt(frame);
                let hello = Frame::new(Command::Message)
                    .with_header("destination", "/topic/a")
                    .with_header("message-id", "m1")
                    .with_body("hello");
                self.server.message(subscription, &hello).unwrap();
            }
            ServerEvent::Closed(_) => {}
            other => self.server.receipt(other.frame().unwrap()),
        }
        self.at_server.push(event);
    }

    /// Lets time pass, stopping at each deadline.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let deadline = [self.client.deadline(), self.server.deadline()]
                .into_iter()
                .flatten()
                .min()
                .filter(|deadline| *deadline <= end);
            self.now = deadline.unwrap_or(end).max(self.now);
            self.client.handle_deadline(self.now);
            self.server.handle_deadline(self.now);
            self.drive();
            if deadline.is_none() {
                return;
            }
        }
    }
}

#[test]
fn a_session_from_connect_to_disconnect() {
    for version in Version::ALL {
        let mut pair = Pair::connected(version);
        let (subscription, live) =
            pair.client
                .subscribe_with_receipt("/topic/a", AckMode::Client, &[]);
        let sent = pair.client.send_with_receipt(
            "/app/x",
            "text/plain",
            Bytes::from_static(b"hi"),
            &[("k", "v")],
        );
        pair.drive();
        let [
            ClientEvent::Receipt(first),
            ClientEvent::Message(message),
            ClientEvent::Receipt(second),
        ] = pair.at_client.as_slice()
        else {
            panic!("{version}: {:?}", pair.at_client);
        };
        assert_eq!((*first, *second), (live, sent));
        assert_eq!(SubscriptionId::of(message), Some(subscription));
        assert_eq!(pair.client.destination_of(subscription), Some("/topic/a"));

        let id = pair.client.ack_id(message).unwrap();
        pair.at_client.clear();
        pair.at_server.clear();
        pair.client.ack(&id);
        pair.client.unsubscribe(subscription);
        pair.client.disconnect(pair.now);
        pair.drive();
        assert!(
            matches!(
                pair.at_server.as_slice(),
                [
                    ServerEvent::Ack { deliveries, .. },
                    ServerEvent::Unsubscribe { .. },
                    ServerEvent::Closed(CloseReason::Disconnected)
                ] if deliveries.len() == 1
            ),
            "{version}: {:?}",
            pair.at_server
        );
        assert!(
            matches!(
                pair.at_client.as_slice(),
                [
                    ClientEvent::Receipt(_),
                    ClientEvent::Closed(CloseReason::Disconnected)
                ]
            ),
            "{version}: {:?}",
            pair.at_client
        );
    }
}

#[test]
fn what_is_sent_before_connected_waits_for_it() {
    let mut pair = Pair::new(&Version::ALL);
    let receipt = pair
        .client
        .send_with_receipt("/app/x", "text/plain", Bytes::new(), &[]);
    pair.drive();
    assert!(matches!(
        pair.at_client.as_slice(),
        [ClientEvent::Connected { version: Version::V1_2, .. }, ClientEvent::Receipt(id)] if *id == receipt
    ));
}

#[test]
fn heart_beats_keep_an_idle_session_alive() {
    for version in [Version::V1_1, Version::V1_2] {
        let mut pair = Pair::connected(version);
        pair.pass(BEAT * 100);
        assert!(pair.client.is_open() && pair.server.is_open(), "{version}");
        assert!(pair.at_client.is_empty() && pair.at_server.is_empty());
    }
}

#[test]
fn a_silent_peer_is_given_up_on_both_sides() {
    let mut pair = Pair::connected(Version::V1_2);
    pair.link_works = false;
    // Tolerance: the client waits two beats, the server three.
    pair.pass(BEAT * 2 - Duration::from_millis(1));
    assert!(pair.client.is_open() && pair.server.is_open());
    pair.pass(Duration::from_millis(1));
    assert_eq!(
        pair.at_client,
        [ClientEvent::Closed(CloseReason::HeartBeatLost)]
    );
    assert!(pair.server.is_open());
    pair.pass(BEAT);
    assert_eq!(
        pair.at_server,
        [ServerEvent::Closed(CloseReason::HeartBeatLost)]
    );
}

#[test]
fn version_1_0_has_no_heart_beat_and_no_deadline() {
    let pair = Pair::connected(Version::V1_0);
    assert_eq!(pair.client.deadline(), None);
    assert_eq!(pair.server.deadline(), None);
}

#[test]
fn a_pause_of_the_reader_is_not_the_peers_silence() {
    let mut pair = Pair::connected(Version::V1_2);
    pair.now += BEAT * 10;
    pair.server.reading_paused(pair.now);
    pair.server.handle_deadline(pair.now);
    assert!(pair.server.is_open());
}

#[test]
fn connecting_takes_no_longer_than_allowed() {
    let mut pair = Pair::new(&Version::ALL);
    pair.link_works = false;
    pair.pass(Duration::from_secs(10));
    assert_eq!(pair.at_client, [ClientEvent::Closed(CloseReason::TimedOut)]);
    assert_eq!(pair.at_server, [ServerEvent::Closed(CloseReason::TimedOut)]);
}

#[test]
fn an_error_ends_the_client_and_names_the_receipt() {
    let mut pair = Pair::connected(Version::V1_2);
    let receipt = pair.client.send_with_receipt(
        "/app/x",
        "text/plain",
        Bytes::new(),
        &[("transaction", "1")],
    );
    pair.drive();
    let [ClientEvent::Error(error), ClientEvent::Closed(reason)] = pair.at_client.as_slice() else {
        panic!("{:?}", pair.at_client);
    };
    assert_eq!(ReceiptId::of(error), Some(receipt));
    let code = "unknown-transaction".to_owned();
    assert_eq!(*reason, CloseReason::Error { code });
    assert_eq!(pair.client.poll_transmit(pair.now), None);
}

#[test]
fn a_rejected_client_learns_why() {
    let mut pair = Pair::new(&Version::ALL);
    let connect = pair.client.poll_transmit(pair.now).unwrap();
    pair.server.handle_bytes(&connect, pair.now);
    assert!(matches!(
        pair.server.poll_event(),
        Some(ServerEvent::Connect(_))
    ));
    pair.server
        .reject("token-expired", "the token: a\\b has expired");
    pair.drive();
    let [ClientEvent::Error(error), ClientEvent::Closed(_)] = pair.at_client.as_slice() else {
        panic!("{:?}", pair.at_client);
    };
    assert_eq!(error.header("code"), Some("token-expired"));
}
