//! The only place where a destination is built or parsed (Spring's conventions: `/app` to handlers, `/topic` to all,
//! `/user` to one).

use std::fmt;
use std::str::FromStr;

use crate::id::{DeviceId, ZoneId};
use crate::text::Language;

/// What people do with an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlarmAction {
    /// "I have seen it."
    Acknowledge,
}

/// A part of the rendered stream of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UiPart {
    /// Everything of the zone: for SUBSCRIBE only.
    All,
    /// A device's glyph.
    Device(DeviceId),
    /// An alarm's row.
    Alarm(i64),
    /// The zone's tile on the overview.
    Tile,
    /// A notice: fetch what depends on the viewer again.
    Changed,
}

/// Patterns of what goes first to a connection that does not keep up: alarms, commands, and answers that somebody
/// waits for. What people see of it is in the rendered streams, where alarms are not told apart.
pub const URGENT: [&str; 4] = [
    "/topic/alarms",
    "/topic/zones/*/alarms",
    "/user/queue/**",
    "/reply-queue/**",
];

/// Below what all destinations are Landside's own; queues have whatever names their users give them.
pub const OWN: [&str; 3] = ["/app", "/topic", "/user"];

/// Below what clients may be let SEND: what is told in topics comes from the server, and from nobody else.
pub const SENT_TO: [&str; 3] = ["/app", "/queue", "/reply-queue"];

/// Below what clients may be let SUBSCRIBE; `/temp-queue` is where a session's own `reply-to` leads.
pub const SUBSCRIBED_TO: [&str; 4] = ["/topic", "/queue", "/user/queue", "/temp-queue"];

/// Topics of one zone: the segment `{zone}` or `{device}` says which. Every other topic spans the zones.
pub const TOPICS_OF_ONE_ZONE: [&str; 3] = [
    "/topic/zones/{zone}",
    "/topic/devices/{device}",
    "/topic/ui/*/zones/{zone}",
];

/// Every destination of Landside.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    /// `SEND /app/inventory`
    Inventory,
    /// `SEND /app/heartbeats`
    Heartbeats,
    /// `SEND /app/events`
    Events,
    /// `SEND /app/readings`
    Readings,
    /// `SEND /app/command-results`
    CommandResults,
    /// `SEND /app/auth`: a new token, in the header `Authorization`
    Auth,
    /// `SEND /app/alarms/{id}/acknowledge`
    AlarmAction(i64, AlarmAction),
    /// `SEND /app/devices/{id}/commands`
    DeviceCommands(DeviceId),
    /// `SUBSCRIBE /user/queue/commands`
    UserCommands,
    /// `SUBSCRIBE /user/queue/command-progress`
    UserCommandProgress,
    /// `SUBSCRIBE /user/queue/errors`
    UserErrors,
    /// `SUBSCRIBE /topic/alarms`
    Alarms,
    /// `SUBSCRIBE /topic/zones/{zone}/alarms`
    ZoneAlarms(ZoneId),
    /// `SUBSCRIBE /topic/devices/{id}`
    Device(DeviceId),
    /// `SUBSCRIBE /topic/overview`
    Overview,
    /// `SUBSCRIBE /topic/ui/{lang}/zones/{zone}/…`
    Ui(Language, ZoneId, UiPart),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inventory => f.write_str("/app/inventory"),
            Self::Heartbeats => f.write_str("/app/heartbeats"),
            Self::Events => f.write_str("/app/events"),
            Self::Readings => f.write_str("/app/readings"),
            Self::CommandResults => f.write_str("/app/command-results"),
            Self::Auth => f.write_str("/app/auth"),
            Self::AlarmAction(alarm, AlarmAction::Acknowledge) => {
                write!(f, "/app/alarms/{alarm}/acknowledge")
            }
            Self::DeviceCommands(device) => write!(f, "/app/devices/{device}/commands"),
            Self::UserCommands => f.write_str("/user/queue/commands"),
            Self::UserCommandProgress => f.write_str("/user/queue/command-progress"),
            Self::UserErrors => f.write_str("/user/queue/errors"),
            Self::Alarms => f.write_str("/topic/alarms"),
            Self::ZoneAlarms(zone) => write!(f, "/topic/zones/{zone}/alarms"),
            Self::Device(device) => write!(f, "/topic/devices/{device}"),
            Self::Overview => f.write_str("/topic/overview"),
            Self::Ui(language, zone, part) => {
                write!(f, "/topic/ui/{language}/zones/{zone}/")?;
                match part {
                    UiPart::All => f.write_str("**"),
                    UiPart::Device(device) => write!(f, "devices/{device}"),
                    UiPart::Alarm(alarm) => write!(f, "alarms/{alarm}"),
                    UiPart::Tile => f.write_str("tile"),
                    UiPart::Changed => f.write_str("changed"),
                }
            }
        }
    }
}

