//! The only task that touches commands: stores them, hands them to a live session of their agent, and follows them to
//! their end.
//!
//! A command is sent to a session that lives now, or not at all: it never waits for an agent to come back. What cannot be
//! recorded is refused; an emergency command is journaled and sent all the same, and recorded later (`unrecorded`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use broker::{Delivery, Outgoing, Publisher};
use chrono::{DateTime, Utc};
use contract::command::{Command, CommandRequest, CommandResult, CommandState, CommandView, Risk};
use contract::{AgentId, CommandId, Destination, DeviceId};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::check::{check, complete};
use super::lifecycle::{self, Event};
use super::{AgentLink, CommandError, Request};
use crate::alarm::Actor;
use crate::announce::Announcer;
use crate::audit::AuditEntry;
use crate::audit::journal::Journal;
use crate::identity::in_force::InForce;
use crate::observability::count_command;
use crate::site::Site;
use crate::store::command::{Placed, Step, StoredCommand};
use crate::store::{Store, StoreError};
use crate::wire;

/// What the way to the agent and back may take on top of the command's own times.
const TRANSPORT_MARGIN: Duration = Duration::from_secs(5);

/// With nothing to wait for, the timer sleeps this long and looks again.
const IDLE: Duration = Duration::from_secs(3600);

/// An emergency waits no longer than this for the database.
const EMERGENCY_PATIENCE: Duration = Duration::from_secs(1);

/// After the database did not answer, other commands are refused at once for this long: an emergency must not stand in
/// line behind each of them waiting in vain.
const DATABASE_REST: Duration = Duration::from_secs(5);

struct Open {
    command: StoredCommand,
    /// When the outcome counts as unknown.
    give_up: Instant,
    /// Steps of an emergency command that the database does not have yet; at most one for each state of a life.
    unrecorded: Vec<Step>,
}

impl Open {
    fn new(command: StoredCommand, unrecorded: Vec<Step>) -> Self {
        Self {
            give_up: give_up(&command),
            command,
            unrecorded,
        }
    }

    fn is_over(&self) -> bool {
        let state = self.command.view.state;
        !lifecycle::is_on_its_way(state) && state != CommandState::Queued
    }
}

/// What became of a command that was to be stored.
enum Recorded {
    /// It is.
    Stored,
    /// Its issuer gave one with this key before.
    Before(Box<StoredCommand>),
    /// It is an emergency's, and in the journal.
    Journaled,
}

/// The task.
pub(crate) struct Dispatcher {
    store: Store,
    policy: InForce,
    journal: Journal,
    site: watch::Receiver<Arc<Site>>,
    publisher: Publisher,
    announcer: Announcer,
    links: HashMap<AgentId, AgentLink>,
    open: HashMap<CommandId, Open>,
    /// Until when the database is not asked for what is no emergency.
    resting: Option<Instant>,
}

impl Dispatcher {
    /// Takes up where the records end: what was not sent never will be, what was sent is waited for.
    pub(crate) async fn load(
        store: Store,
        policy: InForce,
        journal: Journal,
        site: watch::Receiver<Arc<Site>>,
        publisher: Publisher,
        announcer: Announcer,
    ) -> Result<Self, StoreError> {
        let mut dispatcher = Self {
            store,
            policy,
            journal,
            site,
            publisher,
            announcer,
            links: HashMap::new(),
            open: HashMap::new(),
            resting: None,
        };
        for command in dispatcher.store.open_commands().await? {
            let id = command.view.id;
            dispatcher.open.insert(id, Open::new(command, Vec::new()));
            dispatcher
                .step(id, Event::NotSentInTime, SERVER, None)
                .await?;
        }
        Ok(dispatcher)
    }

