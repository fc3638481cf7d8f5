//! Queues as a property: whatever happens in whatever order, each message ends exactly once, and in order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use stomp::Command;

use super::*;

const A: &str = "/queue/a";
const B: &str = "/queue/b";

fn limits() -> QueueLimits {
    QueueLimits {
        untaken_messages: 100,
        deliveries: 2,
        ..QueueLimits::default()
    }
}

fn incoming(sequence: u64, expires: Option<u64>) -> Incoming {
    let frame = Frame::new(Command::Message).with_header("destination", A);
    Incoming {
        sequence,
        frame: Arc::new(frame),
        weight: 100,
        expires,
    }
}

fn terms(auto: bool, prefetch: usize) -> Terms {
    Terms { auto, prefetch }
}

/// Consumer and sequence of each.
fn told(handed: &[Handed]) -> Vec<(u64, u64)> {
    handed.iter().map(|h| (h.consumer.0, h.sequence)).collect()
}

fn flag<'frame>(handed: &'frame Handed, header: &str) -> Option<&'frame str> {
    handed.frame.header(header)
}

/// Queue `/queue/a` with the messages 1 to `count`.
fn filled(limits: QueueLimits, count: u64) -> Queues {
    let mut queues = Queues::new(limits);
    for sequence in 1..=count {
        assert!(queues.push(A, incoming(sequence, None), 0).is_empty());
    }
    queues
}

#[test]
fn consumers_have_their_turns_as_far_as_they_have_room() {
    let mut queues = filled(limits(), 7);
    let first = queues.subscribe(A, Serial(1), terms(false, 2), 0);
    assert_eq!(told(&first), [(1, 1), (1, 2)]);
    let second = queues.subscribe(A, Serial(2), terms(false, 3), 0);
    assert_eq!(told(&second), [(2, 3), (2, 4), (2, 5)]);
    // Not taken is not acknowledged.
    assert!(queues.ack(Serial(1), &[1], 0).is_empty());
    assert!(queues.take(Serial(1), 1, 0).unwrap().is_empty());
    assert_eq!(told(&queues.ack(Serial(1), &[1], 0)), [(1, 6)]);
    assert!(queues.take(Serial(2), 3, 0).unwrap().is_empty());
    assert!(queues.take(Serial(2), 4, 0).unwrap().is_empty());
    assert_eq!(told(&queues.ack(Serial(2), &[3, 4], 0)), [(2, 7)]);
    // Who has room takes turns.
    queues.take(Serial(1), 2, 0).unwrap();
    assert!(queues.ack(Serial(1), &[2], 0).is_empty());
    let next: Vec<_> = (8..10)
        .flat_map(|sequence| told(&queues.push(A, incoming(sequence, None), 0)))
        .collect();
    assert_eq!(next, [(1, 8), (2, 9)]);
}

#[test]
fn what_comes_back_is_first_and_marked_only_if_it_was_taken() {
    let mut queues = filled(limits(), 4);
    queues.subscribe(A, Serial(1), terms(false, 3), 0);
    queues.take(Serial(1), 1, 0).unwrap();
    queues.take(Serial(1), 2, 0).unwrap();
    assert!(queues.remove(Serial(1), 0).is_empty());
    let handed = queues.subscribe(A, Serial(2), terms(false, 9), 0);
    assert_eq!(told(&handed), [(2, 1), (2, 2), (2, 3), (2, 4)]);
    let marks: Vec<_> = handed.iter().map(|h| flag(h, REDELIVERED)).collect();
    assert_eq!(marks, [Some("true"), Some("true"), None, None]);
    // The one that is gone has no say any more.
    assert!(queues.take(Serial(1), 3, 0).is_none());
    assert!(queues.ack(Serial(1), &[1], 0).is_empty());
    assert_eq!(queues.counts().held, 4);
}

