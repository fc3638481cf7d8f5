//! Signs: an alarm's priority as colour, shape and number; a device's kind as a quiet line drawing. Pure.

use askama::Template;
use askama::filters::HtmlSafe;
use contract::alarm::Priority;

use crate::viewing::Viewing;

/// A priority: red rectangle 1, amber triangle 2, yellow triangle on its head 3, cyan ellipse 4.
#[derive(Template)]
#[template(path = "priority_glyph.html")]
pub(crate) struct PriorityGlyph {
    number: u8,
    label: String,
}

impl HtmlSafe for PriorityGlyph {}

impl PriorityGlyph {
    pub(crate) fn new(viewing: &Viewing, priority: Priority) -> Self {
        let words = viewing.words();
        let number = priority.number();
        Self {
            number,
            label: format!("{} {number} {}", words.priority, words.priority(&priority)),
        }
    }
}

/// How a barrier's arm is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Posture {
    Closed,
    Open,
    Between,
    /// Nobody knows, or the device has no arm.
    None,
}

impl Posture {
    /// The states that profiles of barriers share.
    pub(crate) fn of_state(label: &str) -> Self {
        match label {
            "open" => Self::Open,
            "closed" => Self::Closed,
            "opening" | "closing" | "partial" | "partial-opening" | "stopped" => Self::Between,
            _ => Self::None,
        }
    }
}

/// A device's kind. Never coloured: what is wrong stands beside it.
#[derive(Template)]
#[template(path = "device_icon.html")]
pub(crate) struct DeviceIcon<'a> {
    pub(crate) class: &'a str,
    pub(crate) posture: Posture,
}

impl HtmlSafe for DeviceIcon<'_> {}
