//! Losing as a property: whatever happens in whatever order, nothing is lost untold.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::super::Serial;
use super::super::Terms;
use super::*;

const A: &str = "a";
const B: &str = "b";

fn limits() -> QueueLimits {
    QueueLimits {
        untaken_messages: 100,
        messages_per_queue: 3,
        bytes_per_queue: 500,
        bytes: 800,
        deliveries: 2,
        ..QueueLimits::default()
    }
}

fn incoming(sequence: u64, weight: usize, expires: Option<u64>) -> Incoming {
    Incoming {
        sequence,
        frame: Arc::new(Frame::new(Command::Message)),
        weight,
        expires,
    }
}

/// Sequence of each, and whether it is a notice.
fn told(handed: &[Handed]) -> Vec<(u64, bool)> {
    handed.iter().map(|h| (h.sequence, h.gap)).collect()
}

fn terms(prefetch: usize) -> Terms {
    Terms {
        auto: false,
        prefetch,
    }
}

#[test]
fn a_full_queue_loses_its_oldest_and_says_so() {
    let mut queues = Queues::lossy(limits());
    for sequence in 1..=6 {
        queues.push_lossy(A, incoming(sequence, 10, None), 0);
    }
    let handed = queues.subscribe(A, Serial(1), terms(9), 0);
    let expected = [(3, true), (4, false), (5, false), (6, false)];
    assert_eq!(told(&handed), expected);
    assert_eq!(queues.counts().dropped, 3);
    // All that is held is on its way: what is new is lost.
    assert!(queues.push_lossy(A, incoming(7, 10, None), 0).len() == 1);
    assert!(queues.remove(Serial(1), 0).is_empty());
    let handed = queues.subscribe(A, Serial(2), terms(9), 0);
    let expected = [(3, true), (4, false), (5, false), (6, false), (7, true)];
    assert_eq!(told(&handed), expected);
    assert_eq!(queues.counts().dropped, 4);
    // None of it was seen before.
    assert!(handed.iter().all(|h| h.frame.headers.iter().count() == 0));
    queues.remove(Serial(2), 0);
    queues.delete(A);
    assert_eq!((queues.counts().held, queues.bytes), (0, 0));
}

#[test]
fn bytes_are_lost_from_the_queue_that_they_come_to() {
    let mut queues = Queues::lossy(limits());
    queues.push_lossy(B, incoming(1, 400, None), 0);
    queues.push_lossy(A, incoming(2, 300, None), 0);
    // One that is alone may be long, within what all may have.
    queues.push_lossy(A, incoming(3, 350, None), 0);
    queues.push_lossy(A, incoming(4, 401, None), 0);
    assert_eq!(queues.counts().dropped, 3);
    let handed = queues.subscribe(A, Serial(1), terms(9), 0);
    assert_eq!(told(&handed), [(4, true)]);
    let handed = queues.subscribe(B, Serial(2), terms(9), 0);
    assert_eq!(told(&handed), [(1, false)]);
}

#[test]
fn what_has_expired_is_no_loss() {
    let mut queues = Queues::lossy(limits());
    for sequence in 1..=3 {
        queues.push_lossy(A, incoming(sequence, 10, Some(5)), 0);
    }
    queues.push_lossy(A, incoming(4, 10, None), 5);
    let counts = queues.counts();
    assert_eq!((counts.expired, counts.dropped), (3, 0));
}

#[test]
fn what_comes_back_too_often_is_lost_and_so_is_its_notice() {
    let mut queues = Queues::lossy(limits());
    queues.push_lossy(A, incoming(1, 10, None), 0);
    let mut handed = queues.subscribe(A, Serial(1), terms(9), 0);
    for (gap, redelivered) in [(false, false), (false, true), (true, false), (true, true)] {
        assert_eq!(told(&handed), [(1, gap)]);
        assert_eq!(handed[0].frame.header("redelivered").is_some(), redelivered);
        queues.take(Serial(1), 1, 0).unwrap();
        handed = queues.nack(Serial(1), &[1], 0);
    }
    assert!(handed.is_empty());
    let counts = queues.counts();
    assert_eq!((counts.held, counts.dropped), (0, 1));
}

#[derive(Debug, Clone)]
enum Step {
    Send {
        queue: usize,
        weight: usize,
        expires: Option<u64>,
    },
    Subscribe {
        queue: usize,
        prefetch: usize,
    },
    Take(prop::sample::Index),
    Ack(prop::sample::Index),
    Nack(prop::sample::Index),
    Remove(prop::sample::Index),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        8 => (0..2_usize, 1..300_usize, option::weighted(0.2, 0..60_u64))
            .prop_map(|(queue, weight, expires)| Step::Send { queue, weight, expires }),
        2 => (0..2_usize, 1..5_usize)
            .prop_map(|(queue, prefetch)| Step::Subscribe { queue, prefetch }),
        6 => index().prop_map(Step::Take),
        2 => index().prop_map(Step::Ack),
        4 => index().prop_map(Step::Nack),
        1 => index().prop_map(Step::Remove),
        1 => (1..10_u64).prop_map(Step::Pass),
    ]
}

/// Plays the sessions, and keeps account of each message.
struct World {
    queues: Queues,
    now: u64,
    next_serial: u64,
    consumers: BTreeSet<u64>,
    outlets: Vec<(u64, u64)>,
    taken: Vec<(u64, u64)>,
    /// What all consumers together might have, at most, so far.
    slots: usize,
    /// Whose each message is, and its `expires`.
    sent: Vec<(&'static str, Option<u64>)>,
    /// Acknowledged, and whether that was a notice.
    consumed: BTreeSet<(u64, bool)>,
    /// Lost, and a consumer took the notice.
    told: BTreeSet<u64>,
}

impl World {
    /// What queue `name` holds, and whether it is a notice.
    fn held(&self, name: &str) -> BTreeMap<u64, bool> {
        let Some(queue) = self.queues.by_name.get(name) else {
            return BTreeMap::new();
        };
        let in_flight = queue.consumers.values().flat_map(|c| &c.in_flight);
        let in_flight = in_flight.map(|(sequence, m)| (*sequence, m.entry.gap));
        let waiting = queue.waiting.iter().map(|(sequence, e)| (*sequence, e.gap));
        waiting.chain(in_flight).collect()
    }

