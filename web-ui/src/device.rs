//! A device: its header, its readings with quality and age, its alarms, and the page that holds them. Pure.

use std::cmp::Ordering;

use askama::Template;
use askama::filters::HtmlSafe;
use chrono::{DateTime, Utc};
use contract::alarm::AlarmView;
use contract::command::CommandView;
use contract::device::{Condition, DeviceView, PointView};
use contract::inventory::{Personal, Point, Profile};
use contract::{Quality, Text, Value};

use crate::alarms::{AlarmRow, RowForm, rows};
use crate::command::{CommandList, CommandPanel, Offer};
use crate::glyph::{DeviceIcon, Posture};
use crate::overview::DeviceGlyph;
use crate::partial;
use crate::shell::Shell;
use crate::viewing::{Viewing, number};

/// A device with its profile, where one was announced.
#[derive(Debug, Clone, Copy)]
pub struct KnownDevice<'a> {
    /// Live state.
    pub view: &'a DeviceView,
    /// Names, units, ranges, commands; without it ids stand in for names.
    pub profile: Option<&'a Profile>,
}

/// How a device is and what it is doing, in a word each, and whether that is known now.
pub(crate) struct StateWord {
    condition: &'static str,
    shown: Shown,
    /// Absent for devices without a state, and for silent ones.
    pub(crate) doing: Option<String>,
    pub(crate) is_live: bool,
}

/// What the sign on the overview has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Doing,
    Both,
    Condition,
}

impl Shown {
    fn of(condition: Condition) -> Self {
        match condition {
            Condition::Ok => Self::Doing,
            Condition::Faulty => Self::Both,
            // What a machine that nobody counts on is doing stands on its page.
            Condition::Unknown
            | Condition::OutOfService
            | Condition::OffOnPurpose
            | Condition::Unregistered => Self::Condition,
        }
    }
}

impl StateWord {
    pub(crate) fn text(&self) -> String {
        match (self.shown, &self.doing) {
            (Shown::Doing, Some(doing)) => doing.clone(),
            (Shown::Both, Some(doing)) => format!("{} · {doing}", self.condition),
            (Shown::Condition, _) | (_, None) => self.condition.to_owned(),
        }
    }
}

/// Whether a value of this quality is what the device says now. Everything else is shown as the past.
pub(crate) fn is_live_quality(quality: Quality) -> bool {
    match quality {
        Quality::Good | Quality::Suspect => true,
        Quality::Bad | Quality::Stale | Quality::CommLost | Quality::Unknown => false,
    }
}

impl<'a> KnownDevice<'a> {
    fn state_point(self) -> Option<(&'a Point, &'a PointView)> {
        let point = self.profile?.points.iter().find(|point| point.is_state)?;
        let view = self
            .view
            .points
            .iter()
            .find(|view| view.point == point.id)?;
        Some((point, view))
    }

    pub(crate) fn state_word(self, viewing: &Viewing) -> StateWord {
        let words = viewing.words();
        let condition = self.view.condition;
        let mut is_live = condition != Condition::Unknown;
        let mut doing = None;
        if is_live && let Some((point, view)) = self.state_point() {
            doing = Some(match &view.value {
                Some(value) if is_live_quality(view.quality) => state_text(viewing, point, value),
                _ => {
                    is_live = false;
                    words.quality(&view.quality).to_owned()
                }
            });
        }
        StateWord {
            condition: words.condition(&condition),
            shown: Shown::of(condition),
            doing,
            is_live,
        }
    }

    pub(crate) fn icon(self) -> DeviceIcon<'a> {
        let posture = match self.state_point() {
            Some((_, view))
                if is_live_quality(view.quality) && self.view.condition != Condition::Unknown =>
            {
                match &view.value {
                    Some(Value::Text(label)) => Posture::of_state(label),
                    _ => Posture::None,
                }
            }
            _ => Posture::None,
        };
        DeviceIcon {
            class: &self.view.class,
            posture,
        }
    }

    fn point(self, view: &PointView) -> Option<&'a Point> {
        self.profile?
            .points
            .iter()
            .find(|point| point.id == view.point)
    }
}

