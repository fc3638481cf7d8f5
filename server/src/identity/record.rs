//! What is written down without anybody waiting for it: which programs got in from where, who showed a wrong secret or
//! passcode, and what was refused to those who are known.
//!
//! Two thousand agents that come back at once must not wait for the audit one after the other. So their rows are collected
//! and written some seconds later, many in one transaction; each tells in its detail when it really was. Of a program the
//! first time from an address since the start is a row, whatever else it does there; of failures and refusals the first few
//! are, and what follows within a minute is one sum.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;
use network::network;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::tally::{NAMES_MAX, Sum, Tally};
use crate::alarm::Actor;
use crate::audit::SERVER;
use crate::observability::count_audit_failure;
use crate::store::audit::AuditEntry;
use crate::store::{Store, StoreError};
use crate::wire::cut;

/// How long a row waits.
const WRITE_EVERY: Duration = Duration::from_secs(2);

/// Rows that wait while the audit takes none: all agents of the largest site, and some minutes of failures. Beyond, a
/// program is told when it comes again, and failures and refusals are counted in their sum.
const WAITING_MAX: usize = 8192;

/// The sums of all tallies. Where there is no room for them they count on.
const SUMS_MAX: usize = 5 * (NAMES_MAX + 1);

/// Rows of one transaction: whoever gives a command meanwhile waits for no more than these.
const ROWS_AT_ONCE: usize = 100;

/// Addresses of one program that are remembered: a machine has one, a program in a data centre some.
const ADDRESSES_MAX: usize = 8;

/// How a program shows who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum How {
    /// By its secret, for a token.
    Secret,
    /// By login and passcode, in CONNECT.
    Passcode,
    /// By a token of the identity provider; whoever it is that shows it.
    External,
}

impl How {
    fn admitted(self) -> &'static str {
        match self {
            Self::Secret => "token.issue",
            Self::Passcode => "passcode.begin",
            Self::External => "token.external",
        }
    }

    fn failures(self) -> &'static str {
        match self {
            Self::Secret => "token.failures",
            Self::Passcode => "passcode.failures",
            Self::External => "token.external_failures",
        }
    }

    fn wrong(self) -> &'static str {
        match self {
            Self::Secret => "wrong client id or secret",
            Self::Passcode => "wrong login or passcode",
            Self::External => "a token of the identity provider that is not accepted",
        }
    }
}

/// What is kept of a text that a client chose: longer than any name or destination of ours.
const TEXT_CHARS_MAX: usize = 300;

/// A row that is to be written.
#[derive(Debug, Clone)]
struct Row {
    actor: String,
    identity: Value,
    peer: String,
    action: String,
    subject: String,
    reason: Option<String>,
    detail: Value,
    outcome: String,
}

impl Row {
    /// As of now, with a number of its own: it is written once, also when the answer to a COMMIT was lost. The detail is an
    /// object.
    fn new(entry: AuditEntry<'_>) -> Self {
        let mut detail = entry.detail;
        detail["at"] = json!(Utc::now());
        detail["record"] = json!(Uuid::now_v7());
        Self {
            actor: entry.actor.to_owned(),
            identity: entry.identity,
            peer: entry.peer.to_owned(),
            action: entry.action.to_owned(),
            subject: cut(entry.subject, TEXT_CHARS_MAX),
            reason: entry.reason.map(|reason| cut(reason, TEXT_CHARS_MAX)),
            detail,
            outcome: cut(entry.outcome, TEXT_CHARS_MAX),
        }
    }

    /// In the place of this one, which the database refuses for what it says: what it was, without its texts.
    fn unreadable(&self) -> Self {
        let entry = AuditEntry::new(SERVER, "", "audit.journal", "unreadable line");
        let detail = json!({"action": self.action, "record": self.detail["record"]});
        let mut row = Self::new(entry.outcome("a line of the journal could not be read"));
        row.detail = detail;
        row
    }

