//! Every page in every language: sound HTML, no inline code, and the same parts as the stream.

use std::collections::BTreeSet;

use contract::alarm::AlarmState;
use contract::command::{Reason, ReasonCode, Risk};
use contract::device::{Condition, PointView};
use contract::{Language, Quality, Text, Value};
use uuid::Uuid;
use web_ui::{
    AlarmRow, AlarmsPage, Authorize, Blocked, CommandList, CommandPanel, DeviceAtoms, DeviceGlyph,
    DevicePage, ErrorKind, ErrorPage, KnownDevice, Notice, NoticeView, Offer, Overview,
    OverviewZone, Permissions, PlatePage, RowForm, SignIn, SignInProblem, Template, ZoneTile,
    alarm_order, asset,
};

use crate::administration::{audit_line, audit_page, people_page};
use crate::html::{Piece, assert_tags_close, attributes, pieces};
use crate::sample::{Airport, OPERATOR, ago, alarms, commands, shell, viewing, zone_ids};

pub(crate) fn overview(airport: &Airport, language: Language) -> String {
    let zones = airport.zones.iter().map(|zone| {
        let devices = airport
            .devices
            .iter()
            .filter(|device| device.zone == zone.id);
        OverviewZone::new(
            zone,
            devices.map(|device| airport.known(device.id.as_str())),
        )
    });
    let (zone_ids, alarms) = (zone_ids(), alarms());
    let page = Overview {
        shell: shell(language, "/", &zone_ids, &alarms, None),
        zones: &zones.collect::<Vec<_>>(),
    };
    page.render().unwrap()
}

