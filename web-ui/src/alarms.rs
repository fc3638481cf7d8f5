//! The alarm list and its rows. Pure.

use std::cmp::{Ordering, Reverse};

use askama::Template;
use askama::filters::HtmlSafe;
use contract::alarm::{AlarmState, AlarmView};
use contract::{Text, ZoneId};

use crate::glyph::PriorityGlyph;
use crate::partial;
use crate::shell::Shell;
use crate::viewing::Viewing;

/// What a form of a page carries besides its own fields. Never part of what is published to all.
#[derive(Debug, Clone, Copy)]
pub struct RowForm<'a> {
    /// The login's CSRF token.
    pub csrf: &'a str,
    /// Where to go afterwards, without scripts.
    pub next: &'a str,
}

/// One alarm: `<tr id="alarm-{id}">`.
#[derive(Template)]
#[template(path = "alarm_row.html")]
pub struct AlarmRow<'a> {
    /// How it is seen.
    pub viewing: Viewing,
    /// The alarm.
    pub alarm: &'a AlarmView,
    /// `None` in what is published to all viewers: the script adds the token when it sends the form.
    pub form: Option<RowForm<'a>>,
}

impl HtmlSafe for AlarmRow<'_> {}

impl AlarmRow<'_> {
    fn glyph(&self) -> PriorityGlyph {
        PriorityGlyph::new(&self.viewing, self.alarm.priority)
    }

    fn acknowledge_label(&self) -> String {
        acknowledge_label(&self.viewing, self.alarm)
    }

    fn needs_acknowledgement(&self) -> bool {
        needs_acknowledgement(self.alarm.state)
    }
}

pub(crate) fn needs_acknowledgement(state: AlarmState) -> bool {
    matches!(
        state,
        AlarmState::Unacknowledged | AlarmState::ReturnedUnacknowledged
    )
}

pub(crate) fn acknowledge_label(viewing: &Viewing, alarm: &AlarmView) -> String {
    viewing.sentence(
        viewing.words().acknowledge_what,
        &[
            ("device", viewing.text(&alarm.device_name)),
            ("text", viewing.text(&alarm.text)),
        ],
    )
}

/// The order of every list of alarms: unacknowledged before acknowledged before returned, then priority, then newest.
pub fn alarm_order(one: &AlarmView, other: &AlarmView) -> Ordering {
    fn key(alarm: &AlarmView) -> impl Ord {
        let attention = match alarm.state {
            AlarmState::Unacknowledged => 0,
            AlarmState::Acknowledged => 1,
            AlarmState::ReturnedUnacknowledged => 2,
            AlarmState::Normal => 3,
        };
        (
            attention,
            alarm.priority,
            Reverse(alarm.raised_at),
            alarm.id,
        )
    }
    key(one).cmp(&key(other))
}

/// The zone that a list is limited to.
#[derive(Debug, Clone, Copy)]
pub struct ZoneFilter<'a> {
    /// Which zone.
    pub id: &'a ZoneId,
    /// What people call it.
    pub name: &'a Text,
}

/// The list of alarms: `<section id="alarm-list">`.
#[derive(Template)]
#[template(path = "alarm_list.html")]
pub struct AlarmList<'a> {
    /// How it is seen.
    pub viewing: Viewing,
    /// The alarms that are not normal, in [`alarm_order`].
    pub alarms: &'a [AlarmView],
    /// The zone that was asked for, if one was.
    pub zone: Option<ZoneFilter<'a>>,
    /// The token and the way back.
    pub form: RowForm<'a>,
}

impl HtmlSafe for AlarmList<'_> {}

impl AlarmList<'_> {
    fn url(&self) -> String {
        partial::alarms(self.zone.map(|zone| zone.id))
    }

    fn rows(&self) -> impl Iterator<Item = AlarmRow<'_>> {
        rows(self.viewing, self.alarms, self.form)
    }
}

pub(crate) fn rows<'a>(
    viewing: Viewing,
    alarms: &'a [AlarmView],
    form: RowForm<'a>,
) -> impl Iterator<Item = AlarmRow<'a>> {
    alarms.iter().map(move |alarm| AlarmRow {
        viewing,
        alarm,
        form: Some(form),
    })
}

/// `/alarms`
#[derive(Template)]
#[template(path = "alarms.html")]
pub struct AlarmsPage<'a> {
    /// What is around it.
    pub shell: Shell<'a>,
    /// The alarms that are not normal, in [`alarm_order`].
    pub alarms: &'a [AlarmView],
    /// The zone of `?zone=`, if one was asked for and the viewer sees it.
    pub zone: Option<ZoneFilter<'a>>,
}

impl AlarmsPage<'_> {
    fn list(&self) -> AlarmList<'_> {
        AlarmList {
            viewing: self.shell.viewing,
            alarms: self.alarms,
            zone: self.zone,
            form: self.shell.form(),
        }
    }
}