/// A state in words. "OK" alone would say too much where the point tells only of, say, the paper.
fn state_text(viewing: &Viewing, point: &Point, value: &Value) -> String {
    let value = value_text(viewing, Some(point), value);
    if point.id.as_str() == "state" {
        value
    } else {
        format!("{} {value}", viewing.text(&point.name))
    }
}

/// A value in words or digits, without its unit.
pub(crate) fn value_text(viewing: &Viewing, point: Option<&Point>, value: &Value) -> String {
    if let Some(label) = point.and_then(|point| point.labels.get(&value.to_string())) {
        return viewing.text(label).to_owned();
    }
    match value {
        Value::Bool(true) => viewing.words().on.to_owned(),
        Value::Bool(false) => viewing.words().off.to_owned(),
        Value::Number(value) => number(*value),
        Value::Text(text) => text.clone(),
    }
}

/// The device's name and condition: `<div id="header-{id}">`.
#[derive(Template)]
#[template(path = "device_header.html")]
pub struct DeviceHeader<'a> {
    /// How it is seen.
    pub viewing: Viewing,
    /// The device.
    pub device: KnownDevice<'a>,
}

impl HtmlSafe for DeviceHeader<'_> {}

impl DeviceHeader<'_> {
    /// Whether the condition alone says that the device is being heard: silence would turn it to unknown by itself.
    fn is_heard_now(&self) -> bool {
        match self.device.view.condition {
            Condition::Ok | Condition::Faulty => true,
            // Silence does not change the last three.
            Condition::Unknown
            | Condition::OutOfService
            | Condition::OffOnPurpose
            | Condition::Unregistered => false,
        }
    }
}

/// Where a value stands between the ends of its range.
struct Scale {
    /// From 0 to 120, one decimal: an SVG coordinate.
    x: String,
    min: String,
    max: String,
    label: String,
}

impl Scale {
    const WIDTH: f64 = 120.0;

    fn new(viewing: &Viewing, (min, max): (f64, f64), value: f64) -> Option<Self> {
        if !value.is_finite() || max.partial_cmp(&min) != Some(Ordering::Greater) {
            return None;
        }
        let share = ((value - min) / (max - min)).clamp(0.0, 1.0);
        let (low, high) = (number(min), number(max));
        Some(Self {
            x: format!("{:.1}", share * Self::WIDTH),
            label: viewing.sentence(
                viewing.words().position_on_scale,
                &[("min", &low), ("max", &high), ("value", &number(value))],
            ),
            min: low,
            max: high,
        })
    }
}

/// One line of the readings.
struct ReadingRow<'a> {
    name: &'a str,
    value: Option<String>,
    unit: &'a str,
    quality: Quality,
    is_live: bool,
    scale: Option<Scale>,
    at: Option<DateTime<Utc>>,
}

/// What the device measures: `<section id="readings-{id}">`.
#[derive(Template)]
#[template(path = "device_readings.html")]
pub struct DeviceReadings<'a> {
    /// How it is seen.
    pub viewing: Viewing,
    /// The device.
    pub device: KnownDevice<'a>,
}

impl HtmlSafe for DeviceReadings<'_> {}

impl DeviceReadings<'_> {
    fn rows(&self) -> impl Iterator<Item = ReadingRow<'_>> {
        self.device.view.points.iter().map(|view| self.row(view))
    }

    fn row<'b>(&'b self, view: &'b PointView) -> ReadingRow<'b> {
        let point = self.device.point(view);
        let scale = match (point.and_then(|point| point.range), &view.value) {
            (Some(range), Some(Value::Number(value))) => Scale::new(&self.viewing, range, *value),
            _ => None,
        };
        ReadingRow {
            name: point.map_or(view.point.as_str(), |point| self.viewing.text(&point.name)),
            value: view
                .value
                .as_ref()
                .map(|value| value_text(&self.viewing, point, value)),
            unit: point.map_or("", |point| &point.unit),
            quality: view.quality,
            is_live: is_live_quality(view.quality),
            scale,
            at: view.at,
        }
    }
}

