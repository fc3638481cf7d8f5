//! Where every transport ends: the broker's guard and handler of Landside.
//!
//! A message means the same, is guarded the same and is answered the same, whichever way it came.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use broker::{Action, Admission, Denied, Guard, Handler, Peer, Refusal, SessionInfo};
use chrono::Utc;
use contract::alarm::Acknowledge;
use contract::command::{CommandRequest, CommandResult};
use contract::destination::AlarmAction;
use contract::event::{Events, MAX_EVENTS_PER_FRAME};
use contract::heartbeat::Heartbeat;
use contract::inventory::{CommandType, Inventory};
use contract::reading::Readings;
use contract::{AgentId, Destination};
use serde::de::DeserializeOwned;
use stomp::Frame;
use tokio::sync::watch;

use crate::alarm::{AcknowledgeError, Actor, AlarmHandle};
use crate::audit::AuditEntry;
use crate::command::{AgentLink, CommandError, CommandHandle};
use crate::config::IdentityConfig;
use crate::identity::authenticator::Authenticator;
use crate::identity::certificates::{Certificates, Mismatch};
use crate::identity::idle_lock::{Asleep, admit, admit_command, is_proof_locked};
use crate::identity::in_force::InForce;
use crate::identity::passcode::{Passcodes, passcode_of};
use crate::identity::policy::{Permission, Place, Right};
use crate::identity::principal::Principal;
use crate::identity::record::Record;
use crate::identity::standing::Revoked;
use crate::identity::token::TokenError;
use crate::keeper::SiteKeeper;
use crate::live::{Joined, LiveHandle};
use crate::site::Site;
use crate::store::{Store, StoreError};
use crate::wire;

mod refusal;

use refusal::{denied, exists};

/// Lets in whoever brings a good token, and decides by the policy what they may do.
#[derive(Debug, Clone)]
pub(crate) struct Doorkeeper {
    pub(crate) authenticator: Authenticator,
    pub(crate) policy: InForce,
    pub(crate) site: watch::Receiver<Arc<Site>>,
    pub(crate) certificates: Certificates,
    /// Where a login and a passcode are enough.
    pub(crate) passcodes: Option<Arc<Passcodes>>,
}

impl Guard for Doorkeeper {
    type Principal = Principal;

    async fn authenticate(
        &self,
        frame: &Frame,
        peer: &Peer,
    ) -> Result<Admission<Principal>, Denied> {
        if let Some(passcodes) = &self.passcodes
            && let Some((login, passcode)) = passcode_of(frame)
        {
            let principal = passcodes.admit(login, passcode, peer).await?;
            self.certificates
                .check(&principal, peer)
                .map_err(mismatched)?;
            return Ok(Admission {
                subject: principal.subject.clone(),
                reserved: principal.is_machine(),
                principal,
                expires_at: None,
            });
        }
        let token = broker::token_of(frame).ok_or_else(|| {
            Denied::unauthenticated(
                // Clients read this before they know that colons are escaped: there is none.
                "a token is needed; send it as `passcode`, or behind `Bearer` in `Authorization` (in Socket.IO as `token`)",
            )
        })?;
        let from = peer.address.ip();
        let checked = self.authenticator.authenticate(token, from).await;
        let checked = checked.map_err(|error| match error {
            TokenError::Expired => Denied::token_expired(),
            TokenError::Revoked(revoked) => token_revoked(&revoked),
            TokenError::Unavailable => Denied::new("unavailable", error.to_string()),
            TokenError::Invalid(_) => Denied::unauthenticated(error.to_string()),
        })?;
        let matching = self.certificates.check(&checked.principal, peer);
        matching.map_err(mismatched)?;
        Ok(Admission {
            subject: checked.principal.subject.clone(),
            reserved: checked.principal.is_machine(),
            principal: checked.principal,
            expires_at: Some(checked.expires_at),
        })
    }

    fn authorize(
        &self,
        principal: &Principal,
        action: Action,
        destination: &str,
    ) -> Result<(), Denied> {
        let right = match action {
            Action::Send => Right::Send,
            Action::Subscribe => Right::Subscribe,
            Action::Deliver => Right::Deliver,
        };
        let (policy, site) = (self.policy.now(), Arc::clone(&self.site.borrow()));
        match policy.allows(principal, right, destination, &*site) {
            Ok(_) if right == Right::Subscribe => exists(&site, destination),
            Ok(_) => Ok(()),
            Err(refused) => Err(denied(refused, right, destination)),
        }
    }

