//! What kind of destination a client names, and what its wildcards mean. Pure.

use thiserror::Error;

use crate::guard::Denied;

/// Where refusals of [`crate::Handler`]s are told.
pub const USER_ERRORS: &str = "/user/queue/errors";

/// More segments than any destination has; a bound on the depth of the tree of topics.
const SEGMENTS_MAX: usize = 32;

/// More bytes than any destination has; a bound on what a subscription costs.
const BYTES_MAX: usize = 1024;

/// More bytes than any key has; a bound on what remembering one costs.
pub(crate) const KEY_BYTES_MAX: usize = 256;

/// Headers by which broker and clients speak to each other: taken off what clients SEND, so that no client can speak
/// for the broker. [`KEY`] is for receivers as well and stays.
pub(crate) const OWN_HEADERS: [&str; 9] = [
    RESUME_FROM,
    GAP,
    REDELIVERED,
    DEAD_LETTER_FROM,
    DELIVERIES,
    RETAIN,
    RETAINED,
    CONFLATE,
    "x-reconnect-after",
];

/// SUBSCRIBE: a [`crate::Position`] after which to resume.
pub const RESUME_FROM: &str = "x-resume-from";

/// SUBSCRIBE to a topic: `true` when a newer message may take the place of one that still waits and has the same
/// destination and [`KEY`].
pub const CONFLATE: &str = "x-conflate";

/// MESSAGE: messages between the position and now are lost.
pub const GAP: &str = "x-gap";

/// SEND to a topic: `true` to keep the message as the last value of its topic and key.
pub const RETAIN: &str = "x-retain";

/// SEND to a topic: whose last value the message is, among those of the topic. It stays with the message.
pub const KEY: &str = "x-key";

/// SUBSCRIBE to topics: `true` to get last values first. MESSAGE: `true` when it is one.
pub const RETAINED: &str = "x-retained";

/// SUBSCRIBE to topics: the name under which the broker keeps messages while nobody is there. UNSUBSCRIBE: that it
/// need not any more.
pub const DURABLE_NAME: &str = "durable-subscription-name";

/// SUBSCRIBE to a queue or a durable subscription: how many messages the subscription may have unacknowledged.
pub const PREFETCH_COUNT: &str = "prefetch-count";

/// SEND to a queue or a topic: when the message is worth nothing any more, in milliseconds since 1970; 0 for never.
pub const EXPIRES: &str = "expires";

/// MESSAGE from a queue: `true` when a consumer had it before.
pub const REDELIVERED: &str = "redelivered";

/// MESSAGE from a dead-letter queue: the queue that it could not be delivered from.
pub const DEAD_LETTER_FROM: &str = "x-dead-letter-from";

/// MESSAGE from a dead-letter queue: how often a consumer had it.
pub const DELIVERIES: &str = "x-deliveries";

/// SEND: where answers are to go. `/temp-queue/…` is the session's own, and others get a name that reaches it.
pub const REPLY_TO: &str = "reply-to";

/// What the application sends to a session.
const USER_QUEUES: &str = "/user/queue/";

/// What a session calls its own reply queues.
const TEMP_QUEUES: &str = "/temp-queue/";

/// What others call them.
const REPLY_QUEUES: &str = "/reply-queue/";

/// Where the dead letters of `/queue/…` are.
const DEAD_LETTERS: &str = "/queue/dlq/";

/// What a destination is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `/app/**`: to the handler.
    App,
    /// `/topic/**`: to all subscribers.
    Topic,
    /// `/user/queue/**`: to the session.
    User,
    /// `/queue/**`: to one of the subscribers.
    Queue,
    /// `/reply-queue/**`: to the one session that asked for answers there.
    Reply,
}