    /// Works until nobody can ask any more.
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        loop {
            let next = self
                .open
                .values()
                .map(|open| open.give_up)
                .min()
                .unwrap_or_else(|| Instant::now() + IDLE);
            let waits = self.open.values().any(|open| !open.unrecorded.is_empty());
            let next = if waits {
                next.min(Instant::now() + DATABASE_REST)
            } else {
                next
            };
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.on_request(request).await,
                    None => return,
                },
                () = sleep_until(next) => {
                    self.catch_up().await;
                    self.on_deadline().await;
                }
            }
        }
    }

    async fn on_request(&mut self, request: Request) {
        match request {
            Request::AgentJoined(link) => {
                // Storing an inventory takes time: its session may have ended meanwhile, or a newer one have come.
                let lives = self
                    .publisher
                    .sessions_of(link.agent.as_str())
                    .contains(&link.session);
                let newest = self
                    .links
                    .get(&link.agent)
                    .is_none_or(|known| known.session <= link.session);
                if lives && newest {
                    self.links.insert(link.agent.clone(), link);
                }
            }
            Request::AgentHeard(link) => {
                // Only the session that announced the devices counts: an older instance gets no commands.
                if let Some(known) = self.links.get_mut(&link.agent)
                    && known.session == link.session
                {
                    *known = link;
                }
            }
            Request::SessionEnded(session) => self.links.retain(|_, link| link.session != session),
            // Whoever asked may have gone; what they asked for is done all the same.
            Request::Submit {
                device,
                request,
                actor,
                received,
                reply,
            } => {
                drop(reply.send(self.submit(&device, request, &actor, received).await));
            }
            Request::Result { result, reply } => drop(reply.send(self.result(result).await)),
        }
    }

    async fn on_deadline(&mut self) {
        let now = Instant::now();
        let late: Vec<_> = self
            .open
            .iter()
            .filter(|(_, open)| open.give_up <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            // One that is still queued was never handed over: recording that it was about to be had failed.
            let queued = self
                .open
                .get(&id)
                .is_some_and(|open| open.command.view.state == CommandState::Queued);
            let event = if queued {
                Event::NotSentInTime
            } else {
                Event::NoResultInTime
            };
            if let Err(error) = self.step(id, event, SERVER, None).await {
                tracing::error!(command.id = %id, %error, "cannot record the end of a command");
            }
            // Still there: tried again, since the record must not stay behind the truth.
            if let Some(open) = self.open.get_mut(&id) {
                open.give_up = now + TRANSPORT_MARGIN;
            }
        }
    }

    async fn submit(
        &mut self,
        device: &DeviceId,
        request: CommandRequest,
        actor: &Actor,
        received: std::time::Instant,
    ) -> Result<CommandView, CommandError> {
        let site = Arc::clone(&self.site.borrow());
        let (device, kind) = match check(
            &site,
            &self.policy.now(),
            device,
            &request,
            actor,
            Utc::now(),
        ) {
            Ok(found) => found,
            Err(refused) => {
                self.audit_refusal(device, &request, actor, &refused)
                    .await?;
                return Err(refused);
            }
        };
        let params = complete(kind, &request.params)?;
        let now = Utc::now();
        let command = StoredCommand {
            view: CommandView {
                id: CommandId(Uuid::now_v7()),
                device: device.id.clone(),
                name: request.name,
                params,
                state: CommandState::Queued,
                reason: None,
                issued_by: actor.principal.subject.clone(),
                issued_at: now,
                state_at: now,
            },
            key: request.key,
            agent: device.agent.clone(),
            risk: kind.risk,
            ttl_ms: kind.ttl_ms,
            timeout_ms: kind.timeout_ms,
        };
        let unrecorded = match self.record(&command, actor).await? {
            Recorded::Before(before) => {
                let same = before.view.device == command.view.device
                    && before.view.name == command.view.name
                    && before.view.params == command.view.params;
                return if same {
                    Ok(before.view)
                } else {
                    Err(CommandError::KeyReused(request.key))
                };
            }
            Recorded::Stored => Vec::new(),
            // Its row is made from the journal, or by its first step.
            Recorded::Journaled => vec![Step::by(&command.view, &command.view.issued_by, None)],
        };
        let id = command.view.id;
        self.open.insert(id, Open::new(command, unrecorded));
        Ok(self.send(id, received).await?)
    }

    /// Stores a new command with its audit row. An emergency's is journaled when the audit, or the whole database, does not
    /// take it in time.
    async fn record(
        &mut self,
        command: &StoredCommand,
        actor: &Actor,
    ) -> Result<Recorded, StoreError> {
        if command.risk != Risk::Emergency {
            if self.resting.is_some_and(|until| Instant::now() < until) {
                return Err(StoreError::away());
            }
            let placed = self.place(command, actor).await;
            let is_away = placed.as_ref().is_err_and(StoreError::is_away);
            self.resting = is_away.then(|| Instant::now() + DATABASE_REST);
            return placed;
        }
        let known = self.open.values().map(|open| &open.command);
        let mut known = known.filter(|known| known.view.issued_by == command.view.issued_by);
        if let Some(before) = known.find(|known| known.key == command.key) {
            return Ok(Recorded::Before(Box::new(before.clone())));
        }
        let error = match timeout(EMERGENCY_PATIENCE, self.place(command, actor)).await {
            Ok(Ok(recorded)) => return Ok(recorded),
            Ok(Err(error)) => error,
            Err(_late) => StoreError::away(),
        };
        tracing::error!(command.id = %command.view.id, %error, "an emergency command cannot be recorded: it is journaled and sent");
        let entry = given(command, actor);
        match self.journal.append_command(&entry, command).await {
            Ok(()) => Ok(Recorded::Journaled),
            Err(failed) => {
                tracing::error!(command.id = %command.view.id, error = %failed, "an emergency command can neither be recorded nor journaled: it is refused");
                Err(error)
            }
        }
    }

    async fn place(&self, command: &StoredCommand, actor: &Actor) -> Result<Recorded, StoreError> {
        let mut unit = self.store.begin().await?;
        if let Placed::Before(before) = Store::place_command(&mut unit, command).await? {
            return Ok(Recorded::Before(before));
        }
        let entry = given(command, actor);
        if command.risk == Risk::Emergency {
            if let Err(error) = Store::try_audit(&mut unit, entry.clone()).await {
                let journaled = self.journal.append_command(&entry, command).await;
                if let Err(failed) = journaled {
                    tracing::error!(error = %failed, "the journal of the audit cannot be written");
                    return Err(error);
                }
            }
        } else {
            Store::audit(&mut unit, entry).await?;
        }
        unit.commit().await?;
        Ok(Recorded::Stored)
    }

    async fn audit_refusal(
        &self,
        device: &DeviceId,
        request: &CommandRequest,
        actor: &Actor,
        refused: &CommandError,
    ) -> Result<(), StoreError> {
        let outcome = refused.to_string();
        let entry = AuditEntry::by(actor, "command.give", device.as_str())
            .detail(json!({"name": request.name, "params": request.params}))
            .outcome(&outcome);
        self.store.audit_alone(entry).await
    }

    /// Hands a stored command to its agent's live session.
    async fn send(
        &mut self,
        id: CommandId,
        received: std::time::Instant,
    ) -> Result<CommandView, StoreError> {
        let Some(open) = self.open.get(&id) else {
            unreachable!("it was just put there")
        };
        let Some(link) = self.links.get(&open.command.agent).cloned() else {
            return self.step(id, Event::NoSession, SERVER, None).await;
        };
        let Some(message) = message(&open.command, &link, received.elapsed()) else {
            return self.step(id, Event::NotSentInTime, SERVER, None).await;
        };
        let view = self.step(id, Event::Sent, SERVER, None).await?;
        let outgoing =
            Outgoing::json(serde_json::to_vec(&message).expect("a command can be written"));
        match self.publisher.send_to_session(
            link.session,
            &Destination::UserCommands.to_string(),
            outgoing,
        ) {
            Delivery::Queued => Ok(view),
            refused @ (Delivery::NoSuchSession | Delivery::NotSubscribed | Delivery::Full) => {
                tracing::warn!(command.id = %id, agent.id = %link.agent, ?refused, "the agent's session did not take a command");
                self.step(id, Event::NoSession, SERVER, None).await
            }
        }
    }

    async fn result(&mut self, result: CommandResult) -> Result<(), StoreError> {
        let known = match self.open.get(&result.command) {
            Some(open) => Some(open.command.clone()),
            None => self.store.command(result.command).await?,
        };
        let Some(command) = known.filter(|command| command.agent == result.agent) else {
            tracing::warn!(command.id = %result.command, agent.id = %result.agent, "a result of a command that this agent was never given was left out");
            return Ok(());
        };
        self.open
            .entry(result.command)
            .or_insert_with(|| Open::new(command, Vec::new()));
        let event = Event::Result(result.state, result.reason);
        self.step(
            result.command,
            event,
            result.agent.as_str(),
            Some(result.at).filter(|at| wire::is_storable(*at)),
        )
        .await
        .map(drop)
    }

    /// Lets something happen to a command: records it, then makes it true here, then tells everybody. What an emergency
    /// cannot record now is recorded later.
    async fn step(
        &mut self,
        id: CommandId,
        event: Event,
        actor: &str,
        source_at: Option<DateTime<Utc>>,
    ) -> Result<CommandView, StoreError> {
        let Some(open) = self.open.get_mut(&id) else {
            unreachable!("steps are only made on open commands")
        };
        let mut view = open.command.view.clone();
        if let Some((state, reason)) = lifecycle::next(view.state, event) {
            view.state = state;
            view.reason = reason;
            view.state_at = Utc::now();
            let step = Step::by(&view, actor, source_at);
            if open.command.risk != Risk::Emergency {
                self.store.step_command(&open.command, &[step]).await?;
            } else if !open.unrecorded.is_empty()
                || !recorded_in_time(&self.store, &open.command, &step).await
            {
                open.unrecorded.push(step);
            }
            open.command.view = view.clone();
            count_command(view.state);
            let site = Arc::clone(&self.site.borrow());
            self.announcer.command(&site, &view);
        }
        if open.is_over() && open.unrecorded.is_empty() {
            self.open.remove(&id);
        }
        Ok(view)
    }

    /// Records what happened while the database was away; as soon as it does not answer, the rest waits on.
    async fn catch_up(&mut self) {
        let waiting = self
            .open
            .iter_mut()
            .filter(|(_, open)| !open.unrecorded.is_empty());
        for (id, open) in waiting {
            let steps = self.store.step_command(&open.command, &open.unrecorded);
            match timeout(EMERGENCY_PATIENCE, steps).await {
                Ok(Ok(())) => open.unrecorded.clear(),
                Ok(Err(error)) => {
                    tracing::warn!(command.id = %id, %error, "an emergency command cannot be recorded yet");
                    break;
                }
                Err(_late) => break,
            }
        }
        self.open
            .retain(|_, open| !open.is_over() || !open.unrecorded.is_empty());
    }
}

