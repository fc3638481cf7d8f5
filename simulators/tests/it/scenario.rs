//! A scenario switches real devices; its timing is tested with a virtual clock where the time line is.

use simulators::{Cause, Fault, TruthEvent};

use crate::harness::{start, until_truth};

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