/// Why a destination is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum BadDestination {
    #[error("{0:?} is no destination here: use /app/…, /topic/…, /queue/… or /user/queue/…")]
    Unsupported(String),
    #[error("{0:?}: /app/… is for SEND only; what comes back is in /user/queue/… and /topic/…")]
    SendOnly(String),
    #[error("{0:?}: /user/queue/… is for SUBSCRIBE only; SEND to /app/…")]
    SubscribeOnly(String),
    #[error("{0:?}: /reply-queue/… is for SEND only; answers to a reply-to come without SUBSCRIBE")]
    ReplyOnly(String),
    #[error(
        "reply-to {0:?} is malformed: a name must follow, as in /temp-queue/answers, {BYTES_MAX} bytes at most in all"
    )]
    ReplyTo(String),
    #[error(
        "{0:?} is malformed: segments are separated by single slashes, at most {SEGMENTS_MAX} of them and {BYTES_MAX} bytes"
    )]
    Malformed(String),
    #[error("{0:?}: * stands for one whole segment, ** for the rest and only at the end")]
    Wildcard(String),
    #[error("{0:?}: wildcards are for SUBSCRIBE to /topic only")]
    UnexpectedWildcard(String),
}

impl BadDestination {
    /// The `code` header of the ERROR.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unsupported(_)
            | Self::SendOnly(_)
            | Self::SubscribeOnly(_)
            | Self::ReplyOnly(_) => "unsupported-destination",
            Self::Malformed(_)
            | Self::ReplyTo(_)
            | Self::Wildcard(_)
            | Self::UnexpectedWildcard(_) => "bad-destination",
        }
    }
}

/// Checks a topic that the application wants to publish to.
///
/// # Errors
/// [`Denied`] says what is wrong with it.
pub fn check_topic(destination: &str) -> Result<(), Denied> {
    match for_send(destination) {
        Ok(Kind::Topic) => Ok(()),
        Ok(_) => Err(BadDestination::Unsupported(destination.to_owned()).into()),
        Err(bad) => Err(bad.into()),
    }
}

impl From<BadDestination> for Denied {
    fn from(bad: BadDestination) -> Self {
        Self::new(bad.code(), bad.to_string())
    }
}

/// The destination of a SEND: no wildcards.
pub(crate) fn for_send(destination: &str) -> Result<Kind, BadDestination> {
    let kind = parse(destination)?;
    match kind {
        Kind::User => Err(BadDestination::SubscribeOnly(destination.to_owned())),
        _ if has_wildcard(destination) => {
            Err(BadDestination::UnexpectedWildcard(destination.to_owned()))
        }
        Kind::App | Kind::Topic | Kind::Queue | Kind::Reply => Ok(kind),
    }
}

/// The destination of a SUBSCRIBE: a topic, perhaps with wildcards, or a queue.
pub(crate) fn for_subscribe(destination: &str) -> Result<Kind, BadDestination> {
    let kind = parse(destination)?;
    match kind {
        Kind::App => Err(BadDestination::SendOnly(destination.to_owned())),
        Kind::Reply => Err(BadDestination::ReplyOnly(destination.to_owned())),
        Kind::User | Kind::Queue if has_wildcard(destination) => {
            Err(BadDestination::UnexpectedWildcard(destination.to_owned()))
        }
        Kind::Topic if !wildcards_are_whole(destination) => {
            Err(BadDestination::Wildcard(destination.to_owned()))
        }
        Kind::Topic | Kind::User | Kind::Queue => Ok(kind),
    }
}

