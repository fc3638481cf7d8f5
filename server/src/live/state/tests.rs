//! What the live state must never get wrong: age, silence, late data.

use contract::Value;
use contract::inventory::Personal;
use contract::reading::DeviceReadings;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::site::{SiteDevice, Zone};
use contract::Text;

/// How long number plates are kept.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

fn text(word: &str) -> Text {
    Text {
        ko: word.to_owned(),
        en: word.to_owned(),
    }
}

fn site(approved: bool) -> Site {
    let point = |id: &str, poll, period_ms| Point {
        id: id.parse().unwrap(),
        name: text(id),
        unit: String::new(),
        poll,
        period_ms,
        range: None,
        is_state: false,
        labels: BTreeMap::new(),
        personal: (id == "serial").then_some(Personal::NumberPlate),
    };
    let profile = std::sync::Arc::new(Profile {
        id: "gate".parse().unwrap(),
        version: 1,
        hash: "h".to_owned(),
        name: text("gate"),
        class: "barrier".to_owned(),
        points: vec![
            point("position", PollClass::Fast, 250),
            point("temperature", PollClass::Slow, 60_000),
            point("serial", PollClass::Once, 0),
        ],
        faults: Vec::new(),
        commands: Vec::new(),
    });
    let zone = Zone {
        id: "p1".parse().unwrap(),
        name: text("p1"),
    };
    let device = SiteDevice {
        id: device(),
        agent: agent(),
        zone: zone.id.clone(),
        lane: None,
        name: text("gate 1"),
        profile,
        approved,
        retired: false,
    };
    Site::new(vec![zone], vec![device])
}

fn agent() -> AgentId {
    "agent-1".parse().unwrap()
}

fn device() -> DeviceId {
    "gate-1".parse().unwrap()
}

fn instance() -> InstanceId {
    InstanceId(Uuid::from_u128(1))
}

/// The agent's monotonic clock at the moment that a test's clock starts.
const START_MS: u64 = 100_000;

/// A clock that starts at some moment and is moved by the test.
#[derive(Clone, Copy)]
struct Clock {
    now: Instant,
    wall: DateTime<Utc>,
    agent_ms: u64,
}

impl Clock {
    fn new() -> Self {
        Self {
            now: Instant::now(),
            wall: "2026-11-22T07:00:00Z".parse().unwrap(),
            agent_ms: START_MS,
        }
    }

    fn after(self, seconds: u64) -> Self {
        let step = Duration::from_secs(seconds);
        Self {
            now: self.now + step,
            wall: self.wall + step,
            agent_ms: self.agent_ms + seconds * 1_000,
        }
    }
}

fn reading(point: &str, value: f64, quality: Quality, at: DateTime<Utc>) -> Reading {
    Reading {
        point: point.parse().unwrap(),
        value: Some(Value::Number(value)),
        quality,
        at,
    }
}

fn report(sequence: u64, sent: Clock, polls: &[PollClass], readings: Vec<Reading>) -> Readings {
    let polls = polls.iter().map(|class| (*class, sent.wall)).collect();
    Readings {
        agent: agent(),
        instance: instance(),
        sequence,
        sent_at: sent.wall,
        monotonic_ms: sent.agent_ms,
        devices: vec![DeviceReadings {
            device: device(),
            polls,
            readings,
        }],
    }
}

fn joining(agent: &str, instance: InstanceId, clock: Clock) -> Joined {
    Joined {
        agent: agent.parse().unwrap(),
        instance,
        arrival: 1,
        monotonic_ms: clock.agent_ms,
        heard: clock.now,
    }
}

fn joined(clock: Clock) -> LiveState {
    let mut live = LiveState::new(KEPT);
    live.agent_joined(joining("agent-1", instance(), clock));
    live
}

