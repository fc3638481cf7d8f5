//! What a new subscription gets before live messages. Pure.

use std::sync::Arc;

use stomp::{AckMode, Command, Frame};

use super::replay::{Most, Past};
use super::retained::RetainedCounts;
use super::{Outbound, Payload, Router, Serial, Wanted};
use crate::config::BrokerConfig;
use crate::destination::{GAP, Kind};
use crate::position::Position;

/// Counts for metrics; they only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Told {
    /// Messages that were replayed.
    pub(crate) replayed: u64,
    /// Notices that some may be missing.
    pub(crate) gaps: u64,
    /// Places that were looked at for it and messages that were found.
    steps: u64,
}

/// How much one SUBSCRIBE gets.
#[derive(Debug)]
pub(super) struct PastLimits {
    messages: usize,
    /// When it acknowledges.
    acknowledged: usize,
    bytes: usize,
}

impl PastLimits {
    pub(super) fn new(config: &BrokerConfig) -> Self {
        let messages = config.replay_messages_per_subscribe;
        Self {
            messages,
            // Half, so that there is room for what is live and for other subscriptions.
            acknowledged: messages.min(config.stomp.limits.pending_acks / 2),
            bytes: config.replay_bytes_per_subscribe,
        }
    }
}

impl Router {
    pub(crate) fn told(&self) -> Told {
        Told {
            gaps: self.told.gaps + self.durables.gaps(),
            ..self.told
        }
    }

    /// What SUBSCRIBEs have cost so far: each step is some hundred nanoseconds.
    pub(crate) fn steps(&self) -> u64 {
        self.told.steps
    }

    pub(crate) fn retained_counts(&self) -> RetainedCounts {
        self.retained.counts()
    }

    /// All that comes before live messages. The messages are shared with those that keep them; what they have dropped
    /// before it is written is held by this alone, so its bytes are bounded.
    pub(super) fn past(&mut self, serial: Serial, wanted: &Wanted<'_>, now: u64) -> Vec<Outbound> {
        let messages = match (wanted.kind, wanted.resume_from) {
            (Kind::Topic, Some(position)) => self.resumed(wanted, position, now),
            (Kind::Topic, None) if wanted.retained => self.snapshot(wanted.destination, false, now),
            _ => Vec::new(),
        };
        messages
            .into_iter()
            .map(|message| Outbound {
                serial,
                payload: Payload::Frame(message),
            })
            .collect()
    }

    /// What the pattern would have got since `position`. When that is not all of it: a gap notice in front, and last
    /// values instead, if they are wanted.
    fn resumed(&mut self, wanted: &Wanted<'_>, position: &str, now: u64) -> Vec<Arc<Frame>> {
        let most = Most {
            messages: match wanted.ack {
                AckMode::Auto => self.past_limits.messages,
                AckMode::Client | AckMode::ClientIndividual => self.past_limits.acknowledged,
            },
            bytes: self.past_limits.bytes,
        };
        let past = match self.known(position) {
            Some(sequence) => self.replay.after(sequence, wanted.destination, most),
            // Of another life nothing is known, and what is kept here may long be part of the state that the client
            // will read after the notice.
            None => Past {
                lost_up_to: Some(self.sequence),
                messages: Vec::new(),
                steps: 0,
            },
        };
        self.told.steps += past.steps as u64;
        if past.lost_up_to.is_some() && wanted.retained {
            return self.snapshot(wanted.destination, true, now);
        }
        self.told.replayed += past.messages.len() as u64;
        let gap = past
            .lost_up_to
            .map(|sequence| self.gap(wanted.destination, sequence));
        gap.into_iter().chain(past.messages).collect()
    }

    /// Last values, with a gap notice in front when messages are `lost` or these are not all.
    fn snapshot(&mut self, pattern: &str, lost: bool, now: u64) -> Vec<Arc<Frame>> {
        let bytes = self.past_limits.bytes;
        let snapshot = self.retained.snapshot(pattern, bytes, now);
        self.told.steps += snapshot.steps as u64;
        // Whoever gets the notice and no more can resume from it: what it leaves out is only what it has replaced.
        let before = snapshot
            .values
            .first()
            .map_or(self.sequence, |(sequence, _)| sequence - 1);
        let gap = (lost || !snapshot.complete).then(|| self.gap(pattern, before));
        let values = snapshot.values.into_iter().map(|(_, value)| value);
        gap.into_iter().chain(values).collect()
    }

    /// The sequence of a position of this life.
    fn known(&self, position: &str) -> Option<u64> {
        let position = position.parse::<Position>().ok()?;
        let known = position.incarnation == self.incarnation && position.sequence <= self.sequence;
        known.then_some(position.sequence)
    }

    fn gap(&mut self, destination: &str, sequence: u64) -> Arc<Frame> {
        self.told.gaps += 1;
        Arc::new(gap_notice(destination, &self.position_at(sequence)))
    }
}

/// The notice that messages up to `position` may be missing: its id is a position from which nothing is.
pub(super) fn gap_notice(destination: &str, position: &Position) -> Frame {
    Frame::new(Command::Message)
        .with_header("destination", destination)
        .with_header("message-id", position.gap_id())
        .with_header(GAP, "true")
}

#[cfg(test)]
mod tests;
