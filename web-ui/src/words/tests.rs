//! What holds of every text.

use std::collections::BTreeSet;

use super::*;

fn places(sentence: &str) -> BTreeSet<&str> {
    sentence
        .split('{')
        .skip(1)
        .map(|part| part.split_once('}').expect("an open place").0)
        .collect()
}

#[test]
fn every_key_says_the_same_in_every_language() {
    for (key, ko, en) in TABLE {
        assert!(!ko.trim().is_empty() && !en.trim().is_empty(), "{key}");
        assert_eq!(places(ko), places(en), "{key}");
    }
}

#[test]
fn korean_is_korean_and_english_is_english() {
    let is_hangul = |letter: char| ('가'..='힣').contains(&letter);
    // The names of the languages stand in their own language; the others are made of places alone.
    let exempt = ["language_ko", "language_en", "reason_detail"];
    for (key, ko, en) in TABLE.iter().filter(|(key, ..)| !exempt.contains(key)) {
        assert!(ko.contains(is_hangul), "{key}: {ko}");
        assert!(!en.contains(is_hangul), "{key}: {en}");
    }
}

#[test]
fn no_particle_follows_a_place_whose_last_sound_is_not_known() {
    let particles = [
        "은 ", "는 ", "이 ", "가 ", "을 ", "를 ", "과 ", "와 ", "으로 ", "로 ",
    ];
    for (key, ko, _) in TABLE {
        for part in ko.split('}').skip(1) {
            assert!(
                !particles.iter().any(|particle| part.starts_with(particle)),
                "{key}: {ko}"
            );
        }
    }
}

#[test]
fn a_value_is_never_searched_for_places() {
    let filled = fill("{a} and {b} and {c}", &[("a", "{b}"), ("b", "1")]);
    assert_eq!(filled, "{b} and 1 and {c}");
}
