//! Framing, escaping and limits, case by case (STOMP 1.2, STOMP Frames, Value Encoding, Size Limits).

use bytes::BytesMut;
use stomp::{Command, Decoder, Frame, Limits, ProtocolError, Version, encode};

fn decode(version: Option<Version>, bytes: &[u8]) -> Result<Vec<Frame>, ProtocolError> {
    let mut decoder = Decoder::new(Limits::default());
    if let Some(version) = version {
        decoder.set_version(version);
    }
    decoder.push(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.decode()? {
        frames.push(frame);
    }
    Ok(frames)
}

/// One frame, decoded by 1.2's rules.
fn one(bytes: &[u8]) -> Frame {
    let mut frames = decode(Some(Version::V1_2), bytes).unwrap();
    assert_eq!(frames.len(), 1, "{frames:?}");
    frames.remove(0)
}

fn written(frame: &Frame, version: Version) -> String {
    let mut out = BytesMut::new();
    encode(frame, version, &mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn the_example_of_the_specification() {
    let frame = one(b"SEND\ndestination:/queue/a\ncontent-type:text/plain\n\nhello queue a\0");
    assert_eq!(frame.command, Command::Send);
    assert_eq!(frame.header("destination"), Some("/queue/a"));
    assert_eq!(frame.header("content-type"), Some("text/plain"));
    assert_eq!(frame.body, "hello queue a");
}

#[test]
fn line_ends_between_frames_are_skipped() {
    let frames = decode(
        Some(Version::V1_2),
        b"\n\r\n\nSEND\na:1\n\n\0\n\n\r\nSEND\na:2\n\n\0\n",
    )
    .unwrap();
    let values: Vec<_> = frames.iter().map(|frame| frame.header("a")).collect();
    assert_eq!(values, [Some("1"), Some("2")]);
}

#[test]
fn crlf_ends_every_line_in_1_2_and_in_frames_that_begin_so() {
    let bytes = b"SEND\r\na:1\r\n\r\nx\0";
    for version in [
        None,
        Some(Version::V1_0),
        Some(Version::V1_1),
        Some(Version::V1_2),
    ] {
        let frames = decode(version, bytes).unwrap();
        assert_eq!(frames[0].header("a"), Some("1"), "{version:?}");
        assert_eq!(frames[0].body, "x", "{version:?}");
    }
}

#[test]
fn a_carriage_return_is_part_of_a_value_before_1_2_and_malformed_in_it() {
    let bytes = b"SEND\na:1\r\nb:\r2\n\n\0";
    for version in [Version::V1_0, Version::V1_1] {
        let frames = decode(Some(version), bytes).unwrap();
        assert_eq!(frames[0].header("a"), Some("1\r"), "{version}");
        assert_eq!(frames[0].header("b"), Some("\r2"), "{version}");
    }
    assert_eq!(
        decode(Some(Version::V1_2), bytes),
        Err(ProtocolError::BareCarriageReturn {
            command: Command::Send,
            line: 3
        })
    );
}

#[test]
fn content_length_decides_where_the_body_ends() {
    assert_eq!(one(b"SEND\ncontent-length:3\n\na\0b\0").body, "a\0b");
    assert_eq!(one(b"SEND\n\nab\0").body, "ab");
    assert_eq!(one(b"SEND\ncontent-length:0\n\n\0").body, "");
    // The first of repeated headers counts.
    assert_eq!(
        one(b"SEND\ncontent-length:1\ncontent-length:9\n\na\0").body,
        "a"
    );
}

#[test]
fn content_length_is_honoured_on_frames_that_may_have_no_body_and_the_body_dropped() {
    let frames = decode(
        Some(Version::V1_2),
        b"SUBSCRIBE\nid:1\ncontent-length:3\n\na\0b\0BEGIN\ntransaction:1\n\nstray\n\0",
    )
    .unwrap();
    assert_eq!(frames.len(), 2);
    assert!(frames.iter().all(|frame| frame.body.is_empty()));
}

#[test]
fn a_wrong_content_length_is_an_error() {
    for value in ["-1", "+1", "x", "", "1 ", "99999999999999999999999"] {
        assert_eq!(
            decode(
                Some(Version::V1_2),
                format!("SEND\ncontent-length:{value}\n\na\0").as_bytes()
            ),
            Err(ProtocolError::BadContentLength {
                command: Command::Send,
                value: value.to_owned()
            }),
            "{value:?}"
        );
    }
    assert_eq!(
        decode(Some(Version::V1_2), b"SEND\ncontent-length:1\n\nab\0"),
        Err(ProtocolError::MissingNul {
            command: Command::Send,
            length: 1
        })
    );
}

#[test]
fn each_version_knows_its_own_escapes() {
    let value = |version, text: &str| {
        decode(Some(version), format!("SEND\na:{text}\n\n\0").as_bytes())
            .map(|frames| frames[0].header("a").unwrap().to_owned())
            .ok()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        value(Version::V1_0, r"a\nb\c\\\r\t\"),
        some(r"a\nb\c\\\r\t\")
    );
    assert_eq!(value(Version::V1_1, r"a\nb\c\\"), some("a\nb:\\"));
    assert_eq!(value(Version::V1_1, r"\r"), None);
    assert_eq!(value(Version::V1_2, r"a\nb\c\\\r"), some("a\nb:\\\r"));
    assert_eq!(value(Version::V1_2, r"\\n"), some(r"\n"));
    for undefined in [r"\t", r"\N", r"\", r"\\\", r"\:"] {
        assert_eq!(value(Version::V1_2, undefined), None, "{undefined}");
    }
    // Names are escaped as values are.
    let frame = one(b"SEND\na\\cb:1\n\n\0");
    assert_eq!(frame.header("a:b"), Some("1"));
}

#[test]
fn connect_and_connected_are_never_escaped() {
    for command in ["CONNECT", "STOMP", "CONNECTED"] {
        for version in [None, Some(Version::V1_2)] {
            let bytes = format!("{command}\nlogin:a\\cb\\t\n\n\0");
            let frames = decode(version, bytes.as_bytes()).unwrap();
            assert_eq!(frames[0].header("login"), Some(r"a\cb\t"), "{command}");
        }
    }
    let frame = Frame::new(Command::Connected).with_header("server", r"a:b\c");
    assert_eq!(
        written(&frame, Version::V1_2),
        "CONNECTED\nserver:a:b\\c\n\n\0"
    );
}

#[test]
fn values_keep_their_blanks_and_colons() {
    let frame = one(b"SEND\ndestination:tcp://x\nb: c \nempty:\n\n\0");
    assert_eq!(frame.header("destination"), Some("tcp://x"));
    assert_eq!(frame.header("b"), Some(" c "));
    assert_eq!(frame.header("empty"), Some(""));
}

#[test]
fn malformed_heads_say_what_and_where() {
    let error = |bytes: &[u8]| decode(Some(Version::V1_2), bytes).unwrap_err().to_string();
    assert_eq!(
        error(b"send\n\n\0"),
        "unknown command \"send\": commands are case-sensitive, for example SEND"
    );
    assert_eq!(
        error(b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n"),
        "unknown command \"GET /ws HTTP/1.1\": this is plain STOMP over TCP, neither HTTP nor TLS"
    );
    assert_eq!(
        error(b"\x16\x03\x01\x02\0\x01"),
        "line 1 of the frame has a NUL: a blank line must end the headers first; if it is TLS, this is plain STOMP over TCP"
    );
    assert_eq!(
        error(b"SEND\na\0"),
        "line 2 of the frame has a NUL: a blank line must end the headers first"
    );
    assert_eq!(
        error(b"SEND\na:1\nb\n\n\0"),
        "line 3 of the SEND has no colon: a header is name:value"
    );
    assert_eq!(
        error(b"SEND\n:1\n\n\0"),
        "line 2 of the SEND has an empty header name"
    );
    assert_eq!(
        error(b"SEND\na:\\t\n\n\0"),
        "line 2 of the SEND has the undefined escape \"\\\\t\": write \\\\ for a backslash"
    );
    assert_eq!(
        error(b"SEND\na:\xff\n\n\0"),
        "line 2 of the frame is not UTF-8"
    );
    assert_eq!(
        error(b"SEND\na:1\0\n"),
        "line 2 of the frame has a NUL: a blank line must end the headers first"
    );
}

#[test]
fn limits_are_checked_before_the_rest_has_come() {
    let limits = Limits {
        line_bytes: 20,
        head_bytes: 40,
        headers: 3,
        body_bytes: 8,
        ..Limits::default()
    };
    let error = |bytes: &[u8]| {
        let mut decoder = Decoder::new(limits.clone());
        decoder.push(bytes);
        decoder.decode().unwrap_err()
    };
    // None of these inputs is complete.
    assert_eq!(
        error(b"SENDSENDSENDSENDSENDS"),
        ProtocolError::LineTooLong { line: 1, limit: 20 }
    );
    assert_eq!(
        error(b"SEND\n0123456789:1234567890"),
        ProtocolError::LineTooLong { line: 2, limit: 20 }
    );
    assert_eq!(
        error(b"SEND\n012345:789012\n012345:789012\n012345:789012\n"),
        ProtocolError::HeadTooLong { limit: 40 }
    );
    assert_eq!(
        error(b"SEND\na:1\na:2\na:3\na:4\n"),
        ProtocolError::TooManyHeaders { limit: 3 }
    );
    let too_long = ProtocolError::BodyTooLong {
        command: Command::Send,
        limit: 8,
    };
    assert_eq!(error(b"SEND\ncontent-length:9\n\n"), too_long);
    assert_eq!(error(b"SEND\n\n123456789"), too_long);
}

/// Found by the fuzzer: a line was first measured and then searched, so that pieces told another error than the whole.
#[test]
fn what_comes_first_in_a_line_decides_which_error_it_is() {
    let limits = Limits {
        line_bytes: 8,
        ..Limits::default()
    };
    let check = |line: &[u8], expected: ProtocolError| {
        for length in [1, line.len()] {
            let mut decoder = Decoder::new(limits.clone());
            let error = line.chunks(length).find_map(|piece| {
                decoder.push(piece);
                decoder.decode().err()
            });
            assert_eq!(error.as_ref(), Some(&expected), "{line:?} by {length}");
        }
    };
    check(b"SE\0Dxxxxxxxx\n", ProtocolError::NulInHead { line: 1 });
    check(b"SENDxxx\0\n", ProtocolError::NulInHead { line: 1 });
    let too_long = ProtocolError::LineTooLong { line: 1, limit: 8 };
    check(b"SENDxxxx\0\n", too_long.clone());
    check(b"SENDxxxx\n", too_long);
}

/// Found by the fuzzer: after the last header that may be, `content-length` was one too many, before it was none.
#[test]
fn content_length_does_not_count_as_a_header_wherever_it_stands() {
    let headers = Limits::default().headers;
    let length = "content-length:1\n";
    for (before, after) in [(length, ""), ("", length), (length, length)] {
        let head = format!("SEND\n{before}{}{after}", "a:1\n".repeat(headers));
        assert_eq!(
            one(format!("{head}\nx\0").as_bytes()).headers.len(),
            headers
        );
        let more = decode(None, format!("{head}b:1\n").as_bytes());
        assert_eq!(more, Err(ProtocolError::TooManyHeaders { limit: headers }));
    }
}

#[test]
fn what_a_version_cannot_express_never_becomes_a_header_line() {
    let frame = Frame::new(Command::Message)
        .with_header("a", "x\ninjected:1\r\nb:2\0")
        .with_header("c\nd:e", "\\f");
    assert_eq!(
        written(&frame, Version::V1_0),
        "MESSAGE\na:x injected:1  b:2 \nc d_e:\\f\n\n\0"
    );
    assert_eq!(
        written(&frame, Version::V1_1),
        "MESSAGE\na:x\\ninjected\\c1\r\\nb\\c2 \nc\\nd\\ce:\\\\f\n\n\0"
    );
    assert_eq!(
        written(&frame, Version::V1_2),
        "MESSAGE\na:x\\ninjected\\c1\\r\\nb\\c2 \nc\\nd\\ce:\\\\f\n\n\0"
    );
    let connected = Frame::new(Command::Connected).with_header("session", "1\nversion:9");
    assert_eq!(
        written(&connected, Version::V1_2),
        "CONNECTED\nsession:1 version:9\n\n\0"
    );
}

#[test]
fn bodies_get_their_length_and_only_where_they_may_be() {
    let message = Frame::new(Command::Message)
        .with_header("content-length", "99")
        .with_body("a\0b");
    assert_eq!(
        written(&message, Version::V1_2),
        "MESSAGE\ncontent-length:3\n\na\0b\0"
    );
    let receipt = Frame::new(Command::Receipt).with_body("x");
    assert_eq!(written(&receipt, Version::V1_2), "RECEIPT\n\n\0");
}
