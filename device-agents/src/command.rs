//! The life of one command at its device. Pure.
//!
//! | step | ends in |
//! |---|---|
//! | [`check`]: known, this instance's, in time, parameters right | rejected, expired |
//! | [`interlocks`]: every one holds on good and fresh data | rejected |
//! | the journal says `started`; deadline and interlocks are looked at once more | expired, rejected |
//! | the wire write, once, not after the deadline | expired; failed, when nothing was sent or it said no |
//! | [`Execution`]: what is read back, step by step | succeeded, unverified, unknown; failed, when preempted |
//!
//! A write's acknowledgement ends nothing. Nothing is ever written again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use contract::command::{Command, CommandState, Reason, ReasonCode};
use contract::{InstanceId, Value};

use crate::clock::InstanceClock;
use crate::fault::Faults;
use crate::profile::{CommandType, Feedback, Interlock, Parameter, Profile};
use crate::reading::Sample;

/// How a command ended, or that it did not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Where it stands now.
    pub state: CommandState,
    /// Why, unless it succeeded.
    pub reason: Option<Reason>,
}

impl Outcome {
    /// `detail` says what the code does not: what exactly, or nothing.
    pub(crate) fn new(state: CommandState, code: ReasonCode, detail: impl Into<String>) -> Self {
        Self {
            state,
            reason: Some(Reason {
                code,
                detail: detail.into(),
            }),
        }
    }

    /// A state on the way to success.
    pub(crate) fn plain(state: CommandState) -> Self {
        Self {
            state,
            reason: None,
        }
    }

    pub(crate) fn rejected(code: ReasonCode, detail: impl Into<String>) -> Self {
        Self::new(CommandState::Rejected, code, detail)
    }

    pub(crate) fn expired(detail: impl Into<String>) -> Self {
        Self::new(CommandState::Expired, ReasonCode::DeadlinePassed, detail)
    }
}

/// A command that may be executed if it is begun in time.
#[derive(Debug, Clone)]
pub struct Order {
    /// As it was received.
    pub command: Command,
    /// Index into the profile's commands.
    pub kind: usize,
    /// By parameter.
    pub params: Vec<f64>,
    /// Must have begun by then.
    pub deadline: Instant,
}

impl Order {
    /// Fails once the deadline has passed.
    ///
    /// # Errors
    /// `expired`.
    pub fn check_deadline(&self, now: Instant) -> Result<(), Outcome> {
        if now > self.deadline {
            return Err(Outcome::expired(""));
        }
        Ok(())
    }

    /// What fills the places of the command's template.
    pub fn fill<'a>(&self, kind: &'a CommandType) -> BTreeMap<&'a str, String> {
        let params = kind.params.iter().zip(&self.params);
        let mut fill: BTreeMap<&str, String> = params
            .map(|(parameter, value)| (parameter.name.as_str(), value.to_string()))
            .collect();
        fill.insert("cmd_id", self.command.id.to_string());
        fill
    }
}

/// Whether `command` may be executed at all.
///
/// # Errors
/// `expired` for another instance's command and for a deadline that has passed; `rejected` for an unknown name and for
/// parameters that are missing, unknown or out of range.
pub fn check(
    command: Command,
    profile: &Profile,
    instance: InstanceId,
    clock: &InstanceClock,
    now: Instant,
) -> Result<Order, Outcome> {
    if command.instance != instance {
        return Err(Outcome::expired(
            "it was meant for an earlier start of this agent",
        ));
    }
    let kind = profile
        .commands
        .iter()
        .position(|kind| kind.name == command.name)
        .ok_or_else(|| {
            Outcome::rejected(
                ReasonCode::NotSupported,
                format!("{} has no command \"{}\"", profile.id, command.name),
            )
        })?;
    let deadline = clock
        .at(command.deadline_monotonic_ms)
        .ok_or_else(|| Outcome::rejected(ReasonCode::BadParameter, "deadline_monotonic_ms"))?;
    let params = check_params(&command.params, &profile.commands[kind].params)?;
    let order = Order {
        command,
        kind,
        params,
        deadline,
    };
    order.check_deadline(now)?;
    Ok(order)
}

fn check_params(given: &BTreeMap<String, Value>, known: &[Parameter]) -> Result<Vec<f64>, Outcome> {
    let bad = |detail: String| Outcome::rejected(ReasonCode::BadParameter, detail);
    if let Some(name) = given
        .keys()
        .find(|name| known.iter().all(|parameter| parameter.name != **name))
    {
        return Err(bad(format!("there is no parameter \"{name}\"")));
    }
    known
        .iter()
        .map(|parameter| match given.get(&parameter.name) {
            None => Ok(parameter.default),
            Some(Value::Number(number)) if (parameter.min..=parameter.max).contains(number) => {
                Ok(*number)
            }
            Some(other) => Err(bad(format!(
                "{} must be {} to {}, not {other}",
                parameter.name, parameter.min, parameter.max
            ))),
        })
        .collect()
}

/// Points of `kind`'s interlocks whose samples are too old at `now`: read them before [`interlocks`] is asked.
pub fn too_old(kind: &CommandType, samples: &[Sample], now: Instant) -> Vec<usize> {
    kind.interlocks
        .iter()
        .filter_map(|interlock| match interlock {
            Interlock::Reading { condition, max_age } => {
                let age = now.saturating_duration_since(samples[condition.point].at.mono);
                (age > *max_age).then_some(condition.point)
            }
            Interlock::Fault { .. } => None,
        })
        .collect()
}