#[test]
fn a_message_that_came_back_too_often_is_a_dead_letter() {
    let mut queues = Queues::new(limits());
    queues.subscribe(A, Serial(1), terms(false, 1), 0);
    queues.push(A, incoming(1, Some(50)), 0);
    queues.take(Serial(1), 1, 0).unwrap();
    assert_eq!(told(&queues.nack(Serial(1), &[1], 0)), [(1, 1)]);
    queues.take(Serial(1), 1, 0).unwrap();
    assert!(queues.nack(Serial(1), &[1], 0).is_empty());
    assert_eq!(queues.counts().dead_lettered, 1);

    // It waits there whatever its `expires` was, and dies no second time.
    let grave = destination::dead_letter_queue(A);
    let mut handed = queues.subscribe(&grave, Serial(2), terms(false, 1), 100);
    for round in 0..5 {
        assert_eq!(told(&handed), [(2, 1)], "{round}");
        assert_eq!(flag(&handed[0], "destination"), Some(&*grave));
        assert_eq!(flag(&handed[0], DEAD_LETTER_FROM), Some(A));
        assert_eq!(flag(&handed[0], DELIVERIES), Some("2"));
        queues.take(Serial(2), 1, 100).unwrap();
        handed = queues.nack(Serial(2), &[1], 100);
    }
    assert_eq!(queues.counts().dead_lettered, 1);
}

#[test]
fn a_full_dead_letter_queue_loses_its_oldest() {
    let limits = QueueLimits {
        messages_per_queue: 2,
        deliveries: 1,
        ..limits()
    };
    let mut queues = Queues::new(limits);
    queues.subscribe(A, Serial(1), terms(false, 1), 0);
    for sequence in 1..=3 {
        queues.push(A, incoming(sequence, None), 0);
        queues.take(Serial(1), sequence, 0).unwrap();
        queues.nack(Serial(1), &[sequence], 0);
    }
    let grave = destination::dead_letter_queue(A);
    let handed = queues.subscribe(&grave, Serial(2), terms(false, 9), 0);
    assert_eq!(told(&handed), [(2, 2), (2, 3)]);
    let counts = queues.counts();
    assert_eq!(
        (counts.held, counts.dropped, counts.dead_lettered),
        (2, 1, 3)
    );
}

#[test]
fn expired_messages_are_not_given_out() {
    let mut queues = Queues::new(limits());
    for (sequence, expires) in [(1, Some(10)), (2, None), (3, Some(30)), (4, Some(5))] {
        queues.push(A, incoming(sequence, expires), 5);
    }
    let handed = queues.subscribe(A, Serial(1), terms(false, 9), 20);
    assert_eq!(told(&handed), [(1, 2), (1, 3)]);
    queues.take(Serial(1), 2, 20).unwrap();
    queues.take(Serial(1), 3, 20).unwrap();
    // Nobody wants the one that comes back too late.
    assert_eq!(told(&queues.nack(Serial(1), &[2, 3], 30)), [(1, 2)]);
    assert_eq!(queues.counts().expired, 3);
}

#[test]
fn room_is_checked_for_all_messages_together() {
    let full = |limits: QueueLimits, held: u64, messages: &[(&str, usize)]| {
        let mut queues = filled(limits, held);
        let result = queues.check_room(messages, 0);
        result.err().map(|full| full.queue)
    };
    let check = |limits: &QueueLimits, held, messages: &[(&str, usize)], expected: Option<&str>| {
        let found = full(limits.clone(), held, messages);
        assert_eq!(found.as_deref(), expected, "{held} {messages:?}");
    };
    let messages = QueueLimits {
        messages_per_queue: 3,
        ..limits()
    };
    check(&messages, 2, &[(A, 100)], None);
    check(&messages, 2, &[(B, 100), (A, 100), (A, 100)], Some(A));
    check(&messages, 0, &[(B, 100), (A, 100), (B, 100)], None);
    let bytes = QueueLimits {
        bytes_per_queue: 250,
        bytes: 500,
        ..limits()
    };
    check(&bytes, 1, &[(A, 150)], None);
    check(&bytes, 1, &[(A, 151)], Some(A));
    // One that is alone may be long, within what all may have.
    check(&bytes, 0, &[(A, 500)], None);
    check(&bytes, 0, &[(A, 501)], Some(A));
    check(&bytes, 2, &[(B, 301)], Some(B));
    let queues = QueueLimits {
        queues: 1,
        ..limits()
    };
    check(&queues, 1, &[(A, 1)], None);
    check(&queues, 1, &[(B, 1)], Some(B));
    check(&queues, 0, &[(A, 1), (B, 1)], Some(B));
}

