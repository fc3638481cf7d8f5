//! Bytes ↔ frames (STOMP 1.2, STOMP Frames, Value Encoding, Augmented BNF). Pure.
//!
//! What the versions do differently is kept here and nowhere else:
//!
//! | | 1.0 | 1.1 | 1.2 | CONNECT, STOMP, CONNECTED |
//! |---|---|---|---|---|
//! | escapes | none | `\n` `\c` `\\` | and `\r` | none |
//! | end of a line | LF | LF | LF or CRLF | LF or CRLF |
//!
//! A frame of 1.0 or 1.1 whose command line ends in CRLF is taken to end all its lines so: such clients are common,
//! and one that means a carriage return as the last character of a value does not begin with one.

mod decode;
mod encode;

pub use decode::Decoder;
pub(crate) use encode::{HEART_BEAT, encode_alone, error_frame};
pub use encode::{encode, encode_head};