    /// Messages of `name` that are neither held nor consumed nor expired.
    fn lost(&self, name: &str) -> Vec<u64> {
        let held = self.held(name);
        (1..)
            .zip(&self.sent)
            .filter(|(sequence, (queue, expires))| {
                let is_held = held.get(sequence) == Some(&false);
                let is_consumed = self.consumed.contains(&(*sequence, false));
                let may_have_expired = expires.is_some_and(|at| at <= self.now);
                *queue == name && !is_held && !is_consumed && !may_have_expired
            })
            .map(|(sequence, _)| sequence)
            .collect()
    }

    fn receive(&mut self, handed: Vec<Handed>) {
        for handed in handed {
            self.outlets.push((handed.consumer.0, handed.sequence));
        }
    }

    fn take(&mut self, at: usize) {
        let (consumer, sequence) = self.outlets.remove(at);
        let seat = self.queues.by_consumer.get(&Serial(consumer));
        let name = seat.map(|seat| seat.queue.clone());
        let Some(handed) = self.queues.take(Serial(consumer), sequence, self.now) else {
            return;
        };
        let name = name.unwrap();
        let held = self.held(&name);
        self.taken.push((consumer, sequence));
        if held[&sequence] {
            for lost in self.lost(&name) {
                let mut between = held.range(lost + 1..sequence.max(lost + 1));
                if lost <= sequence && between.all(|(_, gap)| *gap) {
                    self.told.insert(lost);
                }
            }
        }
        self.receive(handed);
    }

    fn settle(&mut self, index: prop::sample::Index, consumed: bool) {
        let (consumer, sequence) = self.taken.remove(index.index(self.taken.len()));
        let serial = Serial(consumer);
        let name = self.queues.by_consumer[&serial].queue.clone();
        let handed = if consumed {
            let gap = self.held(&name)[&sequence];
            assert!(self.consumed.insert((sequence, gap)), "{sequence} twice");
            self.queues.ack(serial, &[sequence], self.now)
        } else {
            self.queues.nack(serial, &[sequence], self.now)
        };
        self.receive(handed);
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Send {
                queue,
                weight,
                expires,
            } => {
                let name = [A, B][queue];
                self.sent.push((name, expires));
                let incoming = incoming(self.sent.len() as u64, weight, expires);
                let handed = self.queues.push_lossy(name, incoming, self.now);
                self.receive(handed);
            }
            Step::Subscribe { queue, prefetch } => {
                self.next_serial += 1;
                self.consumers.insert(self.next_serial);
                let (serial, terms) = (Serial(self.next_serial), terms(prefetch));
                let handed = self
                    .queues
                    .subscribe([A, B][queue], serial, terms, self.now);
                self.receive(handed);
                let consumers = self
                    .queues
                    .by_name
                    .values()
                    .flat_map(|q| q.consumers.values());
                let slots = consumers.map(|consumer| consumer.terms.prefetch).sum();
                self.slots = self.slots.max(slots);
            }
            Step::Take(index) if !self.outlets.is_empty() => {
                self.take(index.index(self.outlets.len()));
            }
            Step::Ack(index) if !self.taken.is_empty() => self.settle(index, true),
            Step::Nack(index) if !self.taken.is_empty() => self.settle(index, false),
            Step::Remove(index) if !self.consumers.is_empty() => {
                let at = index.index(self.consumers.len());
                let consumer = *self.consumers.iter().nth(at).unwrap();
                self.consumers.remove(&consumer);
                self.taken.retain(|(other, _)| *other != consumer);
                let handed = self.queues.remove(Serial(consumer), self.now);
                self.receive(handed);
            }
            Step::Pass(time) => self.now += time,
            Step::Take(_) | Step::Ack(_) | Step::Nack(_) | Step::Remove(_) => {}
        }
    }

    fn check(&self) {
        let mut all = 0;
        for name in [A, B] {
            let held = self.held(name);
            all += held.len();
            let notices = held.values().filter(|gap| **gap).count();
            assert!(held.len() - notices <= self.queues.limits.messages_per_queue);
            assert!(
                notices <= 1 + 2 * self.slots,
                "{notices} for {}",
                self.slots
            );
            if let Some(queue) = self.queues.by_name.get(name) {
                assert_eq!((queue.messages, queue.notices), (held.len(), notices));
            }
            for lost in self.lost(name) {
                let mut newer = held.range(lost..);
                let notice_first = newer.next().is_some_and(|(_, gap)| *gap);
                assert!(
                    self.told.contains(&lost) || notice_first,
                    "{lost} of {name}: {held:?}"
                );
            }
        }
        let counts = self.queues.counts();
        assert_eq!(counts.held, all);
        assert!(self.queues.bytes <= self.queues.limits.bytes);
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_untold(steps in vec(step(), 0..120)) {
        let mut world = World {
            queues: Queues::lossy(limits()),
            now: 0,
            next_serial: 0,
            consumers: BTreeSet::new(),
            outlets: Vec::new(),
            taken: Vec::new(),
            slots: 0,
            sent: Vec::new(),
            consumed: BTreeSet::new(),
            told: BTreeSet::new(),
        };
        for step in steps {
            world.play(step);
            world.check();
        }
    }
}
