//! What is known of every device now: newest readings, their age, and the device's condition.
//!
//! Pure: `now` (monotonic, for age) and `wall` (for people) are arguments. Two rules make it true: a value is only as
//! good as its age allows *at the moment of looking*, and what came late never replaces what is newer.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use contract::alarm::Priority;
use contract::device::{Condition, DeviceView, PointView};
use contract::heartbeat::{HEARTBEAT_PERIOD_MS, HEARTBEATS_MISSED_MAX};
use contract::inventory::{Personal, Point, Profile};
use contract::reading::{DeviceReadings, PollClass, Reading, Readings};
use contract::{AgentId, DeviceId, InstanceId, PointId, Quality};

use super::delay::Delay;
use crate::personal::masked;
use crate::site::{Site, SiteDevice};

/// An agent, or a device that an agent should have heard of, is unknown after this time of silence.
pub(crate) const SILENCE_MAX: Duration =
    Duration::from_millis(HEARTBEAT_PERIOD_MS * HEARTBEATS_MISSED_MAX as u64);

/// A reading is stale when it is older than two of its periods, and never before this.
const STALE_MIN: Duration = Duration::from_secs(5);

/// Older than this is simply old; what counts is that no arithmetic makes it young.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// What the alarm engine knows of a device, as far as its condition depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AlarmSummary {
    pub(crate) active: u32,
    pub(crate) unacknowledged: u32,
    pub(crate) highest: Option<Priority>,
    pub(crate) contact_lost: bool,
}

/// A reading, and when it was true in our own clock.
#[derive(Debug, Clone)]
struct Timed {
    reading: Reading,
    taken: Instant,
}

#[derive(Debug, Default)]
struct DeviceState {
    /// Whose word the rest is: nothing that another agent said is taken for this one's.
    agent: Option<AgentId>,
    points: HashMap<PointId, Timed>,
    polls: BTreeMap<PollClass, (Instant, DateTime<Utc>)>,
    heard: Option<(Instant, DateTime<Utc>)>,
    alarms: AlarmSummary,
    shown: Option<Shown>,
}

/// What people were last told: a change of it is worth telling.
#[derive(Debug, Clone, PartialEq)]
struct Shown {
    condition: Condition,
    since: DateTime<Utc>,
    qualities: Vec<Quality>,
}

#[derive(Debug)]
struct AgentState {
    instance: InstanceId,
    /// The arrival of the inventory that made this instance speak for the agent.
    arrival: u64,
    readings_sequence: u64,
    heard: Instant,
    delay: Delay,
}

/// An inventory that is stored.
#[derive(Debug, Clone)]
pub(crate) struct Joined {
    pub(crate) agent: AgentId,
    pub(crate) instance: InstanceId,
    /// Rises with each inventory that arrives: storing one may take long enough for a newer one to overtake it.
    pub(crate) arrival: u64,
    /// The agent's monotonic clock when it sent the inventory.
    pub(crate) monotonic_ms: u64,
    /// Our clock when it arrived.
    pub(crate) heard: Instant,
}

/// All devices.
#[derive(Debug)]
pub(crate) struct LiveState {
    devices: HashMap<DeviceId, DeviceState>,
    agents: HashMap<AgentId, AgentState>,
    /// For how long personal data is kept after it was read.
    personal_kept: Duration,
}

/// Why readings were left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// The whole report is older than one that came before.
    Late,
    /// It is from an instance that does not, or no longer, speak for its agent.
    Fenced,
    /// No such device, or another agent's.
    NotYours(DeviceId),
}

impl LiveState {
    /// Nothing is known yet.
    pub(crate) fn new(personal_kept: Duration) -> Self {
        Self {
            devices: HashMap::new(),
            agents: HashMap::new(),
            personal_kept,
        }
    }

    /// An agent announced its devices: from now on, this instance speaks for it, and no older one.
    pub(crate) fn agent_joined(&mut self, joined: Joined) {
        if self
            .agents
            .get(&joined.agent)
            .is_some_and(|known| known.arrival > joined.arrival)
        {
            return;
        }
        if let Some(state) = self.agents.get_mut(&joined.agent)
            && state.instance == joined.instance
        {
            state.arrival = joined.arrival;
            return;
        }
        let state = AgentState {
            instance: joined.instance,
            arrival: joined.arrival,
            readings_sequence: 0,
            heard: joined.heard,
            delay: Delay::new(joined.monotonic_ms, joined.heard),
        };
        self.agents.insert(joined.agent, state);
    }

    /// An agent spoke; false when this instance does not speak for it. What waited on its way shows that the agent
    /// lived when it was sent, not now.
    pub(crate) fn agent_heard(
        &mut self,
        agent: &AgentId,
        instance: InstanceId,
        monotonic_ms: u64,
        now: Instant,
    ) -> bool {
        self.heard(agent, instance, monotonic_ms, now).is_some()
    }

