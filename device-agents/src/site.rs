//! The site file: the lines of this agent's machine and the devices on them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::{DeviceId, LaneId, LineId, ProfileId, Text, ZoneId, inventory};
use serde::Deserialize;

use crate::config::{ConfigError, parse_toml, read_text};
use crate::profile::{DriverSettings, Profile, RawSerial, SerialSettings};

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
    /// Of a serial line with Modbus devices.
    serial: Option<RawSerial>,
    /// Of the bus behind a gateway.
    baud: Option<u32>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawLineKind {
    Tcp,
    Serial,
    RtuOverTcp,
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
    /// A serial device's path, whose settings are those of the profile.
    Serial(PathBuf),
    /// A Modbus bus on a serial port.
    RtuSerial {
        /// The serial device's path.
        path: PathBuf,
        /// What everybody on the bus speaks with.
        settings: SerialSettings,
    },
    /// A Modbus bus behind a gateway that hands its bytes on by TCP.
    RtuTcp {
        /// `host:port`.
        address: String,
        /// Bits per second on the bus behind it.
        baud: u32,
    },
}

impl fmt::Display for LineAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) | Self::RtuTcp { address, .. } => f.write_str(address),
            Self::Serial(path) | Self::RtuSerial { path, .. } => path.display().fmt(f),
        }
    }
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
    let id = raw.id;
    let wrong = |what: &str| format!("line \"{id}\": {what}: correct it");
    let has_port = |address: &String| {
        let parts = address.rsplit_once(':');
        parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    let address = raw.address.filter(has_port);
    let address = match (raw.kind, address, raw.path, raw.serial, raw.baud) {
        (RawLineKind::Tcp, Some(address), None, None, None) => LineAddress::Tcp(address),
        (RawLineKind::Serial, None, Some(path), None, None) => LineAddress::Serial(path),
        (RawLineKind::Serial, None, Some(path), Some(serial), None) => LineAddress::RtuSerial {
            path,
            settings: serial.settings().map_err(|what| wrong(&what))?,
        },
        (RawLineKind::RtuOverTcp, Some(address), None, None, Some(baud)) if baud > 0 => {
            LineAddress::RtuTcp { address, baud }
        }
        (RawLineKind::Tcp, ..) => {
            return Err(wrong(
                "a tcp line has address = \"host:port\" and nothing else",
            ));
        }
        (RawLineKind::Serial, ..) => {
            let what = "a serial line has path = \"/dev/…\", with Modbus devices also serial = { baud = …, data = 8, parity = \"even\", stop = 1 }, and nothing else";
            return Err(wrong(what));
        }
        (RawLineKind::RtuOverTcp, ..) => {
            let what = "an rtu-over-tcp line has address = \"host:port\" of the gateway, the baud of the bus behind it, and nothing else";
            return Err(wrong(what));
        }
    };
    Ok(Line {
        id,
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
    let what = match (&device.profile.driver, &line.address) {
        (DriverSettings::Modbus(_), LineAddress::Serial(_)) => {
            "Modbus on a serial line needs its serial = { baud = …, data = 8, parity = \"even\", stop = 1 }"
        }
        (DriverSettings::Frame(_), LineAddress::Serial(_)) => {
            "the frame driver of this version needs a tcp line"
        }
        (
            DriverSettings::Frame(_) | DriverSettings::Escpos(_),
            LineAddress::RtuSerial { .. } | LineAddress::RtuTcp { .. },
        ) => "only Modbus devices stand on a line with RTU framing",
        (DriverSettings::Modbus(_), _)
        | (DriverSettings::Frame(_), LineAddress::Tcp(_))
        | (DriverSettings::Escpos(_), _) => "",
    };
    if !what.is_empty() {
        return Err(format!("line \"{}\": {what}", line.id));
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
    fn a_bus_is_a_serial_line_or_stands_behind_a_gateway() {
        let tcp = "kind = \"tcp\"\naddress = \"127.0.0.1:502\"";
        let gateway = "kind = \"rtu-over-tcp\"\naddress = \"127.0.0.1:502\"\nbaud = 19200";
        let serial = "kind = \"serial\"\npath = \"/dev/ttyS1\"\nserial = { baud = 9600, data = 8, parity = \"even\", stop = 1 }";
        let address = |line| {
            load(&GOOD.replacen(tcp, line, 1))
                .unwrap()
                .lines
                .remove(0)
                .address
        };
        let behind = LineAddress::RtuTcp {
            address: "127.0.0.1:502".to_owned(),
            baud: 19_200,
        };
        assert_eq!(address(gateway), behind);
        let settings = SerialSettings {
            baud: 9600,
            data_bits: 8,
            parity: crate::profile::Parity::Even,
            stop_bits: 1,
        };
        let path = PathBuf::from("/dev/ttyS1");
        assert_eq!(address(serial), LineAddress::RtuSerial { path, settings });
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
                "kind = \"tcp\"",
                "kind = \"rtu-over-tcp\"",
                "the baud of the bus",
            ),
            (
                "kind = \"tcp\"\naddress = \"127.0.0.1:502\"",
                "kind = \"serial\"\npath = \"/dev/ttyS1\"",
                "Modbus on a serial line needs its serial",
            ),
            (
                "path = \"/dev/ttyS0\"",
                "path = \"/dev/ttyS0\"\nserial = { baud = 9600, data = 8, parity = \"even\", stop = 1 }",
                "only Modbus devices stand on a line with RTU framing",
            ),
            (
                "path = \"/dev/ttyS0\"",
                "path = \"/dev/ttyS0\"\nserial = { baud = 0, data = 8, parity = \"even\", stop = 1 }",
                "`baud` must be more than 0",
            ),
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
