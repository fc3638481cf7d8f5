//! The machine: scripts with the second at which each step happens, and what holds for any.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn terms() -> Terms {
    Terms {
        response_limit: 40,
        heartbeat: 25 * SECOND,
        disconnect_delay: 5 * SECOND,
        inbox_bytes: 64,
        repeat_unconfirmed: false,
    }
}

/// What is done to a session, and what must come of it.
enum Step {
    /// A request of this number arrives over the connection of that number.
    Attach(usize, Stay, u16, Result<(), Refused>),
    /// It asks for frames until it has to wait; these came, and whether the last was said to be the last.
    Take(usize, &'static [&'static str], bool),
    /// Its connection breaks.
    Abort(usize),
    Send(&'static str, Taken),
    Say(&'static str),
    Close,
    Hear(Heard),
    /// Whether the session is to be forgotten.
    Pass(bool),
}
use Step::{Abort, Attach, Close, Hear, Pass, Say, Send, Take};

fn check(terms: Terms, steps: Vec<(u64, Step)>) {
    let start = Instant::now();
    let mut session = Session::new(terms, start);
    let mut ids = [None; 8];
    for (number, (second, step)) in steps.into_iter().enumerate() {
        let now = start + u32::try_from(second).unwrap() * SECOND;
        match step {
            Attach(name, stay, port, expected) => {
                let via = Some(SocketAddr::from(([127, 0, 0, 1], port)));
                let attached = session.attach(Form::Lines, stay, via, now);
                assert_eq!(attached.map(|_| ()), expected, "step {number}");
                ids[name] = attached.ok();
            }
            Take(name, expected, ends) => {
                let (frames, was_last) = take_all(&mut session, ids[name].unwrap(), now);
                assert_eq!(frames, expected, "step {number}");
                assert_eq!(was_last, ends, "step {number}");
            }
            Abort(name) => session.abort(ids[name].unwrap(), now),
            Send(text, expected) => {
                let taken = session.receive(&mut vec![text.to_owned()], now);
                assert_eq!(taken, expected, "step {number}");
            }
            Say(text) => session.say(text),
            Close => session.close(3000, "Go away!", now),
            Hear(expected) => assert_eq!(session.hear(now), expected, "step {number}"),
            Pass(expected) => assert_eq!(session.pass(now), expected, "step {number}"),
        }
    }
}

fn take_all(session: &mut Session, id: ReceiverId, now: Instant) -> (Vec<String>, bool) {
    let mut frames = Vec::new();
    loop {
        match session.next(id, now) {
            Next::Frame { bytes, is_last } => {
                let frame = String::from_utf8(bytes.to_vec()).unwrap();
                frames.push(frame.trim_end().to_owned());
                if is_last {
                    return (frames, true);
                }
            }
            Next::Wait(until) => {
                assert!(until > now);
                return (frames, false);
            }
            Next::End => return (frames, false),
        }
    }
}

fn message(text: &str) -> Heard {
    Heard::Message(text.to_owned())
}

#[test]
fn polls_take_one_frame_each() {
    check(
        terms(),
        vec![
            (0, Attach(0, Stay::Poll, 1, Ok(()))),
            (0, Say("early")),
            (0, Take(0, &["o"], true)),
            (1, Attach(1, Stay::Poll, 1, Ok(()))),
            (1, Take(1, &[r#"a["early"]"#], true)),
            (2, Attach(2, Stay::Poll, 1, Ok(()))),
            (2, Take(2, &[], false)),
            (3, Say("a")),
            (3, Say("b")),
            (3, Take(2, &[r#"a["a","b"]"#], true)),
            (3, Take(2, &[], false)),
        ],
    );
}

#[test]
fn a_silent_receiver_gets_heart_beats() {
    check(
        terms(),
        vec![
            (0, Attach(0, Stay::Stream, 1, Ok(()))),
            (0, Take(0, &["o"], false)),
            (24, Take(0, &[], false)),
            (25, Take(0, &["h"], false)),
            (30, Say("x")),
            (30, Take(0, &[r#"a["x"]"#], false)),
            (54, Take(0, &[], false)),
            (55, Take(0, &["h"], false)),
        ],
    );
    check(
        terms(),
        vec![
            (0, Attach(0, Stay::Poll, 1, Ok(()))),
            (0, Take(0, &["o"], true)),
            (1, Attach(1, Stay::Poll, 1, Ok(()))),
            (25, Take(1, &[], false)),
            (26, Take(1, &["h"], true)),
        ],
    );
}

#[test]
fn streams_end_at_the_limit_and_go_on_in_the_next() {
    check(
        terms(),
        vec![
            (0, Attach(0, Stay::Stream, 1, Ok(()))),
            (0, Take(0, &["o"], false)),
            (0, Say("0123456789012345678901234567")),
            (0, Say("next")),
            (
                0,
                Take(0, &[r#"a["0123456789012345678901234567","next"]"#], true),
            ),
            (4, Attach(1, Stay::Stream, 1, Ok(()))),
            (4, Say("x")),
            (4, Take(1, &[r#"a["x"]"#], false)),
        ],
    );
}

#[test]
fn one_answer_brings_what_fits_but_at_least_one_message() {
    let long = "0123456789012345678901234567890123456789ABC";
    check(
        terms(),
        vec![
            (0, Attach(0, Stay::Poll, 1, Ok(()))),
            (0, Take(0, &["o"], true)),
            (0, Say("short")),
            (0, Say(long)),
            (0, Attach(1, Stay::Poll, 1, Ok(()))),
            (0, Take(1, &[r#"a["short"]"#], true)),
            (0, Attach(2, Stay::Poll, 1, Ok(()))),
            (
                0,
                Take(
                    2,
                    &[r#"a["0123456789012345678901234567890123456789ABC"]"#],
                    true,
                ),
            ),
        ],
    );
}

#[test]
fn there_is_one_receiver() {
    check(
        terms(),
        vec![
            (0, Attach(0, Stay::Stream, 1, Ok(()))),
            (0, Attach(1, Stay::Poll, 2, Err(Refused::Busy))),
            (0, Take(0, &["o"], false)),
            (0, Say("x")),
            (0, Take(0, &[r#"a["x"]"#], false)),
        ],
    );
}

#[test]
fn a_closed_session_says_so_until_it_is_forgotten() {
    let farewell = r#"c[3000,"Go away!"]"#;
    assert_eq!(farewell, frame::close(3000, "Go away!"));
    check(
        terms(),
        vec![
            (0, Attach(0, Stay::Stream, 1, Ok(()))),
            (0, Take(0, &["o"], false)),
            (1, Say("last words")),
            (1, Close),
            // Whoever comes now is not kept waiting by the one who was there.
            (1, Attach(1, Stay::Stream, 2, Ok(()))),
            (
                1,
                Take(1, &[r#"a["last words"]"#, r#"c[3000,"Go away!"]"#], true),
            ),
            (1, Take(0, &[], false)),
            (2, Send("nobody listens", Taken::In)),
            (2, Hear(Heard::Ended)),
            (5, Attach(2, Stay::Poll, 2, Ok(()))),
            (5, Take(2, &[r#"c[3000,"Go away!"]"#], true)),
            (5, Pass(false)),
            (6, Pass(true)),
            (6, Attach(3, Stay::Poll, 2, Err(Refused::Gone))),
            (6, Send("x", Taken::Gone)),
        ],
    );
}

#[test]
fn a_client_that_stays_away_is_given_up() {
    check(
        terms(),
        vec![
            (0, Attach(0, Stay::Poll, 1, Ok(()))),
            (0, Take(0, &["o"], true)),
            (4, Send("here", Taken::In)),
            (4, Hear(message("here"))),
            (4, Hear(Heard::Nothing)),
            (4, Pass(false)),
            (5, Hear(Heard::Ended)),
            (5, Send("late", Taken::Gone)),
            (5, Pass(true)),
        ],
    );
}

#[test]
fn a_broken_connection_ends_the_session() {
    check(
        terms(),
        vec![
            (0, Attach(0, Stay::Poll, 1, Ok(()))),
            (0, Take(0, &["o"], true)),
            (0, Send("before", Taken::In)),
            (0, Attach(1, Stay::Poll, 1, Ok(()))),
            (1, Abort(1)),
            (1, Say("unheard")),
            (1, Hear(message("before"))),
            (1, Hear(Heard::Ended)),
            (2, Attach(2, Stay::Poll, 1, Ok(()))),
            (2, Take(2, &[r#"c[1002,"Connection interrupted"]"#], true)),
            (6, Pass(true)),
        ],
    );
    // Only the receiver itself can be interrupted, and only before its last frame.
    check(
        terms(),
        vec![
            (0, Attach(0, Stay::Poll, 1, Ok(()))),
            (0, Take(0, &["o"], true)),
            (0, Abort(0)),
            (0, Attach(1, Stay::Poll, 1, Ok(()))),
            (0, Abort(0)),
            (0, Say("x")),
            (0, Take(1, &[r#"a["x"]"#], true)),
        ],
    );
}

#[test]
fn what_the_application_does_not_take_has_a_bound() {
    let long = "0123456789012345678901234567890123456789";
    check(
        terms(),
        vec![
            (0, Attach(0, Stay::Stream, 1, Ok(()))),
            (0, Hear(Heard::Alive)),
            (0, Hear(Heard::Nothing)),
            (0, Send(long, Taken::In)),
            (0, Send("one more", Taken::NoRoom)),
            (0, Hear(message(long))),
            (0, Send("one more", Taken::In)),
            (0, Hear(message("one more"))),
            (0, Hear(Heard::Nothing)),
        ],
    );
}

#[test]
fn the_last_batch_can_be_repeated() {
    let repeating = || Terms {
        repeat_unconfirmed: true,
        ..terms()
    };
    // The same connection asks again: the answer has arrived. Another one does: nobody knows.
    check(
        repeating(),
        vec![
            (0, Attach(0, Stay::Poll, 1, Ok(()))),
            (0, Take(0, &["o"], true)),
            (0, Say("a")),
            (0, Attach(1, Stay::Poll, 1, Ok(()))),
            (0, Take(1, &[r#"a["a"]"#], true)),
            (0, Say("b")),
            (0, Attach(2, Stay::Poll, 1, Ok(()))),
            (0, Take(2, &[r#"a["b"]"#], true)),
            (0, Say("c")),
            (0, Attach(3, Stay::Poll, 2, Ok(()))),
            (0, Take(3, &[r#"a["b","c"]"#], true)),
            (0, Attach(4, Stay::Poll, 2, Ok(()))),
            (0, Take(4, &[], false)),
            // A poll that breaks has lost nothing.
            (1, Abort(4)),
            (1, Say("d")),
            (1, Attach(5, Stay::Poll, 3, Ok(()))),
            (1, Take(5, &[r#"a["d"]"#], true)),
        ],
    );
}

/// What may happen to a session, for the property below.
#[derive(Debug, Clone)]
enum Act {
    Attach(bool),
    Take,
    Abort,
    Say,
    Send,
    Hear,
    Close,
    Pass(u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => any::<bool>().prop_map(Act::Attach),
        6 => Just(Act::Take),
        1 => Just(Act::Abort),
        4 => Just(Act::Say),
        4 => Just(Act::Send),
        4 => Just(Act::Hear),
        1 => Just(Act::Close),
        2 => (0..7_u8).prop_map(Act::Pass),
    ]
}

proptest! {
    /// Whatever happens: messages come out in order, each at most once, none missing before the last that came; what
    /// waits is counted right; nothing follows a close frame.
    #[test]
    fn nothing_is_doubled_or_reordered(acts in proptest::collection::vec(act(), 0..80)) {
        let mut now = Instant::now();
        let mut session = Session::new(terms(), now);
        let (mut said, mut sent, mut taken, mut heard) = (0, 0, 0, 0);
        let mut receiver = None;
        let mut closed = false;
        for act in acts {
            match act {
                Act::Attach(is_poll) => {
                    let stay = if is_poll { Stay::Poll } else { Stay::Stream };
                    if let Ok(id) = session.attach(Form::Lines, stay, None, now) {
                        receiver = Some(id);
                    }
                }
                Act::Take => if let Some(id) = receiver {
                    let (frames, _) = take_all(&mut session, id, now);
                    for frame in frames {
                        prop_assert!(!closed || frame.starts_with('c'), "{frame} after the close frame");
                        closed |= frame.starts_with('c');
                        if let Some(batch) = frame.strip_prefix('a') {
                            for number in serde_json::from_str::<Vec<String>>(batch).unwrap() {
                                prop_assert_eq!(number, taken.to_string());
                                taken += 1;
                            }
                        }
                    }
                },
                Act::Abort => if let Some(id) = receiver.take() {
                    session.abort(id, now);
                },
                Act::Say => if session.is_open() {
                    session.say(&said.to_string());
                    said += 1;
                },
                Act::Send => if session.receive(&mut vec![sent.to_string()], now) == Taken::In && session.is_open() {
                    sent += 1;
                },
                Act::Hear => if let Heard::Message(number) = session.hear(now) {
                    prop_assert_eq!(number, heard.to_string());
                    heard += 1;
                },
                Act::Close => session.close(3000, "", now),
                Act::Pass(seconds) => {
                    now += u32::from(seconds) * SECOND;
                    session.pass(now);
                }
            }
            prop_assert!(taken <= said && heard <= sent);
            let waiting: usize = session.outbox.iter().map(|message| weight(message)).sum();
            prop_assert_eq!(session.backlog(), waiting);
            let inbox: usize = session.inbox.iter().map(|message| weight(message)).sum();
            prop_assert_eq!(session.inbox_bytes, inbox);
            prop_assert!(inbox < terms().inbox_bytes + MESSAGE_OVERHEAD + 2);
        }
    }
}