/// A device whose three points were just read.
fn fresh(site: &Site, clock: Clock) -> LiveState {
    let mut live = joined(clock);
    let readings = ["position", "temperature", "serial"]
        .map(|point| reading(point, 7.0, Good, clock.wall))
        .to_vec();
    let all = [PollClass::Fast, PollClass::Slow, PollClass::Once];
    live.take(
        site,
        &report(1, clock, &all, readings),
        clock.now,
        clock.wall,
    );
    live
}

fn look(live: &LiveState, site: &Site, clock: Clock) -> (Condition, Vec<Quality>) {
    let view = live.view(site.device(&device()).unwrap(), clock.now, clock.wall);
    (
        view.condition,
        view.points.into_iter().map(|point| point.quality).collect(),
    )
}

use Quality::{CommLost, Good, Stale, Unknown};

#[test]
fn a_device_that_never_spoke_is_unknown() {
    let (site, clock) = (site(true), Clock::new());
    let mut live = LiveState::new(KEPT);
    assert_eq!(
        look(&live, &site, clock),
        (Condition::Unknown, vec![Unknown; 3])
    );
    live.agent_joined(joining("agent-1", instance(), clock));
    assert_eq!(
        look(&live, &site, clock),
        (Condition::Unknown, vec![Unknown; 3]),
        "also when its agent speaks"
    );
}

#[test]
fn values_age_at_their_own_pace_without_any_message() {
    let (site, clock) = (site(true), Clock::new());
    let mut live = fresh(&site, clock);
    assert_eq!(
        look(&live, &site, clock.after(5)),
        (Condition::Ok, vec![Good, Good, Good])
    );
    let later = clock.after(6);
    live.agent_heard(&agent(), instance(), later.agent_ms, later.now);
    assert_eq!(
        look(&live, &site, later),
        (Condition::Ok, vec![Stale, Good, Good])
    );
}

#[test]
fn a_silent_agent_makes_its_devices_unknown() {
    let (site, clock) = (site(true), Clock::new());
    let live = fresh(&site, clock);
    assert_eq!(look(&live, &site, clock.after(29)).0, Condition::Ok);
    assert_eq!(
        look(&live, &site, clock.after(30)),
        (Condition::Unknown, vec![CommLost; 3])
    );
}

#[test]
fn a_device_that_its_living_agent_no_longer_reads_is_unknown() {
    let (site, clock) = (site(true), Clock::new());
    let mut live = fresh(&site, clock);
    let later = clock.after(30);
    live.agent_heard(&agent(), instance(), later.agent_ms, later.now);
    assert_eq!(
        look(&live, &site, later),
        (Condition::Unknown, vec![CommLost; 3])
    );
}

#[test]
fn a_poll_without_news_keeps_values_fresh() {
    let (site, clock) = (site(true), Clock::new());
    let mut live = fresh(&site, clock);
    let later = clock.after(20);
    live.take(
        &site,
        &report(2, later, &[PollClass::Fast], Vec::new()),
        later.now,
        later.wall,
    );
    assert_eq!(
        look(&live, &site, later.after(4)),
        (Condition::Ok, vec![Good, Good, Good])
    );
}

#[test]
fn lost_contact_and_faults_are_told_apart() {
    let (site, clock) = (site(true), Clock::new());
    let mut live = fresh(&site, clock);
    let alarms = AlarmSummary {
        active: 1,
        unacknowledged: 1,
        highest: Some(Priority::High),
        contact_lost: false,
    };
    assert!(live.set_alarms(&device(), alarms));
    assert!(!live.set_alarms(&device(), alarms), "nothing new");
    assert_eq!(look(&live, &site, clock).0, Condition::Faulty);
    live.set_alarms(
        &device(),
        AlarmSummary {
            contact_lost: true,
            ..alarms
        },
    );
    assert_eq!(
        look(&live, &site, clock),
        (Condition::Unknown, vec![CommLost; 3])
    );
}