    /// When what an agent says was sent.
    fn heard(
        &mut self,
        agent: &AgentId,
        instance: InstanceId,
        monotonic_ms: u64,
        now: Instant,
    ) -> Option<(Instant, &mut AgentState)> {
        let state = self
            .agents
            .get_mut(agent)
            .filter(|state| state.instance == instance)?;
        let sent = state.delay.sent(monotonic_ms, now);
        state.heard = state.heard.max(sent);
        Some((sent, state))
    }

    /// The alarm engine knows something new of a device.
    pub(crate) fn set_alarms(&mut self, device: &DeviceId, alarms: AlarmSummary) -> bool {
        let state = self.devices.entry(device.clone()).or_default();
        let changed = state.alarms != alarms;
        state.alarms = alarms;
        changed
    }

    /// Takes a report in. Returns the devices with something new to show, and what was left out.
    pub(crate) fn take(
        &mut self,
        site: &Site,
        report: &Readings,
        now: Instant,
        wall: DateTime<Utc>,
    ) -> (Vec<DeviceId>, Vec<LeftOut>) {
        let Some((sent, agent)) =
            self.heard(&report.agent, report.instance, report.monotonic_ms, now)
        else {
            return (Vec::new(), vec![LeftOut::Fenced]);
        };
        if report.sequence <= agent.readings_sequence {
            return (Vec::new(), vec![LeftOut::Late]);
        }
        agent.readings_sequence = report.sequence;
        let (mut changed, mut left_out) = (Vec::new(), Vec::new());
        for news in &report.devices {
            if site
                .device(&news.device)
                .is_none_or(|device| device.agent != report.agent)
            {
                left_out.push(LeftOut::NotYours(news.device.clone()));
                continue;
            }
            let state = self.devices.entry(news.device.clone()).or_default();
            if state.agent.as_ref() != Some(&report.agent) {
                let (alarms, shown) = (state.alarms, state.shown.take());
                *state = DeviceState {
                    agent: Some(report.agent.clone()),
                    alarms,
                    shown,
                    ..DeviceState::default()
                };
            }
            // The agent's wall clock may be wrong, but the difference of two of its stamps is not.
            let taken = |at: DateTime<Utc>| {
                let age = (report.sent_at - at)
                    .to_std()
                    .unwrap_or_default()
                    .min(AGE_MAX);
                sent.checked_sub(age)
                    .expect("clocks of operating systems reach further back")
            };
            if state.take(news, taken, wall) {
                changed.push(news.device.clone());
            }
        }
        (changed, left_out)
    }

    /// Looks at every device again: returns those whose condition, or the quality of a point, is no longer as shown.
    pub(crate) fn refresh(
        &mut self,
        site: &Site,
        now: Instant,
        wall: DateTime<Utc>,
    ) -> Vec<DeviceId> {
        let mut changed = Vec::new();
        self.devices.retain(|id, _| site.device(id).is_some());
        for device in site.devices() {
            let agent_alive = self.agent_is_alive(&device.agent, now);
            let state = self.devices.entry(device.id.clone()).or_default();
            let silent = state.is_silent(device, agent_alive, now);
            let condition = state.condition(device, silent);
            let profile = &device.profile;
            let forgotten = state.forget_personal(profile, self.personal_kept, now);
            let qualities: Vec<_> = profile
                .points
                .iter()
                .map(|point| state.point(point, silent, now).quality)
                .collect();
            let before = state.shown.as_ref();
            let same = |shown: &Shown| shown.condition == condition && shown.qualities == qualities;
            if !forgotten && before.is_some_and(same) {
                continue;
            }
            let since = before
                .filter(|shown| shown.condition == condition)
                .map_or(wall, |shown| shown.since);
            state.shown = Some(Shown {
                condition,
                since,
                qualities,
            });
            changed.push(device.id.clone());
        }
        changed
    }

    /// One device as it can be vouched for at `now`.
    pub(crate) fn view(
        &self,
        device: &SiteDevice,
        now: Instant,
        wall: DateTime<Utc>,
    ) -> DeviceView {
        let nothing = DeviceState::default();
        let state = self.devices.get(&device.id).unwrap_or(&nothing);
        let profile = &device.profile;
        let silent = state.is_silent(device, self.agent_is_alive(&device.agent, now), now);
        let condition = state.condition(device, silent);
        let since = state
            .shown
            .as_ref()
            .filter(|shown| shown.condition == condition)
            .map_or(wall, |shown| shown.since);
        DeviceView {
            id: device.id.clone(),
            name: device.name.clone(),
            zone: device.zone.clone(),
            lane: device.lane.clone(),
            profile: profile.id.clone(),
            class: profile.class.clone(),
            agent: device.agent.clone(),
            condition,
            condition_since: since,
            highest_alarm: state.alarms.highest,
            active_alarms: state.alarms.active,
            unacknowledged_alarms: state.alarms.unacknowledged,
            last_heard_at: state.heard.map(|(_, at)| at),
            points: profile
                .points
                .iter()
                .map(|point| state.point(point, silent, now))
                .collect(),
        }
    }

