//! What is around every page of a signed-in person: navigation, alarm strip, connection, clock. Pure.

use askama::Template;
use askama::filters::HtmlSafe;
use contract::alarm::{AlarmView, Priority};
use contract::{Language, Role, ZoneId};

use crate::alarms::RowForm;
use crate::glyph::PriorityGlyph;
use crate::notice::{Notice, NoticeView};
use crate::partial;
use crate::sign_in::percent_encode;
use crate::viewing::Viewing;

/// What the viewer may do; decides what is offered, while the server decides what is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Acknowledge alarms.
    pub acknowledge: bool,
    /// Give commands whose risk is `view`.
    pub command_view: bool,
    /// Give commands whose risk is `normal`.
    pub command_normal: bool,
    /// Give commands whose risk is `critical`.
    pub command_critical: bool,
    /// Give commands whose risk is `emergency`.
    pub command_emergency: bool,
    /// Approve devices that announced themselves.
    pub approve: bool,
    /// See whole number plates.
    pub reveal: bool,
    /// Read the audit.
    pub audit: bool,
    /// Invite people, and change what they may.
    pub people: bool,
    /// Must show a second factor with a command whose risk is `view`.
    pub code_for_view: bool,
    /// Must show a second factor with a command whose risk is `normal`.
    pub code_for_normal: bool,
    /// Must show a second factor with a critical command.
    pub code_for_critical: bool,
    /// Only what cannot wait: nobody did anything here for long.
    pub locked: bool,
}

/// Whether a login is locked for being idle, and when it would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lock<'a> {
    /// What is left of the time without anybody, 0 where there is no lock.
    pub idle_seconds: i64,
    /// Only what cannot wait is taken.
    pub is_locked: bool,
    /// The external provider that unlocks it, of somebody who has no password here.
    pub provider: Option<&'a str>,
}

/// Who looks.
#[derive(Debug, Clone, Copy)]
pub struct Person<'a> {
    /// What people call them.
    pub full_name: &'a str,
    /// What they are.
    pub role: Role,
}

/// How many alarms of one priority there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PriorityCount {
    /// Active ones.
    pub active: u32,
    /// Active or returned ones that nobody acknowledged.
    pub unacknowledged: u32,
}

/// The alarm strip: counts by priority, and the most urgent alarms that nobody acknowledged.
#[derive(Template)]
#[template(path = "alarm_strip.html")]
pub struct AlarmStrip<'a> {
    /// How it is seen.
    pub viewing: Viewing,
    /// The most urgent unacknowledged alarms: by priority, the newer first among equals; three are shown.
    pub newest: &'a [AlarmView],
    /// Counts of all zones that the viewer sees, in the order of [`Priority::ALL`].
    pub counts: [PriorityCount; 4],
    /// Whether the database takes what happens; `false` shows "not recording".
    pub recording: bool,
    /// The token and the way back for the acknowledge buttons.
    pub form: RowForm<'a>,
}

impl HtmlSafe for AlarmStrip<'_> {}

impl AlarmStrip<'_> {
    const SHOWN: usize = 3; // Fits beside the counts at 1366 pixels; the list has the others.

    fn unacknowledged(&self) -> u32 {
        self.counts.iter().map(|count| count.unacknowledged).sum()
    }

    fn shown(&self) -> &[AlarmView] {
        &self.newest[..self.newest.len().min(Self::SHOWN)]
    }

    fn counters(&self) -> Vec<Counter> {
        Priority::ALL
            .into_iter()
            .zip(self.counts)
            .map(|(priority, count)| Counter::new(&self.viewing, priority, count))
            .collect()
    }

    fn glyph(&self, priority: &Priority) -> PriorityGlyph {
        PriorityGlyph::new(&self.viewing, *priority)
    }
}

/// One priority's counts.
struct Counter {
    glyph: PriorityGlyph,
    number: u8,
    label: String,
    count: PriorityCount,
}

impl Counter {
    fn new(viewing: &Viewing, priority: Priority, count: PriorityCount) -> Self {
        Self {
            glyph: PriorityGlyph::new(viewing, priority),
            number: priority.number(),
            label: viewing.sentence(
                viewing.words().strip_counts,
                &[
                    ("priority", &priority.number().to_string()),
                    ("active", &count.active.to_string()),
                    ("unacknowledged", &count.unacknowledged.to_string()),
                ],
            ),
            count,
        }
    }
}

/// The frame of a page: everything around `<main>`.
pub struct Shell<'a> {
    /// How it is seen.
    pub viewing: Viewing,
    /// Who looks.
    pub person: Person<'a>,
    /// What they may do.
    pub may: Permissions,
    /// Whether it is locked.
    pub lock: Lock<'a>,
    /// The login's CSRF token.
    pub csrf: &'a str,
    /// The stream's position, read *before* the page's state: the script resumes from it.
    pub position: &'a str,
    /// The zones that the viewer sees: the script subscribes to each.
    pub zones: &'a [ZoneId],
    /// The page's path with its query: marks the menu, and is where forms lead back to.
    pub path: &'a str,
    /// The most urgent unacknowledged alarms: by priority, the newer first among equals; three are shown.
    pub newest_alarms: &'a [AlarmView],
    /// Counts of all zones that the viewer sees, in the order of [`Priority::ALL`].
    pub alarm_counts: [PriorityCount; 4],
    /// Whether the database takes what happens.
    pub recording: bool,
    /// What became of the form that led here.
    pub notice: Option<Notice>,
    /// The server's version.
    pub version: &'a str,
}

impl Shell<'_> {
    pub(crate) fn strip(&self) -> AlarmStrip<'_> {
        AlarmStrip {
            viewing: self.viewing,
            newest: self.newest_alarms,
            counts: self.alarm_counts,
            recording: self.recording,
            form: self.form(),
        }
    }

    pub(crate) fn form(&self) -> RowForm<'_> {
        RowForm {
            csrf: self.csrf,
            next: self.path,
        }
    }

    pub(crate) fn notice_view(&self) -> Option<NoticeView<'_>> {
        self.notice.as_ref().map(|notice| NoticeView {
            viewing: self.viewing,
            notice,
            page: self.path,
        })
    }

    pub(crate) fn is_here(&self, path: &str) -> bool {
        self.path.split('?').next() == Some(path)
    }

    /// Where the page refreshes itself to: what became of a form is told once.
    pub(crate) fn without_notice(&self) -> String {
        let Some((path, query)) = self.path.split_once('?') else {
            return self.path.to_owned();
        };
        let kept: Vec<&str> = query
            .split('&')
            .filter(|pair| !pair.starts_with("notice="))
            .collect();
        if kept.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{}", kept.join("&"))
        }
    }

    pub(crate) fn page_in_query(&self) -> String {
        percent_encode(&self.without_notice())
    }

    pub(crate) fn zone_list(&self) -> String {
        let ids: Vec<&str> = self.zones.iter().map(ZoneId::as_str).collect();
        ids.join(" ")
    }

    pub(crate) fn unacknowledged(&self) -> u32 {
        self.strip().unacknowledged()
    }

    pub(crate) fn other_language(&self) -> Language {
        other_language(self.viewing.language)
    }
}

pub(crate) fn other_language(language: Language) -> Language {
    match language {
        Language::Ko => Language::En,
        Language::En => Language::Ko,
    }
}
