//! The only task that touches alarms: events and people's actions in; records, live state and announcements out.
//!
//! Durable before acknowledged: memory changes only after the commit, and the answer comes after both. Events of one
//! frame are one transaction.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use contract::alarm::{Acknowledge, Acknowledgement, AlarmState, AlarmView, Priority};
use contract::event::{Event, Events, Happening};
use contract::{AgentId, Destination, DeviceId, Epoch, FaultCode, Text, Value};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::state::{self, Condition, Effect};
use super::{AcknowledgeError, Actor, Request};
use crate::announce::{Announcer, Topic};
use crate::identity::in_force::InForce;
use crate::identity::policy::{Denial, Permission, Place};
use crate::live::{AlarmSummary, LiveHandle};
use crate::observability::{EventOutcome, count_event};
use crate::personal::{carries_plates, masked, without_plates};
use crate::site::Site;
use crate::store::alarm::{OpenAlarm, Raise, Transition};
use crate::store::audit::AuditEntry;
use crate::store::event::Novelty;
use crate::store::{Store, StoreError, Unit};
use crate::wire;

type Key = (DeviceId, FaultCode);

/// Alarms as a transaction is about to leave them.
type Staged = HashMap<Key, OpenAlarm>;

/// The task.
pub(crate) struct Engine {
    store: Store,
    policy: InForce,
    site: watch::Receiver<Arc<Site>>,
    live: LiveHandle,
    announcer: Announcer,
    open: HashMap<Key, OpenAlarm>,
    shown: watch::Sender<Arc<Vec<AlarmView>>>,
    /// Set while nobody knows whether the last transaction was committed: its answer was lost. Memory is read anew then,
    /// before anything else is decided on it.
    doubtful: bool,
}

impl Engine {
    /// Takes up where the records end: every alarm that is not normal, as it was.
    pub(crate) async fn load(
        store: Store,
        policy: InForce,
        site: watch::Receiver<Arc<Site>>,
        live: LiveHandle,
        announcer: Announcer,
        shown: watch::Sender<Arc<Vec<AlarmView>>>,
    ) -> Result<Self, StoreError> {
        let mut engine = Self {
            store,
            policy,
            site,
            live,
            announcer,
            open: HashMap::new(),
            shown,
            doubtful: true,
        };
        engine.settle().await?;
        Ok(engine)
    }

