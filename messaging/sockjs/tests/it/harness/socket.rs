//! A WebSocket client of few lines: it shows how a connection ends, which libraries hide.

use crate::harness::{Head, Request, Site, Wire, get};

/// The example of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Ping,
    Pong,
    Close(Option<(u16, String)>),
    /// The connection is over.
    Gone,
}

pub(crate) struct Socket {
    wire: Wire,
    pub(crate) head: Head,
}

/// A regular request for a WebSocket.
pub(crate) fn handshake(path: &str) -> Request {
    get(path)
        .with("Connection", "Upgrade")
        .with("Upgrade", "websocket")
        .with("Sec-WebSocket-Version", "13")
        .with("Sec-WebSocket-Key", KEY)
}

impl Socket {
    pub(crate) async fn open(site: &Site, path: &str) -> Self {
        Self::begin(site.connect().await, &handshake(path)).await
    }

    pub(crate) async fn begin(mut wire: Wire, request: &Request) -> Self {
        wire.write(&request.bytes()).await;
        let head = wire.head().await;
        assert_eq!(head.status, 101, "{head:?}");
        assert_eq!(
            head.header("sec-websocket-accept"),
            Some(ACCEPT),
            "{head:?}"
        );
        Self { wire, head }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.write(TEXT, text.as_bytes()).await;
    }

    pub(crate) async fn close(&mut self, code: u16) {
        self.write(CLOSE, &code.to_be_bytes()).await;
    }

    async fn write(&mut self, opcode: u8, payload: &[u8]) {
        let bytes = Self::frame(opcode, payload);
        self.wire.write(&bytes).await;
    }

    /// A frame of a client, with a mask that shows when it is not taken off.
    fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
        let mut bytes = vec![0x80 | opcode];
        match payload.len() {
            short @ 0..=125 => bytes.push(0x80 | u8::try_from(short).unwrap()),
            long => match u16::try_from(long) {
                Ok(long) => {
                    bytes.push(0x80 | 126);
                    bytes.extend(long.to_be_bytes());
                }
                Err(_) => {
                    bytes.push(0x80 | 127);
                    bytes.extend(u64::try_from(long).unwrap().to_be_bytes());
                }
            },
        }
        bytes.extend(MASK);
        bytes.extend(
            payload
                .iter()
                .zip(MASK.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        bytes
    }

    /// One frame: whether it is the last of its message, its opcode, its payload.
    async fn read(&mut self) -> Option<(bool, u8, Vec<u8>)> {
        let start = self.wire.try_take(2).await?;
        assert_eq!(start[0] & 0x70, 0, "no extension was agreed on");
        assert_eq!(start[1] & 0x80, 0, "a server masks nothing");
        let length = match start[1] {
            126 => {
                let bytes = self.wire.try_take(2).await?;
                u64::from(u16::from_be_bytes(bytes.try_into().unwrap()))
            }
            127 => u64::from_be_bytes(self.wire.try_take(8).await?.try_into().unwrap()),
            short => u64::from(short),
        };
        let payload = self.wire.try_take(usize::try_from(length).unwrap()).await?;
        Some((start[0] & 0x80 != 0, start[0] & 0x0f, payload))
    }

    /// The next message or control frame, fragments put together. Pings are answered.
    pub(crate) async fn heard(&mut self) -> Heard {
        let mut message: Option<(u8, Vec<u8>)> = None;
        loop {
            let Some((last, opcode, payload)) = self.read().await else {
                return Heard::Gone;
            };
            match opcode {
                CLOSE if payload.is_empty() => return Heard::Close(None),
                CLOSE => {
                    let code = u16::from_be_bytes([payload[0], payload[1]]);
                    let reason = String::from_utf8(payload[2..].to_vec()).unwrap();
                    return Heard::Close(Some((code, reason)));
                }
                PING => {
                    self.write(PONG, &payload).await;
                    return Heard::Ping;
                }
                PONG => return Heard::Pong,
                _ => match &mut message {
                    None => message = Some((opcode, payload)),
                    Some((_, whole)) => {
                        assert_eq!(opcode, 0, "a message goes on");
                        whole.extend(payload);
                    }
                },
            }
            if last {
                let (opcode, whole) = message.unwrap();
                return match opcode {
                    TEXT => Heard::Text(String::from_utf8(whole).unwrap()),
                    _ => Heard::Binary(whole),
                };
            }
        }
    }

    pub(crate) async fn expect(&mut self, text: &str) {
        assert_eq!(self.heard().await, Heard::Text(text.to_owned()));
    }

    /// The connection ends without a further message; the close frame of the WebSocket, when there was one.
    pub(crate) async fn ended(&mut self) -> Option<Heard> {
        match self.heard().await {
            Heard::Gone => None,
            close @ Heard::Close(_) => {
                self.close(1000).await;
                assert_eq!(
                    self.heard().await,
                    Heard::Gone,
                    "nothing follows a close frame"
                );
                Some(close)
            }
            other => panic!("the connection should end, and not say {other:?}"),
        }
    }
}
