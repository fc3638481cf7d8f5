//! Commands through the whole agent: seen to be done, refused, interrupted, and never written twice.

use std::time::Duration;

use contract::command::{Command, ReasonCode};
use simulators::Fault;

use crate::agent::World;

/// Long enough for a busy machine; what expires says so in its name.
const TTL: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_opens_and_is_seen_to_be_open() {
    let world = World::start().await;
    world.all_is_well().await;
    let command = world.server.command("gate-1", "open", TTL);
    world.server.send(&command);
    world.server.send(&command); // Delivered twice, for instance after a lost ACK.
    let states = world
        .server
        .until("it has succeeded", |told| {
            let states = told.states(command.id);
            states.contains(&"succeeded").then_some(states)
        })
        .await;
    let mut told = states;
    told.dedup();
    for (earlier, later) in [
        ("delivered", "accepted"),
        ("accepted", "executing"),
        ("executing", "succeeded"),
    ] {
        let position = |state| told.iter().position(|told| *told == state).unwrap();
        assert!(position(earlier) < position(later), "{told:?}");
    }
    world
        .server
        .until("the reading says open", |told| {
            (told.text("gate-1", "state")? == "open").then_some(())
        })
        .await;
    assert_eq!(world.opens(), 1);

    // Long done, and delivered once more: the stored result again, and nothing on the wire.
    let before = world.server.told.borrow().states(command.id).len();
    world.server.send(&command);
    world
        .server
        .until("its result again", |told| {
            let states = told.states(command.id);
            (states.len() > before && states.last() == Some(&"succeeded")).then_some(())
        })
        .await;
    assert_eq!(world.opens(), 1);
}

/// The state and reason that a command ends in.
async fn end_of(world: &World, command: &Command) -> (&'static str, Option<ReasonCode>) {
    world
        .server
        .until("an end", |told| {
            told.results
                .iter()
                .rfind(|result| result.command == command.id)
                .filter(|result| {
                    !matches!(
                        result.state.as_str(),
                        "delivered" | "accepted" | "executing"
                    )
                })
                .map(|result| {
                    (
                        result.state.as_str(),
                        result.reason.as_ref().map(|reason| reason.code),
                    )
                })
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_not_be_executed_never_reaches_the_gate() {
    let world = World::start().await;
    world.all_is_well().await;
    let late = world.server.command("gate-1", "open", Duration::ZERO);
    let mut foreign = world.server.command("gate-1", "open", TTL);
    foreign.instance = contract::InstanceId(uuid::Uuid::new_v4());
    let elsewhere = world.server.command("gate-9", "open", TTL);
    let unknown = world.server.command("gate-1", "fly", TTL);
    let unlocked = world.server.command("printer-1", "recover", TTL);
    let mut wrong = world.server.command("kiosk-1", "reboot", TTL);
    wrong.params = [("delay".to_owned(), contract::Value::Number(1e6))].into();
    for (command, expected) in [
        (late, ("expired", ReasonCode::DeadlinePassed)),
        (foreign, ("expired", ReasonCode::DeadlinePassed)),
        (elsewhere, ("rejected", ReasonCode::NotSupported)),
        (unknown, ("rejected", ReasonCode::NotSupported)),
        (unlocked, ("rejected", ReasonCode::Interlock)),
        (wrong, ("rejected", ReasonCode::BadParameter)),
    ] {
        world.server.send(&command);
        assert_eq!(
            end_of(&world, &command).await,
            (expected.0, Some(expected.1))
        );
    }
    world
        .airport
        .set_fault("gate-1", Fault::Silent)
        .await
        .unwrap();
    world
        .server
        .until("contact lost", |told| {
            (told.faults("gate-1").last()? == "+COMM").then_some(())
        })
        .await;
    let lost = world
        .server
        .command("gate-1", "open", Duration::from_secs(60));
    world.server.send(&lost);
    assert_eq!(
        end_of(&world, &lost).await,
        ("rejected", Some(ReasonCode::CommLost))
    );
    assert_eq!(world.opens(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_takes_the_command_and_does_not_move_is_told() {
    let world = World::start().await;
    world.all_is_well().await;
    world
        .airport
        .set_fault("gate-1", Fault::Stuck)
        .await
        .unwrap();
    let first = world.server.command("gate-1", "open", TTL);
    let second = world.server.command("gate-1", "close", TTL);
    world.server.send(&first);
    world.server.send(&second);
    assert_eq!(
        end_of(&world, &second).await,
        ("rejected", Some(ReasonCode::Busy))
    );
    assert_eq!(
        end_of(&world, &first).await,
        ("unverified", Some(ReasonCode::FeedbackMismatch))
    );
    assert_eq!(world.opens(), 1, "and it is not tried again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moving_gate_is_stopped() {
    let world = World::start().await;
    world.all_is_well().await;
    let open = world.server.command("gate-1", "open", TTL);
    world.server.send(&open);
    world
        .server
        .until("the gate moves", |told| {
            (told.text("gate-1", "state")? == "opening").then_some(())
        })
        .await;
    let stop = world.server.command("gate-1", "stop", TTL);
    world.server.send(&stop);
    assert_eq!(
        end_of(&world, &open).await,
        ("failed", Some(ReasonCode::Cancelled))
    );
    assert_eq!(end_of(&world, &stop).await, ("succeeded", None));
    world
        .server
        .until("it stands", |told| {
            (told.text("gate-1", "state")? == "stopped").then_some(())
        })
        .await;
    let told = world.server.told.borrow().clone();
    let result = told.results.iter().rfind(|told| told.command == open.id);
    assert_eq!(
        result.unwrap().reason.as_ref().unwrap().detail,
        "stopped by the command stop"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cutter_error_is_recovered_and_a_kiosk_reboots() {
    let world = World::start().await;
    world.all_is_well().await;
    world
        .airport
        .set_fault("printer-1", Fault::CutterError)
        .await
        .unwrap();
    world
        .server
        .until("the cutter fault", |told| {
            told.faults("printer-1")
                .iter()
                .any(|fault| fault == "+PRN-CUTTER")
                .then_some(())
        })
        .await;
    let recover = world
        .server
        .command("printer-1", "recover", Duration::from_secs(60));
    let mut reboot = world
        .server
        .command("kiosk-1", "reboot", Duration::from_secs(60));
    reboot.params = [("delay".to_owned(), contract::Value::Number(1.0))].into();
    world.server.send(&recover);
    world.server.send(&reboot);
    assert_eq!(end_of(&world, &recover).await, ("succeeded", None));
    assert_eq!(end_of(&world, &reboot).await, ("succeeded", None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_agent_tells_that_nobody_knows_and_never_executes_again() {
    let mut world = World::start().await;
    world.all_is_well().await;
    world
        .airport
        .set_fault("gate-1", Fault::Stuck)
        .await
        .unwrap();
    let command = world.server.command("gate-1", "open", TTL);
    world.server.send(&command);
    world
        .server
        .until("it is executing", |told| {
            told.states(command.id).contains(&"executing").then_some(())
        })
        .await;
    world.kill_agent().await;
    world.start_agent();
    assert_eq!(
        end_of(&world, &command).await,
        ("unknown", Some(ReasonCode::Interrupted))
    );
    world.server.send(&command);
    world
        .server
        .until("the same again", |told| {
            let unknown = told
                .states(command.id)
                .iter()
                .filter(|state| **state == "unknown")
                .count();
            (unknown == 2).then_some(())
        })
        .await;
    assert_eq!(world.opens(), 1);
}
