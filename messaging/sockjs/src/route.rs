//! What a URL below the service's prefix means (SockJS protocol 0.3, "Base URL" to "Session URLs"). Pure.

use crate::transport::Transport;

/// Longer ids are not taken: `sockjs-client` makes 8 characters, careful pages some 30.
const LONGEST_ID: usize = 128;

/// One place of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// The prefix itself: a sign that somebody is there.
    Greeting,
    /// What the service offers.
    Info,
    /// The page that other sites' pages open in a hidden frame.
    Iframe,
    /// WebSocket without SockJS's framing.
    RawWebSocket,
    /// Something of a session.
    Session {
        /// The session's name, chosen by the client. The name of the server in front of it is of no meaning.
        id: &'a str,
        /// What of it.
        endpoint: Endpoint,
    },
}

/// What can be done with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// Receiving by a transport; WebSocket sends as well.
    Receive(Transport),
    /// Sending from a script.
    XhrSend,
    /// Sending from a form.
    JsonpSend,
}

impl Endpoint {
    /// The transport that it belongs to, whatever the receiving side is.
    pub(crate) fn transports(self) -> &'static [Transport] {
        match self {
            Self::Receive(Transport::WebSocket) => &[Transport::WebSocket],
            Self::Receive(Transport::RawWebSocket) => &[Transport::RawWebSocket],
            Self::Receive(Transport::Xhr) => &[Transport::Xhr],
            Self::Receive(Transport::XhrStreaming) => &[Transport::XhrStreaming],
            Self::Receive(Transport::EventSource) => &[Transport::EventSource],
            Self::Receive(Transport::HtmlFile) => &[Transport::HtmlFile],
            Self::Receive(Transport::Jsonp) | Self::JsonpSend => &[Transport::Jsonp],
            Self::XhrSend => &[
                Transport::Xhr,
                Transport::XhrStreaming,
                Transport::EventSource,
                Transport::HtmlFile,
            ],
        }
    }
}

/// Where `path` leads; `None`: nowhere. `path` begins behind the prefix.
pub fn route(path: &str) -> Option<Route<'_>> {
    if path.is_empty() || path == "/" {
        return Some(Route::Greeting);
    }
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut parts = path.split('/');
    let found = match (parts.next()?, parts.next(), parts.next()) {
        ("info", None, None) => Route::Info,
        ("websocket", None, None) => Route::RawWebSocket,
        (page, None, None) if is_iframe(page) => Route::Iframe,
        (server, Some(id), Some(endpoint)) if is_name(server) && is_name(id) => Route::Session {
            id,
            endpoint: endpoint_of(endpoint)?,
        },
        _ => return None,
    };
    parts.next().is_none().then_some(found)
}

fn is_name(part: &str) -> bool {
    !part.is_empty() && part.len() <= LONGEST_ID && !part.contains('.')
}

fn is_iframe(page: &str) -> bool {
    let version = page
        .strip_prefix("iframe")
        .and_then(|rest| rest.strip_suffix(".html"));
    version.is_some_and(|version| {
        let may =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
        version.bytes().all(may)
    })
}

fn endpoint_of(name: &str) -> Option<Endpoint> {
    match name {
        "xhr_send" => Some(Endpoint::XhrSend),
        "jsonp_send" => Some(Endpoint::JsonpSend),
        name => Transport::ALL
            .into_iter()
            .filter(|transport| *transport != Transport::RawWebSocket)
            .find(|transport| transport.name() == name)
            .map(Endpoint::Receive),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_found() {
        let session = |id, endpoint| Route::Session { id, endpoint };
        for (path, expected) in [
            ("", Route::Greeting),
            ("/", Route::Greeting),
            ("/info", Route::Info),
            ("/info/", Route::Info),
            ("/websocket", Route::RawWebSocket),
            ("/iframe.html", Route::Iframe),
            ("/iframe-a.html", Route::Iframe),
            ("/iframe-0.1.2-abc_d.html", Route::Iframe),
            (
                "/000/a%20b/xhr",
                session("a%20b", Endpoint::Receive(Transport::Xhr)),
            ),
            ("/1/2/xhr_send", session("2", Endpoint::XhrSend)),
            (
                "/1/2/jsonp",
                session("2", Endpoint::Receive(Transport::Jsonp)),
            ),
            ("/1/2/jsonp_send", session("2", Endpoint::JsonpSend)),
            (
                "/1/2/websocket/",
                session("2", Endpoint::Receive(Transport::WebSocket)),
            ),
            (
                "/_/_/eventsource",
                session("_", Endpoint::Receive(Transport::EventSource)),
            ),
        ] {
            assert_eq!(route(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn nothing_else_is() {
        let long = format!("/1/{}/xhr", "a".repeat(129));
        for path in [
            "/a",
            "/a.html",
            "//",
            "///",
            "/a/a",
            "/a/a/",
            "/iframe.htm",
            "/iframe",
            "/IFRAME.HTML",
            "/iframe.HTML",
            "/iframe.xml",
            "/iframe-/.html",
            "//a/xhr",
            "/a//xhr",
            "/a./a/xhr",
            "/a/a./xhr",
            "/./a/xhr",
            "/a/b/c/xhr",
            "/a/b/xhr/c",
            "/a/b/raw_websocket",
            "/a/b/",
            "/xhr",
            "/a/xhr",
            "/a/b/xhr//",
            &long,
        ] {
            assert_eq!(route(path), None, "{path}");
        }
    }
}