    /// Works until nobody can ask any more.
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(request) = requests.recv().await {
            // Whoever asked may have gone: their socket closed. What they asked for is done all the same.
            match request {
                Request::Record { events, reply } => drop(reply.send(self.record(events).await)),
                Request::Acknowledge {
                    alarm,
                    seen,
                    actor,
                    at,
                    reply,
                } => {
                    drop(reply.send(self.acknowledge(alarm, seen, *actor, at).await));
                }
                Request::SiteChanged => self.retell().await,
            }
        }
    }

    /// Makes memory what the records say, where that is in doubt, and tells everybody the differences.
    async fn settle(&mut self) -> Result<(), StoreError> {
        if !self.doubtful {
            return Ok(());
        }
        let stored = self.store.open_alarms().await?;
        let stored: HashMap<Key, OpenAlarm> = stored
            .into_iter()
            .map(|alarm| ((alarm.device.clone(), alarm.code.clone()), alarm))
            .collect();
        let mut differing: Staged = stored.clone();
        differing.retain(|key, alarm| self.open.get(key) != Some(alarm));
        for (key, alarm) in &self.open {
            if !stored.contains_key(key) {
                let condition = Condition {
                    active: false,
                    acknowledged: true,
                    ..alarm.condition
                };
                differing.insert(
                    key.clone(),
                    OpenAlarm {
                        condition,
                        ..alarm.clone()
                    },
                );
            }
        }
        self.doubtful = false;
        self.adopt(differing).await;
        Ok(())
    }

    /// Commits; when the answer is lost, nobody knows what is stored.
    async fn commit(&mut self, unit: Unit<'_>) -> Result<(), StoreError> {
        self.doubtful = true;
        unit.commit().await?;
        self.doubtful = false;
        Ok(())
    }

    /// Says everything of every open alarm again: names, zones and summaries come from the site.
    async fn retell(&self) {
        self.show();
        let devices: HashSet<_> = self.open.keys().map(|(device, _)| device.clone()).collect();
        for device in devices {
            self.tell_live(&device).await;
        }
        for zone in self.site.borrow().zones() {
            self.announcer.changed(&zone.id, &Topic::Alarms);
        }
    }

    fn show(&self) {
        self.shown.send_replace(Arc::new(self.views()));
    }

    async fn record(&mut self, events: Events) -> Result<(), StoreError> {
        self.settle().await?;
        let site = Arc::clone(&self.site.borrow());
        let mut unit = self.store.begin().await?;
        let mut staged = Staged::new();
        for event in &events.events {
            if let Err(refused) = acceptable(&site, &events.agent, event) {
                self.quarantine(&mut unit, &events, event, &refused).await?;
                continue;
            }
            let event = &match site.known(&event.device) {
                Some(device) => without_plates(&device.profile, event.clone()),
                None => event.clone(),
            };
            match Store::put_event(&mut unit, &events.agent, events.epoch, event).await? {
                Novelty::New => {
                    count_event(EventOutcome::Stored);
                    self.follow(&mut unit, &mut staged, &events.agent, events.epoch, event)
                        .await?
                }
                Novelty::Known => count_event(EventOutcome::Repeated),
                Novelty::Conflicting => {
                    let reason = "another event is stored under the same agent, epoch and sequence";
                    self.quarantine(&mut unit, &events, event, reason).await?;
                }
            }
        }
        self.commit(unit).await?;
        self.adopt(staged).await;
        Ok(())
    }

    async fn quarantine(
        &self,
        unit: &mut Unit<'_>,
        events: &Events,
        event: &Event,
        reason: &str,
    ) -> Result<(), StoreError> {
        count_event(EventOutcome::Quarantined);
        tracing::error!(agent.id = %events.agent, sequence = event.sequence, reason, "an event was refused for good and kept in quarantine");
        let body = serde_json::to_vec(event).expect("an event can be written");
        Store::quarantine(
            unit,
            events.agent.as_str(),
            &Destination::Events.to_string(),
            reason,
            &body,
        )
        .await
    }

    /// Stores what follows from one new event.
    async fn follow(
        &self,
        unit: &mut Unit<'_>,
        staged: &mut Staged,
        agent: &AgentId,
        epoch: Epoch,
        event: &Event,
    ) -> Result<(), StoreError> {
        let (Happening::FaultRaised { fault, .. } | Happening::FaultCleared { fault }) =
            &event.happening;
        let key = (event.device.clone(), fault.clone());
        let known = staged.get(&key).or_else(|| self.open.get(&key)).cloned();
        // An alarm that is not open has nothing to say about its past here: its next occurrence is its first.
        let condition = known.as_ref().map_or(
            Condition {
                active: false,
                acknowledged: true,
                occurrence: 0,
                count: 0,
            },
            |alarm| alarm.condition,
        );
        let happened = match &event.happening {
            Happening::FaultRaised { .. } => state::Event::Raise,
            Happening::FaultCleared { .. } => state::Event::Clear,
        };
        let effect = condition
            .handle(happened)
            .expect("only an acknowledgement can be superseded");
        let next = match (effect, &event.happening, known) {
            (
                Effect::Raise { count },
                Happening::FaultRaised {
                    severity, detail, ..
                },
                _,
            ) => {
                let priority = Priority::from(*severity);
                let detail = detail.as_ref();
                raise(
                    unit,
                    Raise {
                        agent,
                        epoch,
                        event,
                        code: fault,
                        priority,
                        detail,
                        count,
                    },
                )
                .await?
            }
            (Effect::Clear(condition), _, Some(alarm)) => {
                clear(unit, agent, event, alarm, condition).await?
            }
            _ => return Ok(()),
        };
        staged.insert(key, next);
        Ok(())
    }

    /// The open alarm that somebody may acknowledge, or why not, and what that is about.
    fn may_acknowledge(
        &self,
        site: &Site,
        number: i64,
        actor: &Actor,
        at: DateTime<Utc>,
    ) -> Result<&OpenAlarm, (AcknowledgeError, String)> {
        let known = self.open.values().find(|open| open.id == number);
        let known = known.and_then(|alarm| Some((alarm, site.known(&alarm.device)?)));
        let Some((alarm, device)) = known else {
            return Err((AcknowledgeError::NotOpen(number), number.to_string()));
        };
        let (permission, here) = (Permission::AlarmAcknowledge, Place::In(&device.zone));
        let decided = self
            .policy
            .now()
            .decide(&actor.principal, permission, here, at);
        match decided {
            Ok(()) => Ok(alarm),
            Err(denial) => {
                let refused = match denial {
                    Denial::NotGranted => AcknowledgeError::Forbidden(device.zone.clone()),
                    Denial::SecondFactorNeeded => AcknowledgeError::SecondFactorNeeded,
                };
                Err((refused, format!("{}/{}", alarm.device, alarm.code)))
            }
        }
    }

    async fn acknowledge(
        &mut self,
        number: i64,
        seen: Acknowledge,
        actor: Actor,
        at: DateTime<Utc>,
    ) -> Result<AlarmView, AcknowledgeError> {
        self.settle().await?;
        let site = Arc::clone(&self.site.borrow());
        let allowed = self.may_acknowledge(&site, number, &actor, at);
        let mut alarm = match allowed {
            Ok(alarm) => alarm.clone(),
            Err((refused, subject)) => {
                let outcome = refused.to_string();
                let entry = AuditEntry::by(&actor, "alarm.acknowledge", &subject)
                    .detail(json!({"alarm": number, "occurrence": seen.occurrence}))
                    .outcome(&outcome);
                self.store.audit_alone(entry).await?;
                return Err(match refused {
                    // As for one that there is not, and as soon: numbers would tell what happens elsewhere.
                    AcknowledgeError::Forbidden(zone)
                        if !self.policy.now().may_see(&actor.principal, &zone) =>
                    {
                        AcknowledgeError::NotOpen(number)
                    }
                    refused => refused,
                });
            }
        };
        let effect = alarm.condition.handle(state::Event::Acknowledge {
            occurrence: seen.occurrence,
        })?;
        let Effect::Acknowledge(condition) = effect else {
            return Ok(view(&site, &alarm)); // Somebody was faster: the answer says who.
        };
        let by = Acknowledgement {
            by: actor.principal.subject.clone(),
            at,
        };
        let mut unit = self.store.begin().await?;
        Store::acknowledge_alarm(&mut unit, alarm.id, condition, &by, seen.note.as_deref()).await?;
        let transition = Transition {
            action: "acknowledge",
            actor: &by.by,
            note: seen.note.as_deref(),
            source_at: at,
        };
        Store::journal_alarm(&mut unit, alarm.id, condition, transition).await?;
        let subject = format!("{}/{}", alarm.device, alarm.code);
        let entry = AuditEntry::by(&actor, "alarm.acknowledge", &subject)
            .detail(json!({"alarm": alarm.id, "occurrence": seen.occurrence}))
            .reason(seen.note.as_deref());
        Store::audit(&mut unit, entry).await?;
        self.commit(unit).await?;
        alarm.condition = condition;
        alarm.acknowledged = Some(by);
        let answer = view(&site, &alarm);
        self.adopt(Staged::from([(
            (alarm.device.clone(), alarm.code.clone()),
            alarm,
        )]))
        .await;
        Ok(answer)
    }

    /// Makes stored changes true in memory and tells everybody.
    async fn adopt(&mut self, staged: Staged) {
        let site = Arc::clone(&self.site.borrow());
        let mut devices = HashSet::new();
        let mut told = Vec::with_capacity(staged.len());
        for (key, alarm) in staged {
            devices.insert(key.0.clone());
            let view = view(&site, &alarm);
            if view.state == AlarmState::Normal {
                self.open.remove(&key);
            } else {
                self.open.insert(key, alarm);
            }
            told.push(view);
        }
        // Whoever is told to look again must find it.
        self.show();
        for view in &told {
            self.announcer.alarm(view);
        }
        for device in devices {
            self.tell_live(&device).await;
        }
    }

    async fn tell_live(&self, device: &DeviceId) {
        let mut summary = AlarmSummary::default();
        for ((owner, code), alarm) in &self.open {
            if owner != device {
                continue;
            }
            summary.unacknowledged += u32::from(!alarm.condition.acknowledged);
            if alarm.condition.active {
                summary.active += 1;
                summary.highest = Some(
                    summary
                        .highest
                        .map_or(alarm.priority, |highest| highest.min(alarm.priority)),
                );
                summary.contact_lost |= code.is_contact_lost();
            }
        }
        self.live.alarms(device.clone(), summary).await;
    }

    fn views(&self) -> Vec<AlarmView> {
        let site = Arc::clone(&self.site.borrow());
        let mut views: Vec<_> = self.open.values().map(|alarm| view(&site, alarm)).collect();
        views.sort_by(web_ui::alarm_order);
        views
    }
}

