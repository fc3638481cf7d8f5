//! HTTP as it is on the wire: heads line by line, bodies chunk by chunk, as they came.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// How long a test waits for what must come. Longer than the heart-beat's 25 seconds, for tests with a paused clock.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A request, written as it stands here: nothing is added but `Host`, and `Content-Length` where a body may be.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: &'static str,
    target: String,
    version: &'static str,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

pub(crate) fn get(target: impl Into<String>) -> Request {
    Request::new("GET", target)
}

pub(crate) fn options(target: impl Into<String>) -> Request {
    Request::new("OPTIONS", target)
}

/// A POST with an empty body.
pub(crate) fn post(target: impl Into<String>) -> Request {
    Request::new("POST", target).body("")
}

impl Request {
    pub(crate) fn new(method: &'static str, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            version: "1.1",
            headers: Vec::new(),
            body: None,
        }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub(crate) fn http_1_0(mut self) -> Self {
        self.version = "1.0";
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/{}\r\nHost: 127.0.0.1\r\n",
            self.method, self.target, self.version
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend(self.body.iter().flatten());
        bytes
    }
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) version: String,
    pub(crate) status: u16,
    /// In the order of the wire, names as they were written.
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap();
        let (version, rest) = start.split_once(' ').unwrap();
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').unwrap();
                (name.to_owned(), value.trim().to_owned())
            })
            .collect();
        Self {
            version: version.strip_prefix("HTTP/").unwrap().to_owned(),
            status: rest[..3].parse().unwrap(),
            headers,
        }
    }

    /// The value of a header, which must not be there twice.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} is there twice: {self:?}");
        value
    }

    /// Whether a header that is a list of words has this one.
    pub(crate) fn lists(&self, name: &str, word: &str) -> bool {
        self.headers
            .iter()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .flat_map(|(_, value)| value.split(','))
            .any(|own| own.trim().eq_ignore_ascii_case(word))
    }

    /// Whether the transfer coding is chunked.
    pub(crate) fn is_chunked(&self) -> bool {
        self.lists("transfer-encoding", "chunked")
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// One connection, and what was read from it and not looked at yet.
pub(crate) struct Wire {
    io: Box<dyn Io>,
    buffer: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(io: impl Io + 'static) -> Self {
        Self {
            io: Box::new(io),
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).await.unwrap();
    }

    /// For what the peer may refuse to read to its end.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        timeout(PATIENCE, self.io.write_all(bytes))
            .await
            .expect("the server reads")
    }

    /// Reads once; false at the end of what comes. A reset is an end as well.
    async fn fill(&mut self) -> bool {
        let read = timeout(PATIENCE, self.io.read_buf(&mut self.buffer)).await;
        let came = String::from_utf8_lossy(&self.buffer);
        let read = read.unwrap_or_else(|_| panic!("nothing came for {PATIENCE:?}; before: {came}"));
        read.is_ok_and(|count| count > 0)
    }

    /// Waits for a text without taking it; may be given up at any time.
    pub(crate) async fn came(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.buffer).contains(text) {
            assert!(self.fill().await, "ended before {text}");
        }
    }

    /// Whether the server has ended the connection, with nothing unread left.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.fill().await
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.buffer)
    }

    /// As many bytes; `None` when the connection ends before.
    pub(crate) async fn try_take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            if !self.fill().await {
                return None;
            }
        }
        Some(self.buffer.drain(..count).collect())
    }

    pub(crate) async fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.try_take(count).await;
        taken.unwrap_or_else(|| panic!("ended after {:?}", String::from_utf8_lossy(&self.buffer)))
    }

    /// What stands before `end`, which is taken as well; `None` when the connection ends before.
    async fn until(&mut self, end: &[u8]) -> Option<String> {
        loop {
            let found = self
                .buffer
                .windows(end.len())
                .position(|window| window == end);
            if let Some(at) = found {
                let taken: Vec<u8> = self.buffer.drain(..at + end.len()).collect();
                return Some(String::from_utf8(taken[..at].to_vec()).unwrap());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// The head of the next answer; `None` when the connection ends instead.
    pub(crate) async fn try_head(&mut self) -> Option<Head> {
        self.until(b"\r\n\r\n").await.map(|text| Head::parse(&text))
    }

    pub(crate) async fn head(&mut self) -> Head {
        self.try_head().await.expect("an answer")
    }

    /// The next chunk; the last one is empty, and what follows it is taken as well. `None` when the connection ends.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.until(b"\r\n").await?;
        let size = usize::from_str_radix(line.split(';').next().unwrap().trim(), 16).unwrap();
        let mut data = self.try_take(size + 2).await?;
        assert_eq!(
            data.split_off(size),
            b"\r\n",
            "a chunk ends as long as it is"
        );
        Some(data)
    }

    /// The body that belongs to a head.
    pub(crate) async fn body(&mut self, head: &Head) -> Vec<u8> {
        if matches!(head.status, 100..=199 | 204 | 304) {
            return Vec::new();
        }
        if head.is_chunked() {
            let mut body = Vec::new();
            loop {
                let chunk = self.chunk().await.expect("a last chunk");
                if chunk.is_empty() {
                    return body;
                }
                body.extend(chunk);
            }
        }
        match head.header("content-length") {
            Some(length) => self.take(length.parse().unwrap()).await,
            None => self.rest().await,
        }
    }

    pub(crate) async fn ask(&mut self, request: &Request) -> Answer {
        self.write(&request.bytes()).await;
        self.answer().await
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let body = self.body(&head).await;
        Answer { head, body }
    }
}

/// An answer that comes in pieces.
pub(crate) struct Stream {
    pub(crate) wire: Wire,
    pub(crate) head: Head,
}

impl Stream {
    /// The next chunk as text; `None` at the regular end. An end in the middle is a failure.
    pub(crate) async fn piece(&mut self) -> Option<String> {
        let chunk = self.wire.chunk().await.expect("the answer ends regularly");
        (!chunk.is_empty()).then(|| String::from_utf8(chunk).unwrap())
    }

    pub(crate) async fn expect(&mut self, piece: &str) {
        assert_eq!(self.piece().await.as_deref(), Some(piece));
    }

    pub(crate) async fn end(mut self) {
        assert_eq!(self.piece().await, None, "the answer ends");
    }
}
