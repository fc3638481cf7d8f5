//! What holds for every frame and every stream of bytes.

use std::time::Instant;

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use stomp::{ClientConfig, ClientSession, Command, Decoder, Frame, Limits, Version, encode};

use crate::laws::{decoding, sessions};

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(Version::ALL.to_vec())
}

fn command() -> impl Strategy<Value = Command> {
    prop::sample::select(Command::ALL.to_vec())
}

/// Any text but a NUL, which no version can express in a header.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}",
        "[\\\\:\n\r acnr]{1,8}",
        any::<String>().prop_map(|text| text.replace('\0', "")),
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    let headers = vec((text(), text()), 0..6);
    (command(), headers, vec(any::<u8>(), 0..64)).prop_map(|(command, headers, body)| {
        let mut frame = Frame::new(command);
        for (name, value) in headers {
            if !name.is_empty() && name != "content-length" {
                frame.headers.push(name, value);
            }
        }
        if command.may_have_body() {
            frame.body = body.into();
        }
        frame
    })
}

fn encoded(frame: &Frame, version: Version) -> BytesMut {
    let mut out = BytesMut::new();
    encode(frame, version, &mut out);
    out
}

fn decoder(version: Version) -> Decoder {
    let mut decoder = Decoder::new(Limits::default());
    decoder.set_version(version);
    decoder
}

fn decode_all(decoder: &mut Decoder) -> Vec<Frame> {
    std::iter::from_fn(|| decoder.decode().unwrap()).collect()
}

/// Bytes that look enough like STOMP to get past the first line.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "CONNECT\naccept-version:1.2\n\n\0",
        "CONNECT\n\n\0",
        "SEND\ndestination:/a\n",
        "SUBSCRIBE\nid:1\ndestination:/a\nack:client\n\n\0",
        "UNSUBSCRIBE\nid:1\n",
        "ACK\nid:1-1\n\n\0",
        "BEGIN\ntransaction:1\n\n\0",
        "SEND\ndestination:/a\ntransaction:1\n\n\0",
        "NACK\nid:1-1\ntransaction:1\n\n\0",
        "COMMIT\ntransaction:1\n\n\0",
        "MESSAGE\nsubscription:s-1\nmessage-id:1\n",
        "CONNECTED\nversion:1.1\nheart-beat:1,1\n\n\0",
        "RECEIPT\nreceipt-id:r-1\n\n\0",
        "content-length:5\n",
        "receipt:1\n",
        "\n",
        "\r\n",
        "\0",
        "\\",
        ":",
    ])
    .prop_map(|piece| piece.as_bytes().to_vec());
    vec(
        prop_oneof![4 => pieces, 1 => vec(any::<u8>(), 0..16)],
        0..12,
    )
    .prop_map(|pieces| pieces.concat())
}

/// A frame that a client may well send, often enough about what is there.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let about = prop::sample::select(vec![
        "SEND\ndestination:/a\n",
        "SEND\ndestination:/a\ntransaction:#\n",
        "SUBSCRIBE\nid:#\ndestination:/a\n",
        "SUBSCRIBE\nid:#\ndestination:/a\nack:client\n",
        "SUBSCRIBE\nid:#\ndestination:/a\nack:client\n",
        "UNSUBSCRIBE\nid:#\n",
        "ACK\nid:1-#\nmessage-id:#\nsubscription:1\n",
        "NACK\nid:1-#\nmessage-id:#\nsubscription:1\ntransaction:1\n",
        "BEGIN\ntransaction:#\n",
        "BEGIN\ntransaction:#\n",
        "COMMIT\ntransaction:#\n",
        "ABORT\ntransaction:#\n",
        "DISCONNECT\n",
    ]);
    let receipt = prop::sample::select(vec!["", "receipt: 7\n", "receipt:8\n"]);
    (about, 1..5_u32, receipt).prop_map(|(about, number, receipt)| {
        let head = about.replace('#', &number.to_string());
        format!("{head}{receipt}\n\0").into_bytes()
    })
}

/// What a client sends, time, and what the owner does: see [`sessions`].
fn script() -> impl Strategy<Value = Vec<u8>> {
    let act = prop::sample::select(b"dmmmmnerp\x01\x46".to_vec());
    let connect = prop::sample::select(vec![
        "CONNECT\n\n\0",
        "CONNECT\naccept-version:1.1\nheart-beat:1,1\n\n\0",
        "CONNECT\naccept-version:1.2\nhost:a\nheart-beat:1,1\n\n\0",
    ]);
    // Most of what is sent at random is about nothing that is there, and ends the session.
    let begun = prop::sample::select(vec![
        b"" as &[u8],
        b"SUBSCRIBE\nid:1\ndestination:/a\n\n\0SUBSCRIBE\nid:2\ndestination:/a\n\n\0",
        b"SUBSCRIBE\nid:1\ndestination:/a\nack:client\n\n\0BEGIN\ntransaction:1\n\n\0\xffm\xffm",
        b"SUBSCRIBE\nid:1\ndestination:/a\nack:client\n\n\0SUBSCRIBE\nid:2\ndestination:/a\nack:client\n\n\0\xffm\xffm",
    ]);
    let piece = prop_oneof![
        16 => request(),
        6 => act.prop_map(|act| vec![sessions::ACT, act]),
        1 => noise(),
    ];
    let connect = prop::option::weighted(0.9, connect);
    (connect, begun, vec(piece, 0..16)).prop_map(|(connect, begun, pieces)| {
        let connect = connect.unwrap_or_default().as_bytes();
        [connect, begun, &pieces.concat()].concat()
    })
}

proptest! {
    #[test]
    fn what_was_encoded_decodes_to_itself(frame in frame(), version in version()) {
        prop_assume!(decoding::is_expressible(&frame, version));
        let mut decoder = decoder(version);
        decoder.push(&encoded(&frame, version));
        prop_assert_eq!(decode_all(&mut decoder), vec![frame]);
        prop_assert_eq!(decoder.buffered(), 0);
    }

    #[test]
    fn no_frame_becomes_two_or_gets_another_header(frame in frame(), version in version()) {
        let mut decoder = decoder(version);
        decoder.push(&encoded(&frame, version));
        let frames = decode_all(&mut decoder);
        prop_assert_eq!(frames.len(), 1);
        prop_assert_eq!(frames[0].headers.len(), frame.headers.len());
        prop_assert_eq!(&frames[0].body, &frame.body);
    }

    #[test]
    fn any_frames_and_any_split_of_them_obey_the_laws_of_the_decoder(
        frames in vec(frame(), 1..4),
        version in version(),
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| encoded(frame, version)).collect();
        decoding::check(Some(version), &bytes);
    }

    #[test]
    fn any_bytes_and_any_split_of_them_obey_the_laws_of_the_decoder(
        bytes in noise(),
        version in prop::option::of(version()),
    ) {
        decoding::check(version, &bytes);
    }

    #[test]
    fn any_script_obeys_the_laws_of_the_server_session(script in script()) {
        sessions::check(&script);
    }

    #[test]
    fn any_bytes_never_panic_a_client(bytes in noise()) {
        let now = Instant::now();
        let mut client = ClientSession::new(ClientConfig::default(), now);
        client.handle_bytes(&bytes, now);
        while client.poll_event().is_some() {}
        while client.poll_transmit(now).is_some() {}
        client.handle_deadline(now);
    }
}
