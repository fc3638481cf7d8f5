//! The life of one command. Pure: no clock, no channel, no SQL.
//!
//! ```text
//! queued ─▶ sent ─▶ delivered ─▶ accepted ─▶ executing ─▶ succeeded | unverified | failed
//!   │        │          └───────────┴─────────▶ rejected
//!   │        └── nobody answers in time ─▶ unknown ─▶ (a late result, or a person)
//!   └── its time is over, or the server restarts ─▶ expired
//! ```
//!
//! Results may arrive twice, late, and in any order; the state only moves forward, a final state never changes, and
//! what is only *thought* to be lost (`unknown`, `unverified`) gives way to what is known.
#![warn(clippy::wildcard_enum_match_arm)]

use contract::command::{CommandState, Reason, ReasonCode};

/// What can happen to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is about to be handed to a live session of its agent. Stored before it is, so that a crash in between leaves
    /// a command that may have been sent, never one that seems not to have been.
    Sent,
    /// No live session of its agent took it: it is not sent, now or later.
    NoSession,
    /// Its time to live was over before it was sent, or the server restarted before.
    NotSentInTime,
    /// It was sent, and nothing final came back in time.
    NoResultInTime,
    /// Its agent reports a step.
    Result(CommandState, Option<Reason>),
}

/// The next state with its reason, or `None` when the event changes nothing.
pub fn next(state: CommandState, event: Event) -> Option<(CommandState, Option<Reason>)> {
    match event {
        Event::Sent => (state == CommandState::Queued).then_some((CommandState::Sent, None)),
        Event::NoSession => {
            let detail = "the agent of this device is not connected".to_owned();
            matches!(state, CommandState::Queued | CommandState::Sent).then_some((
                CommandState::Rejected,
                Some(Reason {
                    code: ReasonCode::CommLost,
                    detail,
                }),
            ))
        }
        Event::NotSentInTime => {
            let detail = "it was not sent in time, and never will be".to_owned();
            matches!(state, CommandState::Queued | CommandState::AwaitingApproval).then_some((
                CommandState::Expired,
                Some(Reason {
                    code: ReasonCode::DeadlinePassed,
                    detail,
                }),
            ))
        }
        Event::NoResultInTime => {
            let detail = "its agent has not said what became of it".to_owned();
            is_on_its_way(state).then_some((
                CommandState::Unknown,
                Some(Reason {
                    code: ReasonCode::CommLost,
                    detail,
                }),
            ))
        }
        Event::Result(reported, reason) => {
            (is_reportable(reported) && rank(reported) > rank(state)).then_some((reported, reason))
        }
    }
}

/// Whether the command is with its agent, and nothing final is known.
pub fn is_on_its_way(state: CommandState) -> bool {
    match state {
        CommandState::Sent
        | CommandState::Delivered
        | CommandState::Accepted
        | CommandState::Executing => true,
        CommandState::AwaitingApproval
        | CommandState::Queued
        | CommandState::Succeeded
        | CommandState::Unverified
        | CommandState::Rejected
        | CommandState::Failed
        | CommandState::Unknown
        | CommandState::Expired
        | CommandState::Cancelled => false,
    }
}

/// Whether an agent may report this state: the others are the server's to decide.
fn is_reportable(state: CommandState) -> bool {
    match state {
        CommandState::Delivered
        | CommandState::Accepted
        | CommandState::Executing
        | CommandState::Succeeded
        | CommandState::Unverified
        | CommandState::Rejected
        | CommandState::Failed
        | CommandState::Unknown
        | CommandState::Expired => true,
        CommandState::AwaitingApproval
        | CommandState::Queued
        | CommandState::Sent
        | CommandState::Cancelled => false,
    }
}

/// How far along a state is. A result only moves a command forward; `unknown` yields to `unverified`, and both to what
/// is final.
fn rank(state: CommandState) -> u8 {
    match state {
        CommandState::AwaitingApproval => 0,
        CommandState::Queued => 1,
        CommandState::Sent => 2,
        CommandState::Delivered => 3,
        CommandState::Accepted => 4,
        CommandState::Executing => 5,
        CommandState::Unknown => 6,
        CommandState::Unverified => 7,
        CommandState::Succeeded
        | CommandState::Rejected
        | CommandState::Failed
        | CommandState::Expired
        | CommandState::Cancelled => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CommandState::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(from: CommandState, event: Event, to: Option<CommandState>) {
        assert_eq!(
            next(from, event.clone()).map(|(state, _)| state),
            to,
            "{from:?} {event:?}"
        );
    }

    #[test]
    fn the_servers_own_events() {
        for state in CommandState::ALL {
            check(state, Event::Sent, (state == Queued).then_some(Sent));
            check(
                state,
                Event::NoSession,
                [Queued, Sent].contains(&state).then_some(Rejected),
            );
            check(
                state,
                Event::NotSentInTime,
                [Queued, AwaitingApproval]
                    .contains(&state)
                    .then_some(Expired),
            );
            let on_its_way = [Sent, Delivered, Accepted, Executing].contains(&state);
            check(state, Event::NoResultInTime, on_its_way.then_some(Unknown));
        }
    }

    #[test]
    fn results_move_forward_only() {
        for (from, reported, to) in [
            (Sent, Delivered, Some(Delivered)),
            (Sent, Succeeded, Some(Succeeded)), // A result before its receipt.
            (Executing, Delivered, None),
            (Executing, Executing, None),
            (Delivered, Rejected, Some(Rejected)),
            (Unknown, Executing, None),
            (Unknown, Succeeded, Some(Succeeded)),
            (Unknown, Unverified, Some(Unverified)),
            (Unverified, Unknown, None),
            (Unverified, Failed, Some(Failed)),
            (Succeeded, Failed, None),
            (Expired, Succeeded, None),
            (Sent, Queued, None),
            (Sent, Cancelled, None),
        ] {
            check(from, Event::Result(reported, None), to);
        }
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Sent),
            Just(Event::NoSession),
            Just(Event::NotSentInTime),
            Just(Event::NoResultInTime),
            proptest::sample::select(CommandState::ALL.to_vec())
                .prop_map(|state| Event::Result(state, None)),
        ]
    }

    proptest! {
        #[test]
        fn a_final_state_is_final_and_a_replay_changes_nothing(events in proptest::collection::vec(event(), 0..30)) {
            let mut state = Queued;
            for event in events {
                if let Some((after, _)) = next(state, event.clone()) {
                    prop_assert!(!state.is_final());
                    state = after;
                    prop_assert_eq!(next(state, event), None);
                }
            }
        }
    }
}
