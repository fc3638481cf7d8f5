//! When to ping a silent peer, and when to give it up. Pure: `now` is passed in.

use std::time::{Duration, Instant};

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing before that instant, whatever is heard until then; `None`: nothing ever.
    Nothing(Option<Instant>),
    /// A ping.
    Ping,
    /// The peer is lost: it did not answer a ping, nor anything else.
    Lost,
}

/// Silence of one peer. It is never given up without a ping, however long nobody listened to it.
#[derive(Debug)]
pub(crate) struct Liveness {
    interval: Duration,
    timeout: Duration,
    heard: Instant,
    pinged: Option<Instant>,
}

impl Liveness {
    pub(crate) fn new(interval: Duration, timeout: Duration, now: Instant) -> Self {
        Self {
            interval,
            timeout,
            heard: now,
            pinged: None,
        }
    }

    /// Something came: any byte counts.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = None;
    }

    /// What is due. After [`Due::Ping`] the ping counts as sent. Ask only when everything that has come was heard.
    pub(crate) fn due(&mut self, now: Instant) -> Due {
        if self.interval.is_zero() {
            return Due::Nothing(None);
        }
        match self.pinged {
            Some(pinged) if pinged + self.timeout <= now => Due::Lost,
            // The answer makes a ping due an interval later, which may be earlier than the time to give up.
            Some(pinged) => Due::Nothing(Some((pinged + self.timeout).min(now + self.interval))),
            None if self.heard + self.interval <= now => {
                self.pinged = Some(now);
                Due::Ping
            }
            None => Due::Nothing(Some(self.heard + self.interval)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Step {
        Heard,
        Due(Due),
    }
    use Step::{Due as Ask, Heard};

    /// Steps at seconds, with 20 s between pings and 40 s for the answer.
    fn check(steps: impl Fn(&dyn Fn(u64) -> Instant) -> Vec<(u64, Step)>) {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (interval, timeout) = (Duration::from_secs(20), Duration::from_secs(40));
        let mut liveness = Liveness::new(interval, timeout, start);
        for (seconds, step) in steps(&at) {
            match step {
                Heard => liveness.heard(at(seconds)),
                Ask(expected) => assert_eq!(liveness.due(at(seconds)), expected, "at {seconds} s"),
            }
        }
    }

    #[test]
    fn a_silent_peer_is_pinged_once_and_then_given_up() {
        check(|at| {
            vec![
                (0, Ask(Due::Nothing(Some(at(20))))),
                (20, Ask(Due::Ping)),
                (20, Ask(Due::Nothing(Some(at(40))))),
                (59, Ask(Due::Nothing(Some(at(60))))),
                (60, Ask(Due::Lost)),
            ]
        });
    }

    #[test]
    fn a_peer_that_answers_is_pinged_again_and_one_that_talks_never() {
        check(|at| {
            vec![
                (20, Ask(Due::Ping)),
                (59, Heard),
                (60, Ask(Due::Nothing(Some(at(79))))),
                (79, Ask(Due::Ping)),
                (80, Heard),
                (90, Heard),
                (100, Ask(Due::Nothing(Some(at(110))))),
            ]
        });
    }

    #[test]
    fn nobody_is_given_up_unasked() {
        // For an hour nobody listened.
        check(|at| {
            vec![
                (3600, Ask(Due::Ping)),
                (3601, Ask(Due::Nothing(Some(at(3621))))),
            ]
        });
    }

    #[test]
    fn pings_can_be_off() {
        let now = Instant::now();
        let mut liveness = Liveness::new(Duration::ZERO, Duration::from_secs(40), now);
        let later = now + Duration::from_secs(3600);
        assert_eq!(liveness.due(later), Due::Nothing(None));
    }
}