/// Whether an event can be stored at all; else why not.
fn acceptable(site: &Site, agent: &AgentId, event: &Event) -> Result<(), String> {
    match site.known(&event.device) {
        None => return Err(format!("no inventory names the device {}", event.device)),
        Some(device) if device.agent != *agent => {
            return Err(format!(
                "the device {} belongs to the agent {}",
                event.device, device.agent
            ));
        }
        Some(_) => {}
    }
    if i64::try_from(event.sequence).is_err() {
        return Err("its sequence is beyond 2^63".to_owned());
    }
    if !wire::is_storable(event.at) {
        return Err(format!(
            "its time {} is not between the years 1970 and 9999",
            event.at
        ));
    }
    Ok(())
}

async fn raise(unit: &mut Unit<'_>, raise: Raise<'_>) -> Result<OpenAlarm, StoreError> {
    let mut alarm = OpenAlarm {
        id: 0,
        device: raise.event.device.clone(),
        code: raise.code.clone(),
        priority: raise.priority,
        condition: Condition {
            active: true,
            acknowledged: false,
            occurrence: 0,
            count: raise.count,
        },
        detail: raise.detail.cloned(),
        raised_at: raise.event.at,
        received_at: raise.event.at,
        cleared_at: None,
        acknowledged: None,
    };
    let actor = raise.agent;
    let source_at = raise.event.at;
    let stored = Store::raise_alarm(unit, raise).await?;
    alarm.id = stored.alarm;
    alarm.condition.occurrence = stored.occurrence;
    alarm.received_at = stored.received_at;
    let transition = Transition {
        action: "raise",
        actor: actor.as_str(),
        note: None,
        source_at,
    };
    Store::journal_alarm(unit, alarm.id, alarm.condition, transition).await?;
    Ok(alarm)
}

