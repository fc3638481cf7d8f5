//! Looks at a process from outside: processor time and memory, as /proc tells (proc(5)).

use std::fs;
use std::process;
use std::time::Duration;

use anyhow::Context as _;
use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, getrlimit, setrlimit};

/// A process to look at.
#[derive(Debug, Clone, Copy)]
pub struct Watched {
    pid: u32,
}

impl Watched {
    /// By its id.
    #[must_use]
    pub fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// This process.
    #[must_use]
    pub fn own() -> Self {
        Self::new(process::id())
    }

    /// User and system time of all its threads, in steps of 10 ms.
    ///
    /// # Errors
    /// There is no such process.
    pub fn processor_time(self) -> anyhow::Result<Duration> {
        let path = format!("/proc/{}/stat", self.pid);
        let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        // The name stands in parentheses and may contain anything; utime and stime are fields 14 and 15.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|ticks| ticks.parse::<u64>().ok())
            .sum();
        Ok(Duration::from_millis(
            ticks * 1000 / clock_ticks_per_second(),
        ))
    }

    /// Bytes of resident memory.
    ///
    /// # Errors
    /// There is no such process.
    pub fn memory(self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.pid);
        let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let kibibytes: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|value| value.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .with_context(|| format!("{path} does not tell VmRSS: has the process ended?"))?;
        Ok(kibibytes * 1024)
    }
}

/// Processor time that the whole machine has spent, and how much of it there was, all processors together.
///
/// # Errors
/// The operating system does not tell.
pub fn machine_time() -> anyhow::Result<(Duration, Duration)> {
    const IDLE: [usize; 2] = [3, 4];
    let stat = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    // user, nice, system, idle, iowait, irq, softirq, steal; what guests use stands in user already.
    let ticks = line.split_whitespace().skip(1).take(8);
    let (mut busy, mut all) = (0, 0);
    for (index, ticks) in ticks.enumerate() {
        let ticks: u64 = ticks.parse().context("a number in /proc/stat")?;
        all += ticks;
        if !IDLE.contains(&index) {
            busy += ticks;
        }
    }
    Ok((of_ticks(busy), of_ticks(all)))
}

fn of_ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / clock_ticks_per_second())
}

/// Raises the soft limit on descriptors to the hard one, and says what it is. Children inherit it.
#[must_use]
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What may not be raised stays as it was.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_itself() {
        assert!(Watched::own().memory().unwrap() > 100 * 1024);
        let before = Watched::own().processor_time().unwrap();
        let mut sum = 0_u64;
        while Watched::own().processor_time().unwrap() == before {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(Watched::own().processor_time().unwrap() > before);
    }

    #[test]
    fn a_machine_spends_no_more_than_there_is() {
        let (busy, all) = machine_time().unwrap();
        assert!(Duration::ZERO < busy && busy <= all, "{busy:?} of {all:?}");
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(Watched::new(u32::MAX).memory().is_err());
    }
}