    fn entry(&self) -> AuditEntry<'_> {
        AuditEntry {
            identity: self.identity.clone(),
            ..AuditEntry::new(&self.actor, &self.peer, &self.action, &self.subject)
        }
        .reason(self.reason.as_deref())
        .detail(self.detail.clone())
        .outcome(&self.outcome)
    }
}

/// What is known, and what waits.
#[derive(Debug, Default)]
struct Kept {
    /// The newest addresses last. Bounded by the programs that exist.
    admitted: HashMap<(String, How), VecDeque<IpAddr>>,
    secrets: Tally,
    passcodes: Tally,
    external: Tally,
    /// Of those who are known.
    refusals: Tally,
    /// Of the audit itself.
    readings: Tally,
    waiting: VecDeque<Row>,
}

impl Kept {
    fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX
    }

    fn admitted(&mut self, program: &str, address: IpAddr, how: How) {
        let key = (program.to_owned(), how);
        let known = self.admitted.get(&key);
        if known.is_some_and(|known| known.contains(&address)) || !self.has_room() {
            return;
        }
        let peer = address.to_string();
        let entry = AuditEntry::new(program, &peer, how.admitted(), program);
        self.waiting.push_back(Row::new(entry));
        let known = self.admitted.entry(key).or_default();
        if known.len() >= ADDRESSES_MAX {
            known.pop_front();
        }
        known.push_back(address);
    }

    fn failed(&mut self, name: &str, address: IpAddr, how: How, refused: bool, now: Instant) {
        let has_room = self.has_room();
        let tally = match how {
            How::Secret => &mut self.secrets,
            How::Passcode => &mut self.passcodes,
            How::External => &mut self.external,
        };
        let peer = address.to_string();
        if !has_room {
            tally.count(name, &peer, refused, now);
        } else if tally.is_single(name, &peer, refused, now) {
            let entry = AuditEntry::new(name, &peer, how.admitted(), name);
            self.waiting.push_back(Row::new(entry.outcome(how.wrong())));
        }
    }

    fn refused(&mut self, entry: AuditEntry<'_>, now: Instant) {
        let (name, peer) = (entry.actor, entry.peer);
        if !self.has_room() {
            self.refusals.count(name, peer, false, now);
        } else if self.refusals.is_single(name, peer, false, now) {
            self.waiting.push_back(Row::new(entry));
        }
    }

    /// Sums that are due and have room, or at the end all of them, are rows like others.
    fn sum_up(&mut self, now: Option<Instant>) {
        if now.is_some() && self.waiting.len() + SUMS_MAX > WAITING_MAX {
            return;
        }
        let sums = |tally: &mut Tally| match now {
            Some(now) => tally.due(now),
            None => tally.take(),
        };
        let wrong = "wrong or too many";
        for (sums, action, outcome) in [
            (sums(&mut self.secrets), How::Secret.failures(), wrong),
            (sums(&mut self.passcodes), How::Passcode.failures(), wrong),
            (sums(&mut self.external), How::External.failures(), wrong),
            (sums(&mut self.refusals), "refusals", "refused"),
            (sums(&mut self.readings), "audit.exports", "done"),
        ] {
            for sum in sums {
                let entry = AuditEntry::new(&sum.name, "", action, &sum.name);
                let entry = entry.detail(detail(&sum)).outcome(outcome);
                self.waiting.push_back(Row::new(entry));
            }
        }
    }
}

/// What a sum says in its row.
pub(super) fn detail(sum: &Sum) -> Value {
    json!({"attempts": sum.attempts, "refused": sum.refused, "addresses": sum.addresses, "from": sum.from})
}

/// One for all ways in.
#[derive(Debug)]
pub(crate) struct Record {
    store: Store,
    kept: Mutex<Kept>,
}

