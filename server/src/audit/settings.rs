//! Where the heads of the chain are published. Pure.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// What the server is told of its audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSettings {
    /// The file that heads are appended to; `[audit] head = "/var/…"`, by default `audit-head.log` in the data directory.
    /// Best on another machine, or made append-only (`chattr +a`).
    pub head: PathBuf,
    /// The system log that heads are sent to as well; `[audit] syslog = "udp://127.0.0.1:514"` or `"/dev/log"`; by
    /// default none.
    pub syslog: Option<SyslogAddress>,
    /// The file for what could not be written in an emergency: `audit-journal.jsonl` in the data directory.
    pub journal: PathBuf,
}

/// Where a system log listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogAddress {
    /// RFC 5426.
    Udp(SocketAddr),
    /// The local one.
    Unix(PathBuf),
}

/// A text that is no address of a system log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no system log: write it like \"udp://127.0.0.1:514\" or \"/dev/log\"")]
pub struct NoSyslog(String);

impl FromStr for SyslogAddress {
    type Err = NoSyslog;

    fn from_str(text: &str) -> Result<Self, NoSyslog> {
        let known = match text.strip_prefix("udp://") {
            Some(address) => address.parse().ok().map(Self::Udp),
            None => text
                .starts_with('/')
                .then(|| Self::Unix(PathBuf::from(text))),
        };
        known.ok_or_else(|| NoSyslog(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_log_is_an_address_or_a_path() {
        for (text, known) in [
            ("udp://127.0.0.1:514", true),
            ("udp://[::1]:514", true),
            ("/dev/log", true),
            ("udp://loghost", false),
            ("tcp://127.0.0.1:514", false),
            ("dev/log", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<SyslogAddress>().is_ok(), known, "{text}");
        }
    }
}
