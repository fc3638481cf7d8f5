//! The scenario's time line: which fault is switched when, round after round.
//!
//! Pure: the task in `airport` waits for [`Timeline::deadline`] and executes what [`Timeline::handle_deadline`] gives.

use std::time::{Duration, Instant};

use contract::DeviceId;

use crate::config::Scenario;
use crate::fault::Fault;

/// One switch of one fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Switch {
    pub(crate) device: DeviceId,
    pub(crate) fault: Fault,
    pub(crate) on: bool,
}

/// A scenario under way.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// Sorted by time within a round; at one moment, what ends comes before what begins.
    switches: Vec<(Duration, Switch)>,
    every: Option<Duration>,
    round_start: Instant,
    next: usize,
}

impl Timeline {
    /// Starts the first round at `now`.
    pub(crate) fn new(scenario: &Scenario, now: Instant) -> Self {
        let mut switches: Vec<_> = scenario
            .steps
            .iter()
            .flat_map(|step| {
                [(step.at, true), (step.at + step.duration, false)].map(|(at, on)| {
                    let switch = Switch {
                        device: step.device.clone(),
                        fault: step.fault,
                        on,
                    };
                    (at, switch)
                })
            })
            .collect();
        switches.sort_by_key(|(at, switch)| (*at, switch.on));
        Self {
            switches,
            every: scenario.every,
            round_start: now,
            next: 0,
        }
    }

    /// When the next switch is due; `None` when there is none any more.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let (at, _) = self.switches.get(self.next)?;
        Some(self.round_start + *at)
    }

    /// The next switch that is due at `now`; call it until it gives `None`.
    pub(crate) fn handle_deadline(&mut self, now: Instant) -> Option<Switch> {
        self.deadline().filter(|&deadline| deadline <= now)?;
        let (_, switch) = &self.switches[self.next];
        let switch = switch.clone();
        self.next += 1;
        if self.next == self.switches.len()
            && let Some(every) = self.every
        {
            self.round_start += every;
            self.next = 0;
        }
        Some(switch)
    }

    /// Starts again at `now`. What is returned switches off what the broken-off round left on.
    pub(crate) fn restart(&mut self, now: Instant) -> Vec<Switch> {
        let mut left: Vec<Switch> = Vec::new();
        for (_, switch) in &self.switches[..self.next] {
            if switch.on {
                let off = Switch {
                    on: false,
                    ..switch.clone()
                };
                left.push(off);
            } else {
                left.retain(|off| off != switch);
            }
        }
        self.round_start = now;
        self.next = 0;
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Step;

    fn step(at: u64, device: &str, fault: Fault, duration: u64) -> Step {
        Step {
            at: Duration::from_secs(at),
            device: device.parse().unwrap(),
            fault,
            duration: Duration::from_secs(duration),
        }
    }

    /// Runs a virtual clock from deadline to deadline and writes down what is switched.
    fn play(every: Option<u64>, steps: Vec<Step>, most: usize) -> Vec<String> {
        let scenario = Scenario {
            every: every.map(Duration::from_secs),
            steps,
        };
        let start = Instant::now();
        let mut timeline = Timeline::new(&scenario, start);
        let mut played = Vec::new();
        while let Some(now) = timeline.deadline().filter(|_| played.len() < most) {
            assert_eq!(
                timeline.handle_deadline(now - Duration::from_nanos(1)),
                None,
                "not early"
            );
            while let Some(switch) = timeline.handle_deadline(now) {
                let sign = if switch.on { '+' } else { '-' };
                played.push(format!(
                    "{} {sign}{} {}",
                    (now - start).as_secs(),
                    switch.fault,
                    switch.device
                ));
            }
        }
        played
    }

    #[test]
    fn steps_switch_on_and_off_in_the_order_of_time() {
        let steps = vec![
            step(60, "kiosk-1", Fault::PaperOut, 30),
            step(20, "gate-1", Fault::Jammed, 40),
        ];
        assert_eq!(
            play(None, steps, 100),
            [
                "20 +jammed gate-1",
                "60 -jammed gate-1",
                "60 +paper_out kiosk-1",
                "90 -paper_out kiosk-1"
            ]
        );
    }

    #[test]
    fn rounds_repeat_at_their_period() {
        let steps = vec![step(0, "gate-1", Fault::Error, 10)];
        assert_eq!(
            play(Some(100), steps, 6),
            [
                "0 +error gate-1",
                "10 -error gate-1",
                "100 +error gate-1",
                "110 -error gate-1",
                "200 +error gate-1",
                "210 -error gate-1",
            ]
        );
    }

    #[test]
    fn a_fault_that_fills_its_round_goes_off_before_it_comes_again() {
        let steps = vec![step(0, "gate-1", Fault::Error, 50)];
        assert_eq!(
            play(Some(50), steps, 3),
            [
                "0 +error gate-1",
                "50 -error gate-1",
                "50 +error gate-1",
                "100 -error gate-1"
            ][..3]
        );
    }

    #[test]
    fn a_late_task_loses_no_switch() {
        let scenario = Scenario {
            every: Some(Duration::from_secs(100)),
            steps: vec![step(10, "gate-1", Fault::Error, 5)],
        };
        let start = Instant::now();
        let mut timeline = Timeline::new(&scenario, start);
        let late = start + Duration::from_secs(112);
        let switched: Vec<bool> = std::iter::from_fn(|| timeline.handle_deadline(late))
            .map(|switch| switch.on)
            .collect();
        assert_eq!(switched, [true, false, true]);
    }

    #[test]
    fn a_restart_clears_what_is_on_and_begins_again() {
        let scenario = Scenario {
            every: None,
            steps: vec![
                step(10, "gate-1", Fault::Error, 5),
                step(20, "gate-2", Fault::Jammed, 60),
                step(90, "gate-3", Fault::Stuck, 5),
            ],
        };
        let start = Instant::now();
        let mut timeline = Timeline::new(&scenario, start);
        let middle = start + Duration::from_secs(30);
        while timeline.handle_deadline(middle).is_some() {}
        let left = timeline.restart(middle);
        let jam = Switch {
            device: "gate-2".parse().unwrap(),
            fault: Fault::Jammed,
            on: false,
        };
        assert_eq!(left, [jam]);
        assert_eq!(timeline.deadline(), Some(middle + Duration::from_secs(10)));
        assert_eq!(timeline.restart(middle), [], "nothing is on twice");
    }

    #[test]
    fn an_empty_scenario_never_has_a_deadline() {
        assert_eq!(play(Some(10), Vec::new(), 1), [""; 0]);
    }
}
