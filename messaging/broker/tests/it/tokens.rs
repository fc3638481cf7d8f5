//! Tokens that expire, and are renewed in place; some on a stopped clock, over a connection in memory.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, timeout};

use crate::client::{Client, Way, config, header_of};
use crate::harness::{Seen, TestBroker};

/// More than all that these sessions say.
const PIPE: usize = 64 * 1024;

const ERRORS: &str = "SUBSCRIBE\nid:e\ndestination:/user/queue/errors\nreceipt:e\n\n^";

/// A session on a stopped clock: time passes when everybody waits.
struct Stopped {
    stream: DuplexStream,
    since: Instant,
}

impl Stopped {
    async fn connect(broker: &TestBroker, token: &str) -> Self {
        let (stream, theirs) = duplex(PIPE);
        let serving = broker.broker.clone();
        let peer = SocketAddr::from(([127, 0, 0, 1], 1)).into();
        tokio::spawn(async move { serving.serve_stream(theirs, peer).await });
        let mut session = Self {
            stream,
            since: Instant::now(),
        };
        let connect = format!("CONNECT\naccept-version:1.2\npasscode:{token}\n\n^");
        session.say(&connect).await;
        assert!(session.frame().await.unwrap().starts_with("CONNECTED\n"));
        session
    }

    async fn say(&mut self, frames: &str) {
        let bytes = frames.replace('^', "\0");
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// The next frame; `None` at the end.
    async fn frame(&mut self) -> Option<String> {
        let mut frame = Vec::new();
        let day = Duration::from_secs(24 * 3600);
        loop {
            let byte = timeout(day, self.stream.read_u8()).await.unwrap();
            match byte.ok()? {
                0 => return Some(String::from_utf8(frame).unwrap()),
                b'\n' if frame.is_empty() => {}
                byte => frame.push(byte),
            }
        }
    }

    async fn receipt(&mut self, id: &str) {
        let expected = format!("RECEIPT\nreceipt-id:{id}\n\n");
        assert_eq!(self.frame().await, Some(expected));
    }

    /// The next thing said is this warning, when so many seconds have passed since the session began.
    async fn warning(&mut self, expires_in: &str, passed: u64) {
        let frame = self.frame().await.unwrap();
        assert!(frame.starts_with("MESSAGE\n"), "{frame}");
        assert_eq!(header_of(&frame, "code"), Some("token-expiring"));
        assert_eq!(header_of(&frame, "expires-in"), Some(expires_in));
        assert_eq!(header_of(&frame, "subscription"), Some("e"));
        assert!(frame.ends_with("send a new one in an Authorization header on any frame"));
        self.passed(passed);
    }

    /// The session ends here with its token.
    async fn end(&mut self, passed: u64) {
        let frame = self.frame().await.unwrap();
        assert!(frame.starts_with("ERROR\n"), "{frame}");
        assert_eq!(header_of(&frame, "code"), Some("token-expired"));
        self.passed(passed);
        assert_eq!(self.frame().await, None);
    }

    /// A second is for what setting up takes by the wall clock.
    fn passed(&self, expected: u64) {
        let passed = self.since.elapsed().as_secs_f64();
        let expected = Duration::from_secs(expected).as_secs_f64();
        assert!((passed - expected).abs() < 1.0, "{passed} s");
    }
}

#[tokio::test]
async fn who_listens_is_warned_once_before_the_end() {
    let broker = TestBroker::start().await;
    tokio::time::pause();
    for (token, expires_in, warned_at, ends_at) in [
        ("kim/600000", "60", 540, 600),
        // Little is left: a fifth of it is for the warning.
        ("kim/100000", "20", 80, 100),
        ("kim/10000", "2", 8, 10),
    ] {
        let mut session = Stopped::connect(&broker, token).await;
        session.say(ERRORS).await;
        session.receipt("e").await;
        session.warning(expires_in, warned_at).await;
        session.end(ends_at).await;
    }
    // Who does not listen is not, and ends all the same.
    Stopped::connect(&broker, "kim/600000").await.end(600).await;
}

#[tokio::test]
async fn who_listens_late_is_warned_late() {
    let broker = TestBroker::start().await;
    tokio::time::pause();
    let mut session = Stopped::connect(&broker, "kim/600000").await;
    tokio::time::sleep(Duration::from_secs(550)).await;
    session.say(ERRORS).await;
    session.receipt("e").await;
    session.warning("30", 570).await;
    session.end(600).await;
}

#[tokio::test]
async fn a_renewal_begins_anew_and_keeps_what_is_there() {
    let broker = TestBroker::start().await;
    tokio::time::pause();
    let mut session = Stopped::connect(&broker, "kim/600000").await;
    session.say(ERRORS).await;
    session.receipt("e").await;
    session.warning("60", 540).await;
    // Any frame brings it, and what the frame wants is done.
    session
        .say("SUBSCRIBE\nid:a\ndestination:/topic/a\nreceipt:r\nAuthorization:Bearer kim/1000000\n\n^")
        .await;
    session.receipt("r").await;
    session.warning("60", 540 + 940).await;
    session
        .say("UNSUBSCRIBE\nid:a\nreceipt:s\nauthorization:bearer kim/50000\n\n^")
        .await;
    session.receipt("s").await;
    session.warning("10", 540 + 940 + 40).await;
    session.end(540 + 940 + 50).await;
}

#[tokio::test]
async fn a_silent_subscriber_is_ended_when_its_token_expires() {
    let broker = TestBroker::start().await;
    for way in Way::BOTH {
        let mut client = Client::connect(&broker, way, "kim/1000").await;
        client.subscribe("/topic/a").await;
        assert_eq!(client.error_code().await, "token-expired");
    }
}

#[tokio::test]
async fn an_expired_token_is_not_let_in() {
    let broker = TestBroker::start().await;
    let mut client = Client::new(&broker, Way::Ws, config("kim/0")).await;
    assert_eq!(client.error_code().await, "token-expired");
    assert!(broker.has_seen_nothing());
}

#[tokio::test]
async fn a_renewed_token_keeps_the_session() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker, Way::Ws, "kim/1000").await;
    client.subscribe("/topic/a").await;
    let renewed = client.send("/app/x", &[("Authorization", "Bearer kim/600000")]);
    client.receipt(renewed).await;
    // A session whose token was not renewed ends; by then this one would have, too.
    let mut other = Client::connect(&broker, Way::Ws, "lee/1100").await;
    assert_eq!(other.error_code().await, "token-expired");
    let alive = client.send("/app/x", &[]);
    client.receipt(alive).await;
}

