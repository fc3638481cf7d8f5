//! The only task that touches commands: stores them, hands them to a live session of their agent, and follows them to
//! their end.
//!
//! A command is sent to a session that lives now, or not at all: it never waits for an agent to come back. What cannot be
//! recorded is refused; an emergency command is journaled and sent all the same, and recorded later (`unrecorded`).
//!
//! An emergency waits for nobody else: it has a queue of its own, which is worked on also while another command's record
//! is waited for, and nothing is asked of a database that did not answer a moment ago (`rest`).

use std::collections::{BTreeMap, HashMap};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use broker::{Delivery, Outgoing, Publisher};
use chrono::{DateTime, Utc};
use contract::command::{Command, CommandResult, CommandState, CommandView, Risk};
use contract::inventory::CommandType;
use contract::{AgentId, CommandId, Destination, Value};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::check::{check, complete};
use super::lifecycle::{self, Event};
use super::record::{Recorded, given, place};
use super::refusals::{Refusal, RefusalWriter, Refusals};
use super::rest::{DATABASE_REST, Rest};
use super::{AgentLink, CommandError, PATIENCE, Queues, Request, Submission};
use crate::alarm::Actor;
use crate::announce::Announcer;
use crate::audit::journal::Journal;
use crate::identity::in_force::InForce;
use crate::observability::count_command;
use crate::site::{Site, SiteDevice};
use crate::store::command::{Step, StoredCommand};
use crate::store::{Store, StoreError};
use crate::wire;

/// What the way to the agent and back may take on top of the command's own times.
const TRANSPORT_MARGIN: Duration = Duration::from_secs(5);

/// With nothing to wait for, the timer sleeps this long and looks again.
const IDLE: Duration = Duration::from_secs(3600);

