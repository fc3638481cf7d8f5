//! The overview: zones, their lanes, and each device as one sign. Pure.

use askama::Template;
use askama::filters::HtmlSafe;
use contract::LaneId;
use contract::alarm::Priority;
use contract::device::ZoneView;

use crate::device::{KnownDevice, StateWord};
use crate::glyph::{DeviceIcon, PriorityGlyph};
use crate::partial;
use crate::shell::Shell;
use crate::viewing::Viewing;

/// One device: `<a id="device-{id}">`.
#[derive(Template)]
#[template(path = "device_glyph.html")]
pub struct DeviceGlyph<'a> {
    /// How it is seen.
    pub viewing: Viewing,
    /// The device.
    pub device: KnownDevice<'a>,
}

impl HtmlSafe for DeviceGlyph<'_> {}

impl DeviceGlyph<'_> {
    fn state(&self) -> StateWord {
        self.device.state_word(&self.viewing)
    }

    fn icon(&self) -> DeviceIcon<'_> {
        self.device.icon()
    }

    fn glyph(&self, priority: &Priority) -> PriorityGlyph {
        PriorityGlyph::new(&self.viewing, *priority)
    }

    /// Whether nothing is active and somebody still has to say that they saw what was.
    fn shows_returned(&self) -> bool {
        self.device.view.highest_alarm.is_none() && self.device.view.unacknowledged_alarms > 0
    }

    fn unacknowledged_label(&self) -> String {
        self.unacknowledged(self.viewing.words().unacknowledged_count)
    }

    /// In words: a number alone would look like a priority.
    fn unacknowledged_short(&self) -> String {
        self.unacknowledged(self.viewing.words().unacknowledged_short)
    }

    fn unacknowledged(&self, sentence: &str) -> String {
        let count = self.device.view.unacknowledged_alarms.to_string();
        self.viewing.sentence(sentence, &[("n", &count)])
    }
}

/// A zone's sums: `<a id="zone-{id}">`.
#[derive(Template)]
#[template(path = "zone_tile.html")]
pub struct ZoneTile<'a> {
    /// How it is seen.
    pub viewing: Viewing,
    /// The zone.
    pub zone: &'a ZoneView,
}

impl HtmlSafe for ZoneTile<'_> {}

impl ZoneTile<'_> {
    fn glyph(&self, priority: &Priority) -> PriorityGlyph {
        PriorityGlyph::new(&self.viewing, *priority)
    }

    fn link_label(&self) -> String {
        self.viewing.sentence(
            self.viewing.words().zone_alarms_link,
            &[("zone", self.viewing.text(&self.zone.name))],
        )
    }
}

/// A lane with its devices in order.
pub struct Lane<'a> {
    /// Which lane; `None` for devices that stand in none.
    pub id: Option<&'a LaneId>,
    /// Its devices.
    pub devices: Vec<KnownDevice<'a>>,
}

/// A zone with its lanes in order.
pub struct OverviewZone<'a> {
    /// The zone's sums.
    pub zone: &'a ZoneView,
    /// Its lanes; devices of no lane last.
    pub lanes: Vec<Lane<'a>>,
}

impl<'a> OverviewZone<'a> {
    /// Puts devices into their lanes: both stay in the order in which the devices come.
    pub fn new(zone: &'a ZoneView, devices: impl IntoIterator<Item = KnownDevice<'a>>) -> Self {
        let mut lanes: Vec<Lane<'a>> = Vec::new();
        for device in devices {
            let id = device.view.lane.as_ref();
            match lanes.iter_mut().find(|lane| lane.id == id) {
                Some(lane) => lane.devices.push(device),
                None => lanes.push(Lane {
                    id,
                    devices: vec![device],
                }),
            }
        }
        lanes.sort_by_key(|lane| lane.id.is_none());
        Self { zone, lanes }
    }

    fn tile(&self, viewing: &Viewing) -> ZoneTile<'_> {
        ZoneTile {
            viewing: *viewing,
            zone: self.zone,
        }
    }
}

impl Lane<'_> {
    fn glyphs(&self, viewing: &Viewing) -> impl Iterator<Item = DeviceGlyph<'_>> {
        let viewing = *viewing;
        self.devices
            .iter()
            .map(move |&device| DeviceGlyph { viewing, device })
    }
}

/// All zones: `<div id="zones">`.
#[derive(Template)]
#[template(path = "overview_body.html")]
pub struct OverviewBody<'a> {
    /// How it is seen.
    pub viewing: Viewing,
    /// The zones that the viewer sees, in order.
    pub zones: &'a [OverviewZone<'a>],
}

impl HtmlSafe for OverviewBody<'_> {}

/// `/`
#[derive(Template)]
#[template(path = "overview.html")]
pub struct Overview<'a> {
    /// What is around it.
    pub shell: Shell<'a>,
    /// The zones that the viewer sees, in order.
    pub zones: &'a [OverviewZone<'a>],
}

impl Overview<'_> {
    fn body(&self) -> OverviewBody<'_> {
        OverviewBody {
            viewing: self.shell.viewing,
            zones: self.zones,
        }
    }
}