#[test]
fn a_device_that_nobody_approved_says_so() {
    let (site, clock) = (site(false), Clock::new());
    let live = fresh(&site, clock);
    assert_eq!(look(&live, &site, clock).0, Condition::Unregistered);
}

#[test]
fn a_report_that_waited_on_its_way_is_as_old_as_it_is() {
    let (site, clock) = (site(true), Clock::new());
    let mut live = fresh(&site, clock);
    // Read 8 s before it was sent, by an agent whose clock is an hour behind.
    let wrong = clock.wall - Duration::from_secs(3600);
    let mut late = report(
        2,
        Clock {
            wall: wrong,
            ..clock.after(9)
        },
        &[],
        vec![reading(
            "position",
            9.0,
            Good,
            wrong - Duration::from_secs(8),
        )],
    );
    late.devices[0].polls.clear();
    let arrival = clock.after(9);
    live.take(&site, &late, arrival.now, arrival.wall);
    assert_eq!(look(&live, &site, arrival).1[0], Stale);
}

#[test]
fn refresh_tells_each_change_once() {
    let (site, clock) = (site(true), Clock::new());
    let mut live = fresh(&site, clock);
    assert_eq!(live.refresh(&site, clock.now, clock.wall), [device()]);
    assert!(live.refresh(&site, clock.now, clock.wall).is_empty());
    let later = clock.after(31);
    assert_eq!(
        live.refresh(&site, later.now, later.wall),
        [device()],
        "it went silent"
    );
    assert!(live.refresh(&site, later.now, later.wall).is_empty());
    let view = live.view(site.device(&device()).unwrap(), later.now, later.wall);
    assert_eq!(view.condition_since, later.wall);
}

#[test]
fn what_waited_for_the_server_is_not_fresh() {
    let (site, clock) = (site(true), Clock::new());
    let mut live = fresh(&site, clock);
    // Sent 1 s after the first, taken in 20 s later.
    let (sent, arrival) = (clock.after(1), clock.after(21));
    let waited = report(
        2,
        sent,
        &[PollClass::Fast],
        vec![reading("position", 9.0, Good, sent.wall)],
    );
    live.take(&site, &waited, arrival.now, arrival.wall);
    live.agent_heard(&agent(), instance(), sent.agent_ms, arrival.now);
    assert_eq!(look(&live, &site, arrival).1[0], Stale);
    assert_eq!(
        look(&live, &site, clock.after(31)).0,
        Condition::Unknown,
        "30 s after it last really spoke"
    );
}

#[test]
fn an_inventory_that_was_overtaken_changes_nothing() {
    let (site, clock) = (site(true), Clock::new());
    let mut live = fresh(&site, clock);
    let newer = InstanceId(Uuid::from_u128(2));
    live.agent_joined(Joined {
        arrival: 7,
        ..joining("agent-1", newer, clock)
    });
    live.agent_joined(Joined {
        arrival: 6,
        ..joining("agent-1", instance(), clock)
    });
    assert!(live.agent_heard(&agent(), newer, clock.agent_ms, clock.now));
    assert!(!live.agent_heard(&agent(), instance(), clock.agent_ms, clock.now));
    assert_eq!(look(&live, &site, clock).0, Condition::Ok);
}

#[test]
fn nothing_that_one_agent_said_is_anothers() {
    let (mine, clock) = (site(true), Clock::new());
    let live = fresh(&mine, clock);
    let mut moved = SiteDevice::clone(mine.device(&device()).unwrap());
    moved.agent = "agent-2".parse().unwrap();
    let site = Site::new(mine.zones().to_vec(), vec![moved]);
    assert_eq!(
        look(&live, &site, clock),
        (Condition::Unknown, vec![CommLost; 3])
    );
}

