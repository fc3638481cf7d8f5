//! The load for SockJS servers: thousands of sessions of one thread, each of which gets back what it sends.
//!
//! [`polling`] asks and posts over plain HTTP/1.1, [`idle`] holds WebSockets open; [`echo`] decides whether each message
//! came back once, in order and byte for byte. A figure of a run in which one did not is worth nothing.

pub mod answers;
pub mod echo;
pub mod idle;
pub mod line;
pub mod polling;

use serde_json::from_slice;

use crate::wire::Broken;

/// The shortest time that anything is waited for: the server's memory is looked at so often.
const TICK: std::time::Duration = std::time::Duration::from_millis(20);

/// A frame of SockJS, as it stands in the answer to a poll or in a WebSocket message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// `o`: the session is open.
    Open,
    /// `h`: the server lives.
    HeartBeat,
    /// `a["…"]`: messages.
    Messages(Vec<String>),
    /// `c[3000,"…"]`: the session has ended.
    Close(String),
}

/// Reads one frame. A line end after it belongs to the transport.
///
/// # Errors
/// It is none.
pub fn frame(bytes: &[u8]) -> Result<Frame, Broken> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    match bytes {
        b"o" => Ok(Frame::Open),
        b"h" => Ok(Frame::HeartBeat),
        [b'a', list @ ..] => from_slice(list)
            .ok()
            .map(Frame::Messages)
            .ok_or(Broken("an a-frame without a list of strings")),
        [b'c', rest @ ..] => Ok(Frame::Close(String::from_utf8_lossy(rest).into_owned())),
        _ => Err(Broken("no frame of SockJS")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read() {
        let messages = |texts: &[&str]| {
            Ok(Frame::Messages(
                texts.iter().map(|text| (*text).to_owned()).collect(),
            ))
        };
        for (bytes, expected) in [
            ("o\n", Ok(Frame::Open)),
            ("o", Ok(Frame::Open)),
            ("h\n", Ok(Frame::HeartBeat)),
            ("a[]", messages(&[])),
            (r#"a["x","\u00e4"]"#, messages(&["x", "ä"])),
            (
                "c[3000,\"Go away!\"]\n",
                Ok(Frame::Close("[3000,\"Go away!\"]".to_owned())),
            ),
            ("a[1]", Err(Broken("an a-frame without a list of strings"))),
            ("x", Err(Broken("no frame of SockJS"))),
            ("", Err(Broken("no frame of SockJS"))),
        ] {
            assert_eq!(frame(bytes.as_bytes()), expected, "{bytes:?}");
        }
    }
}
