//! What `load` tells whoever started it: one JSON object.

use serde::{Deserialize, Serialize};

use crate::ledger::Faults;

/// The outcome of one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Subscribers that were subscribed when the run began.
    pub connected: usize,
    /// Subscribers that were not.
    pub refused: usize,
    /// What went wrong first, in words.
    pub first_error: Option<String>,
    /// How long it took until all had subscribed, in seconds.
    pub connecting_seconds: f64,
    /// How long deliveries were counted.
    pub seconds: f64,
    /// Messages that subscribers got in that time.
    pub deliveries: u64,
    /// Processor time of the server in that time, in seconds.
    pub server_seconds: f64,
    /// Processor time of the load generator in that time, in seconds.
    pub load_seconds: f64,
    /// What other processes took of the machine's processors in that time: 0 is none of it, 1 is all.
    pub others_share: f64,
    /// Resident memory of the server before the first client.
    pub memory_before: u64,
    /// The same when all had subscribed.
    pub memory_connected: u64,
    /// The same when each had carried a message too, where that is looked at.
    #[serde(default)]
    pub memory_used: u64,
    /// The most that was seen at any time.
    pub memory_peak: u64,
    /// Messages sent in the whole run.
    pub sent: u64,
    /// From sending a message until the last subscriber has it.
    pub latency: Latency,
    /// Deliveries that were wrong, in the whole run.
    pub faults: Wrong,
    /// Deliveries that never came, in the whole run.
    pub missing: u64,
    /// Subscribers that read and were disconnected.
    pub disconnected: usize,
    /// Subscribers that did not read.
    pub stalled: usize,
    /// Those of them that the server disconnected.
    pub cut_off: usize,
    /// Those of them that could still read the reason: ERROR with the code `slow-consumer`.
    pub told_slow_consumer: usize,
    /// Messages that the flooding publisher got rid of.
    pub flooded: u64,
}

/// See [`Faults`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrong {
    /// Skipped.
    pub lost: u64,
    /// Came again.
    pub doubled: u64,
    /// Nobody sent it.
    pub corrupt: u64,
}

impl Wrong {
    /// Adds what one thread found.
    pub fn add(&mut self, faults: Faults) {
        self.lost += faults.lost;
        self.doubled += faults.doubled;
        self.corrupt += faults.corrupt;
    }
}

/// Of all messages, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// How many messages.
    pub messages: usize,
    /// Half of them took at most so long.
    pub median: u32,
    /// 99 of 100 took at most so long.
    pub p99: u32,
    /// None took longer.
    pub max: u32,
}

impl Latency {
    /// Of single times, in any order.
    #[must_use]
    pub fn of(mut times: Vec<u32>) -> Self {
        times.sort_unstable();
        let at = |hundredths: usize| {
            let index = (times.len() * hundredths / 100).min(times.len().saturating_sub(1));
            times.get(index).copied().unwrap_or_default()
        };
        Self {
            messages: times.len(),
            median: at(50),
            p99: at(99),
            max: times.last().copied().unwrap_or_default(),
        }
    }
}

impl Report {
    /// Deliveries in a second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn rate(&self) -> f64 {
        self.deliveries as f64 / self.seconds.max(f64::EPSILON)
    }

    /// Microseconds of the server's processor time for one delivery.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn cost(&self) -> f64 {
        self.server_seconds * 1e6 / (self.deliveries.max(1) as f64)
    }

    /// Bytes of the server's memory for one subscriber.
    #[must_use]
    pub fn memory_per_subscriber(&self) -> u64 {
        let subscribers = u64::try_from(self.connected.max(1)).unwrap_or(u64::MAX);
        self.memory_connected.saturating_sub(self.memory_before) / subscribers
    }

    /// Every subscriber that reads got everything, once and in order, and nobody was refused.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.refused == 0
            && self.disconnected == 0
            && self.missing == 0
            && self.faults == Wrong::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_times_that_were() {
        assert_eq!(Latency::of(Vec::new()), Latency::default());
        let one = Latency::of(vec![7]);
        assert_eq!((one.median, one.p99, one.max), (7, 7, 7));
        let many = Latency::of((1..=200).rev().collect());
        assert_eq!(
            (many.messages, many.median, many.p99, many.max),
            (200, 101, 199, 200)
        );
    }
}