#[tokio::test]
async fn a_renewal_may_not_change_who_it_is_nor_be_refused() {
    let broker = TestBroker::start().await;
    for (token, code) in [
        ("Bearer lee", "subject-changed"),
        ("Bearer nobody", "unauthenticated"),
        ("Bearer kim/0", "token-expired"),
        ("Basic kim", "unauthenticated"),
    ] {
        let mut client = Client::connect(&broker, Way::Tcp, "kim").await;
        let receipt = client.send("/app/x", &[("authorization", token)]);
        let error = client.error().await;
        assert_eq!(error.header("code"), Some(code), "{token}");
        assert_eq!(error.header("receipt-id"), Some(&*receipt.to_string()));
    }
}

#[tokio::test]
async fn live_subscriptions_are_looked_at_again_after_a_renewal() {
    let broker = TestBroker::start().await;
    let mut client = Client::connect(&broker, Way::Tcp, "kim+secret").await;
    client.subscribe("/topic/secret").await;
    let same = client.send("/app/x", &[("Authorization", "Bearer kim+secret")]);
    client.receipt(same).await;
    client.send("/app/y", &[("Authorization", "Bearer kim")]);
    let error = client.error().await;
    assert_eq!(error.header("code"), Some("forbidden"));
    assert_eq!(
        error.header("message"),
        Some("/topic/secret is not for you")
    );
    // The frame that brought the lesser token had no effect.
    assert!(matches!(broker.seen().await, Seen::Frame { .. }));
    assert!(matches!(broker.seen().await, Seen::Ended { .. }));
}
