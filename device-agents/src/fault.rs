//! From samples to faults: on- and off-delays, and the built-in loss of contact. Pure.
//!
//! | evidence | fault not active | fault active |
//! |---|---|---|
//! | condition holds | raised when it has held for `on_delay` | stays |
//! | condition does not hold | stays | cleared when it has not held for `off_delay` |
//! | no value to judge by | stays, the delay stands still | stays, the delay begins anew |
//! | contact lost | as it was, nothing is judged, delays begin anew | as it was, nothing is judged, delays begin anew |
//!
//! A fault whose state was never known is told once it is, raised or cleared. What was told already (`recorded`) is
//! given back by the store after a restart; [`Faults::untold`] is the difference, and it stays until the store has it.

use std::time::{Duration, Instant};

use contract::alarm::Severity;
use contract::event::Happening;
use contract::{FaultCode, Text, Value};

use crate::profile::Profile;
use crate::reading::Sample;

/// How bad it is that a device does not answer.
pub const COMM_SEVERITY: Severity = Severity::Major;

/// A device is lost after so many failed polls in a row,
const COMM_FAILURES: u32 = 3;

/// and not before so long after the first of them.
const COMM_ON_DELAY: Duration = Duration::from_secs(3);

/// It is back when it has answered for so long: one lucky reply of a loose plug is not enough.
const COMM_OFF_DELAY: Duration = Duration::from_secs(1);

/// What people read when a device does not answer.
pub fn comm_text() -> Text {
    Text {
        ko: "통신 두절".to_owned(),
        en: "Contact lost".to_owned(),
    }
}

/// One fault's state.
#[derive(Debug, Clone, Default)]
struct FaultState {
    /// `None` until it is first known.
    active: Option<bool>,
    /// When it became so in this life; `None` while it is as the store remembers it.
    changed_at: Option<Instant>,
    /// What the store has.
    recorded: Option<bool>,
    /// Since when the evidence has spoken for the other state.
    turning_since: Option<Instant>,
    /// When the evidence fell silent while a raise was pending.
    silent_since: Option<Instant>,
}

impl FaultState {
    fn new(recorded: Option<bool>) -> Self {
        Self {
            active: recorded,
            recorded,
            ..Self::default()
        }
    }

    /// Whether it is active after `evidence`, given how long each direction takes.
    fn judge(&mut self, evidence: Option<bool>, delays: (Duration, Duration), now: Instant) {
        let Some(holds) = evidence else {
            self.hold(now);
            return;
        };
        if let (Some(since), Some(silent)) = (self.turning_since, self.silent_since.take()) {
            self.turning_since = Some(since + now.saturating_duration_since(silent));
        }
        let delay = match (self.active, holds) {
            (Some(true), true) | (Some(false), false) => {
                self.turning_since = None;
                return;
            }
            // Never known before, and nothing is wrong: known at once.
            (None, false) => Duration::ZERO,
            (None | Some(false), true) => delays.0,
            (Some(true), false) => delays.1,
        };
        let since = *self.turning_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= delay {
            self.turn(holds, now);
        }
    }

    fn turn(&mut self, active: bool, now: Instant) {
        self.active = Some(active);
        self.changed_at = Some(now);
        self.turning_since = None;
    }

    /// There is nothing to judge by.
    fn hold(&mut self, now: Instant) {
        if self.active == Some(true) {
            self.turning_since = None; // Clearing needs unbroken evidence.
        } else if self.turning_since.is_some() {
            self.silent_since.get_or_insert(now);
        }
    }
}

/// A change of a fault's state that the store does not have yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Untold {
    /// For [`Faults::told`].
    pub slot: usize,
    /// Which fault.
    pub fault: FaultCode,
    /// Whether it is active now.
    pub active: bool,
    /// When that became so, which can be long before the store takes it.
    pub at: Instant,
    /// The event to store with it.
    pub happening: Happening,
}

/// The faults of one device, and whether it answers.
#[derive(Debug)]
pub struct Faults {
    /// In the order of the profile's rules; the loss of contact comes last.
    states: Vec<FaultState>,
    failures: u32,
    failing_since: Option<Instant>,
}