/// An emergency waits no longer than this for the database.
const EMERGENCY_PATIENCE: Duration = Duration::from_secs(1);

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
    rest: Rest,
    /// When what is unrecorded is tried again.
    catch_up_at: Instant,
    queues: Queues,
    refusals: Refusals,
    /// Runs beside the dispatcher.
    refusal_writer: Option<RefusalWriter>,
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
        queues: Queues,
    ) -> Result<Self, StoreError> {
        let (refusals, refusal_writer) = Refusals::new(store.clone());
        let mut dispatcher = Self {
            store,
            policy,
            journal,
            site,
            publisher,
            announcer,
            links: HashMap::new(),
            open: HashMap::new(),
            rest: Rest::default(),
            catch_up_at: Instant::now(),
            queues,
            refusals,
            refusal_writer: Some(refusal_writer),
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
    pub(crate) async fn run(mut self) {
        let refusal_writer = self.refusal_writer.take();
        tokio::join!(self.dispatch(), async {
            if let Some(writer) = refusal_writer {
                writer.run().await;
            }
        });
    }

    async fn dispatch(mut self) {
        loop {
            let next = self.next_deadline();
            tokio::select! {
                biased;
                Some(request) = self.queues.urgent.recv() => self.on_request(request).await,
                () = sleep_until(next) => {
                    self.catch_up().await;
                    self.on_deadline().await;
                }
                request = self.queues.others.recv() => match request {
                    Some(request) => self.on_request(request).await,
                    None => return,
                },
            }
        }
    }

    fn next_deadline(&self) -> Instant {
        let deadlines = self.open.values().map(|open| open.give_up);
        let next = deadlines.min().unwrap_or_else(|| Instant::now() + IDLE);
        if self.open.values().any(|open| !open.unrecorded.is_empty()) {
            next.min(self.catch_up_at)
        } else {
            next
        }
    }

    /// Asks the database for what is no emergency's, unless it rests, and does what is urgent while it waits.
    async fn ask<T>(
        &mut self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if self.rest.lasts(Instant::now()) {
            return Err(StoreError::away());
        }
        let mut work = pin!(timeout(PATIENCE, work));
        let answer = loop {
            tokio::select! {
                biased;
                Some(request) = self.queues.urgent.recv() => self.on_urgent(request).await,
                answer = &mut work => break answer,
            }
        };
        let answer = answer.unwrap_or_else(|_late| Err(StoreError::away()));
        self.rest.heard(&answer, Instant::now());
        answer
    }

    /// Asks the database for an emergency's sake: not for long, and not while it rests.
    async fn ask_in_emergency<T>(
        &mut self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if self.rest.lasts(Instant::now()) {
            return Err(StoreError::away());
        }
        let answer = timeout(EMERGENCY_PATIENCE, work).await;
        let answer = answer.unwrap_or_else(|_late| Err(StoreError::away()));
        self.rest.heard(&answer, Instant::now());
        answer
    }

    /// An emergency asks with [`Self::ask_in_emergency`] only, so nothing else begins within what is waited for.
    fn on_urgent(&mut self, request: Request) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.on_request(request))
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
            Request::Submit(submission) => self.on_submission(*submission).await,
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
                open.give_up = Instant::now() + TRANSPORT_MARGIN;
            }
        }
    }

    async fn on_submission(&mut self, submission: Submission) {
        let Submission {
            device,
            request,
            actor,
            received,
            reply,
        } = submission;
        let site = Arc::clone(&self.site.borrow());
        let policy = self.policy.now();
        let checked = check(&site, &policy, &device, &request, &actor, Utc::now());
        let accepted = checked.and_then(|(device, kind)| {
            let params = complete(kind, &request.params)?;
            Ok(command(device, kind, params, request.key, &actor))
        });
        match accepted {
            // Whoever asked may have gone; what they asked for is done all the same.
            Ok(command) => drop(reply.send(self.submit(command, &actor, received).await)),
            Err(why) => {
                let refusal = Refusal::new(actor, device, &request, why, reply);
                self.refusals.write_down(refusal);
            }
        }
    }

    async fn submit(
        &mut self,
        command: StoredCommand,
        actor: &Actor,
        received: std::time::Instant,
    ) -> Result<CommandView, CommandError> {
        let unrecorded = match self.record(&command, actor).await? {
            Recorded::Before(before) => {
                let same = before.view.device == command.view.device
                    && before.view.name == command.view.name
                    && before.view.params == command.view.params;
                return if same {
                    Ok(before.view)
                } else {
                    Err(CommandError::KeyReused(command.key))
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
        let (store, journal) = (self.store.clone(), self.journal.clone());
        if command.risk != Risk::Emergency {
            return self.ask(place(&store, &journal, command, actor)).await;
        }
        let known = self.open.values().map(|open| &open.command);
        let mut known = known.filter(|known| known.view.issued_by == command.view.issued_by);
        if let Some(before) = known.find(|known| known.key == command.key) {
            return Ok(Recorded::Before(Box::new(before.clone())));
        }
        let placing = place(&store, &journal, command, actor);
        let error = match self.ask_in_emergency(placing).await {
            Ok(recorded) => return Ok(recorded),
            Err(error) => error,
        };
        tracing::error!(command.id = %command.view.id, %error, "an emergency command cannot be recorded: it is journaled and sent");
        let entry = given(command, actor);
        let Err(failed) = journal.append_command(&entry, command).await else {
            return Ok(Recorded::Journaled);
        };
        // It may have been left alone only because it did not answer somebody else.
        let placing = timeout(EMERGENCY_PATIENCE, place(&store, &journal, command, actor));
        if let Ok(Ok(recorded)) = placing.await {
            return Ok(recorded);
        }
        tracing::error!(command.id = %command.view.id, error = %failed, "an emergency command can neither be recorded nor journaled: it is refused");
        Err(error)
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
            None => {
                let store = self.store.clone();
                self.ask(store.command(result.command)).await?
            }
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
        let Some(open) = self.open.get(&id) else {
            unreachable!("steps are only made on open commands")
        };
        let mut view = open.command.view.clone();
        if let Some((state, reason)) = lifecycle::next(view.state, event) {
            view.state = state;
            view.reason = reason;
            view.state_at = Utc::now();
            let step = Step::by(&view, actor, source_at);
            let unrecorded = self.record_step(id, step).await?;
            if let Some(open) = self.open.get_mut(&id) {
                open.unrecorded.extend(unrecorded);
                open.command.view = view.clone();
            }
            count_command(view.state);
            let site = Arc::clone(&self.site.borrow());
            self.announcer.command(&site, &view);
        }
        let is_done = |open: &Open| open.is_over() && open.unrecorded.is_empty();
        if self.open.get(&id).is_some_and(is_done) {
            self.open.remove(&id);
        }
        Ok(view)
    }

    /// Records a step of an open command, or gives back an emergency's that could not be recorded.
    async fn record_step(&mut self, id: CommandId, step: Step) -> Result<Option<Step>, StoreError> {
        let Some(open) = self.open.get(&id) else {
            unreachable!("steps are only made on open commands")
        };
        let (store, command) = (self.store.clone(), open.command.clone());
        let is_behind = !open.unrecorded.is_empty();
        let steps = [step.clone()];
        let recording = store.step_command(&command, &steps);
        if command.risk != Risk::Emergency {
            self.ask(recording).await?;
            return Ok(None);
        }
        let is_recorded = !is_behind && self.ask_in_emergency(recording).await.is_ok();
        Ok((!is_recorded).then_some(step))
    }

    /// Records what happened while the database was away; as soon as it does not answer, the rest waits on.
    async fn catch_up(&mut self) {
        let waiting = self.open.iter();
        let waiting = waiting.filter(|(_, open)| !open.unrecorded.is_empty());
        let waiting: Vec<_> = waiting
            .map(|(id, open)| (*id, open.command.clone(), open.unrecorded.clone()))
            .collect();
        let store = self.store.clone();
        for (id, command, steps) in waiting {
            if let Err(error) = self.ask(store.step_command(&command, &steps)).await {
                tracing::warn!(command.id = %id, %error, "an emergency command cannot be recorded yet");
                break;
            }
            if let Some(open) = self.open.get_mut(&id) {
                open.unrecorded.drain(..steps.len());
            }
        }
        self.open
            .retain(|_, open| !open.is_over() || !open.unrecorded.is_empty());
        self.catch_up_at = Instant::now() + DATABASE_REST;
    }
}

/// Who acted when the server did so by itself.
const SERVER: &str = "server";

/// What is to be stored of a command that may be given.
fn command(
    device: &SiteDevice,
    kind: &CommandType,
    params: BTreeMap<String, Value>,
    key: Uuid,
    actor: &Actor,
) -> StoredCommand {
    let now = Utc::now();
    StoredCommand {
        view: CommandView {
            id: CommandId(Uuid::now_v7()),
            device: device.id.clone(),
            name: kind.name.clone(),
            params,
            state: CommandState::Queued,
            reason: None,
            issued_by: actor.principal.subject.clone(),
            issued_at: now,
            state_at: now,
        },
        key,
        agent: device.agent.clone(),
        risk: kind.risk,
        ttl_ms: kind.ttl_ms,
        timeout_ms: kind.timeout_ms,
    }
}

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
