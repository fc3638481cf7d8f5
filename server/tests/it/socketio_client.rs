//! A Socket.IO client for tests, packet by packet: both revisions, by polling and by WebSocket.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Nothing here takes this long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Engine.IO 3, which clients 1 and 2 speak, or 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Three,
    Four,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Polling,
    WebSocket,
}

/// Every way to come.
pub(crate) const WAYS: [(Engine, By); 4] = [
    (Engine::Three, By::Polling),
    (Engine::Three, By::WebSocket),
    (Engine::Four, By::Polling),
    (Engine::Four, By::WebSocket),
];

/// What the server says: a packet of Socket.IO, or an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Text(String),
    Binary(Vec<u8>),
    /// The connection is over.
    End,
}

enum Road {
    Polling(reqwest::Client),
    WebSocket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
}

pub(crate) struct SocketIo {
    engine: Engine,
    address: SocketAddr,
    pub(crate) sid: String,
    road: Road,
    said: VecDeque<Said>,
    acknowledgements: u64,
}

impl SocketIo {
    /// Opens an Engine.IO session, without a word about who it is but for a token in the URL.
    pub(crate) async fn open(
        address: SocketAddr,
        engine: Engine,
        by: By,
        token: Option<&str>,
    ) -> Self {
        let mut client = Self {
            engine,
            address,
            sid: String::new(),
            road: Road::Polling(reqwest::Client::new()),
            said: VecDeque::new(),
            acknowledgements: 0,
        };
        let token = token.map_or_else(String::new, |token| format!("&token={token}"));
        let opening = match by {
            By::Polling => {
                let url = format!("{}{token}", client.url("http", "polling"));
                let answer = reqwest::get(url).await.unwrap();
                assert_eq!(answer.status(), 200);
                let text = answer.text().await.unwrap();
                text.trim_start_matches(|c: char| c != '{').to_owned()
            }
            By::WebSocket => {
                let url = format!("{}{token}", client.url("ws", "websocket"));
                let (mut stream, _) = connect_async(url).await.unwrap();
                let text = stream.next().await.unwrap().unwrap().into_text().unwrap();
                client.road = Road::WebSocket(Box::new(stream));
                text.strip_prefix('0').unwrap().to_owned()
            }
        };
        let opening: Value = serde_json::from_str(&opening).unwrap();
        assert!(opening["maxPayload"].as_u64().unwrap() <= 1_000_000);
        client.sid = opening["sid"].as_str().unwrap().to_owned();
        client
    }

    /// Opens a session and asks to be let in; the answer is in [`Self::next`].
    pub(crate) async fn begin(address: SocketAddr, engine: Engine, by: By, token: &str) -> Self {
        let in_url = (engine == Engine::Three).then_some(token);
        let mut client = Self::open(address, engine, by, in_url).await;
        if engine == Engine::Four {
            client.text(&format!("0{}", json!({"token": token}))).await;
        }
        client
    }

    /// Opens a session and is let in.
    pub(crate) async fn connect(address: SocketAddr, engine: Engine, by: By, token: &str) -> Self {
        let mut client = Self::begin(address, engine, by, token).await;
        let Said::Text(said) = client.next().await else {
            panic!("the answer to connecting is text");
        };
        match engine {
            Engine::Three => assert_eq!(said, "0"),
            // Its public name is not the one by which it is reached.
            Engine::Four => {
                assert!(said.starts_with("0{\"sid\":\"") && !said.contains(&client.sid))
            }
        }
        client
    }

    fn url(&self, scheme: &str, transport: &str) -> String {
        let engine = match self.engine {
            Engine::Three => 3,
            Engine::Four => 4,
        };
        let sid = match self.sid.as_str() {
            "" => String::new(),
            sid => format!("&sid={sid}"),
        };
        let address = self.address;
        format!("{scheme}://{address}/socket.io/?EIO={engine}&transport={transport}{sid}")
    }

    /// From polling to a WebSocket, as clients do it.
    pub(crate) async fn upgrade(&mut self) {
        let (mut stream, _) = connect_async(self.url("ws", "websocket")).await.unwrap();
        stream.send(Message::text("2probe")).await.unwrap();
        let answer = stream.next().await.unwrap().unwrap();
        assert_eq!(answer, Message::text("3probe"));
        stream.send(Message::text("5")).await.unwrap();
        self.road = Road::WebSocket(Box::new(stream));
    }

    /// Sends a packet of Socket.IO.
    pub(crate) async fn text(&mut self, packet: &str) {
        match &mut self.road {
            Road::Polling(_) => {
                let status = self.post(&format!("4{packet}")).await;
                assert_eq!(status, 200, "{packet}");
            }
            Road::WebSocket(stream) => {
                let message = Message::text(format!("4{packet}"));
                // A server that has closed is noticed when reading.
                let _gone = stream.send(message).await;
            }
        }
    }

    /// Sends an attachment.
    pub(crate) async fn binary(&mut self, bytes: &[u8]) {
        match &mut self.road {
            Road::Polling(_) => {
                let kind = if self.engine == Engine::Three {
                    "b4"
                } else {
                    "b"
                };
                let status = self
                    .post(&format!("{kind}{}", STANDARD.encode(bytes)))
                    .await;
                assert_eq!(status, 200);
            }
            Road::WebSocket(stream) => {
                let mut message = bytes.to_vec();
                if self.engine == Engine::Three {
                    message.insert(0, 4);
                }
                stream.send(Message::binary(message)).await.unwrap();
            }
        }
    }

