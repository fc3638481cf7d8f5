//! What was, against what is recorded: faults are switched on and off while server and agent are killed, and the
//! records are compared with the simulators' truth log.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use simulators::{Fault, TruthEvent};

use crate::processes::Chain;

/// A simulated device, the fault that it gets, what its profile's rules find then, and the requests in which they must
/// have seen it: a look, the delay (200 ms), another look, and one to spare.
struct Case {
    device: &'static str,
    fault: Fault,
    codes: &'static [&'static str],
    requests: u64,
}

const fn case(
    device: &'static str,
    fault: Fault,
    codes: &'static [&'static str],
    requests: u64,
) -> Case {
    Case {
        device,
        fault,
        codes,
        requests,
    }
}

/// A gate is asked for two blocks each round of polls, a printer four questions, a kiosk one.
const CASES: [Case; 6] = [
    case("gate-1", Fault::Error, &["BAR-ERR"], 20),
    case("gate-2", Fault::Uncalibrated, &["BAR-CAL"], 20),
    case("kiosk-1", Fault::PaperOut, &["KSK-PAPER-OUT"], 8),
    case("kiosk-2", Fault::CardDown, &["KSK-CARD-DOWN"], 8),
    case(
        "printer-1",
        Fault::CoverOpen,
        &["PRN-COVER", "PRN-OFFLINE"],
        32,
    ),
    case(
        "printer-2",
        Fault::CutterError,
        &["PRN-CUTTER", "PRN-OFFLINE"],
        32,
    ),
];

const ROUNDS: u32 = 6;

/// The stamp of an event is the agent's, made a moment after the poll that showed it.
const STAMP_TOLERANCE: TimeDelta = TimeDelta::seconds(2);

/// Kills somebody, or nobody.
async fn disturb(chain: &mut Chain, chance: &mut StdRng) {
    let (server, agent) = match chance.random_range(0..4) {
        0 => (true, false),
        1 => (false, true),
        2 => (true, true),
        _ => (false, false),
    };
    if server {
        chain.kill_server().await;
    }
    if agent {
        chain.kill_agent().await;
    }
    if chance.random_bool(0.5) && server && !agent {
        // The agent goes on without a server for a while.
        chain.polls("gate-1", 20).await;
    }
    if server {
        chain.start_server();
    }
    if agent {
        chain.start_agent();
    }
}

async fn until_seen(chain: &Chain) {
    join_all(
        CASES
            .iter()
            .map(|case| chain.polls(case.device, case.requests)),
    )
    .await;
}

/// When something really began and ended.
type Interval = (DateTime<Utc>, DateTime<Utc>);

/// When the fault of each device was really there.
fn intervals(chain: &Chain) -> HashMap<&'static str, Vec<Interval>> {
    let mut intervals: HashMap<_, Vec<Interval>> = HashMap::new();
    let mut began = HashMap::new();
    for line in chain.airport.truth().unwrap() {
        let Some(device) = line.device else { continue };
        let Some(case) = CASES.iter().find(|case| case.device == device.as_str()) else {
            continue;
        };
        match line.event {
            TruthEvent::FaultOn { .. } => drop(began.insert(device, line.at)),
            TruthEvent::FaultOff { .. } => {
                intervals
                    .entry(case.device)
                    .or_default()
                    .push((began.remove(&device).unwrap(), line.at));
            }
            _ => {}
        }
    }
    intervals
}

async fn until_quiet(chain: &Chain) {
    let deadline = tokio::time::Instant::now() + crate::harness::PATIENCE;
    while chain
        .database
        .count("select count(*) from alarm where active")
        .await
        > 0
    {
        assert!(
            tokio::time::Instant::now() < deadline,
            "alarms stay active: {}",
            chain.logs()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_recorded_exactly_once_whoever_is_killed() {
    let seed = std::env::var("LANDSIDE_TEST_SEED").map_or(7, |seed| seed.parse().unwrap());
    let mut chance = StdRng::seed_from_u64(seed);
    let mut chain = Chain::start().await;
    until_seen(&chain).await;
    for _ in 0..ROUNDS {
        for case in &CASES {
            chain
                .airport
                .set_fault(case.device, case.fault)
                .await
                .unwrap();
        }
        disturb(&mut chain, &mut chance).await;
        until_seen(&chain).await;
        for case in &CASES {
            chain
                .airport
                .clear_fault(case.device, case.fault)
                .await
                .unwrap();
        }
        disturb(&mut chain, &mut chance).await;
        until_seen(&chain).await;
    }
    until_quiet(&chain).await;

    let truth = intervals(&chain);
    for case in &CASES {
        let really = &truth[case.device];
        assert_eq!(really.len(), usize::try_from(ROUNDS).unwrap());
        for code in case.codes {
            let raised = chain.database.raises(case.device, code).await;
            let is_true = |at: &DateTime<Utc>| {
                really
                    .iter()
                    .any(|(on, off)| *on <= *at && *at <= *off + STAMP_TOLERANCE)
            };
            assert!(
                raised.len() == really.len() && raised.iter().all(is_true),
                "{} {code}: raised {raised:?}, really {really:?}, seed {seed}{}",
                case.device,
                chain.logs()
            );
        }
    }
    let expected: Vec<_> = CASES
        .iter()
        .flat_map(|case| {
            case.codes
                .iter()
                .map(|code| format!("{} {code}", case.device))
        })
        .collect();
    let raised = chain
        .database
        .texts("select device_id || ' ' || code from alarm")
        .await;
    assert!(
        raised.iter().all(|alarm| expected.contains(alarm)),
        "{raised:?} were raised, seed {seed}{}",
        chain.logs()
    );
    assert_eq!(
        chain
            .database
            .count("select count(*) from quarantine")
            .await,
        0
    );
    chain.stop().await;
}
