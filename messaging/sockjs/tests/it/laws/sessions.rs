//! What holds for every session, whatever requests come and break, whatever the application says, and whenever time
//! passes. Driven by proptest in this crate's tests and by the fuzzer in `messaging/fuzz`.
//!
//! A script is the terms of a session and then what happens to it, an octet each: see [`Run::act`].

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sockjs::frame::Form;
use sockjs::session::{Heard, Next, ReceiverId, Refused, Session, Stay, Taken, Terms};

use super::payloads::{forms, unwrap};

const SECOND: Duration = Duration::from_secs(1);

/// Panics when `script` breaks a law of sessions.
pub(crate) fn check(script: &[u8]) {
    let Some((first, acts)) = script.split_first() else {
        return;
    };
    let mut run = Run::new(first & 1 == 1);
    for act in acts {
        run.act(*act);
        run.check();
    }
    run.end();
}

/// Terms that short scripts reach.
fn terms(repeat_unconfirmed: bool) -> Terms {
    Terms {
        response_limit: 40,
        heartbeat: 3 * SECOND,
        disconnect_delay: 5 * SECOND,
        inbox_bytes: 100,
        repeat_unconfirmed,
    }
}

/// A receiver as its request sees it.
struct Receiver {
    id: ReceiverId,
    form: Form,
    stay: Stay,
    written: usize,
    served: Instant,
}

struct Run {
    session: Session,
    terms: Terms,
    now: Instant,
    /// Who receives.
    receiver: Option<Receiver>,
    /// Who received before.
    former: Vec<ReceiverId>,
    opened: bool,
    /// Messages of the application: said so far, and the one that is due at the client.
    said: u32,
    due: u32,
    /// The first of the last poll's messages, which may come again.
    batch: u32,
    /// Messages of the client: sent so far, and the one that is due at the application.
    sent: u32,
    hears: u32,
    /// The session was ended by what happened, and this shall tell it.
    is_over: bool,
    farewell: &'static str,
    /// It did.
    is_told: bool,
    is_gone: bool,
}

impl Run {
    fn new(repeats: bool) -> Self {
        let now = Instant::now();
        Self {
            session: Session::new(terms(repeats), now),
            terms: terms(repeats),
            now,
            receiver: None,
            former: Vec::new(),
            opened: false,
            said: 0,
            due: 0,
            batch: 0,
            sent: 0,
            hears: 0,
            is_over: false,
            farewell: "",
            is_told: false,
            is_gone: false,
        }
    }

    /// What happens stands in the lower three bits, how in the others.
    fn act(&mut self, act: u8) {
        let how = act >> 3;
        match act & 7 {
            0 => self.attach(how),
            1 => self.take(how),
            2 => self.abort(how),
            3 => self.say(how),
            4 => self.send(how),
            5 => self.hear(),
            6 => self.pass(how),
            _ => self.close(),
        }
    }

    fn attach(&mut self, how: u8) {
        let form = forms()[usize::from(how & 3)].clone();
        let stay = if how & 4 == 0 {
            Stay::Poll
        } else {
            Stay::Stream
        };
        let via = match how >> 3 {
            0 => None,
            port => Some(SocketAddr::from(([127, 0, 0, 1], port.into()))),
        };
        let attached = self.session.attach(form.clone(), stay, via, self.now);
        match attached {
            Ok(id) => {
                assert!(!self.is_gone);
                assert!(self.is_over || self.receiver.is_none(), "two receive");
                self.leave();
                self.receiver = Some(Receiver {
                    id,
                    form,
                    stay,
                    written: 0,
                    served: self.now,
                });
            }
            Err(Refused::Busy) => assert!(self.receiver.is_some() && !self.is_over),
            Err(Refused::Gone) => assert!(self.is_gone),
        }
    }

    fn leave(&mut self) {
        self.former
            .extend(self.receiver.take().map(|receiver| receiver.id));
    }

    /// The receiver asks for frames, as many as `how` says; or one of before does.
    fn take(&mut self, how: u8) {
        let former = self.former.get(usize::from(how >> 1));
        if let Some(former) = former.filter(|_| how & 1 == 1) {
            assert_eq!(self.session.next(*former, self.now), Next::End);
            return;
        }
        for _ in 0..=how {
            let Some(receiver) = &self.receiver else {
                return;
            };
            let (id, served) = (receiver.id, receiver.served);
            match self.session.next(id, self.now) {
                Next::Frame { bytes, is_last } => self.on_frame(&bytes, is_last),
                Next::Wait(until) => {
                    assert_eq!(until, served + self.terms.heartbeat);
                    assert!(until > self.now && self.opened && !self.is_over);
                    assert_eq!(self.due, self.said, "a message waits beside its receiver");
                    return;
                }
                Next::End => panic!("a receiver ends without a last frame"),
            }
        }
    }

    fn on_frame(&mut self, bytes: &[u8], is_last: bool) {
        let receiver = self.receiver.as_mut().expect("it was asked");
        let frame = unwrap(&receiver.form, bytes);
        receiver.written += bytes.len();
        let is_full = receiver.written >= self.terms.response_limit;
        let ends = receiver.stay == Stay::Poll || is_full || frame.starts_with('c');
        assert_eq!(is_last, ends, "{frame}");
        let (kind, rest) = frame.split_at(1);
        assert_eq!(kind != "o", self.opened, "{frame}");
        match kind {
            "o" => self.opened = true,
            "h" => {
                assert!(self.now >= receiver.served + self.terms.heartbeat);
                assert!(self.due == self.said && !self.is_over);
            }
            "a" => {
                let is_poll = receiver.stay == Stay::Poll;
                self.on_messages(rest, is_poll);
            }
            _ => {
                assert!(self.is_over && self.due == self.said, "{frame}");
                assert_eq!(frame, self.farewell);
                self.is_told = true;
            }
        }
        let receiver = self.receiver.as_mut().expect("it was asked");
        receiver.served = self.now;
        if is_last {
            self.leave();
        }
    }

