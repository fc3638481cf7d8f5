//! WebSocket frames (RFC 6455, section 5) as a client needs them, cut out of any split of the bytes. Pure.
//!
//! Only what a benchmark needs: lengths are checked, payloads are handed out where they lie, nothing is copied unless a
//! frame is torn over two reads. The masking key is zero, which the wire allows and which costs neither side anything.

/// The longest frame that is taken. 1 MiB: messages here have some hundred bytes; more is a mistake of a server.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// What a frame is (its opcode).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text, binary, or the continuation of one.
    Data,
    /// The peer closes.
    Close,
    /// To be answered with a pong of the same payload.
    Ping,
    /// An answer.
    Pong,
}

/// What breaks the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken(pub &'static str);

/// Cuts frames out of a stream of bytes.
#[derive(Debug, Default)]
pub struct Frames {
    /// The beginning of a frame whose rest has not come.
    torn: Vec<u8>,
}

impl Frames {
    /// Hands each complete frame in what was kept and `bytes` to `each`, in order.
    ///
    /// # Errors
    /// What the server sent is no frame, too long, or `each` refused it. Nothing more can be read then.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Kind, &[u8]) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        if self.torn.is_empty() {
            let used = cut(bytes, &mut each)?;
            self.torn.extend_from_slice(&bytes[used..]);
        } else {
            self.torn.extend_from_slice(bytes);
            let used = cut(&self.torn, &mut each)?;
            self.torn.drain(..used);
        }
        Ok(())
    }
}

/// Returns how many bytes were complete frames.
fn cut(
    bytes: &[u8],
    each: &mut impl FnMut(Kind, &[u8]) -> Result<(), Broken>,
) -> Result<usize, Broken> {
    let mut used = 0;
    while let Some((kind, head, length)) = head(&bytes[used..])? {
        let start = used + head;
        let Some(payload) = bytes.get(start..start + length) else {
            break;
        };
        each(kind, payload)?;
        used = start + length;
    }
    Ok(used)
}

/// Kind, bytes of the head, bytes of the payload. `None`: the head is not complete.
fn head(bytes: &[u8]) -> Result<Option<(Kind, usize, usize)>, Broken> {
    let &[first, second, ..] = bytes else {
        return Ok(None);
    };
    let kind = match first & 0x0f {
        0..=2 => Kind::Data,
        8 => Kind::Close,
        9 => Kind::Ping,
        10 => Kind::Pong,
        _ => return Err(Broken("a WebSocket frame of unknown opcode")),
    };
    if first & 0x70 != 0 {
        return Err(Broken(
            "a WebSocket frame with an extension that nobody asked for",
        ));
    }
    let (head, length) = match second {
        0..=125 => (2, usize::from(second)),
        126 => {
            let Some(&[high, low]) = bytes.get(2..4) else {
                return Ok(None);
            };
            (4, usize::from(u16::from_be_bytes([high, low])))
        }
        127 => {
            let Some(length) = bytes.get(2..10).and_then(|bytes| bytes.try_into().ok()) else {
                return Ok(None);
            };
            let length = usize::try_from(u64::from_be_bytes(length));
            (10, length.unwrap_or(usize::MAX))
        }
        128.. => return Err(Broken("a masked WebSocket frame from a server")),
    };
    if length > FRAME_BYTES_MAX {
        return Err(Broken("a WebSocket frame that is too long"));
    }
    Ok(Some((kind, head, length)))
}

/// Opcode of a text frame.
pub const TEXT: u8 = 1;
/// Opcode of an answer to a ping.
pub const PONG: u8 = 10;

/// A whole frame from a client.
///
/// # Panics
/// When the payload has 64 KiB or more: no client here sends such.
#[must_use]
pub fn client_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    const MASKED: u8 = 0x80;
    const FINAL: u8 = 0x80;
    let mut frame = vec![FINAL | opcode];
    match u8::try_from(payload.len()) {
        Ok(length @ 0..=125) => frame.push(MASKED | length),
        _ => {
            let length = u16::try_from(payload.len()).expect("a client's frames are short");
            frame.push(MASKED | 126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As a server sends it.
    fn server_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..=125 => frame.push(u8::try_from(length).unwrap()),
            length @ 126..=0xffff => {
                frame.push(126);
                frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(payload);
        frame
    }

    fn read(pieces: &[&[u8]]) -> Result<Vec<(Kind, Vec<u8>)>, Broken> {
        let mut frames = Frames::default();
        let mut found = Vec::new();
        for piece in pieces {
            frames.feed(piece, |kind, payload| {
                found.push((kind, payload.to_vec()));
                Ok(())
            })?;
        }
        Ok(found)
    }

    #[test]
    fn what_is_no_frame_of_a_server_is_refused() {
        for (bytes, why) in [
            (&[0x83, 0][..], "a WebSocket frame of unknown opcode"),
            (
                &[0xc1, 0],
                "a WebSocket frame with an extension that nobody asked for",
            ),
            (&[0x81, 0x80], "a masked WebSocket frame from a server"),
            (
                &[0x81, 127, 0, 0, 0, 0, 0, 16, 0, 1],
                "a WebSocket frame that is too long",
            ),
            (
                &[0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255],
                "a WebSocket frame that is too long",
            ),
        ] {
            assert_eq!(read(&[bytes]), Err(Broken(why)), "{bytes:?}");
        }
    }

    #[test]
    fn a_client_masks_with_zero() {
        assert_eq!(client_frame(TEXT, b"hi"), b"\x81\x82\0\0\0\0hi");
        let long = client_frame(TEXT, &[b'x'; 300]);
        assert_eq!(&long[..8], b"\x81\xfe\x01\x2c\0\0\0\0");
        assert_eq!(long.len(), 308);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(
            lengths in prop::collection::vec(prop_oneof![0..200_usize, Just(65_535), Just(65_536)], 0..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let kinds = [(1, Kind::Data), (9, Kind::Ping), (2, Kind::Data), (8, Kind::Close), (10, Kind::Pong)];
            let mut bytes = Vec::new();
            let mut sent = Vec::new();
            for (index, length) in lengths.into_iter().enumerate() {
                let (opcode, kind) = kinds[index % kinds.len()];
                let payload: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
                bytes.extend(server_frame(opcode, &payload));
                sent.push((kind, payload));
            }
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
            prop_assert_eq!(read(&pieces), Ok(sent));
        }

        #[test]
        fn byte_by_byte_gives_the_same_frames(length in 0..400_usize) {
            let payload = vec![7; length];
            let bytes = server_frame(1, &payload);
            let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(read(&pieces), Ok(vec![(Kind::Data, payload)]));
        }
    }
}
