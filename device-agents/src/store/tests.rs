//! The file: what a crash leaves, what a second agent finds, and that a command is written at most once.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use contract::alarm::Severity;
use contract::command::{Command, CommandResult, CommandState, ReasonCode};
use contract::event::{Event, Happening};
use contract::{AgentId, CommandId, DeviceId, FaultCode, InstanceId};
use proptest::prelude::*;

use super::*;

fn agent() -> AgentId {
    "agent-p1".parse().unwrap()
}

fn device() -> DeviceId {
    "gate-1".parse().unwrap()
}

fn raised(code: &str) -> (FaultCode, Happening) {
    let fault: FaultCode = code.parse().unwrap();
    let happening = Happening::FaultRaised {
        fault: fault.clone(),
        severity: Severity::Major,
        detail: None,
    };
    (fault, happening)
}

async fn try_record(store: &Store, code: &str) -> Result<(), StoreError> {
    let (fault, happening) = raised(code);
    store
        .record_fault(device(), fault, true, happening, DateTime::UNIX_EPOCH)
        .await
}

async fn record(store: &Store, code: &str) {
    try_record(store, code).await.unwrap();
}

fn sequences(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

fn command(number: u128) -> Command {
    Command {
        id: CommandId(Uuid::from_u128(number)),
        device: device(),
        name: "open".to_owned(),
        params: BTreeMap::new(),
        issued_at: DateTime::UNIX_EPOCH,
        instance: InstanceId(Uuid::from_u128(1)),
        deadline_monotonic_ms: 1,
    }
}

fn result(number: u128, state: CommandState) -> CommandResult {
    CommandResult {
        agent: agent(),
        command: CommandId(Uuid::from_u128(number)),
        device: device(),
        state,
        reason: None,
        at: DateTime::UNIX_EPOCH,
    }
}

#[tokio::test]
async fn events_wait_until_they_are_deleted_and_keep_their_numbers_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let epoch = store.epoch();
    for code in ["A", "B", "C"] {
        record(&store, code).await;
    }
    store.delete_events(1).await.unwrap();
    drop(store);

    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.epoch(), epoch);
    assert_eq!(sequences(&store.oldest_events().await.unwrap()), [2, 3]);
    assert_eq!(store.waiting_events().await.unwrap(), 2);
    store.delete_events(3).await.unwrap();
    record(&store, "A").await;
    assert_eq!(sequences(&store.oldest_events().await.unwrap()), [4]);
    let recovered = store
        .recover(agent(), vec![device()], DateTime::UNIX_EPOCH)
        .await
        .unwrap();
    assert_eq!(recovered.faults.len(), 3);
}

#[tokio::test]
async fn a_new_file_is_a_new_epoch() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let epochs = [one.path(), other.path()].map(|path| Store::open(path).unwrap().epoch());
    assert_ne!(epochs[0], epochs[1]);
}

#[tokio::test]
async fn a_second_agent_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let first = Store::open(directory.path()).unwrap();
    let error = Store::open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Locked(_)));
    assert!(error.to_string().contains("in use by another agent"));
    drop(first);
    Store::open(directory.path()).unwrap();
}