    /// POSTs one packet of Engine.IO.
    pub(crate) async fn post(&self, packet: &str) -> StatusCode {
        let body = match self.engine {
            Engine::Three => format!("{}:{packet}", packet.encode_utf16().count()),
            Engine::Four => packet.to_owned(),
        };
        self.post_body(body).await
    }

    /// POSTs anything.
    pub(crate) async fn post_body(&self, body: impl Into<reqwest::Body>) -> StatusCode {
        reqwest::Client::new()
            .post(self.url("http", "polling"))
            .header("content-type", "text/plain;charset=UTF-8")
            .body(body)
            .send()
            .await
            .unwrap()
            .status()
    }

    /// Says something and waits for its acknowledgement; what comes in between is kept.
    pub(crate) async fn ask(&mut self, event: &str, argument: Value) -> Value {
        self.acknowledgements += 1;
        let prefix = format!("3{}[", self.acknowledgements);
        let packet = format!("2{}{}", self.acknowledgements, json!([event, argument]));
        self.text(&packet).await;
        let mut kept = VecDeque::new();
        loop {
            match self.next().await {
                Said::Text(text) if text.starts_with(&prefix) => {
                    kept.append(&mut self.said);
                    self.said = kept;
                    let answer: Value = serde_json::from_str(&text[prefix.len() - 1..]).unwrap();
                    return answer[0].clone();
                }
                Said::End => panic!("the end instead of the answer to {packet}"),
                other => kept.push_back(other),
            }
        }
    }

    /// Says something that must be done.
    pub(crate) async fn done(&mut self, event: &str, argument: Value) -> Value {
        let answer = self.ask(event, argument.clone()).await;
        assert_eq!(answer["ok"], true, "{event} {argument}: {answer}");
        answer
    }

    /// The next event: its name and its argument.
    pub(crate) async fn event(&mut self) -> (String, Value) {
        let text = match self.next().await {
            Said::Text(text) => text,
            other => panic!("{other:?} instead of an event"),
        };
        let json = text
            .strip_prefix("2")
            .or_else(|| text.strip_prefix("51-"))
            .unwrap_or_else(|| panic!("{text} instead of an event"));
        serde_json::from_str(json).unwrap()
    }

    /// What the server says next; pings are answered.
    pub(crate) async fn next(&mut self) -> Said {
        tokio::time::timeout(PATIENCE, self.next_whenever())
            .await
            .expect("the server says something in time")
    }

    async fn next_whenever(&mut self) -> Said {
        loop {
            if let Some(said) = self.said.pop_front() {
                return said;
            }
            let packets = match &mut self.road {
                Road::Polling(http) => {
                    let http = http.clone();
                    let answer = http.get(self.url("http", "polling")).send().await;
                    let Some(answer) = answer.ok().filter(|answer| answer.status() == 200) else {
                        return Said::End;
                    };
                    let is_binary = answer.headers()["content-type"] == "application/octet-stream";
                    let body = answer.bytes().await.unwrap();
                    packets_of(self.engine, is_binary, &body)
                }
                Road::WebSocket(stream) => match stream.next().await {
                    Some(Ok(Message::Text(text))) => vec![text.as_bytes().to_vec()],
                    Some(Ok(Message::Binary(bytes))) => {
                        let skipped = usize::from(self.engine == Engine::Three);
                        self.said.push_back(Said::Binary(bytes[skipped..].to_vec()));
                        vec![]
                    }
                    Some(Ok(_)) => vec![],
                    None | Some(Err(_)) => return Said::End,
                },
            };
            for packet in packets {
                self.take(&packet).await;
            }
        }
    }

    async fn take(&mut self, packet: &[u8]) {
        match packet {
            [b'4', text @ ..] => {
                let text = String::from_utf8(text.to_vec()).unwrap();
                self.said.push_back(Said::Text(text));
            }
            [b'b', b'4', base64 @ ..] if self.engine == Engine::Three => {
                let bytes = STANDARD.decode(base64).unwrap();
                self.said.push_back(Said::Binary(bytes));
            }
            [b'b', base64 @ ..] => {
                let bytes = STANDARD.decode(base64).unwrap();
                self.said.push_back(Said::Binary(bytes));
            }
            [4, bytes @ ..] => self.said.push_back(Said::Binary(bytes.to_vec())),
            // Whether the server is still there shows when reading.
            b"2" => match &mut self.road {
                Road::Polling(_) => drop(self.post("3").await),
                Road::WebSocket(stream) => drop(stream.send(Message::text("3")).await),
            },
            b"1" => self.said.push_back(Said::End),
            b"6" | b"3" => {}
            other => panic!("{:?}", String::from_utf8_lossy(other)),
        }
    }
}

/// The packets of a poll's answer.
fn packets_of(engine: Engine, is_binary: bool, body: &[u8]) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    if engine == Engine::Four {
        let parts = body
            .split(|octet| *octet == 0x1e)
            .filter(|part| !part.is_empty());
        packets.extend(parts.map(<[u8]>::to_vec));
    } else if is_binary {
        let mut rest = body;
        while !rest.is_empty() {
            let end = rest.iter().position(|octet| *octet == 255).unwrap();
            let length = rest[1..end]
                .iter()
                .fold(0, |length, digit| length * 10 + usize::from(*digit));
            let (packet, after) = rest[end + 1..].split_at(length);
            packets.push(packet.to_vec());
            rest = after;
        }
    } else {
        let mut rest = std::str::from_utf8(body).unwrap();
        while let Some((length, after)) = rest.split_once(':') {
            let length: usize = length.parse().unwrap();
            let units: Vec<u16> = after.encode_utf16().take(length).collect();
            let packet = String::from_utf16(&units).unwrap();
            rest = &after[packet.len()..];
            packets.push(packet.into_bytes());
        }
    }
    packets
}
