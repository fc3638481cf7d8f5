//! The truth log: what each device really was, when, so that a test can compare what the platform says with it.
//!
//! One JSON object per line, appended and flushed before the effect can be seen from outside (an answer, a closed
//! connection). A restart appends; a line `started` says that every device is healthy and every gate closed again.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, SecondsFormat, Utc};
use contract::DeviceId;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::behaviour::Happening;
use crate::fault::Fault;

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TruthLine {
    /// Wall clock, UTC, to the millisecond.
    #[serde(with = "millis")]
    pub at: DateTime<Utc>,
    /// `CLOCK_MONOTONIC` in milliseconds: comparable between processes of one machine and over restarts.
    pub mono_ms: u64,
    /// Whose truth; `None` in `started` and `stopped`, which are about all devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// What happened.
    #[serde(flatten)]
    pub event: TruthEvent,
}

/// What happened, in the log's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TruthEvent {
    /// The simulators began: no device has a fault, gates are closed, pulses count from 0.
    Started,
    /// The simulators ended in order; without this line before a `started`, they were killed.
    Stopped,
    /// A fault began.
    FaultOn {
        /// Which.
        fault: Fault,
        /// Why.
        cause: Cause,
    },
    /// A fault ended.
    FaultOff {
        /// Which.
        fault: Fault,
        /// Why.
        cause: Cause,
    },
    /// A gate's momentary coil was written on.
    Pulse {
        /// Which: `open`, `close`, `stop`, `partial`, `step`, `sequential`, `reset`.
        coil: String,
    },
    /// A gate's arm came to rest.
    Reached {
        /// Where: `open`, `closed`, `partial`.
        position: String,
    },
    /// A vehicle came to a loop.
    Vehicle {
        /// What the loop's counter is from then on.
        counter: u32,
    },
    /// A kiosk or a board went down to start again.
    Rebooting,
    /// It is back.
    Rebooted,
}

/// Who switched a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The airport file's scenario.
    Scenario,
    /// The control interface, or a test through [`crate::Airport`].
    Control,
    /// The device itself, on a command that cures it (a gate's reset, a printer's recover).
    Command,
    /// Nobody: the fault's time was over.
    Time,
}

impl From<Happening> for TruthEvent {
    fn from(happening: Happening) -> Self {
        match happening {
            Happening::Pulse(coil) => Self::Pulse {
                coil: coil.as_str().to_owned(),
            },
            Happening::Reached(status) => Self::Reached {
                position: status.as_str().to_owned(),
            },
            Happening::Vehicle(counter) => Self::Vehicle { counter },
            Happening::Rebooting => Self::Rebooting,
            Happening::Rebooted => Self::Rebooted,
            Happening::Cured(fault) => Self::FaultOff {
                fault,
                cause: Cause::Command,
            },
            Happening::Over(fault) => Self::FaultOff {
                fault,
                cause: Cause::Time,
            },
        }
    }
}

/// The open log.
#[derive(Debug)]
pub(crate) struct TruthLog {
    path: PathBuf,
    // A blocking write under a lock, on purpose: a line is some 150 bytes into the page cache, and it has to be
    // there before its device answers.
    file: Mutex<File>,
    lines: watch::Sender<u64>,
}

impl TruthLog {
    /// Opens the log for appending; what a killed process left as half a line is ended, so that it spoils one line only.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::options().create(true).append(true).open(path)?;
        if let Some(last) = file.metadata()?.len().checked_sub(1) {
            let mut byte = [0];
            File::open(path)?.read_exact_at(&mut byte, last)?;
            if byte != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
            lines: watch::Sender::new(0),
        })
    }

    /// Writes one line with the time of now.
    pub(crate) fn write(&self, device: Option<&DeviceId>, event: TruthEvent) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // The clocks are read under the lock: lines stand in the order of their times.
        let line = TruthLine {
            at: Utc::now(),
            mono_ms: monotonic_ms(),
            device: device.cloned(),
            event,
        };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        file.write_all(&text)?;
        drop(file);
        self.lines.send_modify(|lines| *lines += 1);
        Ok(())
    }

    /// Counts the lines of this run.
    pub(crate) fn lines(&self) -> watch::Receiver<u64> {
        self.lines.subscribe()
    }

    /// All lines so far, in order.
    pub(crate) fn read(&self) -> io::Result<Vec<TruthLine>> {
        read(&self.path)
    }
}

/// Reads the log at `path`; lines that a kill cut short are left out.
pub fn read(path: &Path) -> io::Result<Vec<TruthLine>> {
    let text = std::fs::read_to_string(path)?;
    Ok(text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect())
}

/// `CLOCK_MONOTONIC` in milliseconds, as in [`TruthLine::mono_ms`].
pub fn monotonic_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let millis = u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000;
    seconds * 1_000 + millis
}

/// RFC 3339 with exactly three digits after the second, so that lines align and sort as text.
mod millis {
    use super::{DateTime, Deserialize, SecondsFormat, Utc};

    pub(super) fn serialize<S: serde::Serializer>(
        at: &DateTime<Utc>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<DateTime<Utc>, D::Error> {
        DateTime::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Coil;

    #[test]
    fn lines_are_one_json_object_each() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("truth.jsonl");
        let log = TruthLog::open(&path).unwrap();
        let gate: DeviceId = "gate-1".parse().unwrap();
        log.write(None, TruthEvent::Started).unwrap();
        let jam = TruthEvent::FaultOn {
            fault: Fault::Jammed,
            cause: Cause::Scenario,
        };
        log.write(Some(&gate), jam).unwrap();
        log.write(Some(&gate), Happening::Pulse(Coil::Open).into())
            .unwrap();

        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines[0]["event"], "started");
        assert_eq!(lines[0].get("device"), None);
        for (key, value) in [
            ("device", "gate-1"),
            ("event", "fault_on"),
            ("fault", "jammed"),
            ("cause", "scenario"),
        ] {
            assert_eq!(lines[1][key], value);
        }
        assert_eq!(lines[2]["coil"], "open");
        assert!(lines[1]["mono_ms"].as_u64() >= lines[0]["mono_ms"].as_u64());
        assert_eq!(
            lines[1]["at"].as_str().unwrap().len(),
            "2026-01-01T00:00:00.000Z".len()
        );

        let read = log.read().unwrap();
        assert_eq!(read.len(), 3);
        assert_eq!(read[1].device, Some(gate));
    }

    #[test]
    fn a_restart_appends_and_a_line_cut_short_spoils_itself_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("truth.jsonl");
        TruthLog::open(&path)
            .unwrap()
            .write(None, TruthEvent::Started)
            .unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"at\":\"2026-").unwrap();
        let log = TruthLog::open(&path).unwrap();
        log.write(None, TruthEvent::Started).unwrap();
        let events: Vec<_> = log
            .read()
            .unwrap()
            .into_iter()
            .map(|line| line.event)
            .collect();
        assert_eq!(events, [TruthEvent::Started, TruthEvent::Started]);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
    }
}