impl Record {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            kept: Mutex::default(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A program showed who it is.
    pub(crate) fn admitted(&self, program: &str, address: IpAddr, how: How) {
        let address = address.to_canonical();
        self.kept().admitted(program, address, how);
    }

    /// Whether a program has shown itself from there since the start.
    pub(crate) fn is_known(&self, program: &str, address: IpAddr, how: How) -> bool {
        let wanted = network(address);
        let kept = self.kept();
        let known = kept.admitted.get(&(program.to_owned(), how));
        known.is_some_and(|known| known.iter().any(|address| network(*address) == wanted))
    }

    /// Somebody showed something wrong in this name, or (`refused`) was not even looked at. The name is one that exists, or
    /// [`OTHERS`]: what strangers make up stands in no row.
    ///
    /// [`OTHERS`]: super::tally::OTHERS
    pub(crate) fn failed(&self, name: &str, address: IpAddr, how: How, refused: bool) {
        let address = address.to_canonical();
        self.kept()
            .failed(name, address, how, refused, Instant::now());
    }

    /// Somebody who is known may not do this, or not now: what they tried, with the reason as its outcome.
    pub(crate) fn refused(&self, tried: AuditEntry<'_>) {
        self.kept().refused(tried, Instant::now());
    }

    /// Whether that somebody reads the audit is a row of its own; if not, it is counted.
    pub(crate) fn is_single_reading(&self, actor: &Actor) -> bool {
        let name = &actor.principal.subject;
        let mut kept = self.kept();
        kept.readings
            .is_single(name, &actor.peer, false, Instant::now())
    }

    /// Writes what waits, until the end; then the rest.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        loop {
            let ended = tokio::time::timeout(WRITE_EVERY, shutdown.cancelled());
            let ended = ended.await.is_ok();
            self.kept().sum_up((!ended).then(Instant::now));
            if let Err(error) = self.write().await {
                let rows = self.kept().waiting.len();
                if ended {
                    tracing::error!(%error, rows, "what waited for the audit is lost");
                } else {
                    tracing::error!(%error, rows, "what waits for the audit could not be written down yet");
                }
                count_audit_failure();
            }
            if ended {
                return;
            }
        }
    }

    /// What was written waits no more; what was not, still does.
    async fn write(&self) -> Result<(), StoreError> {
        loop {
            let rows: Vec<Row> = {
                let kept = self.kept();
                kept.waiting.iter().take(ROWS_AT_ONCE).cloned().collect()
            };
            if rows.is_empty() {
                return Ok(());
            }
            match self.put(&rows).await {
                // One that the database will never take must not keep the others waiting for ever.
                Err(error) if error.is_refused_value() => {
                    for row in &rows {
                        self.put_alone(row).await?;
                    }
                }
                put => put?,
            }
        }
    }

    /// Those that have waited longest.
    async fn put(&self, rows: &[Row]) -> Result<(), StoreError> {
        let mut unit = self.store.begin().await?;
        for row in rows {
            Store::audit(&mut unit, row.entry()).await?;
        }
        unit.commit().await?;
        self.kept().waiting.drain(..rows.len());
        Ok(())
    }

    /// The one that has waited longest, or, where the database does not take what it says, that there was such a row.
    async fn put_alone(&self, row: &Row) -> Result<(), StoreError> {
        match self.put(slice::from_ref(row)).await {
            Err(error) if error.is_refused_value() => {
                self.put(&[row.unreadable()]).await?;
                tracing::error!(%error, action = row.action, "a row is refused for what it says; it is in the audit as an unreadable line");
                Ok(())
            }
            put => put,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tally::{OTHERS, WINDOW};

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn told(kept: &mut Kept) -> Vec<String> {
        let rows = kept.waiting.drain(..);
        rows.map(|row| format!("{} {} {}", row.actor, row.action, row.peer))
            .collect()
    }

    #[test]
    fn a_program_is_told_once_for_each_of_its_addresses() {
        let mut kept = Kept::default();
        for _ in 0..3 {
            kept.admitted("agent-1", address(1), How::Secret);
            kept.admitted("agent-1", address(2), How::Secret);
            kept.admitted("agent-1", address(1), How::Passcode);
        }
        let expected = [
            "agent-1 token.issue 10.0.0.1",
            "agent-1 token.issue 10.0.0.2",
            "agent-1 passcode.begin 10.0.0.1",
        ];
        assert_eq!(told(&mut kept), expected);
        for last in 0..100 {
            kept.admitted("agent-1", address(last), How::Secret);
        }
        let known = &kept.admitted[&("agent-1".to_owned(), How::Secret)];
        assert_eq!(known.len(), ADDRESSES_MAX);
    }

    #[test]
    fn failures_are_told_and_a_flood_of_them_as_a_sum_with_its_addresses() {
        let (mut kept, now) = (Kept::default(), Instant::now());
        for attempt in 0..1000_u32 {
            let from = address(if attempt % 2 == 0 { 7 } else { 8 });
            kept.failed("agent-1", from, How::Secret, attempt > 500, now);
        }
        kept.failed(OTHERS, address(9), How::Passcode, true, now);
        kept.sum_up(Some(now + WINDOW));
        let sum = kept.waiting.back().unwrap().clone();
        assert_eq!(
            (sum.actor.as_str(), sum.action.as_str()),
            ("*", "passcode.failures")
        );
        let rows = kept.waiting.iter();
        let sum = rows.clone().find(|row| row.action == "token.failures");
        let detail = &sum.unwrap().detail;
        assert_eq!(
            (&detail["attempts"], &detail["refused"]),
            (&json!(995), &json!(499))
        );
        assert_eq!(detail["from"], json!(["10.0.0.7", "10.0.0.8"]));
        assert_eq!(rows.filter(|row| row.action == "token.issue").count(), 5);
    }

    #[test]
    fn what_is_refused_is_short_and_a_flood_of_it_one_sum() {
        let (mut kept, now) = (Kept::default(), Instant::now());
        let long = "가\0".repeat(5_000);
        for _ in 0..1000 {
            let tried = AuditEntry::new("omar", "10.0.0.7", "message.send", &long);
            kept.refused(tried.outcome(&long), now);
        }
        kept.sum_up(Some(now + WINDOW));
        let rows: Vec<&Row> = kept.waiting.iter().collect();
        assert_eq!(rows.len(), 6);
        assert_eq!(rows[0].subject.chars().count(), TEXT_CHARS_MAX + 1);
        assert!(!rows[0].subject.contains('\0'));
        assert_eq!(rows[0].subject, rows[0].outcome);
        assert_eq!(
            (rows[5].action.as_str(), &rows[5].detail["attempts"]),
            ("refusals", &json!(995))
        );
    }

    #[test]
    fn rows_that_wait_are_bounded_and_what_was_not_told_is_told_later() {
        let mut kept = Kept::default();
        for number in 0..=WAITING_MAX {
            kept.admitted(&format!("n{number}"), address(1), How::Secret);
        }
        assert_eq!(kept.waiting.len(), WAITING_MAX);
        let now = Instant::now();
        kept.failed("agent-1", address(1), How::Secret, false, now);
        kept.refused(AuditEntry::new("omar", "", "message.send", ""), now);
        kept.sum_up(Some(now + WINDOW));
        assert_eq!(kept.waiting.len(), WAITING_MAX);
        kept.waiting.clear();
        kept.sum_up(Some(now + WINDOW));
        let expected = ["agent-1 token.failures ", "omar refusals "];
        assert_eq!(told(&mut kept), expected, "counted meanwhile");
        kept.admitted("n0", address(1), How::Secret);
        assert!(kept.waiting.is_empty(), "it was told");
        let last = format!("n{WAITING_MAX}");
        kept.admitted(&last, address(1), How::Secret);
        assert_eq!(kept.waiting.len(), 1);
    }
}