#[test]
fn what_has_expired_makes_room_everywhere() {
    let limits = QueueLimits {
        bytes: 200,
        queues: 2,
        ..limits()
    };
    let mut queues = Queues::new(limits);
    queues.push(A, incoming(1, Some(10)), 0);
    queues.push(B, incoming(2, Some(10)), 0);
    assert!(queues.check_room(&[("/queue/c", 100)], 9).is_err());
    assert_eq!(queues.check_room(&[("/queue/c", 100)], 10), Ok(()));
    assert_eq!((queues.counts().held, queues.counts().expired), (0, 2));
    assert!(queues.by_name.is_empty());
}

#[test]
fn messages_on_their_way_to_a_consumer_are_bounded() {
    let limits = QueueLimits {
        untaken_messages: 2,
        ..limits()
    };
    let mut queues = filled(limits, 4);
    let handed = queues.subscribe(A, Serial(1), terms(false, 9), 0);
    assert_eq!(told(&handed), [(1, 1), (1, 2)]);
    assert_eq!(told(&queues.take(Serial(1), 1, 0).unwrap()), [(1, 3)]);
}

#[test]
fn bytes_on_their_way_to_a_consumer_are_bounded() {
    let limits = QueueLimits {
        untaken_bytes: 250,
        ..limits()
    };
    let mut queues = filled(limits, 4);
    let handed = queues.subscribe(A, Serial(1), terms(false, 9), 0);
    assert_eq!(told(&handed), [(1, 1), (1, 2)]);
    assert_eq!(told(&queues.take(Serial(1), 1, 0).unwrap()), [(1, 3)]);
}

/// What may happen; numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Send {
        queue: usize,
        expires: Option<u64>,
    },
    Subscribe {
        queue: usize,
        auto: bool,
        prefetch: usize,
    },
    Take(prop::sample::Index),
    Ack(prop::sample::Index),
    Nack(prop::sample::Index),
    Remove(prop::sample::Index),
    Bar(prop::sample::Index),
    Unbar(prop::sample::Index),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => (0..2_usize, proptest::option::weighted(0.2, 0..60_u64))
            .prop_map(|(queue, expires)| Step::Send { queue, expires }),
        2 => (0..2_usize, any::<bool>(), 1..4_usize)
            .prop_map(|(queue, auto, prefetch)| Step::Subscribe { queue, auto, prefetch }),
        8 => index().prop_map(Step::Take),
        4 => index().prop_map(Step::Ack),
        3 => index().prop_map(Step::Nack),
        1 => index().prop_map(Step::Remove),
        2 => index().prop_map(Step::Bar),
        1 => index().prop_map(Step::Unbar),
        1 => (1..10_u64).prop_map(Step::Pass),
    ]
}

/// Plays the sessions, and keeps account of each message.
struct World {
    queues: Queues,
    now: u64,
    sequence: u64,
    next_serial: u64,
    /// Live consumers: acknowledges by itself, prefetch.
    consumers: BTreeMap<u64, Terms>,
    barred: BTreeSet<u64>,
    /// On its way: consumer and sequence, oldest first.
    outlets: Vec<(u64, u64)>,
    /// Taken and not settled.
    taken: Vec<(u64, u64)>,
    consumed: BTreeSet<u64>,
    /// Nothing came back so far.
    straight: bool,
    /// The last sequence that was given out, by queue.
    last: BTreeMap<String, u64>,
}

impl World {
    fn new() -> Self {
        Self {
            queues: Queues::new(limits()),
            now: 0,
            sequence: 0,
            next_serial: 0,
            consumers: BTreeMap::new(),
            barred: BTreeSet::new(),
            outlets: Vec::new(),
            taken: Vec::new(),
            consumed: BTreeSet::new(),
            straight: true,
            last: BTreeMap::new(),
        }
    }

    fn receive(&mut self, handed: Vec<Handed>) {
        for handed in handed {
            let consumer = handed.consumer.0;
            assert!(self.consumers.contains_key(&consumer), "a consumer lives");
            assert!(!self.barred.contains(&consumer), "a barred one has nothing");
            if self.straight {
                assert_eq!(flag(&handed, REDELIVERED), None);
                let queue = self.queues.by_consumer[&handed.consumer].queue.clone();
                let last = self.last.insert(queue, handed.sequence);
                assert!(last.is_none_or(|last| last < handed.sequence), "in order");
            }
            self.outlets.push((consumer, handed.sequence));
        }
        for (consumer, terms) in &self.consumers {
            let has = |list: &[(u64, u64)]| list.iter().filter(|(c, _)| c == consumer).count();
            assert!(has(&self.outlets) + has(&self.taken) <= terms.prefetch);
        }
    }

