//! The site file: the lines of this agent's machine and the devices on them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::{DeviceId, LaneId, LineId, ProfileId, Text, ZoneId, inventory};
use serde::Deserialize;

use crate::config::{ConfigError, parse_toml, read_text};
use crate::profile::{DriverSettings, Profile};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSite {
    #[serde(default)]
    line: Vec<RawLine>,
    #[serde(default)]
    device: Vec<RawDevice>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLine {
    id: LineId,
    kind: RawLineKind,
    address: Option<String>,
    path: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawLineKind {
    Tcp,
    Serial,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDevice {
    id: DeviceId,
    name: Text,
    profile: ProfileId,
    line: LineId,
    unit: Option<u8>,
    zone: ZoneId,
    lane: Option<LaneId>,
}

/// Where a line leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineAddress {
    /// `host:port`.
    Tcp(String),
    /// A serial device's path.
    Serial(PathBuf),
}

/// One physical bus or connection.
#[derive(Debug, Clone)]
pub struct Line {
    /// Which.
    pub id: LineId,
    /// Where it leads.
    pub address: LineAddress,
    /// Its devices: at least one, all of the same driver.
    pub devices: Vec<Device>,
}

/// One machine.
#[derive(Debug, Clone)]
pub struct Device {
    /// Which.
    pub id: DeviceId,
    /// What people call it.
    pub name: Text,
    /// Its type.
    pub profile: Arc<Profile>,
    /// Its Modbus unit id; 0 for other drivers.
    pub unit_id: u8,
    /// Where it stands.
    pub zone: ZoneId,
    /// Its lane.
    pub lane: Option<LaneId>,
}

/// Everything this agent serves.
#[derive(Debug, Clone)]
pub struct Site {
    /// In the order of the file.
    pub lines: Vec<Line>,
}

impl Site {
    /// Reads the site file and resolves its devices against `profiles`.
    ///
    /// # Errors
    /// The file cannot be read, or something in it is wrong.
    pub fn load(
        path: &Path,
        profiles: &BTreeMap<ProfileId, Arc<Profile>>,
    ) -> Result<Self, ConfigError> {
        let raw: RawSite = parse_toml(path, &read_text(path)?)?;
        resolve(raw, profiles).map_err(|what| ConfigError::new(path, what))
    }

    /// Every device with its line.
    pub fn devices(&self) -> impl Iterator<Item = (&Line, &Device)> {
        self.lines
            .iter()
            .flat_map(|line| line.devices.iter().map(move |device| (line, device)))
    }

    /// The profiles in use and the devices, as the server learns of them.
    pub fn announced(&self) -> (Vec<inventory::Profile>, Vec<inventory::Device>) {
        let profiles: BTreeMap<_, _> = self
            .devices()
            .map(|(_, device)| (device.profile.id.clone(), &device.profile))
            .collect();
        let devices = self
            .devices()
            .map(|(line, device)| inventory::Device {
                id: device.id.clone(),
                name: device.name.clone(),
                zone: device.zone.clone(),
                lane: device.lane.clone(),
                profile: device.profile.id.clone(),
                line: line.id.clone(),
            })
            .collect();
        (
            profiles
                .into_values()
                .map(|profile| profile.announced())
                .collect(),
            devices,
        )
    }
}

fn resolve(raw: RawSite, profiles: &BTreeMap<ProfileId, Arc<Profile>>) -> Result<Site, String> {
    let mut lines = Vec::new();
    let mut seen_lines = BTreeSet::new();
    for raw in raw.line {
        if !seen_lines.insert(raw.id.clone()) {
            return Err(format!("line \"{}\" is there twice: rename one", raw.id));
        }
        lines.push(line(raw)?);
    }
    let mut seen_devices = BTreeSet::new();
    for raw in raw.device {
        if !seen_devices.insert(raw.id.clone()) {
            return Err(format!("device \"{}\" is there twice: rename one", raw.id));
        }
        let line = lines
            .iter_mut()
            .find(|line| line.id == raw.line)
            .ok_or_else(|| {
                format!(
                    "device \"{}\": there is no line \"{}\": add a [[line]] or correct the name",
                    raw.id, raw.line
                )
            })?;
        let device = device(raw, profiles)?;
        check_on_line(line, &device).map_err(|what| format!("device \"{}\": {what}", device.id))?;
        line.devices.push(device);
    }
    if let Some(line) = lines.iter().find(|line| line.devices.is_empty()) {
        return Err(format!(
            "line \"{}\" has no device: add a [[device]] with line = \"{}\" or remove the line",
            line.id, line.id
        ));
    }
    if lines.is_empty() {
        return Err("there is no [[line]]: an agent without devices has nothing to do".to_owned());
    }
    Ok(Site { lines })
}

fn line(raw: RawLine) -> Result<Line, String> {
    let address = match (raw.kind, raw.address, raw.path) {
        (RawLineKind::Tcp, Some(address), None)
            if address
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) =>
        {
            LineAddress::Tcp(address)
        }
        (RawLineKind::Serial, None, Some(path)) => LineAddress::Serial(path),
        (RawLineKind::Tcp, _, _) => {
            return Err(format!(
                "line \"{}\": a tcp line has address = \"host:port\" and no path: correct it",
                raw.id
            ));
        }
        (RawLineKind::Serial, _, _) => {
            return Err(format!(
                "line \"{}\": a serial line has path = \"/dev/…\" and no address: correct it",
                raw.id
            ));
        }
    };
    Ok(Line {
        id: raw.id,
        address,
        devices: Vec::new(),
    })
}

fn device(raw: RawDevice, profiles: &BTreeMap<ProfileId, Arc<Profile>>) -> Result<Device, String> {
    let profile = profiles.get(&raw.profile).ok_or_else(|| {
        let known: Vec<_> = profiles.keys().map(ProfileId::as_str).collect();
        format!(
            "device \"{}\": there is no profile \"{}\": use one of {}",
            raw.id,
            raw.profile,
            known.join(", ")
        )
    })?;
    let is_modbus = matches!(profile.driver, DriverSettings::Modbus(_));
    let unit_id = match (is_modbus, raw.unit) {
        (true, Some(unit)) if unit <= 247 => unit,
        (true, _) => {
            return Err(format!(
                "device \"{}\": a Modbus device needs unit = 0 to 247",
                raw.id
            ));
        }
        (false, None) => 0,
        (false, Some(_)) => {
            return Err(format!(
                "device \"{}\": only Modbus devices have a unit: remove it",
                raw.id
            ));
        }
    };
    Ok(Device {
        id: raw.id,
        name: raw.name,
        profile: Arc::clone(profile),
        unit_id,
        zone: raw.zone,
        lane: raw.lane,
    })
}

/// One line speaks one protocol; only Modbus has addresses that tell several devices apart.
fn check_on_line(line: &Line, device: &Device) -> Result<(), String> {
    let kind = device.profile.driver.kind();
    match (&device.profile.driver, &line.address) {
        (DriverSettings::Modbus(_) | DriverSettings::Frame(_), LineAddress::Serial(_)) => {
            return Err(format!(
                "the {kind} driver of this version needs a tcp line: line \"{}\" is serial",
                line.id
            ));
        }
        (DriverSettings::Modbus(_) | DriverSettings::Frame(_), LineAddress::Tcp(_))
        | (DriverSettings::Escpos(_), _) => {}
    }
    let Some(other) = line.devices.first() else {
        return Ok(());
    };
    if other.profile.driver.kind() != kind || kind != "modbus" {
        return Err(format!(
            "line \"{}\" already carries \"{}\", and only Modbus devices can share a line: give it its own line",
            line.id, other.id
        ));
    }
    if let Some(other) = line
        .devices
        .iter()
        .find(|other| other.unit_id == device.unit_id)
    {
        return Err(format!(
            "unit {} of line \"{}\" is already \"{}\": correct one of them",
            device.unit_id, line.id, other.id
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[line]]
id = "l1"
kind = "tcp"
address = "127.0.0.1:502"
[[line]]
id = "l2"
kind = "serial"
path = "/dev/ttyS0"
[[device]]
id = "gate-1"
name = { ko = "차단기", en = "Gate" }
profile = "gate.came.crp"
line = "l1"
unit = 1
zone = "p1"
lane = "in-1"
[[device]]
id = "printer-1"
name = { ko = "프린터", en = "Printer" }
profile = "printer.escpos"
line = "l2"
zone = "p1"
"#;

    fn load(text: &str) -> Result<Site, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("site.toml");
        std::fs::write(&path, text).unwrap();
        let profiles =
            crate::profile::load_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles"))
                .unwrap();
        Site::load(&path, &profiles).map_err(|error| error.to_string())
    }

    #[test]
    fn a_site_is_announced_with_the_profiles_it_uses() {
        let (profiles, devices) = load(GOOD).unwrap().announced();
        let ids: Vec<_> = profiles.iter().map(|profile| profile.id.as_str()).collect();
        assert_eq!(ids, ["gate.came.crp", "printer.escpos"]);
        assert_eq!(devices.len(), 2);
        assert!(
            profiles[0]
                .faults
                .iter()
                .any(|fault| fault.code.is_contact_lost())
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_the_name_of_the_thing() {
        for (from, to, expected) in [
            ("line = \"l1\"", "line = \"l9\"", "no line \"l9\""),
            ("unit = 1\n", "", "needs unit"),
            ("gate.came.crp", "gate.unknown", "use one of gate.came.crp"),
            ("id = \"l2\"", "id = \"l1\"", "twice"),
            ("id = \"printer-1\"", "id = \"gate-1\"", "twice"),
            (
                "line = \"l2\"",
                "line = \"l1\"",
                "only Modbus devices can share",
            ),
            ("127.0.0.1:502", "127.0.0.1", "host:port"),
            (
                "kind = \"serial\"",
                "kind = \"carrier-pigeon\"",
                "carrier-pigeon",
            ),
            (
                "zone = \"p1\"\nlane",
                "zone = \"p1\"\nlift = 1\nlane",
                "lift",
            ),
        ] {
            let error = load(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert!(
                error.contains("site.toml") && error.contains(expected) && !error.contains('\n'),
                "{error}"
            );
        }
    }
}