/// Whether the database took a step of an emergency in time.
async fn recorded_in_time(store: &Store, command: &StoredCommand, step: &Step) -> bool {
    let recorded = store.step_command(command, std::slice::from_ref(step));
    matches!(timeout(EMERGENCY_PATIENCE, recorded).await, Ok(Ok(())))
}

/// What the audit says of a command that was given.
fn given<'a>(command: &'a StoredCommand, actor: &'a Actor) -> AuditEntry<'a> {
    let view = &command.view;
    AuditEntry::by(actor, "command.give", view.device.as_str())
        .detail(json!({"command": view.id, "name": view.name, "params": view.params}))
}

/// Who acted when the server did so by itself.
const SERVER: &str = "server";

fn give_up(command: &StoredCommand) -> Instant {
    let own = Duration::from_millis(command.ttl_ms.saturating_add(command.timeout_ms));
    Instant::now() + own + TRANSPORT_MARGIN
}

/// What is sent; `None` when the time to live was over while the command was `waiting` here.
fn message(command: &StoredCommand, link: &AgentLink, waiting: Duration) -> Option<Command> {
    let time_to_live = Duration::from_millis(command.ttl_ms);
    Some(Command {
        id: command.view.id,
        device: command.view.device.clone(),
        name: command.view.name.clone(),
        params: command.view.params.clone(),
        issued_at: command.view.issued_at,
        instance: link.instance,
        deadline_monotonic_ms: deadline(
            link.monotonic_ms,
            link.heard.elapsed(),
            time_to_live,
            waiting,
        )?,
    })
}

/// The deadline in the agent's clock: what that clock said last, what has passed here since, and what is left of the
/// time to live after `waiting` here.
fn deadline(
    said_ms: u64,
    since: Duration,
    time_to_live: Duration,
    waiting: Duration,
) -> Option<u64> {
    let left = time_to_live
        .checked_sub(waiting)
        .filter(|left| !left.is_zero())?;
    let ahead = u64::try_from((since + left).as_millis()).unwrap_or(u64::MAX);
    Some(said_ms.saturating_add(ahead))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_live_runs_while_a_command_waits_for_the_database() {
        let seconds = Duration::from_secs;
        for (said_ms, since, waiting, expected) in [
            (50_000, seconds(0), seconds(0), Some(55_000)),
            (50_000, seconds(7), seconds(0), Some(62_000)),
            (50_000, seconds(7), seconds(4), Some(58_000)),
            (50_000, seconds(7), seconds(5), None),
            (50_000, seconds(7), seconds(60), None),
            (u64::MAX, seconds(7), seconds(0), Some(u64::MAX)),
        ] {
            assert_eq!(
                deadline(said_ms, since, seconds(5), waiting),
                expected,
                "{said_ms} {since:?} {waiting:?}"
            );
        }
    }
}
