//! Lengths of time as profiles write them: `"250ms"`, `"2s"`, `"10m"`, `"6h"`. Pure.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// A length of time of a profile or a site file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// The longest that makes sense anywhere; keeps sums of spans far from overflow.
const MAX_SPAN: Duration = Duration::from_secs(7 * 24 * 3600);

fn parse(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let span = Duration::from_millis(number.checked_mul(milliseconds)?);
    (span <= MAX_SPAN).then_some(span)
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).map(Self).ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} is no length of time: write a whole number and ms, s, m or h, for example \"250ms\", at most a week"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_in_every_unit() {
        for (text, milliseconds) in [
            ("0ms", Some(0)),
            ("250ms", Some(250)),
            ("2s", Some(2000)),
            ("10m", Some(600_000)),
            ("6h", Some(21_600_000)),
            ("", None),
            ("s", None),
            ("2", None),
            ("-2s", None),
            ("1.5s", None),
            ("2 s", None),
            ("169h", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(
                parse(text),
                milliseconds.map(Duration::from_millis),
                "{text:?}"
            );
        }
    }
}