    fn admitted(&self, principal: &Principal) -> Result<(), Denied> {
        let admitted = self.authenticator.admitted(principal);
        admitted.map_err(|revoked| token_revoked(&revoked))
    }
}

fn mismatched(mismatch: Mismatch) -> Denied {
    Denied::new(mismatch.code(), mismatch.to_string())
}

fn token_revoked(revoked: &Revoked) -> Denied {
    Denied::new("token-revoked", revoked.to_string())
}

/// Does what clients ask for.
pub(crate) struct Desk {
    pub(crate) store: Store,
    pub(crate) policy: InForce,
    pub(crate) keeper: Arc<SiteKeeper>,
    pub(crate) live: LiveHandle,
    pub(crate) alarms: AlarmHandle,
    pub(crate) commands: CommandHandle,
    pub(crate) approved_agents: HashSet<AgentId>,
    pub(crate) identity: IdentityConfig,
    /// What is written down of what is refused.
    pub(crate) record: Arc<Record>,
    /// Inventories are numbered as they arrive: storing one may take long enough for a newer one to overtake it.
    pub(crate) arrivals: AtomicU64,
}

impl Handler<Principal> for Desk {
    async fn handle(&self, session: &SessionInfo<Principal>, frame: &Frame) -> Result<(), Refusal> {
        let destination = frame.header("destination").unwrap_or_default();
        let Ok(destination) = destination.parse::<Destination>() else {
            return Err(Refusal::refused(
                "unknown-destination",
                format!("nobody listens at {destination}"),
            ));
        };
        let body = &frame.body;
        if destination.is_report() && !self.may(session, Permission::Report) {
            let message = "you may not report what equipment does";
            return Err(Refusal::refused("forbidden", message));
        }
        match destination {
            Destination::Inventory => self.inventory(session, body).await,
            Destination::Heartbeats => self.heartbeat(session, body).await,
            Destination::Readings => self.readings(session, body).await,
            Destination::Events => self.events(session, body).await,
            Destination::CommandResults => self.command_result(session, body).await,
            // The broker took the token before it handed the frame over.
            Destination::Auth if frame.header(broker::RENEWED).is_some() => Ok(()),
            Destination::Auth => Err(Refusal::refused(
                "no-token",
                "nothing was renewed: put the new token behind `Bearer` in the header `Authorization`",
            )),
            Destination::AlarmAction(alarm, AlarmAction::Acknowledge) => {
                let seen: Acknowledge = parse(body)?;
                let (locked, actor) = (self.is_locked(session).await, actor(session));
                let what = frame.header("destination").unwrap_or_default();
                admit(&self.record, locked, &actor, what).map_err(asleep)?;
                self.alarms
                    .acknowledge(alarm, seen, actor)
                    .await
                    .map(drop)
                    .map_err(acknowledge_refusal)
            }
            Destination::DeviceCommands(device) => {
                let request: CommandRequest = parse(body)?;
                let actor = actor(session);
                let risk = self.keeper.site().risk_of(&device, &request.name);
                let (locked, named) = (self.is_locked(session).await, (&device, &*request.name));
                admit_command((&self.store, &self.record), locked, risk, &actor, named)
                    .await
                    .map_err(asleep)?;
                self.commands
                    .submit(device, request, actor)
                    .await
                    .map(drop)
                    .map_err(command_refusal)
            }
            Destination::UserCommands
            | Destination::UserCommandProgress
            | Destination::UserErrors
            | Destination::Alarms
            | Destination::ZoneAlarms(_)
            | Destination::Device(_)
            | Destination::Overview
            | Destination::Ui(..) => Err(Refusal::refused(
                "not-for-sending",
                "this destination is for subscribing",
            )),
        }
    }

    fn ended(&self, session: &SessionInfo<Principal>) {
        self.commands.session_ended(session.id);
    }

    fn refused(
        &self,
        session: &SessionInfo<Principal>,
        action: Action,
        destination: &str,
        denied: &Denied,
    ) {
        let (tried, subject) = refusal::tried(action, destination);
        let actor = actor(session);
        let entry = AuditEntry::by(&actor, tried, &subject);
        self.record.refused(entry.outcome(&denied.message));
    }
}

impl Desk {
    async fn is_locked(&self, session: &SessionInfo<Principal>) -> Result<bool, StoreError> {
        is_proof_locked(&self.store, &self.identity, &session.principal.proof).await
    }