impl Faults {
    /// Faults as the store remembers them: `recorded` answers for a code whether it was last told active or not.
    pub fn new(profile: &Profile, recorded: impl Fn(&FaultCode) -> Option<bool>) -> Self {
        let mut states: Vec<FaultState> = profile
            .faults
            .iter()
            .map(|rule| FaultState::new(recorded(&rule.code)))
            .collect();
        states.push(FaultState::new(recorded(&FaultCode::contact_lost())));
        Self {
            states,
            failures: 0,
            failing_since: None,
        }
    }

    /// Whether contact is lost; `None` before the first poll ended either way.
    pub fn contact_lost(&self) -> Option<bool> {
        self.comm().active
    }

    /// Whether the fault of `rule` is active; `None` when that was never known.
    pub fn active(&self, rule: usize) -> Option<bool> {
        self.states[rule].active
    }

    /// Failed polls in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    fn comm(&self) -> &FaultState {
        self.states
            .last()
            .expect("the loss of contact is always there")
    }

    fn comm_mut(&mut self) -> &mut FaultState {
        self.states
            .last_mut()
            .expect("the loss of contact is always there")
    }

    /// A poll was answered, and `samples` (by point index) are what is known after it. `read` are the points that the
    /// poll read: only rules on these are judged, since the others have no new evidence.
    pub fn handle_answer(
        &mut self,
        profile: &Profile,
        samples: &[Sample],
        read: &[usize],
        now: Instant,
    ) {
        self.failures = 0;
        self.failing_since = None;
        self.comm_mut()
            .judge(Some(false), (Duration::ZERO, COMM_OFF_DELAY), now);
        if self.contact_lost() != Some(false) {
            return;
        }
        for (state, rule) in self.states.iter_mut().zip(&profile.faults) {
            if read.contains(&rule.when.point) {
                let delays = (rule.on_delay, rule.off_delay);
                state.judge(rule.when.holds(samples), delays, now);
            }
        }
    }

    /// A poll was not answered.
    pub fn handle_failure(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.failing_since.get_or_insert(now);
        for state in &mut self.states {
            state.hold(now);
        }
        self.handle_deadline(now);
    }

    /// When contact counts as lost if nothing is heard until then.
    pub fn deadline(&self) -> Option<Instant> {
        let since = self.failing_since?;
        (self.failures >= COMM_FAILURES && self.contact_lost() != Some(true))
            .then(|| since + COMM_ON_DELAY)
    }

    /// Time passed. True when contact has just been lost.
    pub fn handle_deadline(&mut self, now: Instant) -> bool {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            for state in &mut self.states {
                // What was about to change has to earn it again once contact is back.
                state.turning_since = None;
                state.silent_since = None;
            }
            self.comm_mut().turn(true, now);
            return true;
        }
        false
    }

    /// What the store does not have yet.
    pub fn untold(&self, profile: &Profile, samples: &[Sample]) -> Vec<Untold> {
        self.states
            .iter()
            .enumerate()
            .filter(|(_, state)| state.active != state.recorded)
            .filter_map(|(slot, state)| Some((slot, state.active?, state.changed_at?)))
            .map(|(slot, active, at)| {
                let rule = profile.faults.get(slot);
                let fault = rule.map_or_else(FaultCode::contact_lost, |rule| rule.code.clone());
                let happening = if active {
                    Happening::FaultRaised {
                        fault: fault.clone(),
                        severity: rule.map_or(COMM_SEVERITY, |rule| rule.severity),
                        detail: rule.and_then(|rule| detail(rule.detail?, samples)),
                    }
                } else {
                    Happening::FaultCleared {
                        fault: fault.clone(),
                    }
                };
                Untold {
                    slot,
                    fault,
                    active,
                    at,
                    happening,
                }
            })
            .collect()
    }

    /// The store has it.
    pub fn told(&mut self, untold: &Untold) {
        self.states[untold.slot].recorded = Some(untold.active);
    }
}

fn detail(point: usize, samples: &[Sample]) -> Option<Value> {
    samples[point].known()?.value.clone()
}

#[cfg(test)]
mod tests;
