//! Names and texts come from site files, profiles and devices: whatever they hold, they stay text.

use contract::{Language, Text, Value};
use proptest::prelude::*;
use web_ui::{AlarmRow, AlarmsPage, Notice, NoticeView, SignIn, Template};

use crate::administration::{audit_line, audit_page};
use crate::html::skeleton;
use crate::pages::{device_page, overview};
use crate::sample::{Airport, alarms, set_value, shell, viewing, zone_ids};

fn named(text: &str) -> Text {
    Text {
        ko: text.to_owned(),
        en: text.to_owned(),
    }
}

fn pages_with(text: &str, language: Language) -> Vec<String> {
    let mut airport = Airport::new();
    for device in &mut airport.devices {
        device.name = named(text);
    }
    for zone in &mut airport.zones {
        zone.name = named(text);
    }
    let gate = &mut airport.devices[0];
    set_value(gate, "last_error", Value::Text(text.to_owned()));
    for command in &mut airport.profiles[0].commands {
        command.text = named(text);
    }
    let mut alarms = alarms();
    for alarm in &mut alarms {
        (alarm.text, alarm.device_name) = (named(text), named(text));
        if let Some(by) = &mut alarm.acknowledged {
            by.by = text.to_owned();
        }
    }
    let zones = zone_ids();
    // No path of the menu: it would mark its entry, and be right.
    let path = format!("/elsewhere/{text}");
    let mut shell = shell(language, &path, &zones, &alarms, None);
    (shell.person.full_name, shell.position, shell.csrf) = (text, text, text);
    let viewing = viewing(language);
    let refused = Notice::AlreadyAcknowledged(alarms[3].acknowledged.clone());
    let row = AlarmRow {
        viewing,
        alarm: &alarms[0],
        form: None,
    };
    let sign_in = SignIn {
        viewing,
        problem: None,
        name: text,
        next: text,
        external: None,
        csrf: text,
        version: text,
    };
    vec![
        audit_page(
            Some(&[audit_line(text)]),
            crate::sample::shell(language, &path, &zones, &alarms, None),
        ),
        overview(&airport, language),
        device_page(airport.known("gate-p1-in-1"), &named(text), language),
        row.render().unwrap(),
        NoticeView {
            viewing,
            notice: &refused,
            page: text,
        }
        .render()
        .unwrap(),
        sign_in.render().unwrap(),
        AlarmsPage {
            shell,
            alarms: &alarms,
            zone: None,
        }
        .render()
        .unwrap(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_people_and_devices_write_never_becomes_markup(
        text in r#"[<>&"'a-z={}가 /!-]{1,24}|<script>[a-z]{1,5}</script>|" onload="x|&lt;b&gt;"#
    ) {
        for language in Language::ALL {
            let plain = pages_with("x", language);
            for (page, plain) in pages_with(&text, language).iter().zip(&plain) {
                prop_assert_eq!(skeleton(page), skeleton(plain), "{:?}", text);
            }
        }
    }
}
