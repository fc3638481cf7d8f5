//! The sections `[audit]` and `[personal]` of the configuration.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::audit::settings::{AuditSettings, SyslogAddress};

/// `[audit]`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditSection {
    head: Option<PathBuf>,
    syslog: Option<String>,
}

impl AuditSection {
    /// The settings; paths are read from `beside`, defaults stand in `data`.
    pub(super) fn read(self, beside: &Path, data: &Path) -> Result<AuditSettings, String> {
        let syslog = self.syslog.map(|address| address.parse::<SyslogAddress>());
        Ok(AuditSettings {
            head: self
                .head
                .map_or_else(|| data.join("audit-head.log"), |path| beside.join(path)),
            syslog: syslog.transpose().map_err(|error| error.to_string())?,
            journal: data.join("audit-journal.jsonl"),
        })
    }
}

/// `[personal]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PersonalSection {
    number_plates_days: u32,
}

impl Default for PersonalSection {
    fn default() -> Self {
        Self {
            number_plates_days: 30,
        }
    }
}

/// Whoever needs plates for longer than ten years writes hours where days are meant.
const DAYS_MAX: u32 = 3650;

impl PersonalSection {
    /// For how many days number plates are kept.
    pub(super) fn days(&self) -> Result<u32, String> {
        let days = self.number_plates_days;
        (1..=DAYS_MAX)
            .contains(&days)
            .then_some(days)
            .ok_or_else(|| format!("{days} is not between 1 and {DAYS_MAX} days"))
    }
}