#[tokio::test]
async fn a_file_of_another_version_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(directory.path()).unwrap());
    let connection = Connection::open(directory.path().join("agent.db")).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    drop(connection);
    let error = Store::open(directory.path()).unwrap_err();
    assert!(
        matches!(error, OpenError::Version { found: 2, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_full_outbox_takes_neither_the_event_nor_the_state() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let append = |store: Store| async move {
        store
            .ask(|connection| {
                let (_, happening) = raised("A");
                outbox::append_event(connection, &device(), DateTime::UNIX_EPOCH, happening, 2)
            })
            .await
    };
    append(store.clone()).await.unwrap();
    append(store.clone()).await.unwrap();
    assert!(matches!(append(store.clone()).await, Err(StoreError::Full)));
    assert_eq!(sequences(&store.oldest_events().await.unwrap()), [1, 2]);
    store.delete_events(1).await.unwrap();
    append(store.clone()).await.unwrap();
    assert_eq!(sequences(&store.oldest_events().await.unwrap()), [2, 3]);
}

#[tokio::test]
async fn one_failing_question_does_not_undo_the_others_of_its_commit() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let failing = store.ask(|connection| {
        connection.execute("DELETE FROM event", [])?;
        Ok(connection.execute("SELECT nonsense", [])?)
    });
    let (before, failed, after) = tokio::join!(record(&store, "A"), failing, record(&store, "B"));
    assert_eq!((before, after), ((), ()));
    assert!(matches!(failed, Err(StoreError::Database(_))));
    assert_eq!(sequences(&store.oldest_events().await.unwrap()), [1, 2]);
}

/// Makes the store's file take `pages` more than it has, or as many as it likes.
async fn limit_pages(store: &Store, pages: Option<i64>) {
    store
        .ask(move |connection| {
            let count: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
            let limit = pages.map_or(1_000_000, |pages| count + pages);
            let set: i64 =
                connection
                    .pragma_update_and_check(None, "max_page_count", limit, |row| row.get(0))?;
            assert_eq!(set, limit);
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_full_disk_stores_all_of_a_commit_or_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    limit_pages(&store, Some(5)).await;
    // While the store is held up, everything else becomes one commit.
    let (begun, has_begun) = oneshot::channel();
    let (release, released) = std::sync::mpsc::channel();
    let holder = store.clone();
    let held_up = tokio::spawn(async move {
        let hold = move |_: &Connection| {
            begun.send(()).unwrap();
            released.recv().unwrap();
            Ok(())
        };
        holder.ask(hold).await
    });
    has_begun.await.unwrap();
    let too_much = store.ask(|connection| {
        let body = "x".repeat(1_000_000);
        let insert = "INSERT INTO event (sequence, body) VALUES (999, ?1)";
        Ok(connection.execute(insert, [body])?)
    });
    let (before, failed, after, ()) = tokio::join!(
        try_record(&store, "A"),
        too_much,
        try_record(&store, "B"),
        async { release.send(()).unwrap() }
    );
    held_up.await.unwrap().unwrap();
    let Err(StoreError::Database(reason)) = failed else {
        panic!("{failed:?}");
    };
    let code = reason.sqlite_error_code();
    assert_eq!(code, Some(rusqlite::ErrorCode::DiskFull));
    for other in [before, after] {
        assert!(matches!(other, Err(StoreError::RolledBack)), "{other:?}");
    }
    assert!(store.oldest_events().await.unwrap().is_empty());
    limit_pages(&store, None).await;
    record(&store, "A").await;
    assert_eq!(sequences(&store.oldest_events().await.unwrap()), [1]);
}

#[tokio::test]
async fn faults_that_nobody_watches_any_more_are_cleared() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    record(&store, "A").await;
    record(&store, "B").await;
    let known = BTreeSet::from([(device(), raised("A").0)]);
    for _ in 0..2 {
        store
            .clear_unknown_faults(known.clone(), DateTime::UNIX_EPOCH)
            .await
            .unwrap();
    }
    let events = store.oldest_events().await.unwrap();
    assert_eq!(sequences(&events), [1, 2, 3]);
    let fault = raised("B").0;
    assert_eq!(events[2].happening, Happening::FaultCleared { fault });
}

#[tokio::test]
async fn results_are_sent_in_order_until_they_are_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let delivered = result(1, CommandState::Delivered);
    let received = store.receive_command(command(1), delivered).await.unwrap();
    assert_eq!(received, Received::New);
    assert!(
        store
            .start_command(result(1, CommandState::Accepted))
            .await
            .unwrap()
    );
    store
        .finish_command(result(1, CommandState::Succeeded))
        .await
        .unwrap();
    let again = store
        .receive_command(command(1), result(1, CommandState::Delivered))
        .await
        .unwrap();
    assert_eq!(again, Received::Known);
    let results = store.results_after(0).await.unwrap();
    let states: Vec<_> = results.iter().map(|stored| stored.result.state).collect();
    let names: Vec<_> = states
        .iter()
        .map(|state: &CommandState| state.as_str())
        .collect();
    assert_eq!(names, ["delivered", "accepted", "succeeded", "succeeded"]);
    store.delete_result(results[0].id).await.unwrap();
    assert_eq!(store.results_after(0).await.unwrap().len(), 3);
    assert_eq!(store.results_after(results[2].id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_crash_leaves_a_started_command_unknown_and_a_waiting_one_expired() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    for number in [1, 2] {
        let delivered = result(number, CommandState::Delivered);
        store
            .receive_command(command(number), delivered)
            .await
            .unwrap();
    }
    store
        .start_command(result(1, CommandState::Accepted))
        .await
        .unwrap();
    drop(store);

    let store = Store::open(directory.path()).unwrap();
    for _ in 0..2 {
        store
            .recover(agent(), vec![device()], DateTime::UNIX_EPOCH)
            .await
            .unwrap();
    }
    let results = store.results_after(3).await.unwrap();
    let ends: Vec<_> = results
        .iter()
        .map(|stored| {
            (
                stored.result.state,
                stored.result.reason.as_ref().unwrap().code,
            )
        })
        .collect();
    assert_eq!(
        ends,
        [
            (CommandState::Unknown, ReasonCode::Interrupted),
            (CommandState::Expired, ReasonCode::DeadlinePassed),
        ]
    );
    assert!(
        !store
            .start_command(result(2, CommandState::Accepted))
            .await
            .unwrap()
    );
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// The server sends the command, for the first time or again.
    Deliver(u128),
    /// The line wants to execute what it was given.
    Execute(u128),
    /// The line sees what came of it.
    Finish(u128),
    /// The process dies and starts again.
    Crash,
    /// Only the line's task dies and starts again; what it was given stays in its queue.
    Respawn,
}

fn step() -> impl Strategy<Value = Step> {
    let number = 1u128..4;
    prop_oneof![
        3 => number.clone().prop_map(Step::Deliver),
        3 => number.clone().prop_map(Step::Execute),
        2 => number.prop_map(Step::Finish),
        1 => Just(Step::Crash),
        1 => Just(Step::Respawn),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However deliveries, executions and crashes interleave: a command goes to the wire at most once, and only after
    /// it was delivered; once it has ended, its end stays.
    #[test]
    fn a_command_is_written_at_most_once(steps in proptest::collection::vec(step(), 1..40)) {
        let mut connection = Connection::open_in_memory().unwrap();
        create(&connection).unwrap();
        let mut given: Vec<u128> = vec![];
        let mut written: BTreeMap<u128, u32> = BTreeMap::new();
        let mut ended: BTreeMap<u128, String> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Deliver(number) => {
                    let delivered = result(number, CommandState::Delivered);
                    if journal::receive(&connection, &command(number), &delivered).unwrap() == Received::New {
                        given.push(number);
                    }
                }
                Step::Execute(number) => {
                    if given.contains(&number)
                        && journal::start(&connection, &result(number, CommandState::Accepted)).unwrap()
                    {
                        *written.entry(number).or_default() += 1;
                    }
                }
                Step::Finish(number) => {
                    journal::finish(&connection, &result(number, CommandState::Succeeded)).unwrap();
                }
                Step::Crash => {
                    given.clear();
                    connection = reopened(connection);
                }
                Step::Respawn => connection = reopened(connection),
            }
            let mut select = connection.prepare("SELECT id, result FROM command WHERE state = 'done'").unwrap();
            let done: Vec<(String, String)> = select
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            for (id, stored) in done {
                let number = id.parse::<Uuid>().unwrap().as_u128();
                let end = ended.entry(number).or_insert_with(|| stored.clone());
                prop_assert_eq!(&*end, &stored);
            }
            for (number, times) in &written {
                prop_assert!(*times <= 1, "{} was written {} times", number, times);
            }
        }
    }
}

fn reopened(connection: Connection) -> Connection {
    journal::recover(&connection, &agent(), &[device()], DateTime::UNIX_EPOCH).unwrap();
    connection
}
