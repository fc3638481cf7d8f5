//! How long a session's token is good, and when to say that it will not be for long. Pure: both clocks are passed in.
//!
//! The wall clock decides, and so does the one that is never set: a token is good for no longer than it had left when it
//! came, whatever is done to the wall clock meanwhile.

use std::time::{Duration, Instant, SystemTime};

/// The wall clock is looked at this often while a token is valid: it may be set while a timer runs.
const LOOK_AT_WALL_CLOCK: Duration = Duration::from_secs(30);

/// The part of what a token has left that its warning takes at most: one that lives for minutes is not warned of at once.
const WARNED_PART: u32 = 5;

/// What a look at the clocks has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Good,
    /// It is good for so long only, and nobody was warned yet.
    EndsSoon(Duration),
    Over,
}

/// The validity of one token, from when it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Validity {
    expires_at: SystemTime,
    /// `None`: further away than that clock goes.
    deadline: Option<Instant>,
    /// How long before the end to warn; `None` when that was done.
    warning: Option<Duration>,
    /// When to look again.
    look_at: Instant,
}

impl Validity {
    pub(super) fn new(
        expires_at: SystemTime,
        warning: Duration,
        wall: SystemTime,
        now: Instant,
    ) -> Self {
        let left = expires_at.duration_since(wall).unwrap_or_default();
        let mut validity = Self {
            expires_at,
            deadline: now.checked_add(left),
            warning: Some(warning.min(left / WARNED_PART)),
            look_at: now,
        };
        validity.look_again(left, now);
        validity
    }

    pub(super) fn is_over(&self, wall: SystemTime, now: Instant) -> bool {
        self.left(wall, now).is_zero()
    }

    /// When [`Self::look`] has something to say, or must see whether the wall clock was set.
    pub(super) fn look_at(&self) -> Instant {
        self.look_at
    }

    /// As [`Self::is_over`], when it is time to look.
    pub(super) fn look(&mut self, wall: SystemTime, now: Instant) -> Look {
        if now < self.look_at {
            return Look::Good;
        }
        let left = self.left(wall, now);
        self.look_again(left, now);
        if left.is_zero() {
            return Look::Over;
        }
        match self.warning {
            Some(warning) if left <= warning => Look::EndsSoon(left),
            _ => Look::Good,
        }
    }

    /// Somebody was warned: once is enough.
    pub(super) fn warned(&mut self) {
        self.warning = None;
    }

    fn left(&self, wall: SystemTime, now: Instant) -> Duration {
        let by_wall = self.expires_at.duration_since(wall).unwrap_or_default();
        let by_deadline = self.deadline.map(|at| at.saturating_duration_since(now));
        by_deadline.map_or(by_wall, |left| left.min(by_wall))
    }

    fn look_again(&mut self, left: Duration, now: Instant) {
        let until_warning = self
            .warning
            .and_then(|warning| left.checked_sub(warning))
            .filter(|until| !until.is_zero());
        let next = until_warning.unwrap_or(left).min(LOOK_AT_WALL_CLOCK);
        self.look_at = now + next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds to live, warning by the configuration, and what happens when: milliseconds, and what is left then.
    fn check(lives: u64, warning: u64, warned_at: u64) {
        let (wall, start) = (SystemTime::now(), Instant::now());
        let ms = Duration::from_millis;
        let mut validity = Validity::new(wall + ms(lives), ms(warning), wall, start);
        let (mut warned, mut now) = (None, start);
        loop {
            assert!(validity.look_at() > now || lives == 0, "it looks and looks");
            now = validity.look_at();
            let passed = now - start;
            match validity.look(wall + passed, now) {
                Look::Good => assert!(passed < ms(lives)),
                Look::EndsSoon(left) => {
                    assert_eq!(warned.replace(passed), None, "twice");
                    assert_eq!(left, ms(lives) - passed);
                    validity.warned();
                }
                Look::Over => break,
            }
        }
        assert_eq!(now - start, ms(lives));
        assert_eq!(warned, (lives > 0).then_some(ms(warned_at)), "{lives}");
    }

    #[test]
    fn a_warning_comes_in_time_and_once_and_the_end_when_it_should() {
        check(600_000, 60_000, 540_000);
        check(61_000, 60_000, 48_800);
        check(5_000, 60_000, 4_000);
        check(600_000, 1_000, 599_000);
        check(600_000, 500_000, 480_000);
        check(0, 60_000, 0);
    }

    #[test]
    fn who_was_not_there_to_be_warned_is_tried_again() {
        let (wall, now) = (SystemTime::now(), Instant::now());
        let s = Duration::from_secs;
        let mut validity = Validity::new(wall + s(600), s(60), wall, now);
        assert_eq!(validity.look(wall, now), Look::Good);
        for passed in [540, 570] {
            let look = validity.look(wall + s(passed), now + s(passed));
            assert_eq!(look, Look::EndsSoon(s(600 - passed)));
            assert!(validity.look_at() > now + s(passed));
        }
    }

    #[test]
    fn whichever_clock_says_so_it_is_over() {
        let (wall, now) = (SystemTime::now(), Instant::now());
        let hour = Duration::from_secs(3600);
        let mut validity = Validity::new(wall + hour, Duration::ZERO, wall, now);
        assert!(!validity.is_over(wall, now));
        assert!(validity.is_over(wall + hour, now));
        assert!(validity.is_over(wall, now + hour));
        assert!(validity.is_over(wall - hour, now + hour));
        // It is noticed soon that the wall clock was set.
        let later = now + LOOK_AT_WALL_CLOCK;
        assert_eq!(validity.look(wall + hour, later), Look::Over);
    }
}
