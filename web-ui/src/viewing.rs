//! How a page is seen: its language, its clock, and how times and numbers are written. Pure: `now` is given.

use askama::Template;
use askama::filters::HtmlSafe;
use chrono::{DateTime, FixedOffset, Utc};
use contract::{Language, Text};

use crate::words::{Words, fill, words};

/// What is the same for all who see the site in one language.
#[derive(Debug, Clone, Copy)]
pub struct Viewing {
    /// The language of every text.
    pub language: Language,
    /// The site's time zone: times are shown in it, whoever looks from wherever.
    pub offset: FixedOffset,
    /// The server's clock when this was rendered; ages count from it.
    pub now: DateTime<Utc>,
}

/// A time of day that carries its date where that is not today's.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<time datetime="{{ machine }}" title="{{ full }}">{{ short }}</time>"#
)]
pub(crate) struct Time {
    machine: String,
    full: String,
    short: String,
}

impl HtmlSafe for Time {}

/// "12 s ago": right when rendered, kept right by the script.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<time class="age" datetime="{{ machine }}" title="{{ full }}" data-time="{{ milliseconds }}">{{ age }}</time>"#
)]
pub(crate) struct Age {
    machine: String,
    full: String,
    milliseconds: i64,
    age: String,
}

impl HtmlSafe for Age {}

/// "now", for what the server vouches for: while nothing changes nothing is sent, and an age would grow though all is
/// well. The script turns it into an age when the connection is lost.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<time class="now" datetime="{{ machine }}" title="{{ confirmed }}">{{ now }}</time>"#
)]
pub(crate) struct Now {
    machine: String,
    confirmed: String,
    now: &'static str,
}

impl HtmlSafe for Now {}

impl Viewing {
    pub(crate) fn words(&self) -> &'static Words {
        words(self.language)
    }

    pub(crate) fn text<'a>(&self, text: &'a Text) -> &'a str {
        text.get(self.language)
    }

    /// A sentence of the language with its values put in.
    pub(crate) fn sentence(&self, sentence: &str, values: &[(&str, &str)]) -> String {
        fill(sentence, values)
    }

    pub(crate) fn time(&self, at: &DateTime<Utc>) -> Time {
        Time {
            machine: machine(*at),
            full: self.full_time(at),
            short: self.short_time(at),
        }
    }

    pub(crate) fn age(&self, at: &DateTime<Utc>) -> Age {
        Age {
            machine: machine(*at),
            full: self.full_time(at),
            milliseconds: at.timestamp_millis(),
            age: self.age_text(at),
        }
    }

    /// What was confirmed at `at` and still holds.
    pub(crate) fn now_since(&self, at: &DateTime<Utc>) -> Now {
        let words = self.words();
        let time = self.short_time(at);
        Now {
            machine: machine(*at),
            confirmed: self.sentence(words.confirmed_until, &[("time", &time)]),
            now: words.now,
        }
    }

    pub(crate) fn full_time(&self, at: &DateTime<Utc>) -> String {
        at.with_timezone(&self.offset)
            .format("%Y-%m-%d %H:%M:%S")
            .to_string()
    }

    pub(crate) fn short_time(&self, at: &DateTime<Utc>) -> String {
        let local = at.with_timezone(&self.offset);
        if local.date_naive() == self.now.with_timezone(&self.offset).date_naive() {
            local.format("%H:%M:%S").to_string()
        } else {
            self.full_time(at)
        }
    }

    /// The script uses the same steps (`ageText` in `page.js`), so that the text does not jump when it takes over.
    fn age_text(&self, at: &DateTime<Utc>) -> String {
        let words = self.words();
        // A source whose clock runs ahead is not from the future.
        let seconds = (self.now - at).num_seconds().max(0);
        let (sentence, number) = match seconds {
            0..60 => (words.age_seconds, seconds),
            60..3_600 => (words.age_minutes, seconds / 60),
            3_600..86_400 => (words.age_hours, seconds / 3_600),
            _ => (words.age_days, seconds / 86_400),
        };
        fill(sentence, &[("n", &number.to_string())])
    }
}

fn machine(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// A number for people: at most three decimals, thousands apart.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let (sign, digits) = text
        .strip_prefix('-')
        .map_or(("", text), |rest| ("-", rest));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let mut grouped = String::with_capacity(text.len() + 4);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if grouped == "0" && decimals.is_empty() {
        ""
    } else {
        sign
    };
    if decimals.is_empty() {
        format!("{sign}{grouped}")
    } else {
        format!("{sign}{grouped}.{decimals}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn korea(language: Language) -> Viewing {
        Viewing {
            language,
            offset: FixedOffset::east_opt(9 * 3_600).unwrap(),
            now: "2026-11-22T15:30:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_number_reads_well() {
        for (value, text) in [
            (17.0, "17"),
            (-20.5, "-20.5"),
            (21.299_999_999, "21.3"),
            (1_234_567.0, "1,234,567"),
            (-1_000.25, "-1,000.25"),
            (0.000_1, "0"),
            (-0.000_1, "0"),
            (999.0, "999"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_time_shows_its_date_when_it_is_not_todays_at_the_site() {
        let viewing = korea(Language::Ko);
        for (at, text) in [
            ("2026-11-22T15:00:01Z", "00:00:01"),
            ("2026-11-22T14:59:59Z", "2026-11-22 23:59:59"),
        ] {
            assert_eq!(viewing.short_time(&at.parse().unwrap()), text);
        }
    }

    #[test]
    fn an_age_takes_the_largest_unit_and_is_never_negative() {
        for (at, ko, en) in [
            ("2026-11-22T15:29:48Z", "12초 전", "12 s ago"),
            ("2026-11-22T15:31:00Z", "0초 전", "0 s ago"),
            ("2026-11-22T15:27:01Z", "2분 전", "2 min ago"),
            ("2026-11-22T12:30:00Z", "3시간 전", "3 h ago"),
            ("2026-11-20T12:30:00Z", "2일 전", "2 d ago"),
        ] {
            let at = at.parse().unwrap();
            assert_eq!(korea(Language::Ko).age_text(&at), ko);
            assert_eq!(korea(Language::En).age_text(&at), en);
        }
    }
}