    fn consume(&mut self, sequence: u64) {
        assert!(
            self.consumed.insert(sequence),
            "{sequence} was consumed twice"
        );
    }

    fn subscribe(&mut self, queue: &str, terms: Terms) {
        self.next_serial += 1;
        self.consumers.insert(self.next_serial, terms);
        let serial = Serial(self.next_serial);
        let handed = self.queues.subscribe(queue, serial, terms, self.now);
        self.receive(handed);
    }

    /// A session takes what its outlet has, or passes over what is not its own any more.
    fn take(&mut self, at: usize) {
        let (consumer, sequence) = self.outlets.remove(at);
        let taken = self.queues.take(Serial(consumer), sequence, self.now);
        let Some(terms) = self.consumers.get(&consumer).copied() else {
            assert!(taken.is_none(), "a consumer that is gone takes nothing");
            return;
        };
        let handed = taken.expect("a live consumer takes what it was given");
        if terms.auto {
            self.consume(sequence);
        } else {
            self.taken.push((consumer, sequence));
        }
        self.receive(handed);
    }

    /// A session may not have what its outlet has.
    fn bar(&mut self, at: usize) {
        let (consumer, sequence) = self.outlets.remove(at);
        let barred = self.queues.bar(Serial(consumer), sequence, self.now);
        if !self.consumers.contains_key(&consumer) {
            assert!(barred.is_none(), "a consumer that is gone has nothing");
            return;
        }
        self.straight = false;
        self.barred.insert(consumer);
        self.outlets.retain(|(other, _)| *other != consumer);
        self.receive(barred.expect("it had it"));
    }

    fn play(&mut self, step: &Step) {
        match step {
            Step::Send { queue, expires } => {
                self.sequence += 1;
                let incoming = incoming(self.sequence, *expires);
                let handed = self.queues.push([A, B][*queue], incoming, self.now);
                self.receive(handed);
            }
            Step::Subscribe {
                queue,
                auto,
                prefetch,
            } => {
                self.subscribe([A, B][*queue], terms(*auto, *prefetch));
            }
            Step::Take(index) if !self.outlets.is_empty() => {
                self.take(index.index(self.outlets.len()));
            }
            Step::Ack(index) if !self.taken.is_empty() => {
                let (consumer, sequence) = self.taken.remove(index.index(self.taken.len()));
                self.consume(sequence);
                let handed = self.queues.ack(Serial(consumer), &[sequence], self.now);
                self.receive(handed);
            }
            Step::Nack(index) if !self.taken.is_empty() => {
                self.straight = false;
                let (consumer, sequence) = self.taken.remove(index.index(self.taken.len()));
                let handed = self.queues.nack(Serial(consumer), &[sequence], self.now);
                self.receive(handed);
            }
            Step::Remove(index) if !self.consumers.is_empty() => {
                self.straight = false;
                let consumer = *self
                    .consumers
                    .keys()
                    .nth(index.index(self.consumers.len()))
                    .unwrap();
                self.consumers.remove(&consumer);
                self.barred.remove(&consumer);
                self.taken.retain(|(other, _)| *other != consumer);
                let handed = self.queues.remove(Serial(consumer), self.now);
                self.receive(handed);
            }
            Step::Bar(index) if !self.outlets.is_empty() => {
                self.bar(index.index(self.outlets.len()));
            }
            Step::Unbar(index) if !self.barred.is_empty() => {
                let nth = index.index(self.barred.len());
                let consumer = *self.barred.iter().nth(nth).unwrap();
                self.barred.remove(&consumer);
                let handed = self.queues.unbar(Serial(consumer), self.now);
                self.receive(handed);
            }
            Step::Pass(time) => self.now += time,
            Step::Take(_)
            | Step::Ack(_)
            | Step::Nack(_)
            | Step::Remove(_)
            | Step::Bar(_)
            | Step::Unbar(_) => {}
        }
        self.check_accounts();
    }

