//! Profiles: what a type of device measures, what can be wrong with it, and what it can be told.
//!
//! A [`Profile`] that exists is right: every name in it refers to something, every address is within the limits of its
//! protocol, every `sample` decodes to the value that its file states. The file's shape is in `raw`, the checks are in
//! `validate`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use contract::alarm::Severity;
use contract::reading::PollClass;
use contract::{FaultCode, ProfileId, Text};
use sha2::{Digest, Sha256};

use crate::config::{ConfigError, parse_toml, read_text};

mod command;
mod condition;
mod driver;
mod group;
mod inventory;
mod point;
mod raw;
mod span;
mod template;
mod validate;

pub use command::{
    Action, CommandType, Feedback, Interlock, Parameter, RegisterWrite, Verify, VerifyStep,
};
pub use condition::{Condition, Test};
pub use driver::{
    DriverSettings, EscposSettings, FrameSettings, ModbusSettings, Parity, Read, SerialSettings,
    Table,
};
pub use point::{ByteOrder, EnumLabel, Enumeration, JsonType, Point, RegisterType, Source};
pub(crate) use raw::RawSerial;
pub use template::Template;

/// A type of device.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Which type.
    pub id: ProfileId,
    /// The version its file states.
    pub version: u32,
    /// SHA-256 of its file, in hexadecimal.
    pub hash: String,
    /// What people call it.
    pub name: Text,
    /// The kind of machine, for example `barrier`.
    pub class: String,
    /// How it is spoken to.
    pub driver: DriverSettings,
    /// How often each class is read.
    pub periods: Periods,
    /// When a silent device is taken off the schedule.
    pub demote: Demote,
    /// What it measures, in the order of the file.
    pub points: Vec<Point>,
    /// The reads that fetch all points.
    pub blocks: Vec<Block>,
    /// What can be wrong, in the order of the file.
    pub faults: Vec<FaultRule>,
    /// What it can be told.
    pub commands: Vec<CommandType>,
}

/// The periods of the poll classes; a class without one is not used by any point.
#[derive(Debug, Clone, Copy, Default)]
pub struct Periods {
    /// Of [`PollClass::Fast`].
    pub fast: Option<Duration>,
    /// Of [`PollClass::Normal`].
    pub normal: Option<Duration>,
    /// Of [`PollClass::Slow`].
    pub slow: Option<Duration>,
}

impl Periods {
    /// The period of `class`; `None` for [`PollClass::Once`] and for classes that the profile does not use.
    pub fn of(&self, class: PollClass) -> Option<Duration> {
        match class {
            PollClass::Fast => self.fast,
            PollClass::Normal => self.normal,
            PollClass::Slow => self.slow,
            PollClass::Once => None,
        }
    }
}

/// When a silent device is demoted to a probe now and then, so that it does not starve the others on its line.
#[derive(Debug, Clone, Copy)]
pub struct Demote {
    /// After so many failed polls in a row.
    pub after: u32,
    /// The pause before the first probe.
    pub first: Duration,
    /// The longest pause between probes.
    pub max: Duration,
    /// Each pause is so many times the one before.
    pub factor: u32,
}

/// A read and the points it fetches.
#[derive(Debug, Clone)]
pub struct Block {
    /// How often.
    pub class: PollClass,
    /// What is read.
    pub read: Read,
    /// Indices into [`Profile::points`].
    pub points: Vec<usize>,
}

/// Finds one thing that can be wrong.
#[derive(Debug, Clone)]
pub struct FaultRule {
    /// Its code.
    pub code: FaultCode,
    /// How bad.
    pub severity: Severity,
    /// What people read.
    pub text: Text,
    /// What must hold.
    pub when: Condition,
    /// The point whose value tells more.
    pub detail: Option<usize>,
    /// How long it must hold before the fault is raised.
    pub on_delay: Duration,
    /// How long it must not hold before the fault is cleared.
    pub off_delay: Duration,
}

/// Parses one profile. `path` is for messages only.
///
/// # Errors
/// A sentence that names the file, the key and what to do.
pub fn parse(path: &Path, text: &str) -> Result<Profile, ConfigError> {
    let raw: raw::RawProfile = parse_toml(path, text)?;
    let hash = Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    validate::profile(raw, hash).map_err(|what| ConfigError::new(path, what))
}

/// Reads every `*.toml` of `dir` as a profile.
///
/// # Errors
/// The first file that cannot be read or is not right; two files with the same profile id.
pub fn load_dir(dir: &Path) -> Result<BTreeMap<ProfileId, Arc<Profile>>, ConfigError> {
    let entries = std::fs::read_dir(dir).map_err(|error| {
        ConfigError::new(
            dir,
            format!("cannot be listed ({error}): set `profiles` to a directory of profile files"),
        )
    })?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| ConfigError::new(dir, format!("cannot be listed: {error}")))?
            .path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    let mut profiles = BTreeMap::new();
    for path in files {
        let profile = parse(&path, &read_text(&path)?)?;
        let id = profile.id.clone();
        if profiles.insert(id.clone(), Arc::new(profile)).is_some() {
            return Err(ConfigError::new(
                &path,
                format!("profile id \"{id}\" is also that of an earlier file: give each its own"),
            ));
        }
    }
    Ok(profiles)
}

#[cfg(test)]
mod tests;
