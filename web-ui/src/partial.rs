//! Where the script fetches what depends on the viewer. The server's routes and the templates agree here. Pure.

use contract::{DeviceId, ZoneId};

/// The alarm strip: [`crate::AlarmStrip`].
pub const STRIP: &str = "/partials/strip";

/// Zones, lanes and devices of the overview: [`crate::OverviewBody`].
pub const OVERVIEW: &str = "/partials/overview";

/// The list of alarms, of all zones or of one: [`crate::AlarmList`].
pub fn alarms(zone: Option<&ZoneId>) -> String {
    match zone {
        Some(zone) => format!("/partials/alarms?zone={zone}"),
        None => "/partials/alarms".to_owned(),
    }
}

/// A device's alarms: [`crate::DeviceAlarms`].
pub fn device_alarms(device: &DeviceId) -> String {
    format!("/partials/devices/{device}/alarms")
}

/// What a device can be told: [`crate::CommandPanel`].
pub fn device_panel(device: &DeviceId) -> String {
    format!("/partials/devices/{device}/panel")
}

/// What a device was told: [`crate::CommandList`].
pub fn device_commands(device: &DeviceId) -> String {
    format!("/partials/devices/{device}/commands")
}
