//! The site as it was announced and approved: zones, devices, and the profiles that give their points words.
//!
//! Pure. Loaded from the store, replaced whole when an inventory changes it, shared by reference in between.

use std::collections::HashMap;
use std::sync::Arc;

use contract::command::Risk;
use contract::inventory::{CommandType, Fault, Profile};
use contract::{AgentId, DeviceId, FaultCode, LaneId, Text, ZoneId};

use crate::identity::policy::Places;

/// A zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Which.
    pub id: ZoneId,
    /// What people call it.
    pub name: Text,
}

/// A device as the store knows it.
#[derive(Debug, Clone)]
pub struct SiteDevice {
    /// Which.
    pub id: DeviceId,
    /// Who serves it.
    pub agent: AgentId,
    /// Where it stands.
    pub zone: ZoneId,
    /// Its lane.
    pub lane: Option<LaneId>,
    /// What people call it.
    pub name: Text,
    /// What it is, as it was announced.
    pub profile: Arc<Profile>,
    /// Whether a person (or the configuration) has approved it.
    pub approved: bool,
    /// Whether its agent no longer names it. It is not shown then, but its alarms are, until they end.
    pub retired: bool,
}

impl SiteDevice {
    /// What a fault of this device is called: its profile's word, or that contact is lost, or the bare code of a fault
    /// that no profile here knows.
    pub fn fault_text(&self, code: &FaultCode) -> Text {
        if code.is_contact_lost() {
            return Text {
                ko: "통신 두절".to_owned(),
                en: "No contact".to_owned(),
            };
        }
        let known = self
            .profile
            .faults
            .iter()
            .find(|fault: &&Fault| fault.code == *code);
        known.map_or_else(
            || Text {
                ko: code.to_string(),
                en: code.to_string(),
            },
            |fault| fault.text.clone(),
        )
    }

    /// A command type of this device.
    pub fn command_type(&self, name: &str) -> Option<&CommandType> {
        self.profile
            .commands
            .iter()
            .find(|command| command.name == name)
    }
}

/// Zones and devices, in their order, and by id.
#[derive(Debug, Default)]
pub struct Site {
    zones: Vec<Zone>,
    devices: Vec<Arc<SiteDevice>>,
    by_id: HashMap<DeviceId, Arc<SiteDevice>>,
}

impl Site {
    /// A site of these parts; `devices` in the order in which they are shown.
    pub fn new(zones: Vec<Zone>, devices: Vec<SiteDevice>) -> Self {
        let devices: Vec<_> = devices.into_iter().map(Arc::new).collect();
        let by_id = devices
            .iter()
            .map(|device| (device.id.clone(), Arc::clone(device)))
            .collect();
        Self {
            zones,
            devices,
            by_id,
        }
    }

    /// Every zone, in order.
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// Every device that is not retired, in order.
    pub fn devices(&self) -> impl Iterator<Item = &Arc<SiteDevice>> {
        self.devices.iter().filter(|device| !device.retired)
    }

    /// One device, unless it is retired.
    pub fn device(&self, id: &DeviceId) -> Option<&Arc<SiteDevice>> {
        self.known(id).filter(|device| !device.retired)
    }

    /// The risk of a command of a device, if the device takes it.
    pub fn risk_of(&self, device: &DeviceId, command: &str) -> Option<Risk> {
        let kind = self.device(device)?.command_type(command)?;
        Some(kind.risk)
    }

    /// Whether each device of `earlier` is still where it was: then nobody may see less than before.
    pub fn keeps_places_of(&self, earlier: &Self) -> bool {
        earlier.devices().all(|device| {
            self.device(&device.id)
                .is_some_and(|now| now.zone == device.zone)
        })
    }

    /// One device, also a retired one.
    pub fn known(&self, id: &DeviceId) -> Option<&Arc<SiteDevice>> {
        self.by_id.get(id)
    }
}

/// Also of retired devices, so that whoever looks at one is not thrown out when it goes.
impl Places for Site {
    fn zone_of(&self, device: &str) -> Option<&ZoneId> {
        self.by_id.get(device).map(|device| &device.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(word: &str) -> Text {
        Text {
            ko: word.to_owned(),
            en: word.to_owned(),
        }
    }

    /// Devices, each with its zone; `-` in front of one that is retired.
    fn site(devices: &[(&str, &str)]) -> Site {
        let profile = Arc::new(Profile {
            id: "gate".parse().unwrap(),
            version: 1,
            hash: "h".to_owned(),
            name: text("gate"),
            class: "barrier".to_owned(),
            points: Vec::new(),
            faults: Vec::new(),
            commands: Vec::new(),
        });
        let devices = devices.iter().map(|(id, zone)| SiteDevice {
            id: id.trim_start_matches('-').parse().unwrap(),
            agent: "agent-1".parse().unwrap(),
            zone: zone.parse().unwrap(),
            lane: None,
            name: text(id),
            profile: Arc::clone(&profile),
            approved: true,
            retired: id.starts_with('-'),
        });
        Site::new(Vec::new(), devices.collect())
    }

    #[test]
    fn who_may_hear_a_device_changes_with_its_place() {
        let check = |earlier: &[(&str, &str)], later: &[(&str, &str)], expected| {
            let kept = site(later).keeps_places_of(&site(earlier));
            assert_eq!(kept, expected, "{earlier:?} {later:?}");
        };
        check(&[], &[], true);
        check(&[], &[("a", "p1")], true);
        check(&[("a", "p1")], &[("b", "p2"), ("a", "p1")], true);
        check(&[("a", "p1")], &[("a", "p2")], false);
        check(&[("a", "p1")], &[("b", "p1")], false);
        check(&[("a", "p1")], &[("-a", "p1")], false);
        check(&[("-a", "p1")], &[("-a", "p2")], true);
    }
}
