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
    let (line, device) = devices
        .filter(|(device, _)| device.agent == *agent)
        .map(|(device, address)| {
            let id = device.id.as_str();
            let line = Line { id, address };
            let site_device = SiteDevice {
                id,
                profile: device.kind.profile(),
                line: id,
                unit: device.kind.unit_id(),
                zone: device.zone.as_str(),
                lane: device.lane.as_ref().map(contract::LaneId::as_str),
                name: &device.name,
            };
            (line, site_device)
        })
        .unzip();
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
        let devices = [
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
            id = "gate-1"
            kind = "tcp"
            address = "127.0.0.1:41001"
            [[line]]
            id = "printer-1"
            kind = "serial"
            path = "/data/tty/printer-1"
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
