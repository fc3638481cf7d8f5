//! Tables of who may do what, and the laws of patterns.

use std::collections::BTreeMap;
use std::path::Path;

use contract::destination::UiPart;
use contract::{Destination, DeviceId, Language};
use proptest::prelude::*;

use super::*;
use crate::identity::principal::{Holder, Proof};

mod second_factor;

/// Where two devices stand.
struct Site(BTreeMap<&'static str, ZoneId>);

impl Places for Site {
    fn zone_of(&self, device: &str) -> Option<&ZoneId> {
        self.0.get(device)
    }
}

fn zone(id: &str) -> ZoneId {
    id.parse().unwrap()
}

fn site() -> Site {
    Site(BTreeMap::from([
        ("gate-1", zone("p1")),
        ("gate-2", zone("p2")),
    ]))
}

fn somebody(roles: &[Role], zones: &[&str]) -> Principal {
    let zones: Vec<String> = zones.iter().map(|zone| (*zone).to_owned()).collect();
    Principal {
        subject: "kim".to_owned(),
        full_name: String::new(),
        roles: roles.to_vec(),
        zones: Zones::from_words(&zones).unwrap(),
        proof: Proof::default(),
    }
}

fn read(text: &str) -> Result<Policy, String> {
    Policy::read(Path::new("policy.toml"), text).map_err(|error| error.to_string())
}

#[test]
fn the_whole_table_of_the_built_in_policy() {
    let policy = Policy::default();
    assert!(policy.roles_without_rights().is_empty());
    // In the order of `Permission::ALL`, in one's own zone: see, acknowledge, the four risks, approve, plates, report,
    // commands; with every zone: people, audit, tokens.
    for (role, in_a_zone, everywhere) in [
        (Role::Viewer, "s.........", "..."),
        (Role::Operator, "savn.e.p..", "..."),
        (Role::Technician, "savnce....", "..."),
        (Role::Supervisor, "savnce.p..", ".a."),
        (Role::Administrator, "s.....d...", "mat"),
        (Role::Agent, "........rc", "..."),
        (Role::Device, ".........c", "..."),
        (Role::Program, "..........", "..."),
    ] {
        const LETTERS: &str = "savncedprcmat";
        let table = |who: &Principal, zone: &ZoneId| -> String {
            let cell = |(letter, permission)| {
                if policy.entitles(who, permission, Place::In(zone)) {
                    letter
                } else {
                    '.'
                }
            };
            LETTERS.chars().zip(Permission::ALL).map(cell).collect()
        };
        let (of_p1, of_all) = (somebody(&[role], &["p1"]), somebody(&[role], &["*"]));
        assert_eq!(
            table(&of_p1, &zone("p1")),
            format!("{in_a_zone}..."),
            "{role}"
        );
        assert_eq!(
            table(&of_all, &zone("p9")),
            format!("{in_a_zone}{everywhere}"),
            "{role}"
        );
        // Elsewhere, only what has nothing to do with zones is left.
        let elsewhere = format!("........{}...", &in_a_zone[8..]);
        assert_eq!(table(&of_p1, &zone("p2")), elsewhere, "{role}");
        for permission in Permission::ALL {
            let anywhere = [zone("p1"), zone("p2")]
                .iter()
                .any(|zone| policy.entitles(&of_p1, permission, Place::In(zone)));
            assert_eq!(
                policy.entitles(&of_p1, permission, Place::Anywhere),
                anywhere,
                "{role} {permission}"
            );
            assert!(!policy.entitles(&somebody(&[], &["*"]), permission, Place::In(&zone("p1"))));
        }
    }
}

#[test]
fn several_roles_have_the_rights_of_all_and_zones_bind_each() {
    let policy = Policy::default();
    let who = somebody(&[Role::Program, Role::Agent, Role::Operator], &["p1"]);
    let entitles = |permission, id| policy.entitles(&who, permission, Place::In(&zone(id)));
    assert!(entitles(Permission::Report, "p1"));
    assert!(entitles(Permission::CommandNormal, "p1"));
    assert!(!entitles(Permission::CommandNormal, "p2"));
    assert!(!entitles(Permission::CommandCritical, "p1"));
    let allows = |right, destination| policy.allows(&who, right, destination, &site()).is_ok();
    assert!(allows(Right::Send, "/app/events"));
    assert!(allows(Right::Send, "/app/devices/gate-1/commands"));
    assert!(allows(Right::Subscribe, "/topic/zones/p1/alarms"));
    assert!(!allows(Right::Subscribe, "/topic/zones/p2/alarms"));
    assert!(!policy.entitles(
        &somebody(&[Role::Viewer], &[]),
        Permission::See,
        Place::Anywhere
    ));
}

/// Which of the roles may, in the order of `Role::ALL`: with zone p1 only, then with every zone.
#[track_caller]
fn check(right: Right, destination: &str, of_p1: &str, of_all: &str) {
    const LETTERS: [char; 8] = ['v', 'o', 't', 's', 'a', 'A', 'D', 'P'];
    let policy = Policy::default();
    for (zones, expected) in [("p1", of_p1), ("*", of_all)] {
        let may = |role| {
            let who = somebody(&[role], &[zones]);
            policy.allows(&who, right, destination, &site()).is_ok()
        };
        let got: String = LETTERS
            .into_iter()
            .zip(Role::ALL)
            .filter_map(|(letter, role)| may(role).then_some(letter))
            .collect();
        assert_eq!(got, expected, "{right:?} {destination} with {zones}");
    }
}

#[test]
fn the_whole_table_of_destinations() {
    let device: DeviceId = "gate-1".parse().unwrap();
    let ui = |zone_id: &str| Destination::Ui(Language::Ko, zone(zone_id), UiPart::All).to_string();
    for (destination, of_p1, of_all) in [
        ("/app/inventory", "A", "A"),
        ("/app/heartbeats", "A", "A"),
        ("/app/events", "A", "A"),
        ("/app/readings", "A", "A"),
        ("/app/command-results", "A", "A"),
        ("/app/auth", "votsaADP", "votsaADP"),
        ("/app/alarms/7/acknowledge", "ots", "ots"),
        ("/app/devices/gate-1/commands", "ots", "ots"),
        ("/topic/alarms", "", ""),
        ("/topic/zones/p1/alarms", "", ""),
        ("/user/queue/commands", "", ""),
        ("/queue/notes", "", ""),
        ("/reply-queue/x", "", ""),
        ("/app/nothing", "", ""),
        ("/app/*", "", ""),
    ] {
        check(Right::Send, destination, of_p1, of_all);
    }
    for (destination, of_p1, of_all) in [
        ("/user/queue/commands", "AD", "AD"),
        ("/user/queue/command-progress", "votsaADP", "votsaADP"),
        ("/user/queue/errors", "votsaADP", "votsaADP"),
        ("/topic/alarms", "", "votsa"),
        ("/topic/overview", "", "votsa"),
        ("/topic/zones/p1/alarms", "votsa", "votsa"),
        ("/topic/zones/p2/alarms", "", "votsa"),
        ("/topic/zones/*/alarms", "", "votsa"),
        ("/topic/zones/**", "", ""),
        ("/topic/zones/p1/**", "", ""),
        ("/topic/devices/gate-2", "", "votsa"),
        ("/topic/devices/gate-9", "", "votsa"),
        ("/topic/devices/*", "", "votsa"),
        (&ui("p1"), "votsa", "votsa"),
        (&ui("p2"), "", "votsa"),
        ("/topic/ui/ko/zones/*/**", "", "votsa"),
        ("/topic/ui/*/zones/p1/**", "", ""),
        ("/topic/ui/fr/zones/p1/**", "", ""),
        ("/topic/ui/**", "", ""),
        ("/topic/**", "", ""),
        ("/topic/*", "", ""),
        ("/**", "", ""),
        ("/queue/notes", "", ""),
        ("/temp-queue/answers", "", ""),
        (&Destination::Device(device).to_string(), "votsa", "votsa"),
    ] {
        check(Right::Subscribe, destination, of_p1, of_all);
        let is_one = !destination.contains('*');
        let delivered = if is_one { (of_p1, of_all) } else { ("", "") };
        check(Right::Deliver, destination, delivered.0, delivered.1);
    }
}

#[test]
fn path_tricks_match_nothing() {
    for trick in [
        "/topic//zones/p1/alarms",
        "//topic/zones/p1/alarms",
        "/topic/zones/p1/alarms/",
        "/topic/zones/p2/../p1/alarms",
        "/topic/zones/./p1/alarms",
        "/topic/zones/%70%31/alarms",
        "/topic%2fzones%2fp1/alarms",
        "/topic/zones/p1%2falarms",
        "/topic/zones\\p1\\alarms",
        "/TOPIC/zones/p1/alarms",
        "/topic/zones/P1/alarms",
        "/topic/Zones/p1/alarms",
        "/topic/zones/p1/alarms\0",
        "/topic/zones/{zone}/alarms",
        "/topic/zones/p*/alarms",
        "/topic/**/alarms",
        "/topic/zones/p1/ala**",
        "topic/zones/p1/alarms",
        " /topic/zones/p1/alarms",
        "",
        "/",
    ] {
        check(Right::Subscribe, trick, "", "");
        check(Right::Deliver, trick, "", "");
        check(Right::Send, trick, "", "");
    }
    // Even of whom everything is granted that can be.
    let policy = read("[role.viewer]\nsend = [\"/app/**\", \"/queue/**\"]\nsubscribe = [{ to = \"/topic/**\", zones = \"all\" }]").unwrap();
    let who = somebody(&[Role::Viewer], &["*"]);
    let allows = |right, asked| policy.allows(&who, right, asked, &site());
    assert!(allows(Right::Subscribe, "/topic/**").is_ok());
    assert!(allows(Right::Send, "/app/x").is_ok());
    for trick in [
        "/app/../topic/x",
        "/app//x",
        "/app/x/",
        "/app/%2e%2e/x",
        "/app/*",
    ] {
        assert_eq!(
            allows(Right::Send, trick),
            Err(Refused::Malformed),
            "{trick}"
        );
    }
    assert_eq!(allows(Right::Send, "/topic/alarms"), Err(Refused::Nothing));
}

#[test]
fn delivery_is_a_right_of_its_own() {
    let text = "[role.viewer]\nsubscribe = [\"/topic/zones/{zone}/**\"]\ndeliver = [\"/topic/zones/{zone}/alarms\"]\n\
        [role.operator]\ndeliver = [\"/queue/{subject}\"]\n[role.technician]\nsubscribe = [\"/queue/notes\"]";
    let policy = read(text).unwrap();
    let allows = |role, right, destination: &str| {
        let who = somebody(&[role], &["p1"]);
        policy.allows(&who, right, destination, &site()).is_ok()
    };
    assert!(allows(Role::Viewer, Right::Subscribe, "/topic/zones/p1/**"));
    assert!(allows(
        Role::Viewer,
        Right::Deliver,
        "/topic/zones/p1/alarms"
    ));
    assert!(!allows(
        Role::Viewer,
        Right::Deliver,
        "/topic/zones/p1/plates"
    ));
    assert!(!allows(
        Role::Viewer,
        Right::Deliver,
        "/topic/zones/p2/alarms"
    ));
    assert!(allows(Role::Operator, Right::Deliver, "/queue/kim"));
    assert!(!allows(Role::Operator, Right::Deliver, "/queue/lee"));
    assert!(!allows(Role::Operator, Right::Subscribe, "/queue/kim"));
    assert!(allows(Role::Technician, Right::Deliver, "/queue/notes"));
}

#[track_caller]
fn refuse(text: &str, words: &[&str]) {
    let wrong = read(text).expect_err("the file is wrong");
    for word in words {
        assert!(wrong.contains(word), "{word:?} is missing in: {wrong}");
    }
    assert!(!wrong.contains('\n'), "one sentence: {wrong}");
}

#[test]
fn a_role_that_is_like_another_has_what_it_has_and_its_own() {
    let written = |text: &str| Policy::read(Path::new("policy.toml"), text).unwrap();
    let like = written(
        "[role.operator]
like = \"viewer\"
may = [\"alarm.acknowledge\"]
send = [\"/app/alarms/*/acknowledge\"]
[role.viewer]
may = [\"see\"]
send = [\"/app/auth\"]
subscribe = [\"/topic/zones/{zone}/alarms\", \"/user/queue/errors\"]
deliver = [\"/user/queue/errors\"]",
    );
    let long = written(
        "[role.operator]
may = [\"see\", \"alarm.acknowledge\"]
send = [\"/app/alarms/*/acknowledge\", \"/app/auth\"]
subscribe = [\"/topic/zones/{zone}/alarms\", \"/user/queue/errors\"]
deliver = [\"/user/queue/errors\"]",
    );
    let patterns = |rules: &[Rule]| -> Vec<String> {
        rules.iter().map(|rule| rule.pattern.to_string()).collect()
    };
    let [like, long] = [like, long].map(|policy| {
        let rights = policy.roles[&Role::Operator].clone();
        let may: Vec<Permission> = rights.may.keys().copied().collect();
        let rules = [Right::Send, Right::Subscribe, Right::Deliver];
        (may, rules.map(|right| patterns(rights.rules(right).1)))
    });
    assert_eq!(like, long);
    for (other, more, word) in [
        ("boss", "", "\"boss\""),
        ("viewer", "", "this role itself"),
        ("agent", "", "no [role.agent]"),
        ("operator", "like = \"technician\"", "name that one"),
    ] {
        let text = format!(
            "[role.viewer]\nlike = \"{other}\"\n[role.operator]\n{more}\n[role.technician]"
        );
        refuse(&text, &["line 2: role.viewer.like", word]);
    }
}

#[test]
fn each_mistake_in_a_file_is_named_with_its_line() {
    refuse("role = 1", &["policy.toml, line 1", "role"]);
    refuse("[role.viewer]\nmay = [\"see\"\n", &["policy.toml, line"]);
    refuse(
        "\n[role.boss]\nmay = []",
        &[
            "policy.toml: line 2: role:",
            "\"boss\"",
            "viewer",
            "program",
        ],
    );
    refuse(
        "[role.viewer]\nmay = [\n\"see\",\n\"fly\"]",
        &["line 4: role.viewer.may", "\"fly\"", "token.revoke"],
    );
    refuse("[role.viewer]\ncan = []", &["line 2", "can", "may"]);
    for (rule, words) in [
        ("\"topic\"", &["begin with a slash"][..]),
        ("\"/topic//x\"", &["single slashes"]),
        (
            "\"/topic/zones/{site}/x\"",
            &["{site}", "{zone}", "{language}"],
        ),
        ("\"/topic/zones/{zone}s/x\"", &["{zone}s", "whole segment"]),
        ("\"/topic/**/x\"", &["only at the end"]),
        ("\"/app/x\"", &["below /topic, /queue"]),
        ("\"/**\"", &["below /topic"]),
        ("\"/*/alarms\"", &["below /topic"]),
        ("\"/user/kim/commands\"", &["/user/queue"]),
        (
            "\"/topic/alarms\"",
            &["whatever somebody's zones", "zones = \"all\""],
        ),
        ("\"/topic/**\"", &["whatever somebody's zones"]),
        ("\"/topic/zones/p1/alarms\"", &["{zone}"]),
        ("\"/topic/zones/*/alarms\"", &["{zone}"]),
        ("\"/topic/*/{zone}/alarms\"", &["{zone}"]),
        ("\"/topic/devices/{zone}\"", &["{device}"]),
        ("{ to = \"/topic/alarms\" }", &["zones"]),
        ("{ to = \"/topic/alarms\", zones = \"some\" }", &["all"]),
        ("7", &["destination"]),
    ] {
        let text = format!("[role.viewer]\nsubscribe = [{rule}]");
        let mut words = words.to_vec();
        words.extend(["policy.toml", "line 2"]);
        refuse(&text, &words);
        if rule.starts_with("\"/topic") {
            refuse(&text.replace("subscribe", "deliver"), &words);
        }
    }
    for rule in ["/topic/**", "/topic/zones/{zone}/alarms"] {
        let text = format!("[role.viewer]\nsend = [\"{rule}\"]");
        refuse(
            &text,
            &["line 2: role.viewer.send", "nobody may SEND there", "/app"],
        );
    }
    refuse(
        "[second_factor]\nminutes = 0",
        &["second_factor.minutes", "between 1 and 1440"],
    );
    refuse(
        "second_factor = { permissions = [\"x\"], minutes = 1 }",
        &["line 1: second_factor.permissions", "\"x\""],
    );
    refuse(
        "[second_factor]\npermissions = [\"command.emergency\"]\nminutes = 1",
        &["line 2: second_factor.permissions", "never be hindered"],
    );
    refuse(
        "[second_factor]\npermissions = [\"plate.reveal\", \"report\"]\nminutes = 1",
        &["line 2: second_factor.permissions", "report is of machines"],
    );
    let many = "\"/queue/x\",".repeat(201);
    refuse(
        &format!("[role.viewer]\nsend = [{many}]"),
        &["role.viewer.send", "200"],
    );
}

#[test]
fn a_role_that_the_file_does_not_name_has_no_rights() {
    let policy = read("[role.viewer]\nmay = [\"see\"]").unwrap();
    assert_eq!(policy.roles_without_rights().len(), Role::ALL.len() - 1);
    let who = somebody(&[Role::Administrator], &["*"]);
    assert!(
        Permission::ALL
            .into_iter()
            .all(|permission| !policy.entitles(&who, permission, Place::Anywhere))
    );
    let words = "without any rights, since policy.toml does not name them: operator, technician, supervisor, administrator, agent, device, program\nnobody may people.manage, so a server that runs does not take this file\n";
    assert_eq!(policy.missing_words(), words);
}

/// Segments of rules, and of what is asked for.
fn rules() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec![
        "a",
        "p1",
        "p2",
        "*",
        "{zone}",
        "{device}",
        "{subject}",
        "{language}",
    ]);
    let rest = prop::sample::select(vec!["", "/**"]);
    (prop::collection::vec(segment, 0..4), rest)
        .prop_map(|(segments, rest)| {
            format!("/queue/{}{rest}", segments.join("/")).replace("/queue//", "/queue/")
        })
        .prop_filter("a name must follow", |rule| rule != "/queue/")
}

fn asked(wild: bool) -> impl Strategy<Value = String> {
    let mut segments = vec![
        "a", "p1", "p2", "gate-1", "gate-2", "gate-9", "kim", "lee", "ko", "fr",
    ];
    segments.extend(wild.then_some("*"));
    let rest = prop::sample::select(if wild { vec!["", "/**"] } else { vec![""] });
    (
        prop::collection::vec(prop::sample::select(segments), 1..4),
        rest,
    )
        .prop_map(|(segments, rest)| format!("/queue/{}{rest}", segments.join("/")))
}

fn zones() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::select(vec![vec!["*"], vec!["p1"], vec!["p1", "p2"], vec![]])
}

proptest! {
    /// What may be subscribed to may be delivered, each single message of it, and nothing beyond is reached: whatever a
    /// wildcard covers, some rule of the same claims covers.
    #[test]
    fn whatever_an_allowed_subscription_brings_is_granted(
        rules in prop::collection::vec(rules(), 1..4),
        pattern in asked(true),
        message in asked(false),
        zones in zones(),
    ) {
        let list: Vec<String> = rules.iter().map(|rule| format!("{rule:?}")).collect();
        let policy = read(&format!("[role.viewer]\nsubscribe = [{}]", list.join(","))).unwrap();
        let who = somebody(&[Role::Viewer], &zones);
        let subscribed = policy.allows(&who, Right::Subscribe, &pattern, &site()).is_ok();
        if subscribed && broker::destination::covers(&pattern, &message) {
            prop_assert!(policy.allows(&who, Right::Deliver, &message, &site()).is_ok(), "{message}");
        }
    }

    /// Without claims, patterns mean what the broker means by them.
    #[test]
    fn patterns_mean_what_they_mean_to_the_broker(rule in rules(), pattern in asked(true)) {
        prop_assume!(!rule.contains('{'));
        let policy = read(&format!("[role.viewer]\nsubscribe = [{rule:?}]")).unwrap();
        let who = somebody(&[Role::Viewer], &["p1"]);
        prop_assert_eq!(
            policy.allows(&who, Right::Subscribe, &pattern, &site()).is_ok(),
            broker::destination::covers(&rule, &pattern)
        );
    }

    /// No wildcard that the built-in policy allows overlaps what belongs to another zone.
    #[test]
    fn no_allowed_wildcard_reaches_another_zone(
        segments in prop::collection::vec(
            prop::sample::select(vec!["*", "zones", "devices", "ui", "ko", "p1", "p2", "gate-1", "gate-2", "alarms", "overview"]),
            1..6,
        ),
        rest in any::<bool>(),
        role in prop::sample::select(Role::ALL.to_vec()),
    ) {
        let rest = if rest { "/**" } else { "" };
        let pattern = format!("/topic/{}{rest}", segments.join("/"));
        let who = somebody(&[role], &["p1"]);
        if Policy::default().allows(&who, Right::Subscribe, &pattern, &site()).is_ok() {
            for forbidden in [
                "/topic/alarms", "/topic/overview", "/topic/zones/p2/**", "/topic/devices/gate-2",
                "/topic/devices/gate-9", "/topic/ui/*/zones/p2/**",
            ] {
                prop_assert!(!broker::destination::overlaps(&pattern, forbidden), "{pattern} {forbidden}");
            }
        }
    }
}