    /// Sums that are kept agree with what is there.
    fn check_accounts(&self) {
        let (mut messages, mut bytes) = (0, 0);
        for (name, queue) in &self.queues.by_name {
            let in_flight = queue.consumers.values().flat_map(|c| c.in_flight.values());
            let entries = queue.waiting.values().chain(in_flight.map(|m| &m.entry));
            let weights: Vec<usize> = entries.map(|entry| entry.weight).collect();
            let sum: usize = weights.iter().sum();
            assert_eq!(
                (queue.messages, queue.bytes),
                (weights.len(), sum),
                "{name}"
            );
            assert!(
                queue.messages > 0 || !queue.consumers.is_empty(),
                "{name} is needed"
            );
            messages += queue.messages;
            bytes += queue.bytes;
        }
        let counts = self.queues.counts();
        assert_eq!((counts.held, self.queues.bytes), (messages, bytes));
        let ended = self.consumed.len() as u64 + counts.expired + counts.dropped;
        assert_eq!(
            messages as u64 + ended,
            self.sequence,
            "nothing is lost or doubled"
        );
    }

    /// Everybody leaves; then one consumer for each queue empties it.
    fn drain(&mut self) {
        for consumer in std::mem::take(&mut self.consumers).into_keys() {
            self.taken.retain(|(other, _)| *other != consumer);
            let handed = self.queues.remove(Serial(consumer), self.now);
            // To others that are about to leave: they pass it over.
            drop(handed);
        }
        self.outlets.clear();
        self.straight = false;
        for queue in [A, B] {
            self.subscribe(&destination::dead_letter_queue(queue), terms(true, 3));
            self.subscribe(queue, terms(true, 3));
        }
        while !self.outlets.is_empty() {
            self.take(0);
        }
    }
}

proptest! {
    #[test]
    fn each_message_ends_exactly_once(steps in vec(step(), 0..120)) {
        let mut world = World::new();
        for step in &steps {
            world.play(step);
        }
        world.drain();
        world.check_accounts();
        prop_assert_eq!(world.queues.counts().held, 0);
    }
}

#[test]
fn who_may_not_have_a_message_keeps_nobody_from_it() {
    let mut queues = filled(QueueLimits::default(), 3);
    let (one, other) = (Serial(1), Serial(2));
    let handed = queues.subscribe("/queue/a", one, terms(false, 2), 0);
    assert_eq!(told(&handed), [(1, 1), (1, 2)]);
    queues.take(one, 1, 0).unwrap();
    // All but what it had already goes back; there is nobody else, so it waits.
    assert!(queues.bar(one, 2, 0).unwrap().is_empty());
    assert!(queues.bar(one, 2, 0).is_none(), "once is enough");
    assert!(queues.bar(one, 1, 0).is_none(), "it was written");
    let handed = queues.subscribe("/queue/a", other, terms(false, 1), 0);
    assert_eq!(told(&handed), [(2, 2)]);
    assert_eq!(flag(&handed[0], REDELIVERED), None);
    // What was written before is still acknowledged, and makes no room.
    assert!(queues.ack(one, &[1], 0).is_empty());
    assert_eq!(told(&queues.unbar(one, 0)), [(1, 3)]);
    assert_eq!(told(&queues.remove(other, 0)), [(1, 2)]);
}

/// Not a matter of order alone: whoever leaves is found, however often it has had its turn.
#[test]
fn turns_go_on_when_consumers_leave() {
    let mut queues = Queues::new(QueueLimits::default());
    let terms = Terms {
        auto: false,
        prefetch: 100,
    };
    let mut serials: Vec<Serial> = (1..=4).map(Serial).collect();
    for serial in &serials {
        queues.subscribe("/queue/a", *serial, terms, 0);
    }
    let mut sequence = 0;
    for leaves in [2, 0, 1, 0] {
        for _ in 0..2 {
            for serial in &serials {
                sequence += 1;
                let message = Incoming {
                    sequence,
                    frame: Arc::new(Frame::new(Command::Message)),
                    weight: 1,
                    expires: None,
                };
                let handed = queues.push("/queue/a", message, 0);
                assert_eq!(handed[0].consumer, *serial);
                queues.take(*serial, sequence, 0).unwrap();
                queues.ack(*serial, &[sequence], 0);
            }
        }
        queues.remove(serials.remove(leaves), 0);
        assert_eq!(queues.by_consumer.len(), serials.len());
    }
    assert!(queues.by_name.is_empty());
}