impl Destination {
    /// Whether agents and self-reporting devices send there what equipment does.
    pub fn is_report(&self) -> bool {
        matches!(
            self,
            Self::Inventory
                | Self::Heartbeats
                | Self::Events
                | Self::Readings
                | Self::CommandResults
        )
    }
}

/// A text that is no destination of Landside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no destination of Landside")]
pub struct UnknownDestination(String);

impl FromStr for Destination {
    type Err = UnknownDestination;

    fn from_str(text: &str) -> Result<Self, UnknownDestination> {
        parse(text).ok_or_else(|| UnknownDestination(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Destination> {
    let mut segments = [""; 7]; // One more than the longest destination has.
    let mut count = 0;
    for segment in text.strip_prefix('/')?.split('/') {
        *segments.get_mut(count)? = segment;
        count += 1;
    }
    Some(match segments.get(..count)? {
        ["app", "inventory"] => Destination::Inventory,
        ["app", "heartbeats"] => Destination::Heartbeats,
        ["app", "events"] => Destination::Events,
        ["app", "readings"] => Destination::Readings,
        ["app", "command-results"] => Destination::CommandResults,
        ["app", "auth"] => Destination::Auth,
        ["app", "alarms", alarm, "acknowledge"] => {
            Destination::AlarmAction(parse_number(alarm)?, AlarmAction::Acknowledge)
        }
        ["app", "devices", device, "commands"] => Destination::DeviceCommands(device.parse().ok()?),
        ["user", "queue", "commands"] => Destination::UserCommands,
        ["user", "queue", "command-progress"] => Destination::UserCommandProgress,
        ["user", "queue", "errors"] => Destination::UserErrors,
        ["topic", "alarms"] => Destination::Alarms,
        ["topic", "zones", zone, "alarms"] => Destination::ZoneAlarms(zone.parse().ok()?),
        ["topic", "devices", device] => Destination::Device(device.parse().ok()?),
        ["topic", "overview"] => Destination::Overview,
        ["topic", "ui", language, "zones", zone, rest @ ..] => Destination::Ui(
            language.parse().ok()?,
            zone.parse().ok()?,
            parse_ui_part(rest)?,
        ),
        _ => return None,
    })
}

fn parse_ui_part(segments: &[&str]) -> Option<UiPart> {
    Some(match segments {
        ["**"] => UiPart::All,
        ["devices", device] => UiPart::Device(device.parse().ok()?),
        ["alarms", alarm] => UiPart::Alarm(parse_number(alarm)?),
        ["tile"] => UiPart::Tile,
        ["changed"] => UiPart::Changed,
        _ => return None,
    })
}

/// Digits only, so that each destination has exactly one spelling (`+1` and `01` would be two more for `1`).
fn parse_number(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text && number >= 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_destination_reads_back_as_itself() {
        let zone: ZoneId = "p1".parse().unwrap();
        let device: DeviceId = "gate-1".parse().unwrap();
        let ui = |part| Destination::Ui(Language::Ko, zone.clone(), part);
        for destination in [
            Destination::Inventory,
            Destination::Heartbeats,
            Destination::Events,
            Destination::Readings,
            Destination::CommandResults,
            Destination::Auth,
            Destination::AlarmAction(7, AlarmAction::Acknowledge),
            Destination::DeviceCommands(device.clone()),
            Destination::UserCommands,
            Destination::UserCommandProgress,
            Destination::UserErrors,
            Destination::Alarms,
            Destination::ZoneAlarms(zone.clone()),
            Destination::Device(device.clone()),
            Destination::Overview,
            ui(UiPart::All),
            ui(UiPart::Device(device.clone())),
            ui(UiPart::Alarm(7)),
            ui(UiPart::Tile),
            ui(UiPart::Changed),
        ] {
            assert_eq!(destination.to_string().parse(), Ok(destination));
        }
    }

    #[test]
    fn what_is_not_a_destination_is_refused() {
        for bad in [
            "",
            "/",
            "app/inventory",
            "/app/inventory/",
            "/app//inventory",
            "/topic/devices/*",
            "/topic/devices/Gate",
            "/topic/ui/fr/zones/p1/tile",
            "/topic/ui/ko/zones/*/**",
            "/app/alarms/-1/acknowledge",
            "/app/alarms/01/acknowledge",
            "/topic/ui/ko/zones/p1/a/b/c/d",
        ] {
            assert!(bad.parse::<Destination>().is_err(), "{bad}");
        }
    }
}