    fn on_messages(&mut self, list: &str, is_poll: bool) {
        let texts: Vec<String> = serde_json::from_str(list).expect("an a-frame is JSON");
        assert!(!texts.is_empty());
        assert!(!self.is_told, "messages after the close frame");
        let numbers = texts.iter().map(|text| number(text));
        let first = number(&texts[0]);
        let repeats = self.terms.repeat_unconfirmed && (self.batch..self.due).contains(&first);
        assert!(
            first == self.due || repeats,
            "{first} instead of {}",
            self.due
        );
        for (expected, number) in (first..).zip(numbers) {
            assert_eq!(number, expected);
            self.due = number + 1;
        }
        assert!(self.due <= self.said);
        if is_poll {
            self.batch = first;
        } else {
            // What a stream took is never brought again.
            self.batch = self.due;
        }
    }

    fn abort(&mut self, how: u8) {
        if let Some(former) = self.former.get(usize::from(how)) {
            self.session.abort(*former, self.now);
            return;
        }
        let Some(receiver) = &self.receiver else {
            return;
        };
        self.session.abort(receiver.id, self.now);
        let may_come_again = self.terms.repeat_unconfirmed && receiver.stay == Stay::Poll;
        if !self.is_over && !may_come_again {
            self.is_over = true;
            // What was on its way is lost, and what waited behind it.
            self.due = self.said;
            self.farewell = r#"c[1002,"Connection interrupted"]"#;
            assert_eq!(self.session.backlog(), 0);
        }
        self.leave();
    }

    /// A message as long as `how` says: `12-xxxx`.
    fn say(&mut self, how: u8) {
        self.session.say(&text(self.said, how));
        if !self.is_over {
            self.said += 1;
        }
    }

    fn send(&mut self, how: u8) {
        let count = u32::from(how & 3);
        let all = (0..count).map(|offset| text(self.sent + offset, how));
        let mut messages: Vec<String> = all.collect();
        match self.session.receive(&mut messages, self.now) {
            Taken::In if self.is_over => {}
            Taken::In => {
                assert_eq!(messages.len(), 0);
                self.sent += count;
            }
            Taken::NoRoom => {
                assert_eq!(messages.len(), usize::try_from(count).expect("few"));
                assert!(
                    self.hears < self.sent,
                    "nothing waits, and there is no room"
                );
                assert!(!self.is_over);
            }
            Taken::Gone => assert!(self.is_gone),
        }
    }

    fn hear(&mut self) {
        match self.session.hear(self.now) {
            Heard::Message(text) => {
                assert_eq!(number(&text), self.hears);
                self.hears += 1;
            }
            Heard::Ended => assert!(self.is_over && self.hears == self.sent),
            Heard::Alive | Heard::Nothing => {
                assert!(!self.is_over && self.hears == self.sent);
            }
        }
    }

    fn pass(&mut self, how: u8) {
        let deadline = self.session.deadline();
        self.now = match deadline {
            // The moment itself, and the one before it.
            Some(deadline) if how == 0 => self.now.max(deadline),
            Some(deadline) if how == 1 => self.now.max(deadline - SECOND / 1000),
            _ => self.now + SECOND / 2 * u32::from(how),
        };
        let is_due = deadline.is_some_and(|deadline| deadline <= self.now);
        assert_eq!(self.session.pass(self.now), self.is_gone || is_due);
        if is_due {
            self.is_gone = true;
            self.is_over = true;
            self.due = self.said;
            self.leave();
        }
    }

    fn close(&mut self) {
        self.session.close(3000, "Go away!", self.now);
        if !self.is_over {
            self.is_over = true;
            self.farewell = r#"c[3000,"Go away!"]"#;
        }
        // Only the first word counts.
        self.session.close(4000, "Go on!", self.now);
    }

    fn check(&mut self) {
        assert_eq!(self.session.is_open(), !self.is_over);
        let attended = self.receiver.is_some() && !self.is_over;
        assert_eq!(self.session.deadline().is_none(), attended || self.is_gone);
        if self.is_gone {
            assert_eq!(self.session.backlog(), 0);
        } else if self.due < self.said {
            assert!(self.session.backlog() > 0);
        }
    }

    /// Whatever happened, a session that nobody asks for is forgotten, and the application has heard everything.
    fn end(mut self) {
        self.receiver = None;
        if !self.is_over {
            self.close();
        }
        self.now += 2 * self.terms.disconnect_delay;
        assert!(self.session.pass(self.now));
        self.is_gone = true;
        while self.hears < self.sent {
            self.hear();
        }
        self.hear();
        self.check();
        self.attach(0);
        self.send(1);
    }
}

fn text(number: u32, how: u8) -> String {
    format!("{number}-{}", "\"".repeat(how.into()))
}

fn number(text: &str) -> u32 {
    let (number, _) = text.split_once('-').expect("texts begin with a number");
    number.parse().expect("it is a number")
}
