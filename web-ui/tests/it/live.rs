//! No value without its quality, and none that is past shown as if it were now.

use contract::device::Condition;
use contract::{Language, Quality, Value};
use web_ui::{DeviceGlyph, DeviceHeader, DeviceReadings, Template};

use crate::sample::{Airport, ago, set_quality, viewing};

fn readings(quality: Quality, language: Language) -> String {
    let airport = Airport::new();
    let mut device = airport.known("gate-p1-in-1");
    let mut view = device.view.clone();
    set_quality(&mut view, quality, Some(ago(95)));
    device.view = &view;
    DeviceReadings {
        viewing: viewing(language),
        device,
    }
    .render()
    .unwrap()
}

#[test]
fn a_value_that_is_not_live_never_looks_live() {
    for language in Language::ALL {
        for quality in Quality::ALL {
            let html = readings(quality, language);
            let is_live = matches!(quality, Quality::Good | Quality::Suspect);
            let rows = 5;
            for (mark, count) in [
                (" live\"", if is_live { rows } else { 0 }),
                (" not-live\"", if is_live { 0 } else { rows }),
                ("class=\"value\"", if is_live { rows } else { 0 }),
                ("class=\"needle\"", if is_live { 2 } else { 0 }),
                ("class=\"last", if is_live { 0 } else { rows }),
                ("class=\"seen\"", if is_live { 0 } else { rows }),
                ("class=\"quality\"", rows),
                ("class=\"age\"", if is_live { 0 } else { rows }),
                ("class=\"now\"", if is_live { rows } else { 0 }),
            ] {
                assert_eq!(
                    html.matches(mark).count(),
                    count,
                    "{quality:?}: {mark} in {html}"
                );
            }
        }
    }
}

#[test]
fn the_last_value_is_told_with_the_time_it_is_from() {
    let html = readings(Quality::Stale, Language::En);
    assert!(
        html.contains("(21.3 °C)") && html.contains("Last seen 16:06:37"),
        "{html}"
    );
    assert!(
        html.contains(">Stale<") && html.contains("1 min ago"),
        "{html}"
    );
}

#[test]
fn what_the_server_vouches_for_has_no_age_that_could_grow() {
    let html = readings(Quality::Good, Language::En);
    assert!(
        html.contains("title=\"Confirmed until 16:06:37 at least\">now<"),
        "{html}"
    );
    assert!(!html.contains("ago"), "{html}");
}

#[test]
fn last_heard_is_now_only_where_silence_would_change_the_condition() {
    let airport = Airport::new();
    for condition in Condition::ALL {
        let mut device = airport.known("gate-p1-in-1");
        let mut view = device.view.clone();
        view.condition = condition;
        device.view = &view;
        for (language, word) in [(Language::Ko, ">현재<"), (Language::En, ">now<")] {
            let viewing = viewing(language);
            let html = DeviceHeader { viewing, device }.render().unwrap();
            let is_heard = matches!(condition, Condition::Ok | Condition::Faulty);
            assert_eq!(html.contains(word), is_heard, "{html}");
            assert_eq!(html.contains("class=\"age\""), !is_heard, "{html}");
        }
    }
}

#[test]
fn a_device_nobody_hears_shows_neither_its_last_state_nor_its_arm() {
    let airport = Airport::new();
    let viewing = viewing(Language::En);
    for (id, word, arm) in [
        ("gate-p1-in-1", "Open", "arm\""),
        ("gate-p1-out-2", "Unknown", "arm dashed\""),
    ] {
        let device = airport.known(id);
        let html = DeviceGlyph { viewing, device }.render().unwrap();
        assert!(
            html.contains(&format!("<span class=\"state\">{word}</span>")),
            "{html}"
        );
        assert!(html.contains(arm), "{html}");
    }
    let device = airport.known("printer-p1-in-1");
    let html = DeviceGlyph { viewing, device }.render().unwrap();
    assert!(
        html.contains("not-live") && html.contains(">Stale<"),
        "{html}"
    );
}

#[test]
fn a_value_outside_its_range_stays_on_its_scale() {
    let airport = Airport::new();
    for (value, x) in [(-5.0, "0.0"), (50.0, "60.0"), (250.0, "120.0")] {
        let mut device = airport.known("gate-p1-in-1");
        let mut view = device.view.clone();
        view.points[1].value = Some(Value::Number(value));
        device.view = &view;
        let viewing = viewing(Language::En);
        let html = DeviceReadings { viewing, device }.render().unwrap();
        assert!(
            html.contains(&format!("class=\"needle\" x=\"{x}\"")),
            "{html}"
        );
    }
}
