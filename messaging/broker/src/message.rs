//! What the application publishes. Pure.

use bytes::Bytes;

/// A message on its way out; the broker adds `subscription`, `destination` and `message-id`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outgoing {
    /// The MIME type of the body; none is invented.
    pub content_type: Option<String>,
    /// More headers. They cannot override those of the broker.
    pub headers: Vec<(String, String)>,
    /// The body: opaque octets.
    pub body: Bytes,
}

impl Outgoing {
    /// A message whose body has the MIME type `content_type`.
    pub fn new(content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            content_type: Some(content_type.to_owned()),
            headers: Vec::new(),
            body: body.into(),
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
}