fn offers(device: KnownDevice<'_>, may: Permissions) -> Vec<Offer<'_>> {
    let mut key = 0;
    Offer::all(device, may, true, || {
        key += 1;
        Uuid::from_u128(key)
    })
}

pub(crate) fn device_page(device: KnownDevice<'_>, zone_name: &Text, language: Language) -> String {
    let mut alarms = alarms();
    alarms.retain(|alarm| alarm.device == device.view.id);
    let zones = zone_ids();
    let page = DevicePage {
        shell: shell(language, "/devices/x", &zones, &alarms, None),
        device,
        zone_name,
        alarms: &alarms,
        offers: &offers(device, OPERATOR),
        commands: &commands(&device.view.id),
        may_reveal: true,
    };
    page.render().unwrap()
}

fn every_page(language: Language) -> Vec<String> {
    let airport = Airport::new();
    let (zones, alarms) = (zone_ids(), alarms());
    let shell = |notice| shell(language, "/alarms?zone=p1", &zones, &alarms, notice);
    let mut pages = vec![overview(&airport, language)];
    for alarms in [&alarms[..], &[]] {
        let page = AlarmsPage {
            shell: shell(Some(Notice::Acknowledged)),
            alarms,
            zone: None,
        };
        pages.push(page.render().unwrap());
    }
    let line = [audit_line("omar")];
    for lines in [None, Some(&[][..]), Some(&line[..])] {
        pages.push(audit_page(lines, shell(None)));
    }
    let camera = airport.known("gate-p1-in-1");
    let shown = PointView {
        point: "last_error".parse().unwrap(),
        value: Some(Value::Text("12가 3456".to_owned())),
        quality: Quality::Good,
        at: None,
    };
    let plate = PlatePage {
        shell: shell(None),
        device: camera,
        shown: &shown,
    };
    pages.push(plate.render().unwrap());
    for device in &airport.devices {
        let device = airport.known(device.id.as_str());
        pages.push(device_page(device, &airport.zones[0].name, language));
    }
    pages.extend([false, true].map(|is_wrong| people_page(is_wrong, shell(None))));
    for problem in [
        None,
        Some(SignInProblem::Locked(ago(0))),
        Some(SignInProblem::SignedOut),
    ] {
        let page = SignIn {
            viewing: viewing(language),
            problem,
            name: "kim",
            next: "/alarms?zone=p1&x=y",
            external: None,
            csrf: "before-login",
            version: "0.1.0",
        };
        pages.push(page.render().unwrap());
    }
    for zones in [None, Some(vec![&airport.zones[0].name])] {
        let page = Authorize {
            viewing: viewing(language),
            application: "Field <app>",
            full_name: "김하늘",
            user_name: "kim",
            roles: &[contract::Role::Operator],
            zones,
            destination: "https://app.example",
            csrf: "of this login",
            fields: &[("state", "\"><b>")],
        };
        pages.push(page.render().unwrap());
    }
    for kind in [
        ErrorKind::NotFound,
        ErrorKind::Forbidden,
        ErrorKind::Application,
        ErrorKind::Internal,
        ErrorKind::Unavailable,
    ] {
        for shell in [None, Some(&shell(None))] {
            let page = ErrorPage {
                viewing: viewing(language),
                kind,
                reference: Some("0193"),
                path: "/lost",
                shell,
            };
            pages.push(page.render().unwrap());
        }
    }
    pages
}

#[test]
fn every_page_is_sound_and_names_its_language() {
    for language in Language::ALL {
        for page in every_page(language) {
            assert_tags_close(&page);
            assert!(page.contains(&format!("<html lang=\"{language}\">")));
        }
    }
}

#[test]
fn an_id_stands_once_on_a_page() {
    for page in every_page(Language::En) {
        let mut seen = BTreeSet::new();
        for (_, id) in attributes(&pieces(&page)).filter(|(name, _)| name == "id") {
            assert!(seen.insert(id.clone()), "{id} stands twice");
        }
    }
}

#[test]
fn a_page_holds_no_inline_code_or_style_and_only_assets_that_exist() {
    for page in every_page(Language::Ko) {
        let pieces = pieces(&page);
        for (name, value) in attributes(&pieces) {
            assert!(!name.starts_with("on") && name != "style", "{name}={value}");
            if value.starts_with("/assets/") {
                assert!(asset(value).is_some(), "{value}");
            }
            assert!(
                !value.contains("//"),
                "nothing from elsewhere: {name}={value}"
            );
        }
        for pair in pieces.windows(2) {
            if let [Piece::Open(name, _), Piece::Text(text)] = pair {
                assert!(name != "script" && name != "style", "{text}");
            }
        }
    }
}

#[test]
fn the_page_shows_exactly_what_the_stream_carries() {
    let airport = Airport::new();
    for language in Language::ALL {
        let page = overview(&airport, language);
        let viewing = viewing(language);
        for device in &airport.devices {
            let device = airport.known(device.id.as_str());
            let glyph = DeviceGlyph { viewing, device }.render().unwrap();
            assert!(page.contains(&glyph), "{glyph}");
            let page = device_page(device, &airport.zones[0].name, language);
            let atoms = DeviceAtoms::new(viewing, device).render().unwrap();
            let shown = atoms.strip_prefix(&glyph).unwrap();
            let (header, readings) = shown.split_at(shown.find("<section").unwrap());
            assert!(
                page.contains(header.trim()) && page.contains(readings),
                "{shown}"
            );
        }
        for zone in &airport.zones {
            let tile = ZoneTile { viewing, zone }.render().unwrap();
            assert!(page.contains(&tile), "{tile}");
        }
    }
}

#[test]
fn what_all_viewers_get_holds_nothing_of_one_viewer() {
    let airport = Airport::new();
    let viewing = viewing(Language::En);
    let mut atoms = Vec::new();
    for device in &airport.devices {
        let device = airport.known(device.id.as_str());
        atoms.push(DeviceAtoms::new(viewing, device).render().unwrap());
    }
    for alarm in &alarms() {
        let row = AlarmRow {
            viewing,
            alarm,
            form: None,
        };
        atoms.push(row.render().unwrap());
    }
    for atom in atoms {
        assert!(
            !atom.contains("csrf") && !atom.contains("name=\"next\""),
            "{atom}"
        );
    }
}

#[test]
fn only_what_nobody_acknowledged_offers_to_be() {
    let viewing = viewing(Language::En);
    let mut alarm = alarms().remove(3);
    for (state, offers) in [
        (AlarmState::Normal, false),
        (AlarmState::Unacknowledged, true),
        (AlarmState::Acknowledged, false),
        (AlarmState::ReturnedUnacknowledged, true),
    ] {
        alarm.state = state;
        let row = AlarmRow {
            viewing,
            alarm: &alarm,
            form: None,
        }
        .render()
        .unwrap();
        assert_eq!(row.contains("/alarms/9/acknowledge"), offers, "{state:?}");
        assert_eq!(
            row.contains("name=\"occurrence\" value=\"3\""),
            offers,
            "{state:?}"
        );
        assert_eq!(row.contains("김민서"), !offers, "{state:?}");
    }
}

#[test]
fn unacknowledged_alarms_come_first_then_the_urgent_then_the_new() {
    let mut shuffled = alarms();
    shuffled.reverse();
    shuffled.sort_by(alarm_order);
    let ids: Vec<i64> = shuffled.iter().map(|alarm| alarm.id).collect();
    assert_eq!(ids, [12, 15, 17, 9, 21, 7]);
}

#[test]
fn a_returned_alarm_that_nobody_acknowledged_is_told_in_words_and_not_as_a_priority() {
    let airport = Airport::new();
    let device = airport.known("gate-p1-out-1");
    for (language, words) in [(Language::Ko, "미확인 1"), (Language::En, "1 unack.")] {
        let viewing = viewing(language);
        let html = DeviceGlyph { viewing, device }.render().unwrap();
        let (_, mark) = html.split_once("class=\"returned\"").unwrap();
        assert!(mark.contains(&format!(">{words}</i>")), "{mark}");
    }
}

#[test]
fn a_command_that_is_not_offered_says_why() {
    let airport = Airport::new();
    let all = Permissions {
        command_critical: true,
        ..OPERATOR
    };
    for (device, may, why) in [
        ("gate-p1-in-1", OPERATOR, None),
        (
            "gate-p1-in-1",
            Permissions::default(),
            Some(Blocked::Forbidden),
        ),
        ("gate-p1-out-2", OPERATOR, Some(Blocked::DeviceUnknown)),
        ("kiosk-p1-in-1", OPERATOR, Some(Blocked::Forbidden)),
        ("kiosk-p1-in-1", all, None),
        ("kiosk-t1-4", all, Some(Blocked::Unregistered)),
    ] {
        let offers = offers(airport.known(device), may);
        assert!(
            offers.iter().all(|offer| offer.blocked == why),
            "{device} {may:?}"
        );
    }
    let page = device_page(
        airport.known("gate-p1-out-2"),
        &airport.zones[0].name,
        Language::En,
    );
    assert!(page.contains("disabled") && page.contains("The device does not answer."));
    assert!(!page.contains("/devices/gate-p1-out-2/commands\" data-post"));
}

#[test]
fn an_emergency_command_is_not_hindered_by_silence_or_a_missing_database() {
    let airport = Airport::new();
    let mut device = airport.known("gate-p1-out-2");
    assert_eq!(device.view.condition, Condition::Unknown);
    let mut profile = device.profile.unwrap().clone();
    for command in &mut profile.commands {
        command.risk = Risk::Emergency;
    }
    device.profile = Some(&profile);
    let offers = Offer::all(device, OPERATOR, false, || Uuid::from_u128(1));
    assert!(offers.iter().all(|offer| offer.blocked.is_none()));
}

#[test]
fn a_question_is_asked_before_what_needs_one_and_works_without_scripts() {
    let airport = Airport::new();
    let page = device_page(
        airport.known("gate-p1-in-1"),
        &airport.zones[0].name,
        Language::En,
    );
    let form_of = |name: &str| {
        let (_, after) = page
            .split_once(&format!("name=\"name\" value=\"{name}\""))
            .unwrap();
        after.split_once("</form>").unwrap().0.to_owned()
    };
    assert!(form_of("close").contains("name=\"confirmed\" value=\"yes\""));
    assert!(!form_of("open").contains("confirmed"));
    assert_eq!(page.matches("<details").count(), 2, "close and reset ask");
    assert!(page.contains("name=\"key\" value=\"00000000-0000-0000-0000-000000000001\""));
}

#[test]
fn people_and_vehicles_are_looked_out_for_only_where_something_moves() {
    let airport = Airport::new();
    let may = Permissions {
        command_critical: true,
        ..OPERATOR
    };
    for (device, warns) in [("gate-p1-in-1", true), ("kiosk-p1-in-1", false)] {
        let device = airport.known(device);
        let form = RowForm {
            csrf: "token",
            next: "/",
        };
        let panel = CommandPanel {
            viewing: viewing(Language::En),
            device,
            offers: &offers(device, may),
            may_approve: false,
            form,
        };
        let html = panel.render().unwrap();
        assert!(html.contains("class=\"sure\""), "{html}");
        assert_eq!(html.contains("person or vehicle"), warns, "{html}");
    }
}

#[test]
fn a_reason_says_nothing_twice() {
    let airport = Airport::new();
    let device = airport.known("gate-p1-in-1");
    for (code, detail, why) in [
        (
            ReasonCode::Busy,
            "the device executes another command",
            "The device executes another command.",
        ),
        (
            ReasonCode::Interlock,
            "loop = true",
            "An interlock does not hold, or its data is too old. (loop = true)",
        ),
        (
            ReasonCode::Interrupted,
            "",
            "The agent stopped while it was being executed.",
        ),
    ] {
        let mut told = commands(&device.view.id);
        told.truncate(1);
        told[0].reason = Some(Reason {
            code,
            detail: detail.to_owned(),
        });
        let list = CommandList {
            viewing: viewing(Language::En),
            device,
            commands: &told,
        };
        let html = list.render().unwrap();
        assert!(html.contains(&format!("class=\"why\">{why}<")), "{html}");
    }
}

#[test]
fn a_device_is_missed_only_where_one_was_asked_for() {
    for (path, is_missed) in [("/devices/gate-9", true), ("/no/such", false)] {
        let page = ErrorPage {
            viewing: viewing(Language::En),
            kind: ErrorKind::NotFound,
            reference: None,
            path,
            shell: None,
        };
        let told = page.render().unwrap().contains("may have been removed");
        assert_eq!(told, is_missed, "{path}");
    }
}

#[test]
fn every_notice_is_a_sentence_that_comes_back_by_its_name() {
    for code in [
        "acknowledged",
        "command-queued",
        "newer-occurrence",
        "not-recording",
    ] {
        let notice = Notice::from_code(code).unwrap();
        for language in Language::ALL {
            let view = NoticeView {
                viewing: viewing(language),
                notice: &notice,
                page: "/alarms",
            };
            let html = view.render().unwrap();
            // The script tells an answer by this attribute.
            assert!(html.contains(&format!("data-notice=\"{code}\"")), "{html}");
            assert!(html.trim_end().ends_with(".</p>"), "{html}");
        }
    }
}

#[test]
fn a_page_that_refreshes_itself_does_not_tell_an_outcome_twice() {
    let (zones, alarms) = (zone_ids(), alarms());
    for (path, refreshed) in [
        ("/alarms", "/alarms"),
        ("/alarms?notice=acknowledged", "/alarms"),
        ("/alarms?zone=p1&notice=acknowledged", "/alarms?zone=p1"),
        ("/alarms?notice=acknowledged&zone=p1", "/alarms?zone=p1"),
    ] {
        let page = AlarmsPage {
            shell: shell(Language::En, path, &zones, &alarms, None),
            alarms: &alarms,
            zone: None,
        };
        let html = page.render().unwrap();
        assert!(
            html.contains(&format!("content=\"10;url={refreshed}\"")),
            "{html}"
        );
    }
}

#[test]
fn devices_without_a_lane_stand_last() {
    let airport = Airport::new();
    let mut devices: Vec<_> = airport
        .devices
        .iter()
        .map(|device| airport.known(device.id.as_str()))
        .collect();
    devices.reverse();
    let zone = OverviewZone::new(&airport.zones[1], devices);
    let lanes: Vec<_> = zone
        .lanes
        .iter()
        .map(|lane| lane.id.map(|id| id.as_str()))
        .collect();
    assert_eq!(
        lanes,
        [
            Some("kerb-a"),
            Some("out-2"),
            Some("out-1"),
            Some("in-3"),
            Some("in-2"),
            Some("in-1"),
            None
        ]
    );
}
