//! Buses of the airport file: what they are, and which devices stand on them. Pure.

use std::time::Duration;

use contract::{AgentId, LineId};
use serde::Deserialize;

use super::{Device, duration};
use crate::fault::Kind;

/// Slower, a poll of one device takes seconds; faster, no UART goes.
const BAUDS: std::ops::RangeInclusive<u32> = 300..=1_000_000;

/// As addresses of units go (MODBUS over Serial Line V1.02, section 2.2).
const UNITS: std::ops::RangeInclusive<u8> = 1..=247;

/// What a unit takes to think where the file does not say: real ones take 5 to 35 ms.
const TURN_ROUND: Duration = Duration::from_millis(10);

/// Longer, every time-out would pass.
const TURN_ROUND_MAX: Duration = Duration::from_secs(1);

/// A line that several Modbus devices share, in RTU framing.
#[derive(Debug, Clone)]
pub struct Bus {
    /// Its id, which is its line's id as well.
    pub id: LineId,
    /// Who serves it and what stands on it.
    pub agent: AgentId,
    /// What the agent has of it.
    pub kind: BusKind,
    /// Bits per second; each byte has eleven.
    pub baud: u32,
    /// From the end of a request to the reply's first byte.
    pub turn_round: Duration,
}

/// What an agent has of a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BusKind {
    /// A serial port: a pty.
    Pty,
    /// A TCP connection to a gateway that hands bytes on.
    Tcp,
}

/// A device's place on a bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stand {
    /// Which bus.
    pub bus: LineId,
    /// Its address there.
    pub unit: u8,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenBus {
    pub(super) id: LineId,
    agent: AgentId,
    kind: BusKind,
    baud: u32,
    #[serde(default = "turn_round", deserialize_with = "duration")]
    turn_round: Duration,
}

fn turn_round() -> Duration {
    TURN_ROUND
}

impl WrittenBus {
    pub(super) fn check(self) -> Result<Bus, String> {
        let wrong = |what: String| Err(format!("[[bus]] {:?}: {what}", self.id.as_str()));
        if !BAUDS.contains(&self.baud) {
            let (least, most) = (BAUDS.start(), BAUDS.end());
            return wrong(format!("baud is {least} to {most}"));
        }
        if self.turn_round > TURN_ROUND_MAX {
            return wrong(format!("turn_round is at most {TURN_ROUND_MAX:?}"));
        }
        Ok(Bus {
            id: self.id,
            agent: self.agent,
            kind: self.kind,
            baud: self.baud,
            turn_round: self.turn_round,
        })
    }
}

impl Stand {
    /// The agent of a device of this kind here.
    pub(super) fn check(&self, kind: Kind, buses: &[Bus]) -> Result<AgentId, String> {
        if !kind.speaks_modbus() {
            return Err(format!(
                "a {kind} does not speak Modbus: it cannot stand on a bus"
            ));
        }
        if !UNITS.contains(&self.unit) {
            return Err(format!("unit is {} to {}", UNITS.start(), UNITS.end()));
        }
        let bus = buses.iter().find(|bus| bus.id == self.bus);
        let bus = bus.ok_or_else(|| format!("there is no [[bus]] {:?}", self.bus.as_str()))?;
        Ok(bus.agent.clone())
    }
}

/// Each place is taken once, and each bus has a device.
pub(super) fn check_units(buses: &[Bus], devices: &[Device]) -> Result<(), String> {
    for (n, device) in devices.iter().enumerate() {
        let Some(stand) = &device.stand else { continue };
        let before = &devices[..n];
        if let Some(other) = before.iter().find(|other| other.stand == device.stand) {
            return Err(format!(
                "[[device]] {:?}: unit {} of {:?} is {:?} already",
                device.id.as_str(),
                stand.unit,
                stand.bus.as_str(),
                other.id.as_str()
            ));
        }
    }
    let empty = buses.iter().find(|bus| {
        let mut stands = devices.iter().filter_map(|device| device.stand.as_ref());
        !stands.any(|stand| stand.bus == bus.id)
    });
    match empty {
        Some(bus) => Err(format!(
            "[[bus]] {:?}: no device stands on it; give one bus = {:?}, or remove it",
            bus.id.as_str(),
            bus.id.as_str()
        )),
        None => Ok(()),
    }
}
