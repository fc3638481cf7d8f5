//! Live state: the task that owns what is known of every device now, and says so when it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use contract::device::{Condition, DeviceView, PointView, ZoneView};
use contract::reading::Readings;
use contract::{AgentId, DeviceId, InstanceId, PointId, ZoneId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

mod delay;
mod state;

pub(crate) use state::{AlarmSummary, Joined};
use state::{LeftOut, LiveState};

use crate::announce::{Announcer, Topic};
use crate::mailbox::Mailbox;
use crate::observability::count_readings;
use crate::site::Site;

/// Reports that wait. When it is full, whoever reports waits, and with them the socket they are read from; a report
/// that waited is known to be old by its sender's monotonic clock.
const QUEUE: usize = 1024;

/// A device is shown at most four times a second, however often it changes: people cannot read faster.
const SHOW_EVERY: Duration = Duration::from_millis(250);

enum Request {
    AgentJoined(Joined),
    AgentHeard {
        agent: AgentId,
        instance: InstanceId,
        monotonic_ms: u64,
        heard: Instant,
    },
    Readings {
        report: Readings,
        now: Instant,
    },
    Alarms {
        device: DeviceId,
        summary: AlarmSummary,
    },
    Devices {
        reply: oneshot::Sender<Vec<DeviceView>>,
    },
    Device {
        id: DeviceId,
        reply: oneshot::Sender<Option<DeviceView>>,
    },
    Whole {
        device: DeviceId,
        point: PointId,
        reply: oneshot::Sender<Option<PointView>>,
    },
}

/// The public face of the task.
#[derive(Debug, Clone)]
pub(crate) struct LiveHandle {
    mailbox: Mailbox<Request>,
}

impl LiveHandle {
    /// An inventory came, and the site holds it: its instance speaks for its agent now.
    pub(crate) async fn agent_joined(&self, joined: Joined) {
        self.mailbox.tell(Request::AgentJoined(joined)).await;
    }

    /// A heart-beat came.
    pub(crate) async fn agent_heard(
        &self,
        agent: AgentId,
        instance: InstanceId,
        monotonic_ms: u64,
        heard: Instant,
    ) {
        self.mailbox
            .tell(Request::AgentHeard {
                agent,
                instance,
                monotonic_ms,
                heard,
            })
            .await;
    }

    /// Readings came.
    pub(crate) async fn readings(&self, report: Readings) {
        self.mailbox
            .tell(Request::Readings {
                report,
                now: Instant::now(),
            })
            .await;
    }

    /// The alarms of a device changed.
    pub(crate) async fn alarms(&self, device: DeviceId, summary: AlarmSummary) {
        self.mailbox.tell(Request::Alarms { device, summary }).await;
    }

    /// Every device, in the order of the site.
    pub(crate) async fn devices(&self) -> Vec<DeviceView> {
        self.mailbox.ask(|reply| Request::Devices { reply }).await
    }

    /// The whole value of a point that carries personal data: masked everywhere else.
    pub(crate) async fn whole(&self, device: &DeviceId, point: &PointId) -> Option<PointView> {
        self.mailbox
            .ask(|reply| Request::Whole {
                device: device.clone(),
                point: point.clone(),
                reply,
            })
            .await
    }

    /// One device.
    pub(crate) async fn device(&self, id: &DeviceId) -> Option<DeviceView> {
        self.mailbox
            .ask(|reply| Request::Device {
                id: id.clone(),
                reply,
            })
            .await
    }
}

/// The zones of a site with what their devices add up to.
pub(crate) fn zone_views<'a>(
    site: &Site,
    devices: impl Iterator<Item = &'a DeviceView>,
) -> Vec<ZoneView> {
    let empty = |zone: &crate::site::Zone| ZoneView {
        id: zone.id.clone(),
        name: zone.name.clone(),
        devices: 0,
        unknown: 0,
        faulty: 0,
        highest_alarm: None,
        active_alarms: 0,
        unacknowledged_alarms: 0,
    };
    let mut zones: Vec<_> = site.zones().iter().map(empty).collect();
    let places: BTreeMap<ZoneId, usize> = zones
        .iter()
        .enumerate()
        .map(|(place, zone)| (zone.id.clone(), place))
        .collect();
    for device in devices {
        let Some(zone) = places
            .get(&device.zone)
            .and_then(|place| zones.get_mut(*place))
        else {
            continue;
        };
        zone.devices += 1;
        zone.unknown += u32::from(device.condition == Condition::Unknown);
        zone.faulty += u32::from(device.condition == Condition::Faulty);
        zone.active_alarms += device.active_alarms;
        zone.unacknowledged_alarms += device.unacknowledged_alarms;
        zone.highest_alarm = match (zone.highest_alarm, device.highest_alarm) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
    zones
}

/// The task.
pub(crate) struct Live {
    state: LiveState,
    site: watch::Receiver<Arc<Site>>,
    announcer: Announcer,
    requests: mpsc::Receiver<Request>,
    changed: BTreeSet<DeviceId>,
    conditions_shown: BTreeMap<DeviceId, Condition>,
    zones_shown: BTreeMap<ZoneId, ZoneView>,
}

impl Live {
    /// The task and its handle.
    pub(crate) fn new(
        site: watch::Receiver<Arc<Site>>,
        announcer: Announcer,
        personal_kept: Duration,
    ) -> (Self, LiveHandle) {
        let (mailbox, requests) = Mailbox::new(QUEUE);
        let live = Self {
            state: LiveState::new(personal_kept),
            site,
            announcer,
            requests,
            changed: BTreeSet::new(),
            conditions_shown: BTreeMap::new(),
            zones_shown: BTreeMap::new(),
        };
        (live, LiveHandle { mailbox })
    }

    /// Works until nobody can ask any more.
    pub(crate) async fn run(mut self) {
        let mut tick = tokio::time::interval(SHOW_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(request) => self.on_request(request),
                    None => return,
                },
                _ = tick.tick() => self.show(),
            }
        }
    }

    fn on_request(&mut self, request: Request) {
        let site = Arc::clone(&self.site.borrow());
        let (now, wall) = (Instant::now(), Utc::now());
        match request {
            Request::AgentJoined(joined) => self.state.agent_joined(joined),
            Request::AgentHeard {
                agent,
                instance,
                monotonic_ms,
                heard,
            } => {
                if !self
                    .state
                    .agent_heard(&agent, instance, monotonic_ms, heard)
                {
                    tracing::warn!(agent.id = %agent, "a heart-beat of an instance that does not speak for its agent was left out");
                }
            }
            Request::Readings { report, now } => {
                count_readings();
                let (changed, left_out) = self.state.take(&site, &report, now, wall);
                self.changed.extend(changed);
                for reason in left_out {
                    match reason {
                        LeftOut::Late => {
                            tracing::debug!(agent.id = %report.agent, report.sequence, "readings came too late")
                        }
                        LeftOut::Fenced => {
                            tracing::warn!(agent.id = %report.agent, "readings of an instance that does not speak for its agent were left out")
                        }
                        LeftOut::NotYours(device) => {
                            tracing::warn!(agent.id = %report.agent, equipment.id = %device, "readings of a device that this agent did not announce were left out");
                        }
                    }
                }
            }
            Request::Alarms { device, summary } => {
                if self.state.set_alarms(&device, summary) {
                    self.changed.insert(device);
                }
            }
            // Whoever asked may have gone.
            Request::Devices { reply } => {
                let devices = site
                    .devices()
                    .map(|device| self.state.view(device, now, wall))
                    .collect();
                drop(reply.send(devices));
            }
            Request::Whole {
                device,
                point,
                reply,
            } => {
                let device = site.device(&device);
                drop(reply.send(device.and_then(|device| self.state.whole(device, &point, now))));
            }
            Request::Device { id, reply } => {
                drop(
                    reply.send(
                        site.device(&id)
                            .map(|device| self.state.view(device, now, wall)),
                    ),
                );
            }
        }
    }

    /// Shows what changed since the last time, by messages or by the mere passing of time.
    fn show(&mut self) {
        let site = Arc::clone(&self.site.borrow());
        let (now, wall) = (Instant::now(), Utc::now());
        self.changed.extend(self.state.refresh(&site, now, wall));
        if self.changed.is_empty() {
            return;
        }
        let mut zones = BTreeSet::new();
        for id in std::mem::take(&mut self.changed) {
            let Some(device) = site.device(&id) else {
                continue;
            };
            zones.insert(device.zone.clone());
            let view = self.state.view(device, now, wall);
            self.announcer.device(device, &view, wall);
            // What a device can be told depends on its condition.
            if self.conditions_shown.insert(id.clone(), view.condition) != Some(view.condition) {
                self.announcer.changed(&device.zone, &Topic::Commands(&id));
            }
        }
        let views: Vec<_> = site
            .devices()
            .map(|device| self.state.view(device, now, wall))
            .collect();
        for zone in zone_views(&site, views.iter()) {
            if zones.contains(&zone.id) && self.zones_shown.get(&zone.id) != Some(&zone) {
                self.announcer.zone(&zone, wall);
                self.zones_shown.insert(zone.id.clone(), zone);
            }
        }
    }
}