    fn may(&self, session: &SessionInfo<Principal>, permission: Permission) -> bool {
        let policy = self.policy.now();
        let decided = policy.decide(&session.principal, permission, Place::Anywhere, Utc::now());
        decided.is_ok()
    }

    async fn inventory(
        &self,
        session: &SessionInfo<Principal>,
        body: &[u8],
    ) -> Result<(), Refusal> {
        let (arrival, heard) = (
            self.arrivals.fetch_add(1, Ordering::Relaxed),
            Instant::now(),
        );
        let Some(inventory) = self
            .reported::<Inventory>(session, &Destination::Inventory, body)
            .await?
        else {
            return Err(Refusal::refused(
                "bad-inventory",
                "the inventory cannot be read; it is kept in quarantine",
            ));
        };
        is_own(session, &inventory.agent)?;
        check_inventory(&inventory, &session.principal)?;
        let approved = self
            .approved_agents
            .contains(&inventory.agent)
            .then_some("configuration");
        self.keeper
            .put_inventory(&inventory, approved)
            .await
            .map_err(unavailable)?;
        let Inventory {
            agent,
            instance,
            monotonic_ms,
            devices,
            ..
        } = inventory;
        tracing::info!(agent.id = %agent, devices = devices.len(), "an agent announced its devices");
        self.live
            .agent_joined(Joined {
                agent: agent.clone(),
                instance,
                arrival,
                monotonic_ms,
                heard,
            })
            .await;
        let link = AgentLink {
            agent,
            session: session.id,
            instance,
            monotonic_ms,
            heard,
        };
        if self.may(session, Permission::CommandsReceive) {
            self.commands.agent_joined(link).await;
        }
        Ok(())
    }

    async fn heartbeat(
        &self,
        session: &SessionInfo<Principal>,
        body: &[u8],
    ) -> Result<(), Refusal> {
        let heard = Instant::now();
        let Heartbeat {
            agent,
            instance,
            monotonic_ms,
            ..
        } = parse(body)?;
        is_own(session, &agent)?;
        self.live
            .agent_heard(agent.clone(), instance, monotonic_ms, heard)
            .await;
        self.commands
            .agent_heard(AgentLink {
                agent,
                session: session.id,
                instance,
                monotonic_ms,
                heard,
            })
            .await;
        Ok(())
    }

    async fn readings(&self, session: &SessionInfo<Principal>, body: &[u8]) -> Result<(), Refusal> {
        let readings: Readings = parse(body)?;
        is_own(session, &readings.agent)?;
        let polls = readings
            .devices
            .iter()
            .flat_map(|device| device.polls.values());
        let points = readings
            .devices
            .iter()
            .flat_map(|device| device.readings.iter().map(|reading| &reading.at));
        if let Some(at) = polls
            .chain(points)
            .chain([&readings.sent_at])
            .find(|at| !wire::is_storable(**at))
        {
            return Err(Refusal::refused(
                "bad-time",
                format!("{at} is not between the years 1970 and 9999"),
            ));
        }
        self.live.readings(readings).await;
        Ok(())
    }

    async fn events(&self, session: &SessionInfo<Principal>, body: &[u8]) -> Result<(), Refusal> {
        let Some(events) = self
            .reported::<Events>(session, &Destination::Events, body)
            .await?
        else {
            return Ok(()); // Kept in quarantine: refused for good, it must not block its outbox for ever.
        };
        is_own(session, &events.agent)?;
        if events.events.len() > MAX_EVENTS_PER_FRAME {
            let message = format!(
                "at most {MAX_EVENTS_PER_FRAME} events fit one frame, not {}",
                events.events.len()
            );
            return Err(Refusal::refused("too-many-events", message));
        }
        self.alarms.record(events).await.map_err(unavailable)
    }

    async fn command_result(
        &self,
        session: &SessionInfo<Principal>,
        body: &[u8],
    ) -> Result<(), Refusal> {
        let Some(result) = self
            .reported::<CommandResult>(session, &Destination::CommandResults, body)
            .await?
        else {
            return Ok(());
        };
        is_own(session, &result.agent)?;
        self.commands.result(result).await.map_err(unavailable)
    }

