//! The pages of those who look after people and read the audit.

use contract::Language;
use web_ui::{
    AuditFields, AuditLine, AuditPage, AuditTime, InviteFields, Notice, PeoplePage, PersonRow,
    Shell, Template, ZoneChoice,
};

use crate::sample::{Airport, ago, shell, zone_ids};

pub(crate) fn audit_line(text: &str) -> AuditLine {
    AuditLine {
        number: 12,
        at: "2026-11-22T07:08:03Z".parse().unwrap(),
        actor: text.to_owned(),
        identity: text.to_owned(),
        peer: text.to_owned(),
        action: text.to_owned(),
        subject: text.to_owned(),
        reason: text.to_owned(),
        detail: vec![(text.to_owned(), vec![text.to_owned()])],
        outcome: text.to_owned(),
    }
}

pub(crate) fn audit_page(lines: Option<&[AuditLine]>, shell: Shell<'_>) -> String {
    let line = lines.and_then(<[_]>::first);
    let text = line.map_or("", |line| &line.actor);
    let time = |is_wrong| AuditTime {
        typed: text,
        is_wrong,
    };
    let page = AuditPage {
        shell,
        lines,
        fields: AuditFields {
            actor: text,
            action: text,
            subject: text,
            from: time(false),
            to: time(lines.is_none()),
        },
        next: Some(format!("/audit?{text}")),
        table: format!("/audit.csv?{text}"),
    };
    page.render().unwrap()
}

pub(crate) fn people_page(is_wrong: bool, shell: Shell<'_>) -> String {
    let airport = Airport::new();
    let zones = airport.zones.iter().map(|zone| ZoneChoice {
        id: &zone.id,
        name: &zone.name,
    });
    let chosen = ["p1".to_owned()];
    let row = |name, disabled| PersonRow {
        name,
        full_name: "Kim <x>",
        role: contract::Role::Operator,
        zones: &chosen,
        from_file: false,
        is_external: false,
        disabled,
        is_awaited: disabled,
        invited_until: Some(ago(0)),
        has_second_factor: false,
        last_seen_at: None,
        is_self: false,
    };
    let page = PeoplePage {
        shell,
        people: &[row("kim", false), row("lee@airport", true)],
        changing: Some(if is_wrong { "lee@airport" } else { "kim" }),
        link: None,
        zones: &zones.collect::<Vec<_>>(),
        invite: InviteFields {
            name: "\"><b>",
            wrong_name: is_wrong.then_some(&Notice::NameTaken),
            wrong_full_name: is_wrong,
            wrong_zones: is_wrong,
            ..InviteFields::default()
        },
    };
    page.render().unwrap()
}

#[test]
fn the_audit_is_read_in_words_and_found_by_what_is_stored() {
    let hash = "6dc9a57d2c540b303b62bbc5e403f8aa55893b1fe13478bf424cea05fccaafec";
    let line = AuditLine {
        actor: "(command line)".to_owned(),
        peer: "access file".to_owned(),
        action: "access.change".to_owned(),
        detail: [
            ("change", vec!["lowered"]),
            ("roles", vec!["operator", "viewer"]),
            ("from.roles", vec!["viewer"]),
            ("zones", vec!["*"]),
            ("before", vec![]),
            ("new", vec![hash]),
            ("at", vec!["2026-11-21T22:08:30.123456789Z"]),
        ]
        .map(|(name, values)| {
            let values = values.into_iter().map(str::to_owned).collect();
            (name.to_owned(), values)
        })
        .to_vec(),
        outcome: "wrong code".to_owned(),
        ..audit_line("omar")
    };
    let zones = zone_ids();
    for (language, expected) in [
        (
            Language::Ko,
            [
                "접근 파일 변경 <small><code>access.change</code></small>",
                "(명령줄) <small>(command line)</small>",
                ">접근 파일</td>",
                "<span>변경: 권한 축소</span> <span>역할: 관제원, 조회자</span> <span>이전 역할: 조회자</span> <span>구역: 모든 구역</span> <span>이전: 없음</span>",
                "<span>새 값: 6dc9a57d2c54…</span> <span>일시: 2026-11-22 07:08:30</span>",
                "<b>틀린 코드</b>",
            ],
        ),
        (
            Language::En,
            [
                "access file changed <small><code>access.change</code></small>",
                ">(command line)</td>",
                ">access file</td>",
                "<span>change: lowered</span> <span>roles: Operator, Viewer</span> <span>roles before: Viewer</span> <span>zones: Every zone</span> <span>before: none</span>",
                "<span>new: 6dc9a57d2c54…</span> <span>at: 2026-11-22 07:08:30</span>",
                "<b>wrong code</b>",
            ],
        ),
    ] {
        let shell = shell(language, "/audit", &zones, &[], None);
        let page = audit_page(Some(std::slice::from_ref(&line)), shell);
        for part in expected {
            assert!(page.contains(part), "{part} in {page}");
        }
    }
}