#[test]
fn an_instance_that_was_replaced_is_not_believed() {
    let (site, clock) = (site(true), Clock::new());
    let mut live = fresh(&site, clock);
    let newer = InstanceId(Uuid::from_u128(2));
    live.agent_joined(joining("agent-1", newer, clock));
    assert!(!live.agent_heard(&agent(), instance(), clock.agent_ms, clock.now));
    let ghost = report(
        9,
        clock,
        &[],
        vec![reading("position", 1.0, Good, clock.wall)],
    );
    assert_eq!(
        live.take(&site, &ghost, clock.now, clock.wall),
        (Vec::new(), vec![LeftOut::Fenced])
    );
    let mut news = report(
        1,
        clock,
        &[],
        vec![reading("position", 2.0, Good, clock.wall)],
    );
    news.instance = newer;
    assert_eq!(
        live.take(&site, &news, clock.now, clock.wall),
        (vec![device()], Vec::new())
    );
}

#[test]
fn devices_of_another_agent_are_left_out() {
    let (site, clock) = (site(true), Clock::new());
    let mut live = joined(clock);
    live.agent_joined(joining("agent-2", instance(), clock));
    let mut foreign = report(
        1,
        clock,
        &[],
        vec![reading("position", 1.0, Good, clock.wall)],
    );
    foreign.agent = "agent-2".parse().unwrap();
    let (changed, left_out) = live.take(&site, &foreign, clock.now, clock.wall);
    assert_eq!(
        (changed, left_out),
        (Vec::new(), vec![LeftOut::NotYours(device())])
    );
}

proptest! {
    #[test]
    fn any_order_of_the_same_reports_ends_in_the_newest_value(order in Just((1..=6u64).collect::<Vec<_>>()).prop_shuffle()) {
        let (site, clock) = (site(true), Clock::new());
        let mut live = joined(clock);
        let arrival = clock.after(7);
        for sequence in order {
            let at = clock.after(sequence).wall;
            #[expect(clippy::cast_precision_loss, reason = "six small numbers")]
            let news = vec![reading("position", sequence as f64, Good, at)];
            live.take(&site, &report(sequence, clock.after(sequence), &[], news), arrival.now, arrival.wall);
        }
        let view = live.view(site.device(&device()).unwrap(), arrival.now, arrival.wall);
        prop_assert_eq!(view.points[0].value.clone(), Some(Value::Number(6.0)));
    }
}

#[test]
fn number_plates_are_masked_for_all_and_kept_for_their_time() {
    let (site, clock) = (site(true), Clock::new());
    let mut live = fresh(&site, clock);
    let mut read = reading("serial", 0.0, Good, clock.wall);
    read.value = Some(Value::Text("12가 3456".to_owned()));
    live.take(
        &site,
        &report(2, clock, &[], vec![read]),
        clock.now,
        clock.wall,
    );
    let device = site.device(&device()).unwrap();
    let seen = |live: &LiveState, clock: Clock| {
        let view = live.view(device, clock.now, clock.wall);
        view.points[2].value.as_ref().map(Value::to_string)
    };
    let whole = |live: &LiveState, clock: Clock| {
        let view = live.whole(device, &"serial".parse().unwrap(), clock.now);
        view.unwrap().value.map(|value| value.to_string())
    };
    assert_eq!(seen(&live, clock).as_deref(), Some("**가 **56"));
    assert_eq!(whole(&live, clock).as_deref(), Some("12가 3456"));
    assert_eq!(
        live.whole(device, &"nothing".parse().unwrap(), clock.now),
        None
    );

    let last = clock.after(KEPT.as_secs());
    live.refresh(&site, last.now, last.wall);
    assert_eq!(whole(&live, last).as_deref(), Some("12가 3456"));
    let over = clock.after(KEPT.as_secs() + 1);
    let told = live.refresh(&site, over.now, over.wall);
    assert_eq!(
        (told.len(), whole(&live, over), seen(&live, over)),
        (1, None, None)
    );
    let position = live.view(device, over.now, over.wall).points[0]
        .value
        .clone();
    assert!(position.is_some(), "what names nobody stays");
}
