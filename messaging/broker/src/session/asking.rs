//! What SEND and SUBSCRIBE ask for in their headers, and what of it others may see. Pure.

use bytes::Bytes;
use stomp::server::SubscriptionKey;
use stomp::{AckMode, Frame};

use crate::destination::{
    CONFLATE, DURABLE_NAME, EXPIRES, KEY, KEY_BYTES_MAX, Kind, OWN_HEADERS, PREFETCH_COUNT,
    RESUME_FROM, RETAIN, RETAINED,
};
use crate::guard::Denied;
use crate::message::Outgoing;
use crate::router::{Effect, Wanted, check_name, parse_expires};

/// What a SUBSCRIBE wants.
pub(super) fn wanted_of<'frame>(
    key: SubscriptionKey,
    destination: &'frame str,
    kind: Kind,
    ack: AckMode,
    frame: &'frame Frame,
) -> Result<Wanted<'frame>, Denied> {
    let wanted = Wanted {
        key,
        destination,
        kind,
        ack,
        resume_from: frame.header(RESUME_FROM),
        retained: flag_of(frame, RETAINED)?,
        durable: frame.header(DURABLE_NAME),
        prefetch: prefetch_of(frame)?,
        conflate: flag_of(frame, CONFLATE)?,
    };
    if wanted.conflate {
        let why = if kind != Kind::Topic {
            "is for topics"
        } else if wanted.resume_from.is_some() {
            "takes no x-resume-from: what was replaced is not sent again; take x-retained"
        } else if wanted.durable.is_some() {
            "takes no durable-subscription-name: what was replaced is not kept"
        } else if ack != AckMode::Auto {
            "takes no acknowledgement: what was replaced is never acknowledged"
        } else {
            return Ok(wanted);
        };
        let message = format!("{CONFLATE} {why}");
        return Err(Denied::new("conflate-unsupported", message));
    }
    if let Some(name) = wanted.durable {
        check_name(name)?;
        let why = if kind != Kind::Topic {
            "is for topics: a queue keeps its messages anyway, and nothing is kept for a session that is over"
        } else if wanted.resume_from.is_some() {
            "needs no x-resume-from: what was not acknowledged comes by itself"
        } else if wanted.retained {
            "takes no x-retained: what it has kept would come after newer last values"
        } else {
            return Ok(wanted);
        };
        let message = format!("{DURABLE_NAME} {why}");
        return Err(Denied::new("durable-unsupported", message));
    }
    Ok(wanted)
}

/// Whether a SEND says in its headers what makes sense.
pub(super) fn check_send(kind: Kind, frame: &Frame) -> Result<(), Denied> {
    if let (Kind::Queue | Kind::Topic, Some(value)) = (kind, frame.header(EXPIRES))
        && parse_expires(value).is_none()
    {
        let message = format!("{EXPIRES} {value:?} is no number of milliseconds since 1970");
        return Err(Denied::new("bad-expires", message));
    }
    if kind == Kind::Topic {
        flag_of(frame, RETAIN)?;
        if frame
            .header(KEY)
            .is_some_and(|key| key.len() > KEY_BYTES_MAX)
        {
            let message = format!("{KEY} is too long: a key has at most {KEY_BYTES_MAX} bytes");
            return Err(Denied::new("bad-key", message));
        }
    }
    Ok(())
}

fn flag_of(frame: &Frame, header: &str) -> Result<bool, Denied> {
    match frame.header(header) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(value) => {
            let message = format!("{header} {value:?} is neither true nor false");
            Err(Denied::new("bad-flag", message))
        }
    }
}

fn prefetch_of(frame: &Frame) -> Result<Option<usize>, Denied> {
    let Some(value) = frame.header(PREFETCH_COUNT) else {
        return Ok(None);
    };
    match value.parse() {
        Ok(messages) => Ok(Some(messages)),
        Err(_) => {
            let message = format!("{PREFETCH_COUNT} {value:?} is no number of messages");
            Err(Denied::new("bad-prefetch-count", message))
        }
    }
}

pub(super) fn is_credential(name: &str) -> bool {
    ["authorization", "login", "passcode"]
        .iter()
        .any(|secret| name.eq_ignore_ascii_case(secret))
}

/// What a SEND does, unless it is for the handler.
pub(super) fn effect_of<'frame>(
    kind: Kind,
    destination: &'frame str,
    frame: &Frame,
) -> Option<Effect<'frame>> {
    match kind {
        Kind::Topic => Some(Effect::Publish(destination, outgoing(frame))),
        Kind::Queue => Some(Effect::Enqueue(destination, outgoing(frame))),
        Kind::Reply => Some(Effect::Reply(destination, outgoing(frame))),
        Kind::App | Kind::User => None,
    }
}

/// What others get of a client's SEND: its own headers, and none that speaks for the client's session or the broker.
fn outgoing(frame: &Frame) -> Outgoing {
    /// The broker's own come in front; a client's copies would only be noise behind them.
    const FRAMING: [&str; 7] = [
        "destination",
        "content-type",
        "message-id",
        "subscription",
        "ack",
        "receipt",
        "transaction",
    ];
    Outgoing {
        content_type: frame.header("content-type").map(str::to_owned),
        headers: frame
            .headers
            .iter()
            .filter(|(name, _)| {
                !is_credential(name) && !FRAMING.contains(name) && !OWN_HEADERS.contains(name)
            })
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        // A copy: the frame's is a part of what the socket read, and keeping it would keep all of that.
        body: Bytes::copy_from_slice(&frame.body),
        retained: frame.header(RETAIN) == Some("true"),
    }
}
