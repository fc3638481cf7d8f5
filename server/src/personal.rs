//! Number plates: what everybody sees of one. Pure.
//!
//! Of `12가 3456` people see `**가 **56`. The syllable tells what kind of vehicle it is, and the last two digits which of the cars
//! at a barrier is meant; some ten thousand vehicles have both in common, so nobody is named. The front digits would
//! narrow that down to a hundred, and the last four are what kiosks and people search for. What does not look like a
//! plate is masked whole, and always as four stars: a reader's mistake may be a plate with one character wrong.
//!
//! A profile marks the points and the faults that carry plates. Their values are masked where they leave the live state,
//! and before an event of theirs is stored; the one way to a whole plate is `http::reveal`.

use contract::event::{Event, Happening};
use contract::inventory::{Personal, Profile};
use contract::{FaultCode, Value};

pub(crate) mod eraser;

/// What is seen of a plate that nobody can read.
const UNREADABLE: &str = "****";

/// What everybody sees of a plate.
pub(crate) fn masked(value: &Value) -> Value {
    let text = match value {
        Value::Text(plate) if is_masked(plate) => Some(plate.clone()),
        Value::Text(plate) => mask(plate),
        Value::Bool(_) | Value::Number(_) => None,
    };
    Value::Text(text.unwrap_or_else(|| UNREADABLE.to_owned()))
}

/// Two or three digits, one syllable, four digits; before them the region of older plates, which is masked whole.
fn mask(plate: &str) -> Option<String> {
    let bare: Vec<char> = plate.chars().filter(|char| *char != ' ').collect();
    let start = bare.iter().position(char::is_ascii_digit)?;
    let (region, rest) = bare.split_at(start);
    let is_region = region.is_empty() || region.len() == 2 && region.iter().all(is_syllable);
    let front = rest.iter().take_while(|char| char.is_ascii_digit()).count();
    let (front, rest) = rest.split_at(front);
    let (syllable, serial) = rest.split_first()?;
    let fits = is_region
        && matches!(front.len(), 1..=3)
        && is_syllable(syllable)
        && serial.len() == 4
        && serial.iter().all(char::is_ascii_digit);
    let seen: String = serial.iter().skip(2).collect();
    fits.then(|| format!("{}{syllable} **{seen}", "*".repeat(front.len())))
}

/// Whether it is what [`mask`] made: what was stored masked is shown as it is.
fn is_masked(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let front = chars.iter().take_while(|char| **char == '*').count();
    let [syllable, ' ', '*', '*', tens, ones] = chars.split_at(front).1 else {
        return false;
    };
    matches!(front, 1..=3)
        && is_syllable(syllable)
        && tens.is_ascii_digit()
        && ones.is_ascii_digit()
}

fn is_syllable(char: &char) -> bool {
    ('가'..='힣').contains(char)
}

/// The event without what names a person: this is what is stored and told.
pub(crate) fn without_plates(profile: &Profile, mut event: Event) -> Event {
    if let Happening::FaultRaised {
        fault,
        detail: Some(detail),
        ..
    } = &mut event.happening
        && carries_plates(profile, fault)
    {
        *detail = masked(detail);
    }
    event
}

/// Whether the details of a fault are number plates.
pub(crate) fn carries_plates(profile: &Profile, fault: &FaultCode) -> bool {
    let known = profile.faults.iter().find(|known| known.code == *fault);
    known.is_some_and(|known| known.personal == Some(Personal::NumberPlate))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(value: impl Into<String>, expected: &str) {
        let value = Value::Text(value.into());
        assert_eq!(masked(&value), Value::Text(expected.to_owned()), "{value}");
    }

    #[test]
    fn a_plate_keeps_its_kind_and_two_digits() {
        check("12가 3456", "**가 **56");
        check("12가3456", "**가 **56");
        check("123하4567", "***하 **67");
        check("서울 1바 2345", "*바 **45");
        check("서울12가3456", "**가 **56");
    }

    #[test]
    fn what_is_no_plate_shows_nothing() {
        for text in [
            "",
            "12가",
            "12가 345",
            "12가 34567",
            "가 3456",
            "12A3456",
            "１２가 3456",
            "12가 3456!",
            "외교 123-456",
            "1234가 3456",
            "서12가3456",
            "12가나3456",
            "12가3456 12가3456",
            "no plate",
        ] {
            check(text, UNREADABLE);
        }
        assert_eq!(
            masked(&Value::Number(3456.0)),
            Value::Text(UNREADABLE.to_owned())
        );
        assert_eq!(
            masked(&Value::Bool(true)),
            Value::Text(UNREADABLE.to_owned())
        );
    }

    #[test]
    fn masked_twice_is_masked_once() {
        for text in ["12가 3456", "서울 1바 2345", "no plate"] {
            let once = masked(&Value::Text(text.to_owned()));
            assert_eq!(masked(&once), once);
        }
    }

    proptest! {
        #[test]
        fn no_more_than_two_digits_are_ever_seen(text in "([가-힣]{2})? ?[0-9]{1,3} ?[가-힣] ?[0-9]{4}|\\PC{0,16}") {
            let Value::Text(seen) = masked(&Value::Text(text)) else { unreachable!() };
            prop_assert!(seen.chars().filter(char::is_ascii_digit).count() <= 2, "{}", seen);
            prop_assert!(seen.chars().count() <= "***가 **56".chars().count());
        }
    }
}
