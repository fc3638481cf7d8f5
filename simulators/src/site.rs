//! The site files that agents read: one per agent of the airport, with the real addresses of its devices.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use contract::AgentId;
use serde::Serialize;

use crate::config::Device;

/// Where a device is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Address {
    /// By TCP.
    Tcp {
        /// A loopback address.
        address: SocketAddr,
    },
    /// By a serial line.
    Serial {
        /// What to open: a link to a pty, absolute.
        path: PathBuf,
    },
    /// By a serial line that is a Modbus bus.
    #[serde(rename = "serial")]
    RtuSerial {
        /// What to open: a link to a pty, absolute.
        path: PathBuf,
        /// What everybody on the bus speaks with.
        serial: SerialSettings,
    },
    /// By a gateway that hands the bytes of a Modbus bus on.
    #[serde(rename = "rtu-over-tcp")]
    RtuTcp {
        /// A loopback address.
        address: SocketAddr,
        /// Bits per second on the bus behind it.
        baud: u32,
    },
}

/// How a serial port is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SerialSettings {
    /// Bits per second.
    pub baud: u32,
    /// Data bits.
    pub data: u8,
    /// Parity.
    pub parity: &'static str,
    /// Stop bits.
    pub stop: u8,
}

impl SerialSettings {
    /// Eleven bits for each byte, as Modbus has it where there is no parity (MODBUS over Serial Line V1.02, 2.5.1).
    pub(crate) fn of_bus(baud: u32) -> Self {
        Self {
            baud,
            data: 8,
            parity: "none",
            stop: 2,
        }
    }
}

#[derive(Serialize)]
struct SiteFile<'a> {
    line: Vec<Line<'a>>,
    device: Vec<SiteDevice<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    #[serde(flatten)]
    address: &'a Address,
}

#[derive(Serialize)]
struct SiteDevice<'a> {
    id: &'a str,
    profile: &'static str,
    line: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<u8>,
    zone: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<&'a str>,
    name: &'a contract::Text,
}

/// The site file of `agent`.
pub(crate) fn render<'a>(
    agent: &AgentId,
    devices: impl Iterator<Item = (&'a Device, &'a Address)>,
) -> String {
    let (mut line, mut device): (Vec<Line<'_>>, Vec<_>) = (Vec::new(), Vec::new());
    for (described, address) in devices.filter(|(device, _)| device.agent == *agent) {
        let id = described.id.as_str();
        let line_id = described
            .stand
            .as_ref()
            .map_or(id, |stand| stand.bus.as_str());
        // The devices of a bus share its line.
        if line.iter().all(|line| line.id != line_id) {
            line.push(Line {
                id: line_id,
                address,
            });
        }
        device.push(SiteDevice {
            id,
            profile: described.kind.profile(),
            line: line_id,
            unit: described.unit(),
            zone: described.zone.as_str(),
            lane: described.lane.as_ref().map(contract::LaneId::as_str),
            name: &described.name,
        });
    }
    let body = toml::to_string(&SiteFile { line, device }).expect("texts, numbers and tables");
    format!("# Written by landside-simulators at each start; changes here are lost.\n\n{body}")
}

/// Writes a file so that a reader sees the old text or the new one, never a part.
pub(crate) fn replace_file(path: &Path, text: &str) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    std::fs::write(&temporary, text)?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Kind;

    #[test]
    fn a_site_file_names_lines_and_devices_of_one_agent() {
        let device = |id: &str, kind, agent: &str, lane: Option<&str>| Device {
            id: id.parse().unwrap(),
            kind,
            zone: "p1".parse().unwrap(),
            lane: lane.map(|lane| lane.parse().unwrap()),
            agent: agent.parse().unwrap(),
            stand: None,
            name: contract::Text {
                ko: "차단기".to_owned(),
                en: "Gate".to_owned(),
            },
        };
        let tcp = Address::Tcp {
            address: "127.0.0.1:41001".parse().unwrap(),
        };
        let serial = Address::Serial {
            path: PathBuf::from("/data/tty/printer-1"),
        };
        let bus = Address::RtuSerial {
            path: PathBuf::from("/data/tty/bus-1"),
            serial: SerialSettings::of_bus(9_600),
        };
        let gateway = Address::RtuTcp {
            address: "127.0.0.1:41002".parse().unwrap(),
            baud: 19_200,
        };
        let on_bus = |id, bus: &str, unit| Device {
            stand: Some(crate::config::Stand {
                bus: bus.parse().unwrap(),
                unit,
            }),
            ..device(id, Kind::Loop, "agent-a", None)
        };
        let devices = [
            (on_bus("loop-1", "bus-1", 3), bus.clone()),
            (on_bus("loop-2", "bus-1", 4), bus),
            (on_bus("loop-3", "bus-2", 3), gateway),
            (
                device("gate-1", Kind::Gate, "agent-a", Some("in-1")),
                tcp.clone(),
            ),
            (device("printer-1", Kind::Printer, "agent-a", None), serial),
            (device("gate-2", Kind::Gate, "agent-b", None), tcp),
        ];
        let text = render(
            &"agent-a".parse().unwrap(),
            devices.iter().map(|(device, address)| (device, address)),
        );
        let site: toml::Value = toml::from_str(&text).unwrap();
        let expected: toml::Value = toml::from_str(
            r#"
            [[line]]
            id = "bus-1"
            kind = "serial"
            path = "/data/tty/bus-1"
            serial = { baud = 9600, data = 8, parity = "none", stop = 2 }
            [[line]]
            id = "bus-2"
            kind = "rtu-over-tcp"
            address = "127.0.0.1:41002"
            baud = 19200
            [[line]]
            id = "gate-1"
            kind = "tcp"
            address = "127.0.0.1:41001"
            [[line]]
            id = "printer-1"
            kind = "serial"
            path = "/data/tty/printer-1"
            [[device]]
            id = "loop-1"
            name = { ko = "차단기", en = "Gate" }
            profile = "loop.ld120"
            line = "bus-1"
            unit = 3
            zone = "p1"
            [[device]]
            id = "loop-2"
            name = { ko = "차단기", en = "Gate" }
            profile = "loop.ld120"
            line = "bus-1"
            unit = 4
            zone = "p1"
            [[device]]
            id = "loop-3"
            name = { ko = "차단기", en = "Gate" }
            profile = "loop.ld120"
            line = "bus-2"
            unit = 3
            zone = "p1"
            [[device]]
            id = "gate-1"
            name = { ko = "차단기", en = "Gate" }
            profile = "gate.came.crp"
            line = "gate-1"
            unit = 1
            zone = "p1"
            lane = "in-1"
            [[device]]
            id = "printer-1"
            name = { ko = "차단기", en = "Gate" }
            profile = "printer.escpos"
            line = "printer-1"
            zone = "p1"
            "#,
        )
        .unwrap();
        assert_eq!(site, expected);
    }
}
