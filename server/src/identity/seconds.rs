//! Seconds since 1970, as tokens and codes count time. Pure.

use std::time::{SystemTime, UNIX_EPOCH};

/// The second of a moment; everything before 1970 is the first one.
pub(crate) fn second_of(at: impl Into<SystemTime>) -> u64 {
    let since = at.into().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn a_moment_is_within_its_second() {
        for (second, nanos, expected) in [(7, 0, 7), (7, 999_999_999, 7), (-7, 0, 0)] {
            let at = DateTime::from_timestamp(second, nanos).unwrap();
            assert_eq!(second_of(at), expected, "{at}");
            assert_eq!(second_of(SystemTime::from(at)), expected, "{at}");
        }
    }
}
