//! The life of one alarm, after the ISA-18.2 state model. Pure: no clock, no channel, no SQL.
//!
//! | from \ event | raise | clear | acknowledge |
//! |---|---|---|---|
//! | A normal | B, new occurrence | - | - |
//! | B unacknowledged | - | D | C |
//! | C acknowledged | - | A | - |
//! | D returned, unacknowledged | B, new occurrence | - | A |
//!
//! A dash changes nothing: repeating a raise, a clear or an acknowledge is harmless. Acknowledging an occurrence that
//! is not the newest one is refused: nobody acknowledges what they have not seen. Shelving, suppression and out of
//! service are flags over these states, not states.
#![warn(clippy::wildcard_enum_match_arm)]

use contract::alarm::AlarmState;

/// What is known of an alarm's condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Whether the fault is there.
    pub active: bool,
    /// Whether somebody has seen the newest occurrence.
    pub acknowledged: bool,
    /// The newest occurrence.
    pub occurrence: i64,
    /// Raises since the alarm was last normal.
    pub count: i32,
}

/// What can happen to an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The fault is there.
    Raise,
    /// The fault is gone.
    Clear,
    /// Somebody has seen this occurrence.
    Acknowledge {
        /// Which one.
        occurrence: i64,
    },
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it was so already.
    Nothing,
    /// Store a new occurrence, the so-manieth since the alarm was last normal, and annunciate it.
    Raise {
        /// Its number since then.
        count: i32,
    },
    /// Store the end of the current occurrence.
    Clear(Condition),
    /// Store who has seen it.
    Acknowledge(Condition),
}

/// An acknowledgement of an occurrence that is no longer the newest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the alarm was raised again since: occurrence {current} is the one to acknowledge, not {seen}"
)]
pub struct Superseded {
    /// The newest occurrence.
    pub current: i64,
    /// The one that was seen.
    pub seen: i64,
}

impl Condition {
    /// The state that people know it by.
    pub fn state(self) -> AlarmState {
        match (self.active, self.acknowledged) {
            (false, true) => AlarmState::Normal,
            (true, false) => AlarmState::Unacknowledged,
            (true, true) => AlarmState::Acknowledged,
            (false, false) => AlarmState::ReturnedUnacknowledged,
        }
    }

    /// What `event` makes of this alarm.
    ///
    /// # Errors
    /// [`Superseded`] for an acknowledgement of an older occurrence.
    pub fn handle(self, event: Event) -> Result<Effect, Superseded> {
        match event {
            Event::Raise => Ok(self.on_raise()),
            Event::Clear => Ok(self.on_clear()),
            Event::Acknowledge { occurrence } => self.on_acknowledge(occurrence),
        }
    }

    fn on_raise(self) -> Effect {
        match self.state() {
            AlarmState::Normal => Effect::Raise { count: 1 },
            AlarmState::ReturnedUnacknowledged => Effect::Raise {
                count: self.count.saturating_add(1),
            },
            AlarmState::Unacknowledged | AlarmState::Acknowledged => Effect::Nothing,
        }
    }

    fn on_clear(self) -> Effect {
        match self.state() {
            AlarmState::Unacknowledged | AlarmState::Acknowledged => Effect::Clear(Self {
                active: false,
                ..self
            }),
            AlarmState::Normal | AlarmState::ReturnedUnacknowledged => Effect::Nothing,
        }
    }

    fn on_acknowledge(self, seen: i64) -> Result<Effect, Superseded> {
        if seen != self.occurrence {
            return Err(Superseded {
                current: self.occurrence,
                seen,
            });
        }
        Ok(match self.state() {
            AlarmState::Unacknowledged | AlarmState::ReturnedUnacknowledged => {
                Effect::Acknowledge(Self {
                    acknowledged: true,
                    ..self
                })
            }
            AlarmState::Normal | AlarmState::Acknowledged => Effect::Nothing,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: (bool, bool) = (false, true);
    const B: (bool, bool) = (true, false);
    const C: (bool, bool) = (true, true);
    const D: (bool, bool) = (false, false);

    fn condition((active, acknowledged): (bool, bool)) -> Condition {
        Condition {
            active,
            acknowledged,
            occurrence: 7,
            count: 2,
        }
    }

    /// Plays the part of the store: applies an effect as it would.
    fn apply(before: Condition, effect: Effect) -> Condition {
        match effect {
            Effect::Nothing => before,
            Effect::Raise { count } => Condition {
                active: true,
                acknowledged: false,
                occurrence: before.occurrence + 1,
                count,
            },
            Effect::Clear(after) | Effect::Acknowledge(after) => after,
        }
    }

    #[test]
    fn the_whole_table() {
        let acknowledge = Event::Acknowledge { occurrence: 7 };
        for (from, event, to, new_occurrence) in [
            (A, Event::Raise, B, true),
            (A, Event::Clear, A, false),
            (A, acknowledge, A, false),
            (B, Event::Raise, B, false),
            (B, Event::Clear, D, false),
            (B, acknowledge, C, false),
            (C, Event::Raise, C, false),
            (C, Event::Clear, A, false),
            (C, acknowledge, C, false),
            (D, Event::Raise, B, true),
            (D, Event::Clear, D, false),
            (D, acknowledge, A, false),
        ] {
            let before = condition(from);
            let after = apply(before, before.handle(event).unwrap());
            assert_eq!((after.active, after.acknowledged), to, "{from:?} {event:?}");
            assert_eq!(
                after.occurrence != before.occurrence,
                new_occurrence,
                "{from:?} {event:?}"
            );
        }
    }

    #[test]
    fn raises_are_counted_until_the_alarm_is_normal() {
        assert_eq!(
            condition(A).handle(Event::Raise),
            Ok(Effect::Raise { count: 1 })
        );
        assert_eq!(
            condition(D).handle(Event::Raise),
            Ok(Effect::Raise { count: 3 })
        );
    }

    #[test]
    fn an_occurrence_that_nobody_saw_is_not_acknowledged() {
        for state in [A, B, C, D] {
            let refused = condition(state).handle(Event::Acknowledge { occurrence: 6 });
            assert_eq!(
                refused,
                Err(Superseded {
                    current: 7,
                    seen: 6
                })
            );
        }
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Raise),
            Just(Event::Clear),
            (0i64..6).prop_map(|occurrence| Event::Acknowledge { occurrence }),
        ]
    }

    proptest! {
        #[test]
        fn nothing_that_was_raised_becomes_normal_unseen(events in proptest::collection::vec(event(), 0..40)) {
            let mut now = Condition { active: false, acknowledged: true, occurrence: 0, count: 0 };
            let mut seen = 0;
            for event in events {
                let before = now;
                if let Ok(effect) = before.handle(event) {
                    now = apply(before, effect);
                    if let Event::Acknowledge { occurrence } = event {
                        seen = seen.max(occurrence);
                    }
                }
                if now.state() == AlarmState::Normal {
                    prop_assert!(seen >= now.occurrence);
                }
                // A cleared condition never shows as active again without a raise.
                if event != Event::Raise {
                    prop_assert!(before.active || !now.active);
                }
            }
        }
    }
}
