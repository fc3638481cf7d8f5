//! Tells everybody: JSON for programs, rendered atoms and "changed" notices for pages.
//!
//! What looks the same to every viewer of a zone is rendered once per language here; what depends on the viewer gets a
//! notice, and its page fetches it again. Only what is stored, or live state, is ever told.

use std::panic::{AssertUnwindSafe, catch_unwind};

use broker::{Outgoing, Publisher};
use chrono::{DateTime, FixedOffset, Utc};
use contract::alarm::{AlarmState, AlarmView};
use contract::command::CommandView;
use contract::destination::UiPart;
use contract::device::{DeviceView, ZoneView};
use contract::{Destination, DeviceId, Language, ZoneId};
use serde::Serialize;
use serde_json::json;
use web_ui::{AlarmRow, DeviceAtoms, KnownDevice, Template, Viewing, ZoneTile};

use crate::site::{Site, SiteDevice};

const HTML: &str = "text/html; charset=utf-8";

/// What a page may have to fetch again; the names stand in the pages' `data-refresh-on`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Topic<'a> {
    /// Lists and counts of alarms.
    Alarms,
    /// Which devices there are.
    Devices,
    /// What one device can be told and was told.
    Commands(&'a DeviceId),
}

impl Topic<'_> {
    fn name(&self) -> String {
        match self {
            Self::Alarms => "alarms".to_owned(),
            Self::Devices => "devices".to_owned(),
            Self::Commands(device) => format!("commands:{device}"),
        }
    }
}

/// Publishes.
#[derive(Debug, Clone)]
pub(crate) struct Announcer {
    publisher: Publisher,
    offset: FixedOffset,
}

impl Announcer {
    /// An announcer that shows times in the zone `offset`.
    pub(crate) fn new(publisher: Publisher, offset: FixedOffset) -> Self {
        Self { publisher, offset }
    }

    /// A device's live state.
    pub(crate) fn device(&self, device: &SiteDevice, view: &DeviceView, now: DateTime<Utc>) {
        self.json(&Destination::Device(view.id.clone()), view);
        let known = KnownDevice {
            view,
            profile: Some(&device.profile),
        };
        let part = UiPart::Device(view.id.clone());
        self.atoms(&view.zone, &part, now, |viewing| {
            DeviceAtoms::new(viewing, known).render()
        });
    }

    /// A zone's sums.
    pub(crate) fn zone(&self, zone: &ZoneView, now: DateTime<Utc>) {
        self.json(&Destination::Overview, zone);
        self.atoms(&zone.id, &UiPart::Tile, now, |viewing| {
            ZoneTile { viewing, zone }.render()
        });
    }

    /// An alarm after a step of its life.
    pub(crate) fn alarm(&self, alarm: &AlarmView) {
        self.json(&Destination::Alarms, alarm);
        self.json(&Destination::ZoneAlarms(alarm.zone.clone()), alarm);
        if alarm.state != AlarmState::Normal {
            let row = |viewing| {
                AlarmRow {
                    viewing,
                    alarm,
                    form: None,
                }
                .render()
            };
            self.atoms(&alarm.zone, &UiPart::Alarm(alarm.id), Utc::now(), row);
        }
        self.changed(&alarm.zone, &Topic::Alarms);
    }

    /// A command after a step of its life: told to whoever gave it, and to those who look at its device.
    pub(crate) fn command(&self, site: &Site, command: &CommandView) {
        let progress = Destination::UserCommandProgress.to_string();
        // Nobody of that name may be connected: they read it when they come back.
        let _ = self.publisher.send_to_user(
            &command.issued_by,
            &progress,
            Outgoing::json(body(command)),
        );
        if let Some(device) = site.device(&command.device) {
            self.changed(&device.zone, &Topic::Commands(&command.device));
        }
    }

    /// A notice to the pages of a zone.
    pub(crate) fn changed(&self, zone: &ZoneId, topic: &Topic<'_>) {
        let notice = json!({"topics": [topic.name()]});
        for language in Language::ALL {
            self.json(
                &Destination::Ui(language, zone.clone(), UiPart::Changed),
                &notice,
            );
        }
    }

    fn json(&self, destination: &Destination, message: &impl Serialize) {
        self.publisher
            .publish(&destination.to_string(), Outgoing::json(body(message)));
    }

    fn atoms(
        &self,
        zone: &ZoneId,
        part: &UiPart,
        now: DateTime<Utc>,
        render: impl Fn(Viewing) -> Result<String, web_ui::Error>,
    ) {
        for language in Language::ALL {
            // A view that cannot be rendered is a defect of one screen; it must not end the task that everybody needs.
            let viewing = Viewing {
                language,
                offset: self.offset,
                now,
            };
            match catch_unwind(AssertUnwindSafe(|| render(viewing)))
                .unwrap_or(Err(web_ui::Error::Fmt))
            {
                Ok(html) => {
                    let destination =
                        Destination::Ui(language, zone.clone(), part.clone()).to_string();
                    self.publisher
                        .publish(&destination, Outgoing::new(HTML, html));
                }
                Err(error) => tracing::error!(%error, ?part, "an atom could not be rendered"),
            }
        }
    }
}

fn body(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("our types have text keys and no failing serializers")
}
