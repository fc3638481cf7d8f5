//! What the application publishes. Pure.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::destination::{EXPIRES, KEY};

/// A message on its way out; the broker adds `subscription`, `destination` and `message-id`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outgoing {
    /// The MIME type of the body; none is invented.
    pub content_type: Option<String>,
    /// More headers. Those by which the broker speaks to clients are left out when the message is published: use the
    /// methods here.
    pub headers: Vec<(String, String)>,
    /// The body: opaque octets.
    pub body: Bytes,
    pub(crate) retained: bool,
}

impl Outgoing {
    /// A message whose body has the MIME type `content_type`.
    pub fn new(content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            content_type: Some(content_type.to_owned()),
            headers: Vec::new(),
            body: body.into(),
            retained: false,
        }
    }

    /// A JSON text.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self::new("application/json", body)
    }

    /// The message with one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The message with a key: of each topic, the last value of each key is retained for itself. Receivers see it as
    /// the header `x-key`.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.headers.retain(|(name, _)| name != KEY);
        self.with_header(KEY, key)
    }

    /// The message with a time after which it is worth nothing: it is not delivered any more then.
    #[must_use]
    pub fn with_expiry(mut self, at: SystemTime) -> Self {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        // Zero would mean never.
        let milliseconds = since.as_millis().max(1).to_string();
        self.headers.retain(|(name, _)| name != EXPIRES);
        self.with_header(EXPIRES, milliseconds)
    }

    /// The message, to be kept as the last value of its topic and key: whoever subscribes with `x-retained:true` gets
    /// it first, until another one takes its place or its `expires` has passed. With an empty body it is delivered,
    /// and the last value is forgotten.
    #[must_use]
    pub fn retained(mut self) -> Self {
        self.retained = true;
        self
    }

    /// The key; empty when there is none.
    pub fn key(&self) -> &str {
        let key = self.headers.iter().find(|(name, _)| name == KEY);
        key.map_or("", |(_, key)| key)
    }

    /// Whether [`Self::retained`] was asked for.
    pub fn is_retained(&self) -> bool {
        self.retained
    }
}