    /// Reads what an agent sends until it is taken; `None` when it cannot be read and is kept in quarantine instead.
    async fn reported<T: DeserializeOwned>(
        &self,
        session: &SessionInfo<Principal>,
        destination: &Destination,
        body: &[u8],
    ) -> Result<Option<T>, Refusal> {
        let reason = match wire::read(body) {
            Ok(message) => return Ok(Some(message)),
            Err(error) => format!("the body cannot be read: {error}"),
        };
        tracing::error!(agent.id = %session.subject, %destination, reason, "a message was refused for good and kept in quarantine");
        let mut unit = self.store.begin().await.map_err(unavailable)?;
        Store::quarantine(
            &mut unit,
            &session.subject,
            &destination.to_string(),
            &reason,
            body,
        )
        .await
        .map_err(unavailable)?;
        unit.commit()
            .await
            .map_err(|error| unavailable(error.into()))?;
        Ok(None)
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    wire::read(body)
        .map_err(|error| Refusal::refused("bad-body", format!("the body cannot be read: {error}")))
}

/// An agent speaks for itself only.
fn is_own(session: &SessionInfo<Principal>, agent: &AgentId) -> Result<(), Refusal> {
    if agent.as_str() == session.subject {
        return Ok(());
    }
    let message = format!(
        "this session belongs to {}, it cannot report for {agent}",
        session.subject
    );
    Err(Refusal::refused("not-yours", message))
}

/// No command waits longer than an hour to begin, or runs longer than a day: whatever says so is a mistake of units.
const TTL_MS_MAX: u64 = 3_600_000;
const TIMEOUT_MS_MAX: u64 = 24 * TTL_MS_MAX;

fn check_inventory(inventory: &Inventory, principal: &Principal) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::refused("bad-inventory", message));
    for profile in &inventory.profiles {
        let mistaken = |command: &&CommandType| {
            command.ttl_ms > TTL_MS_MAX || command.timeout_ms > TIMEOUT_MS_MAX
        };
        if let Some(command) = profile.commands.iter().find(mistaken) {
            return refuse(format!(
                "the command {:?} of the profile {} lives longer than an hour or runs longer than a day: give milliseconds",
                command.name, profile.id
            ));
        }
    }
    let mut seen = HashSet::new();
    for device in &inventory.devices {
        if !principal.zones.contains(&device.zone) {
            return refuse(format!(
                "the device {} stands in the zone {}, which is not this agent's",
                device.id, device.zone
            ));
        }
        if !seen.insert(&device.id) {
            return refuse(format!("the device {} is there twice", device.id));
        }
        if inventory
            .profiles
            .iter()
            .all(|profile| profile.id != device.profile)
        {
            return refuse(format!(
                "the device {} has the profile {}, which is not announced",
                device.id, device.profile
            ));
        }
    }
    Ok(())
}

fn actor(session: &SessionInfo<Principal>) -> Actor {
    Actor {
        principal: session.principal.clone(),
        // As for what comes over HTTP: the port says nothing, and would make each connection an address of its own.
        peer: session.peer.address.ip().to_string(),
    }
}

fn unavailable(error: StoreError) -> Refusal {
    tracing::error!(%error, "a message could not be stored; its sender will send it again");
    Refusal::Unavailable
}

fn asleep(asleep: Asleep) -> Refusal {
    match asleep {
        Asleep::Locked => Refusal::refused("locked", asleep.to_string()),
        Asleep::Store(error) => unavailable(error),
    }
}

fn acknowledge_refusal(error: AcknowledgeError) -> Refusal {
    let code = match error {
        AcknowledgeError::NotOpen(_) => "not-open",
        AcknowledgeError::Forbidden(_) => "forbidden",
        AcknowledgeError::SecondFactorNeeded => "second-factor-needed",
        AcknowledgeError::Superseded(_) => "superseded",
        AcknowledgeError::LongNote => "bad-parameter",
        AcknowledgeError::TooMany(_) => "too-many",
        AcknowledgeError::Store(error) => return unavailable(error),
    };
    Refusal::refused(code, error.to_string())
}

fn command_refusal(error: CommandError) -> Refusal {
    let code = match error {
        CommandError::NoSuchDevice(_) => "no-such-device",
        CommandError::Unregistered(_) => "unregistered",
        CommandError::NotSupported { .. } => "not-supported",
        CommandError::BadParameter(_) => "bad-parameter",
        CommandError::Forbidden { .. } => "forbidden",
        CommandError::SecondFactorNeeded(_) => "second-factor-needed",
        CommandError::KeyReused(_) => "key-reused",
        CommandError::TooMany(_) => "too-many",
        CommandError::Store(error) => return unavailable(error),
    };
    Refusal::refused(code, error.to_string())
}
