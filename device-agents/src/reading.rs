//! What a point is known to be at one moment, and what of that is news. Pure.

use std::collections::BTreeMap;
use std::time::Instant;

use contract::reading::PollClass;
use contract::{DeviceId, PointId, Quality, Value};

use crate::clock::Moment;

/// The newest thing known of a point.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The value; absent when there is none to trust, or the last one, marked so by `quality`.
    pub value: Option<Value>,
    /// The integer it was decoded from, for tests of single bits; absent where the wire has none.
    pub raw: Option<u64>,
    /// How far to trust it.
    pub quality: Quality,
    /// When the reply that held it was complete; for a sample that was never read, when that became known.
    pub at: Moment,
}

impl Sample {
    /// What is known of a point before it was ever read.
    pub fn never_read(at: Moment) -> Self {
        Self {
            value: None,
            raw: None,
            quality: Quality::Unknown,
            at,
        }
    }

    /// The sample, unless its quality forbids to decide anything by it.
    pub fn known(&self) -> Option<&Self> {
        match self.quality {
            Quality::Good | Quality::Suspect => Some(self),
            Quality::Bad | Quality::Stale | Quality::CommLost | Quality::Unknown => None,
        }
    }
}

/// What is new of one device. Times are monotonic until the moment of sending, so that setting the wall clock makes
/// nothing look older, newer, or confirmed already.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    /// Which device.
    pub device: DeviceId,
    /// The classes that were read since the last news, and when.
    pub polls: BTreeMap<PollClass, Instant>,
    /// What changed.
    pub readings: Vec<PointNews>,
}

/// One point of [`News`].
#[derive(Debug, Clone, PartialEq)]
pub struct PointNews {
    /// Which point.
    pub point: PointId,
    /// As in [`Sample::value`].
    pub value: Option<Value>,
    /// How far to trust it.
    pub quality: Quality,
    /// As in [`Sample::at`].
    pub at: Instant,
}