/// Everything of a device that looks the same to all viewers: the body of one MESSAGE.
#[derive(Template)]
#[template(ext = "html", source = "{{ glyph }}{{ header }}{{ readings }}")]
pub struct DeviceAtoms<'a> {
    glyph: DeviceGlyph<'a>,
    header: DeviceHeader<'a>,
    readings: DeviceReadings<'a>,
}

impl<'a> DeviceAtoms<'a> {
    /// The sign on the overview, and header and readings of the device's page.
    pub fn new(viewing: Viewing, device: KnownDevice<'a>) -> Self {
        Self {
            glyph: DeviceGlyph { viewing, device },
            header: DeviceHeader { viewing, device },
            readings: DeviceReadings { viewing, device },
        }
    }
}

/// A device's alarms: `<section id="device-alarms">`.
#[derive(Template)]
#[template(path = "device_alarms.html")]
pub struct DeviceAlarms<'a> {
    /// How it is seen.
    pub viewing: Viewing,
    /// The device.
    pub device: KnownDevice<'a>,
    /// Its alarms that are not normal, in [`crate::alarm_order`].
    pub alarms: &'a [AlarmView],
    /// The token and the way back.
    pub form: RowForm<'a>,
}

impl HtmlSafe for DeviceAlarms<'_> {}

impl DeviceAlarms<'_> {
    fn url(&self) -> String {
        partial::device_alarms(&self.device.view.id)
    }

    fn rows(&self) -> impl Iterator<Item = AlarmRow<'_>> {
        rows(self.viewing, self.alarms, self.form)
    }
}

/// `/devices/{id}`
#[derive(Template)]
#[template(path = "device.html")]
pub struct DevicePage<'a> {
    /// What is around it.
    pub shell: Shell<'a>,
    /// The device.
    pub device: KnownDevice<'a>,
    /// What people call its zone.
    pub zone_name: &'a Text,
    /// Its alarms that are not normal, in [`crate::alarm_order`].
    pub alarms: &'a [AlarmView],
    /// What it can be told: [`Offer::all`].
    pub offers: &'a [Offer<'a>],
    /// What it was told, newest first.
    pub commands: &'a [CommandView],
    /// Whether the viewer may see its whole number plates, with a reason.
    pub may_reveal: bool,
}

/// A whole number plate, once: the answer to `POST /devices/{id}/points/{point}/reveal`.
#[derive(Template)]
#[template(path = "plate.html")]
pub struct PlatePage<'a> {
    /// What is around it; its path is the device's page.
    pub shell: Shell<'a>,
    /// The device.
    pub device: KnownDevice<'a>,
    /// The point with its whole value.
    pub shown: &'a PointView,
}

impl PlatePage<'_> {
    fn name(&self) -> &str {
        let point = self.device.point(self.shown);
        point.map_or(self.shown.point.as_str(), |point| {
            self.shell.viewing.text(&point.name)
        })
    }
}

impl DevicePage<'_> {
    /// The points that carry number plates.
    fn plates(&self) -> impl Iterator<Item = &Point> {
        let points = self
            .device
            .profile
            .map_or(&[][..], |profile| &profile.points);
        points
            .iter()
            .filter(|point| point.personal == Some(Personal::NumberPlate))
    }

    fn header(&self) -> DeviceHeader<'_> {
        DeviceHeader {
            viewing: self.shell.viewing,
            device: self.device,
        }
    }

    fn readings(&self) -> DeviceReadings<'_> {
        DeviceReadings {
            viewing: self.shell.viewing,
            device: self.device,
        }
    }

    fn alarm_section(&self) -> DeviceAlarms<'_> {
        DeviceAlarms {
            viewing: self.shell.viewing,
            device: self.device,
            alarms: self.alarms,
            form: self.shell.form(),
        }
    }

    fn panel(&self) -> CommandPanel<'_> {
        CommandPanel {
            viewing: self.shell.viewing,
            device: self.device,
            offers: self.offers,
            may_approve: self.shell.may.approve,
            form: self.shell.form(),
        }
    }

    fn command_list(&self) -> CommandList<'_> {
        CommandList {
            viewing: self.shell.viewing,
            device: self.device,
            commands: self.commands,
        }
    }
}
