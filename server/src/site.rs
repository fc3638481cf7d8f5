//! The site as it was announced and approved: zones, devices, and the profiles that give their points words.
//!
//! Pure. Loaded from the store, replaced whole when an inventory changes it, shared by reference in between.

use std::collections::HashMap;
use std::sync::Arc;

use contract::inventory::{CommandType, Fault, Profile};
use contract::{AgentId, DeviceId, FaultCode, LaneId, Text, ZoneId};

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
    /// The profile that was announced with it.
    pub profile_hash: String,
    /// Whether a person (or the configuration) has approved it.
    pub approved: bool,
}

/// Zones and devices, in their order, and by id.
#[derive(Debug, Default)]
pub struct Site {
    zones: Vec<Zone>,
    devices: Vec<Arc<SiteDevice>>,
    by_id: HashMap<DeviceId, Arc<SiteDevice>>,
    profiles: HashMap<String, Arc<Profile>>,
}

impl Site {
    /// A site of these parts; `devices` in the order in which they are shown.
    pub fn new(zones: Vec<Zone>, profiles: Vec<Profile>, devices: Vec<SiteDevice>) -> Self {
        let devices: Vec<_> = devices.into_iter().map(Arc::new).collect();
        let by_id = devices
            .iter()
            .map(|device| (device.id.clone(), Arc::clone(device)))
            .collect();
        let profiles = profiles
            .into_iter()
            .map(|profile| (profile.hash.clone(), Arc::new(profile)))
            .collect();
        Self {
            zones,
            devices,
            by_id,
            profiles,
        }
    }

    /// Every zone, in order.
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// Every device, in order.
    pub fn devices(&self) -> impl Iterator<Item = &Arc<SiteDevice>> {
        self.devices.iter()
    }

    /// One device.
    pub fn device(&self, id: &DeviceId) -> Option<&Arc<SiteDevice>> {
        self.by_id.get(id)
    }

    /// The profile of a device. It was stored in one transaction with the device, so there is always one.
    pub fn profile(&self, device: &SiteDevice) -> &Arc<Profile> {
        self.profiles
            .get(&device.profile_hash)
            .expect("device.profile_hash refers to a stored profile")
    }

    /// What a fault of a device is called: its profile's word, or that contact is lost, or the bare code of a fault
    /// that no profile here knows.
    pub fn fault_text(&self, device: &SiteDevice, code: &FaultCode) -> Text {
        if code.is_contact_lost() {
            return Text {
                ko: "통신 두절".to_owned(),
                en: "No contact".to_owned(),
            };
        }
        let known = self
            .profile(device)
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

    /// A command type of a device.
    pub fn command_type(&self, device: &SiteDevice, name: &str) -> Option<&CommandType> {
        self.profile(device)
            .commands
            .iter()
            .find(|command| command.name == name)
    }
}