/// Whether `pattern` covers everything that the destination or pattern `narrower` does: for a guard that lists what is
/// allowed.
pub fn covers(pattern: &str, narrower: &str) -> bool {
    let mut segments = narrower.split('/');
    for wanted in pattern.split('/') {
        if wanted == "**" {
            return true;
        }
        match segments.next() {
            Some(segment) if wanted == segment || (wanted == "*" && segment != "**") => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

/// Whether others get the messages of a destination as well, so that the guard is asked before one is delivered.
pub(crate) fn is_shared(destination: &str) -> bool {
    !destination.starts_with(USER_QUEUES) && !destination.starts_with(REPLY_QUEUES)
}

/// Whether there is a destination that both patterns cover: for a guard that lists what is forbidden.
pub fn overlaps(one: &str, other: &str) -> bool {
    let (mut ones, mut others) = (one.split('/'), other.split('/'));
    loop {
        match (ones.next(), others.next()) {
            (Some("**"), _) | (_, Some("**")) | (None, None) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            _ => return false,
        }
    }
}

/// Whether a `reply-to` means a reply queue of the session's own.
///
/// # Errors
/// It does, and is malformed.
pub(crate) fn is_temp_queue(reply_to: &str) -> Result<bool, BadDestination> {
    let Some(name) = reply_to.strip_prefix(TEMP_QUEUES) else {
        return Ok(false);
    };
    if name.is_empty() || reply_to.len() > BYTES_MAX {
        return Err(BadDestination::ReplyTo(
            reply_to.chars().take(BYTES_MAX).collect(),
        ));
    }
    Ok(true)
}

/// The name of the reply queue that only those know who are told.
pub(crate) fn reply_queue(secret: &str) -> String {
    format!("{REPLY_QUEUES}{secret}")
}

/// Where messages go that could not be delivered from `queue`.
pub(crate) fn dead_letter_queue(queue: &str) -> String {
    let rest = queue.strip_prefix("/queue/").unwrap_or(queue);
    format!("{DEAD_LETTERS}{rest}")
}

/// Whether `queue` holds dead letters: they die no second time.
pub(crate) fn is_dead_letter_queue(queue: &str) -> bool {
    queue.starts_with(DEAD_LETTERS)
}

pub(crate) fn has_wildcard(destination: &str) -> bool {
    destination.contains('*')
}

fn parse(destination: &str) -> Result<Kind, BadDestination> {
    let kind = if destination.starts_with("/app/") {
        Kind::App
    } else if destination.starts_with("/topic/") {
        Kind::Topic
    } else if destination.starts_with(USER_QUEUES) {
        Kind::User
    } else if destination.starts_with("/queue/") {
        Kind::Queue
    } else if destination.starts_with(REPLY_QUEUES) {
        Kind::Reply
    } else {
        return Err(BadDestination::Unsupported(
            destination.chars().take(BYTES_MAX).collect(),
        ));
    };
    let segments = destination.split('/').skip(1);
    // So that the queue's dead letters have a destination as well.
    let reserve = usize::from(kind == Kind::Queue && !is_dead_letter_queue(destination));
    if destination.len() + reserve * "dlq/".len() > BYTES_MAX
        || segments.clone().any(str::is_empty)
        || segments.count() + reserve > SEGMENTS_MAX
    {
        return Err(BadDestination::Malformed(
            destination.chars().take(BYTES_MAX).collect(),
        ));
    }
    Ok(kind)
}

fn wildcards_are_whole(pattern: &str) -> bool {
    let mut rest_seen = false;
    pattern.split('/').all(|segment| {
        let fine = !rest_seen && (matches!(segment, "*" | "**") || !segment.contains('*'));
        rest_seen |= segment == "**";
        fine
    })
}

/// Whether a topic pattern covers `destination`, as plainly as can be said: what the trees are tested against.
#[cfg(test)]
pub(crate) fn matches(pattern: &str, destination: &str) -> bool {
    let mut segments = destination.split('/');
    for wanted in pattern.split('/') {
        if wanted == "**" {
            return true;
        }
        match segments.next() {
            Some(segment) if wanted == "*" || wanted == segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_cover_one_segment_or_the_rest() {
        let check = |pattern, destination, expected| {
            assert_eq!(
                matches(pattern, destination),
                expected,
                "{pattern} {destination}"
            );
        };
        check("/topic/a", "/topic/a", true);
        check("/topic/a", "/topic/a/b", false);
        check("/topic/*", "/topic/a", true);
        check("/topic/*", "/topic/a/b", false);
        check("/topic/*/b", "/topic/a/b", true);
        check("/topic/**", "/topic/a/b", true);
        check("/topic/a/**", "/topic/a", true);
        check("/topic/a/**", "/topic/ab", false);
    }

    #[test]
    fn a_pattern_covers_what_is_as_narrow_as_itself() {
        let check = |pattern, narrower, expected| {
            assert_eq!(covers(pattern, narrower), expected, "{pattern} {narrower}");
        };
        check("/topic/a", "/topic/a", true);
        check("/topic/a", "/topic/*", false);
        check("/topic/*", "/topic/*", true);
        check("/topic/*", "/topic/a", true);
        check("/topic/*", "/topic/**", false);
        check("/topic/**", "/topic/**", true);
        check("/topic/**", "/topic/a/*", true);
        check("/topic/a/**", "/topic/**", false);
        check("/topic/a/**", "/topic/a", true);
        check("/topic/*/b", "/topic/a/**", false);
    }

    #[test]
    fn patterns_overlap_where_one_message_would_go_to_both() {
        let check = |one, other, expected| {
            assert_eq!(overlaps(one, other), expected, "{one} {other}");
            assert_eq!(overlaps(other, one), expected, "{other} {one}");
        };
        check("/topic/a", "/topic/a", true);
        check("/topic/a", "/topic/b", false);
        check("/topic/a", "/topic/a/b", false);
        check("/topic/*", "/topic/a", true);
        check("/topic/*/b", "/topic/a/*", true);
        check("/topic/*/b", "/topic/a/c", false);
        check("/topic/**", "/topic/secret/**", true);
        check("/topic/secret/**", "/topic/secret", true);
        check("/topic/secret/**", "/topic/*/pin", true);
        check("/topic/secret/**", "/topic/open/**", false);
    }

    #[test]
    fn refused_destinations_say_why() {
        let subscribe = |destination| for_subscribe(destination).map_err(|bad| bad.code());
        let send = |destination| for_send(destination).map_err(|bad| bad.code());
        assert_eq!(subscribe("/topic/a/*/b/**"), Ok(Kind::Topic));
        assert_eq!(subscribe("/user/queue/errors"), Ok(Kind::User));
        assert_eq!(send("/app/events"), Ok(Kind::App));
        assert_eq!(send("/topic/a"), Ok(Kind::Topic));
        for bad in [
            "/topic/a*",
            "/topic/**/a",
            "/topic//a",
            "/topic/a/",
            "/user/queue/*",
        ] {
            assert_eq!(subscribe(bad), Err("bad-destination"), "{bad}");
        }
        for bad in ["/queues/a", "/app/a", "/user/kim/queue/a", "", "topic/a"] {
            assert_eq!(subscribe(bad), Err("unsupported-destination"), "{bad}");
        }
        assert_eq!(send("/user/queue/a"), Err("unsupported-destination"));
        assert_eq!(subscribe("/queue/a"), Ok(Kind::Queue));
        assert_eq!(send("/queue/a"), Ok(Kind::Queue));
        for bad in ["/queue/*", "/queue/a/**", "/queue//a", "/queue/"] {
            assert_eq!(subscribe(bad), Err("bad-destination"), "{bad}");
            assert_eq!(send(bad), Err("bad-destination"), "{bad}");
        }
        assert_eq!(send("/topic/*"), Err("bad-destination"));
        assert_eq!(send(&"/topic/a".repeat(200)), Err("bad-destination"));
    }

    #[test]
    fn what_is_for_the_other_command_is_told_so() {
        let check = |refused: Result<Kind, BadDestination>, expected: &str| {
            let text = refused.map_err(|bad| bad.to_string());
            assert!(
                matches!(&text, Err(text) if text.contains(expected)),
                "{text:?}"
            );
        };
        check(for_subscribe("/app/a"), "/app/… is for SEND only");
        check(
            for_send("/user/queue/a"),
            "/user/queue/… is for SUBSCRIBE only",
        );
        check(for_subscribe("/reply-queue/a"), "is for SEND only");
        check(for_send("/queues/a"), "is no destination here");
        let nameless = is_temp_queue("/temp-queue/").map(|_| Kind::Reply);
        check(nameless, "reply-to \"/temp-queue/\" is malformed: a name");
    }

    #[test]
    fn every_queue_has_a_destination_for_its_dead_letters() {
        for (rest, fits) in [
            ("a".to_owned(), true),
            ("a/".repeat(29) + "a", true),
            ("a/".repeat(30) + "a", false),
            ("a".repeat(1013), true),
            ("a".repeat(1014), false),
        ] {
            let queue = format!("/queue/{rest}");
            assert_eq!(for_send(&queue).is_ok(), fits, "{queue}");
            let dead = dead_letter_queue(&queue);
            assert_eq!(for_subscribe(&dead).is_ok(), fits, "{dead}");
            assert!(is_dead_letter_queue(&dead) && !is_dead_letter_queue(&queue));
        }
    }
}
