//! HTTP/1.1 answers (RFC 9112) cut out of any split of the bytes. Pure.
//!
//! Only what a connection that is kept alive can carry: a body has a length or comes in chunks.

use std::borrow::Cow;

use memchr::memmem;

use crate::wire::Broken;

/// The longest answer that is taken. 1 MiB: a poll here has some hundred bytes; more is a mistake of a server.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Its code.
    pub status: u16,
    /// Its body, out of its chunks if it came in such.
    pub body: Cow<'a, [u8]>,
}

/// Cuts answers out of a stream of bytes.
#[derive(Debug, Default)]
pub struct Answers {
    /// The beginning of an answer whose rest has not come.
    torn: Vec<u8>,
}

impl Answers {
    /// Hands each complete answer in what was kept and `bytes` to `each`, in order.
    ///
    /// # Errors
    /// What the server sent is no answer, or too long. Nothing more can be read then.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Answer<'_>)) -> Result<(), Broken> {
        self.torn.extend_from_slice(bytes);
        let mut used = 0;
        while let Some((answer, length)) = answer(&self.torn[used..])? {
            each(answer);
            used += length;
        }
        self.torn.drain(..used);
        if self.torn.len() > ANSWER_BYTES_MAX {
            return Err(Broken("an answer that is too long"));
        }
        Ok(())
    }
}

/// The first answer in `bytes`, and how long it is. `None`: it is not complete.
///
/// # Errors
/// It is none, or one without an end.
pub fn answer(bytes: &[u8]) -> Result<Option<(Answer<'_>, usize)>, Broken> {
    let Some(head_end) = memmem::find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, rest) = (&bytes[..head_end], &bytes[head_end + 4..]);
    let status = status(head)?;
    let body = if status < 200 || status == 204 || status == 304 {
        Some((Cow::Borrowed(&rest[..0]), 0))
    } else if header(head, b"transfer-encoding").is_some_and(|value| value == b"chunked") {
        chunks(rest)?
    } else {
        let length = header(head, b"content-length")
            .and_then(|value| number(value, 10))
            .ok_or(Broken("an answer without a length"))?;
        rest.get(..length).map(|body| (Cow::Borrowed(body), length))
    };
    Ok(body.map(|(body, length)| (Answer { status, body }, head_end + 4 + length)))
}

fn status(head: &[u8]) -> Result<u16, Broken> {
    head.strip_prefix(b"HTTP/1.1 ")
        .and_then(|rest| number(rest.get(..3)?, 10))
        .and_then(|status| u16::try_from(status).ok())
        .ok_or(Broken("no answer of HTTP/1.1"))
}

/// The value of a header, whose name is given in small letters.
fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (own, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        own.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

fn number(digits: &[u8], radix: u32) -> Option<usize> {
    usize::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

/// A body, and how many bytes it takes on the wire.
type Body<'a> = (Cow<'a, [u8]>, usize);

/// What stands in the chunks, and how long they are with the end after them.
fn chunks(bytes: &[u8]) -> Result<Option<Body<'_>>, Broken> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = memmem::find(&bytes[at..], b"\r\n") else {
            return Ok(None);
        };
        let size = bytes[at..at + line].split(|byte| *byte == b';').next();
        let size = size
            .and_then(|size| number(size, 16))
            .filter(|size| *size <= ANSWER_BYTES_MAX)
            .ok_or(Broken("a chunk without a size"))?;
        at += line + 2;
        let Some(chunk) = bytes.get(at..at + size + 2) else {
            return Ok(None);
        };
        let Some(chunk) = chunk.strip_suffix(b"\r\n") else {
            return Err(Broken("a chunk without an end"));
        };
        at += size + 2;
        if size == 0 {
            return Ok(Some((Cow::Owned(body), at)));
        }
        body.extend_from_slice(chunk);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<(u16, Vec<u8>)>, Broken> {
        let mut answers = Answers::default();
        let mut found = Vec::new();
        for piece in pieces {
            answers.feed(piece, |answer| {
                found.push((answer.status, answer.body.into_owned()));
            })?;
        }
        Ok(found)
    }

    #[test]
    fn each_way_to_end_a_body_is_known() {
        for (bytes, status, body) in [
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no\n",
                200,
                "o\n",
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length:0\r\n\r\n", 200, ""),
            ("HTTP/1.1 204 No Content\r\na: b\r\n\r\n", 204, ""),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", 101, ""),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na[\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
                200,
                "a[0123456789",
            ),
        ] {
            let expected = Ok(vec![(status, body.as_bytes().to_vec())]);
            assert_eq!(read(&[bytes.as_bytes()]), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for (bytes, why) in [
            ("HTTP/1.0 200 OK\r\n\r\n", "no answer of HTTP/1.1"),
            ("HTTP/1.1 2\r\n\r\n", "no answer of HTTP/1.1"),
            (
                "HTTP/1.1 200 OK\r\na: b\r\n\r\n",
                "an answer without a length",
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
                "an answer without a length",
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
                "a chunk without a size",
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
                "a chunk without a size",
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc",
                "a chunk without an end",
            ),
        ] {
            assert_eq!(read(&[bytes.as_bytes()]), Err(Broken(why)), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_answers(
            bodies in prop::collection::vec(prop::collection::vec("[ -~\r\n]{1,20}", 0..4), 1..5),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut bytes = Vec::new();
            let mut sent = Vec::new();
            for (number, pieces) in bodies.iter().enumerate() {
                let body = pieces.concat();
                if number % 2 == 0 {
                    bytes.extend(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).bytes());
                } else {
                    bytes.extend(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n");
                    for piece in pieces {
                        bytes.extend(format!("{:x}\r\n{piece}\r\n", piece.len()).bytes());
                    }
                    bytes.extend(b"0\r\n\r\n");
                }
                sent.push((if number % 2 == 0 { 200 } else { 500 }, body.into_bytes()));
            }
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
            prop_assert_eq!(read(&pieces), Ok(sent));
        }
    }
}
