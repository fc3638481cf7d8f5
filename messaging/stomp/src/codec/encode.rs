//! Frames to bytes, for the version of whoever receives them. Pure.
//!
//! A header that the receiver's version cannot express is changed rather than written: no value may become a header
//! line or end the frame.

use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};

use crate::frame::{Command, Frame};
use crate::version::Version;

/// Appends `frame` as `version` writes it. A SEND, MESSAGE or ERROR with a body gets `content-length`; a body of any
/// other frame is left out, since it must not have one. Before a version is agreed, encode for [`Version::V1_0`].
pub fn encode(frame: &Frame, version: Version, out: &mut BytesMut) {
    let body = body_of(frame);
    out.reserve(estimate(frame) + body.len());
    encode_head(frame, version, out);
    out.put_slice(body);
    out.put_u8(0);
}

fn body_of(frame: &Frame) -> &[u8] {
    if frame.command.may_have_body() {
        &frame.body
    } else {
        b""
    }
}

/// As [`encode`] up to the blank line that ends the head: for a fan-out that shares a long body. The body and a NUL must
/// follow.
pub fn encode_head(frame: &Frame, version: Version, out: &mut BytesMut) {
    let escaped = frame.command.is_escaped();
    let body = body_of(frame);
    out.reserve(estimate(frame));
    out.put_slice(frame.command.as_str().as_bytes());
    out.put_u8(b'\n');
    for (name, value) in frame.headers.iter() {
        // Framing is the encoder's: a second content-length could only contradict it.
        if name == "content-length" || name.is_empty() {
            continue;
        }
        put(name, Part::Name, version, escaped, out);
        out.put_u8(b':');
        put(value, Part::Value, version, escaped, out);
        out.put_u8(b'\n');
    }
    if !body.is_empty() {
        // Room was made for it: this cannot fail.
        let _written = writeln!(out, "content-length:{}", body.len());
    }
    out.put_u8(b'\n');
}

/// Bytes of the head when nothing needs an escape.
fn estimate(frame: &Frame) -> usize {
    /// The command, `content-length`, the blank line and the NUL.
    const FIXED: usize = 48;
    let headers: usize = frame
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 2)
        .sum();
    headers + FIXED
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Name,
    Value,
}

fn put(text: &str, part: Part, version: Version, escaped: bool, out: &mut BytesMut) {
    let mut rest = text.as_bytes();
    // Almost every text has none of them, and whether it has any is found faster than where.
    if !rest
        .iter()
        .fold(false, |any, octet| any | is_special(*octet))
    {
        out.put_slice(rest);
        return;
    }
    while let Some(at) = rest.iter().position(|octet| is_special(*octet)) {
        out.put_slice(&rest[..at]);
        out.put_slice(written(rest[at], part, version, escaped));
        rest = &rest[at + 1..];
    }
    out.put_slice(rest);
}

/// Which octets mean something to the framing.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let octets = *b"\n\r:\\\0";
    let mut at = 0;
    while at < octets.len() {
        special[octets[at] as usize] = true;
        at += 1;
    }
    special
};

fn is_special(octet: u8) -> bool {
    SPECIAL[usize::from(octet)]
}

/// How one octet that means something to the framing is written.
fn written(octet: u8, part: Part, version: Version, escaped: bool) -> &'static [u8] {
    let escapes = escaped && version > Version::V1_0;
    match octet {
        0 => b" ",
        b'\\' if escapes => b"\\\\",
        b'\\' => b"\\",
        b':' if escapes => b"\\c",
        b':' if part == Part::Value => b":",
        b':' => b"_",
        b'\n' if escapes => b"\\n",
        b'\r' if escapes && version == Version::V1_2 => b"\\r",
        // 1.1 has no escape for it and allows it as it is.
        b'\r' if escapes => b"\r",
        _ => b" ",
    }
}

/// The single LF that stands for life when there is nothing to say.
pub(crate) const HEART_BEAT: &[u8] = b"\n";

/// `frame` encoded alone.
pub(crate) fn encode_alone(frame: &Frame, version: Version) -> bytes::Bytes {
    let mut out = BytesMut::new();
    encode(frame, version, &mut out);
    out.freeze()
}

/// The frame for a [`crate::ProtocolError`] or another reason to end a session.
pub(crate) fn error_frame(code: &str, message: &str, receipt: Option<&str>) -> Frame {
    let mut frame = Frame::new(Command::Error)
        .with_header("message", message)
        .with_header("code", code);
    if let Some(receipt) = receipt {
        frame.headers.push("receipt-id", receipt);
    }
    frame
}