async fn clear(
    unit: &mut Unit<'_>,
    agent: &AgentId,
    event: &Event,
    mut alarm: OpenAlarm,
    condition: Condition,
) -> Result<OpenAlarm, StoreError> {
    Store::clear_alarm(unit, alarm.id, condition, event.at).await?;
    let transition = Transition {
        action: "clear",
        actor: agent.as_str(),
        note: None,
        source_at: event.at,
    };
    Store::journal_alarm(unit, alarm.id, condition, transition).await?;
    alarm.condition = condition;
    alarm.cleared_at = Some(event.at);
    Ok(alarm)
}

/// An alarm as people and programs see it.
fn view(site: &Site, alarm: &OpenAlarm) -> AlarmView {
    let device = site.known(&alarm.device);
    let unnamed = || Text {
        ko: alarm.device.to_string(),
        en: alarm.device.to_string(),
    };
    let mut text = device.map_or_else(
        || Text {
            ko: alarm.code.to_string(),
            en: alarm.code.to_string(),
        },
        |device| device.fault_text(&alarm.code),
    );
    // It was stored masked, unless its profile says only since then that it carries plates.
    let carries = device.is_some_and(|device| carries_plates(&device.profile, &alarm.code));
    let seen = alarm.detail.as_ref();
    let seen = seen.map(|detail| {
        if carries {
            masked(detail)
        } else {
            detail.clone()
        }
    });
    let detail = seen.as_ref().map(Value::to_string).unwrap_or_default();
    for words in [&mut text.ko, &mut text.en] {
        *words = words.replace("{value}", &detail).trim_end().to_owned();
    }
    AlarmView {
        id: alarm.id,
        device: alarm.device.clone(),
        device_name: device.map_or_else(unnamed, |device| device.name.clone()),
        zone: device.map_or_else(unknown_zone, |device| device.zone.clone()),
        lane: device.and_then(|device| device.lane.clone()),
        code: alarm.code.clone(),
        text,
        priority: alarm.priority,
        state: alarm.condition.state(),
        occurrence: alarm.condition.occurrence,
        count: alarm.condition.count,
        raised_at: alarm.raised_at,
        received_at: alarm.received_at,
        cleared_at: alarm.cleared_at,
        acknowledged: alarm.acknowledged.clone(),
        detail: seen,
    }
}

/// Where the alarms of retired devices are shown.
fn unknown_zone() -> contract::ZoneId {
    "retired".parse().expect("a valid zone id")
}