    /// The newest value of a point that carries personal data, whole: the only way to it. The caller answers for its being
    /// written down who sees it.
    pub(crate) fn whole(
        &self,
        device: &SiteDevice,
        point: &PointId,
        now: Instant,
    ) -> Option<PointView> {
        let known = device
            .profile
            .points
            .iter()
            .find(|known| known.id == *point)?;
        let nothing = DeviceState::default();
        let state = self.devices.get(&device.id).unwrap_or(&nothing);
        let silent = state.is_silent(device, self.agent_is_alive(&device.agent, now), now);
        Some(state.whole_point(known, silent, now))
    }

    fn agent_is_alive(&self, agent: &AgentId, now: Instant) -> bool {
        self.agents
            .get(agent)
            .is_some_and(|state| now.saturating_duration_since(state.heard) < SILENCE_MAX)
    }
}

impl DeviceState {
    /// Takes news of this device in; true when there is something new to show.
    fn take(
        &mut self,
        news: &DeviceReadings,
        taken: impl Fn(DateTime<Utc>) -> Instant,
        wall: DateTime<Utc>,
    ) -> bool {
        let mut heard: Option<Instant> = None;
        for (class, at) in &news.polls {
            let when = taken(*at);
            heard = heard.max(Some(when));
            let known = self.polls.entry(*class).or_insert((when, *at));
            if when >= known.0 {
                *known = (when, *at);
            }
        }
        let mut changed = false;
        for reading in &news.readings {
            let when = taken(reading.at);
            if matches!(
                reading.quality,
                Quality::Good | Quality::Suspect | Quality::Bad
            ) {
                heard = heard.max(Some(when));
            }
            if self
                .points
                .get(&reading.point)
                .is_none_or(|known| known.taken <= when)
            {
                self.points.insert(
                    reading.point.clone(),
                    Timed {
                        reading: reading.clone(),
                        taken: when,
                    },
                );
                changed = true;
            }
        }
        if let Some(when) = heard
            && self.heard.is_none_or(|(known, _)| known <= when)
        {
            self.heard = Some((when, wall));
        }
        changed
    }

    /// Whether nobody can say how this device is now.
    fn is_silent(&self, device: &SiteDevice, agent_alive: bool, now: Instant) -> bool {
        let foreign = self.agent.as_ref() != Some(&device.agent);
        let long_ago = |heard: Instant| now.saturating_duration_since(heard) >= SILENCE_MAX;
        !agent_alive
            || foreign
            || self.alarms.contact_lost
            || self.heard.is_none_or(|(heard, _)| long_ago(heard))
    }

    fn condition(&self, device: &SiteDevice, silent: bool) -> Condition {
        if !device.approved {
            Condition::Unregistered
        } else if silent {
            Condition::Unknown
        } else if self.alarms.active > 0 {
            Condition::Faulty
        } else {
            Condition::Ok
        }
    }

    /// Erases personal data that was read too long ago; true when there was some.
    fn forget_personal(&mut self, profile: &Profile, kept: Duration, now: Instant) -> bool {
        let mut forgotten = false;
        for point in profile
            .points
            .iter()
            .filter(|point| point.personal.is_some())
        {
            if let Some(Timed { reading, taken }) = self.points.get_mut(&point.id)
                && now.saturating_duration_since(*taken) > kept
            {
                forgotten |= reading.value.take().is_some();
            }
        }
        forgotten
    }

    /// A point as everybody may see it.
    fn point(&self, point: &Point, silent: bool, now: Instant) -> PointView {
        let mut view = self.whole_point(point, silent, now);
        match point.personal {
            Some(Personal::NumberPlate) => view.value = view.value.as_ref().map(masked),
            None => {}
        }
        view
    }

    fn whole_point(&self, point: &Point, silent: bool, now: Instant) -> PointView {
        let Some(Timed { reading, taken }) = self.points.get(&point.id) else {
            return PointView {
                point: point.id.clone(),
                value: None,
                quality: Quality::Unknown,
                at: None,
            };
        };
        let (mut quality, mut at, mut taken) = (reading.quality, reading.at, *taken);
        if matches!(quality, Quality::Good | Quality::Suspect) {
            // A poll that brought nothing new confirms what was read before.
            if let Some((polled, polled_at)) = self.polls.get(&point.poll).copied()
                && polled > taken
            {
                (taken, at) = (polled, polled_at);
            }
            if silent {
                quality = Quality::CommLost;
            } else if now.saturating_duration_since(taken) > stale_after(point) {
                quality = Quality::Stale;
            }
        }
        PointView {
            point: point.id.clone(),
            value: reading.value.clone(),
            quality,
            at: Some(at),
        }
    }
}

/// How old a reading of this point may become before it is stale. What is read once for each connection never is.
fn stale_after(point: &Point) -> Duration {
    match point.poll {
        PollClass::Once => Duration::MAX,
        PollClass::Fast | PollClass::Normal | PollClass::Slow => {
            Duration::from_millis(point.period_ms)
                .saturating_mul(2)
                .max(STALE_MIN)
        }
    }
}

#[cfg(test)]
mod tests;
