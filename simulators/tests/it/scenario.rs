//! A scenario switches real devices; its timing is tested with a virtual clock where the time line is.

use simulators::{Cause, ControlError, Fault, TruthEvent};

use crate::harness::{start, until, until_truth};

#[tokio::test]
async fn faults_come_and_go_by_themselves() {
    let (airport, _dir) = start(
        r#"
        [[scenario.step]]
        at = "0s"
        device = "gate-1"
        fault = "uncalibrated"
        for = "50ms"
        "#,
    )
    .await;
    let off = TruthEvent::FaultOff {
        fault: Fault::Uncalibrated,
        cause: Cause::Scenario,
    };
    let truth = until_truth(&airport, &off).await;
    let on = TruthEvent::FaultOn {
        fault: Fault::Uncalibrated,
        cause: Cause::Scenario,
    };
    let [_, first, second] = truth.try_into().expect("started, on, off");
    assert_eq!((first.event, second.event), (on, off));
    assert_eq!(first.device.as_ref().unwrap().as_str(), "gate-1");
    assert!(second.mono_ms - first.mono_ms >= 45, "lasted for its time");
    assert_eq!(airport.state("gate-1").await.unwrap().faults, []);
}

#[tokio::test]
async fn a_restart_begins_again_with_healthy_devices() {
    let (mut airport, _dir) = start(
        r#"
        [[scenario.step]]
        at = "0s"
        device = "gate-1"
        fault = "error"
        for = "1h"
        "#,
    )
    .await;
    let fault = Fault::Error;
    let cause = Cause::Scenario;
    until_truth(&airport, &TruthEvent::FaultOn { fault, cause }).await;
    airport.restart_scenario().await.unwrap();
    until_truth(&airport, &TruthEvent::FaultOff { fault, cause }).await;
    let mut lines = airport.truth_lines();
    // Started, on, off, and on again: the step is due at once.
    until(&mut lines, |&lines| lines == 4).await;
    assert_eq!(airport.state("gate-1").await.unwrap().faults, [fault]);

    let failed = tokio::time::timeout(std::time::Duration::ZERO, airport.failed()).await;
    assert!(failed.is_err(), "nothing has failed: {failed:?}");
}

#[tokio::test]
async fn an_airport_without_a_scenario_has_none_to_restart() {
    let (airport, _dir) = start("").await;
    let error = airport.restart_scenario().await.unwrap_err();
    assert_eq!(error, ControlError::NoScenario);
}
