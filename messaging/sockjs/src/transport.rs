//! The ways that messages go. Pure.

use std::fmt;

/// How a session's messages reach the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// `websocket`: frames in a WebSocket.
    WebSocket,
    /// `/websocket` below the prefix: a WebSocket without frames of SockJS, for programs.
    RawWebSocket,
    /// `xhr`: each request waits for the next messages.
    Xhr,
    /// `xhr_streaming`: one long answer, read while it comes.
    XhrStreaming,
    /// `eventsource`: one long answer of server-sent events.
    EventSource,
    /// `htmlfile`: one long page of scripts, for Internet Explorer.
    HtmlFile,
    /// `jsonp`: each script waits for the next messages; for browsers that know nothing else.
    Jsonp,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::WebSocket,
        Self::RawWebSocket,
        Self::Xhr,
        Self::XhrStreaming,
        Self::EventSource,
        Self::HtmlFile,
        Self::Jsonp,
    ];

    /// As in URLs; `raw_websocket` stands in none.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::RawWebSocket => "raw_websocket",
            Self::Xhr => "xhr",
            Self::XhrStreaming => "xhr_streaming",
            Self::EventSource => "eventsource",
            Self::HtmlFile => "htmlfile",
            Self::Jsonp => "jsonp",
        }
    }

    /// Whether it is a WebSocket.
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::WebSocket | Self::RawWebSocket)
    }

    /// Whether pages of other sites may use it by CORS.
    pub(crate) fn has_cors(self) -> bool {
        matches!(self, Self::Xhr | Self::XhrStreaming | Self::EventSource)
    }

    /// Its place in [`Self::ALL`].
    pub(crate) fn index(self) -> usize {
        match self {
            Self::WebSocket => 0,
            Self::RawWebSocket => 1,
            Self::Xhr => 2,
            Self::XhrStreaming => 3,
            Self::EventSource => 4,
            Self::HtmlFile => 5,
            Self::Jsonp => 6,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