/// Whether every interlock of `kind` holds.
///
/// # Errors
/// `rejected`, naming the first one that does not hold, or whose data is missing, not good, or too old to tell.
pub fn interlocks(
    profile: &Profile,
    kind: &CommandType,
    samples: &[Sample],
    faults: &Faults,
    now: Instant,
) -> Result<(), Outcome> {
    let blocked = |detail: String| Err(Outcome::rejected(ReasonCode::Interlock, detail));
    for interlock in &kind.interlocks {
        match interlock {
            Interlock::Fault { rule, active } => {
                let (name, state) = match rule {
                    Some(rule) => (profile.faults[*rule].code.as_str(), faults.active(*rule)),
                    None => (contract::FaultCode::CONTACT_LOST, faults.contact_lost()),
                };
                match state {
                    Some(state) if state == *active => {}
                    Some(true) => return blocked(format!("{name} is active")),
                    Some(false) => return blocked(format!("{name} is not active")),
                    None => return blocked(format!("whether {name} is active is not known yet")),
                }
            }
            Interlock::Reading { condition, max_age } => {
                let sample = &samples[condition.point];
                let name = &profile.points[condition.point].id;
                if sample.quality != contract::Quality::Good {
                    return blocked(format!("{name} is {}", sample.quality.as_str()));
                }
                if now.saturating_duration_since(sample.at.mono) > *max_age {
                    return blocked(format!("{name} is older than {max_age:?}"));
                }
                if condition.holds(samples) != Some(true) {
                    return blocked(format!("{name} is {}", show(sample)));
                }
            }
        }
    }
    Ok(())
}

fn show(sample: &Sample) -> String {
    sample
        .value
        .as_ref()
        .map_or_else(|| "without value".to_owned(), Value::to_string)
}

/// A command that was written to the wire, until it is seen what came of it.
#[derive(Debug)]
pub struct Execution {
    /// What is executed.
    pub order: Order,
    /// Whether the device said that it heard; if not, it may have.
    acknowledged: bool,
    /// What was known right before the write, by point.
    before: Vec<Sample>,
    written_at: Instant,
    step: usize,
    step_ends_at: Instant,
    plus: Duration,
    /// What the last read-back held, once there was one.
    seen: Option<String>,
}

impl Execution {
    /// The wire write ended at `written_at`; `before` is what was known before it, by point.
    pub fn new(
        order: Order,
        profile: &Profile,
        before: &[Sample],
        acknowledged: bool,
        written_at: Instant,
    ) -> Self {
        let verify = &profile.commands[order.kind].verify;
        let plus = verify.plus_param.map_or(Duration::ZERO, |param| {
            Duration::from_secs_f64(order.params[param])
        });
        Self {
            step_ends_at: written_at + verify.steps[0].within + plus,
            order,
            acknowledged,
            before: before.to_vec(),
            written_at,
            step: 0,
            plus,
            seen: None,
        }
    }

    /// The points to read back next.
    pub fn wanted(&self, profile: &Profile) -> Vec<usize> {
        let steps = &profile.commands[self.order.kind].verify.steps;
        steps[self.step..]
            .iter()
            .map(|step| step.feedback.point(&profile.faults))
            .collect()
    }

    /// How this execution ends when the command `by` was written to its device.
    pub fn preempted(by: &str, acknowledged: bool) -> Outcome {
        // A device that did not answer may not have heard, and goes on with what it does.
        let state = if acknowledged {
            CommandState::Failed
        } else {
            CommandState::Unknown
        };
        let detail = format!("stopped by the command {by}");
        Outcome::new(state, ReasonCode::Cancelled, detail)
    }

    /// When the current step's time is over.
    pub fn deadline(&self) -> Instant {
        self.step_ends_at
    }

    /// Looks at what is known now. Only samples that were read after the write count.
    pub fn handle_samples(
        &mut self,
        profile: &Profile,
        samples: &[Sample],
        now: Instant,
    ) -> Option<Outcome> {
        let steps = &profile.commands[self.order.kind].verify.steps;
        let last = steps.len() - 1;
        if self.sees(profile, &steps[last].feedback, samples) {
            return Some(Outcome::plain(CommandState::Succeeded));
        }
        while self.step < last && self.sees(profile, &steps[self.step].feedback, samples) {
            self.step += 1;
            self.step_ends_at = now + steps[self.step].within + self.plus;
        }
        (now >= self.step_ends_at).then(|| self.time_is_over())
    }

    fn sees(&mut self, profile: &Profile, feedback: &Feedback, samples: &[Sample]) -> bool {
        let point = feedback.point(&profile.faults);
        let sample = &samples[point];
        let passed = sample.at.mono.saturating_duration_since(self.written_at);
        if passed.is_zero() || sample.known().is_none() {
            return false;
        }
        self.seen = Some(format!("{} is {}", profile.points[point].id, show(sample)));
        match feedback {
            Feedback::Holds(condition) => condition.holds(samples) == Some(true),
            Feedback::HoldsOrStill { condition, still } => {
                condition.holds(samples) == Some(true)
                    || still.holds(samples) == Some(true)
                        && self.before[point].known().map(|before| &before.value)
                            == Some(&sample.value)
            }
            Feedback::NoFault(rule) => profile.faults[*rule].when.holds(samples) == Some(false),
            Feedback::Restarted(_) => match sample.value {
                // Devices count whole seconds, so that one of them may not be over yet.
                Some(Value::Number(uptime)) => uptime + 1.0 < passed.as_secs_f64(),
                Some(Value::Bool(_) | Value::Text(_)) | None => false,
            },
        }
    }

    fn time_is_over(&mut self) -> Outcome {
        let state = if self.acknowledged {
            CommandState::Unverified
        } else {
            CommandState::Unknown
        };
        match self.seen.take() {
            Some(seen) => Outcome::new(state, ReasonCode::FeedbackMismatch, seen),
            None => Outcome::new(state, ReasonCode::CommLost, ""),
        }
    }
}

#[cfg(test)]
mod tests;
