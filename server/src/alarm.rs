//! Alarms: what people must act on. [`state`] is the machine, `engine` the task that owns all alarms and their records.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use contract::alarm::{Acknowledge, AlarmView};
use contract::event::Events;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) mod engine;
pub mod state;

use crate::audit::REASON_CHARS_MAX;
use crate::identity::principal::Principal;
use crate::listener::rate::{Buckets, Rate};
use crate::mailbox::Mailbox;
use crate::store::StoreError;
use crate::wire;

/// Requests that wait for the engine. Each is small; when it is full, whoever asks waits, and with them the socket they
/// read from: nothing is dropped.
const QUEUE: usize = 256;

/// Acknowledgements of one principal, whichever way they come: 600, and ten a second. After a storm somebody acknowledges
/// what a whole site raised; a refused one leaves a row in the audit too, which may not be flooded.
const PACE: Rate = Rate {
    burst: 600,
    every: Duration::from_millis(100),
};

/// Why an acknowledgement did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcknowledgeError {
    /// There is no such alarm, or it is normal again, with nothing left to acknowledge.
    #[error(
        "there is no open alarm with the number {0}: it may have been acknowledged and ended meanwhile"
    )]
    NotOpen(i64),
    /// Not in this zone, or not with this role.
    #[error("you may not acknowledge alarms of the zone {0}")]
    Forbidden(contract::ZoneId),
    /// A person who has not shown their second factor, or too long ago.
    #[error("acknowledging takes your second factor: show it, then acknowledge again")]
    SecondFactorNeeded,
    /// It was raised again since it was seen.
    #[error(transparent)]
    Superseded(#[from] state::Superseded),
    /// A note longer than [`REASON_CHARS_MAX`].
    #[error("a note has at most {REASON_CHARS_MAX} characters")]
    LongNote,
    /// More than [`PACE`] allows.
    #[error("you acknowledged too many alarms: the next one is taken in {} s", .0.as_secs() + 1)]
    TooMany(Duration),
    /// It could not be stored, so it did not happen.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Somebody who acts, and from where.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    pub(crate) principal: Principal,
    pub(crate) peer: String,
}

/// What the engine is asked.
pub(crate) enum Request {
    Record {
        events: Events,
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
    Acknowledge {
        alarm: i64,
        seen: Acknowledge,
        actor: Box<Actor>,
        at: DateTime<Utc>,
        reply: oneshot::Sender<Result<AlarmView, AcknowledgeError>>,
    },
    SiteChanged,
}

/// The engine's public face.
#[derive(Debug, Clone)]
pub(crate) struct AlarmHandle {
    mailbox: Mailbox<Request>,
    paces: Arc<Mutex<Buckets<String>>>,
    open: watch::Receiver<Arc<Vec<AlarmView>>>,
}

/// What the engine works with: its queue, and where it shows what is open.
pub(crate) struct Desk {
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) shown: watch::Sender<Arc<Vec<AlarmView>>>,
}

/// A word to those who come after, as it is kept.
fn note(text: Option<&str>) -> Result<Option<String>, AcknowledgeError> {
    let text = wire::clean(text.unwrap_or_default().trim());
    if text.chars().count() > REASON_CHARS_MAX {
        return Err(AcknowledgeError::LongNote);
    }
    Ok((!text.is_empty()).then(|| text.into_owned()))
}

impl AlarmHandle {
    /// A handle, and what the engine works with.
    pub(crate) fn new() -> (Self, Desk) {
        let (mailbox, requests) = Mailbox::new(QUEUE);
        let (shown, open) = watch::channel(Arc::default());
        let paces = Arc::new(Mutex::new(Buckets::new(PACE)));
        let handle = Self {
            mailbox,
            paces,
            open,
        };
        (handle, Desk { requests, shown })
    }

    /// Stores events and what follows from them. When it answers `Ok`, all of them are committed.
    pub(crate) async fn record(&self, events: Events) -> Result<(), StoreError> {
        self.mailbox
            .ask(|reply| Request::Record { events, reply })
            .await
    }

    /// Somebody has seen an alarm.
    pub(crate) async fn acknowledge(
        &self,
        alarm: i64,
        mut seen: Acknowledge,
        actor: Actor,
    ) -> Result<AlarmView, AcknowledgeError> {
        let taken = {
            let mut paces = self.paces.lock().expect("nothing panics while it is held");
            paces.take(actor.principal.subject.clone(), Instant::now())
        };
        taken.map_err(AcknowledgeError::TooMany)?;
        seen.note = note(seen.note.as_deref())?;
        self.mailbox
            .ask(|reply| Request::Acknowledge {
                alarm,
                seen,
                actor: Box::new(actor),
                at: Utc::now(),
                reply,
            })
            .await
    }

    /// The site changed: whatever is said of devices must be said anew.
    pub(crate) async fn site_changed(&self) {
        self.mailbox.tell(Request::SiteChanged).await;
    }

    /// Every alarm that is not normal, in the order in which to act. Never waits: whoever looks must see something even
    /// while the engine waits for the database.
    pub(crate) fn open(&self) -> Arc<Vec<AlarmView>> {
        Arc::clone(&self.open.borrow())
    }
}
