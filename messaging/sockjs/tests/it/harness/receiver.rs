//! The five transports that bring frames over HTTP, told apart by how they wrap a frame.

use crate::harness::{Request, Site, Stream, Wire, get, post};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiver {
    Xhr,
    XhrStreaming,
    EventSource,
    HtmlFile,
    Jsonp,
}

impl Receiver {
    pub(crate) const ALL: [Self; 5] = [
        Self::Xhr,
        Self::XhrStreaming,
        Self::EventSource,
        Self::HtmlFile,
        Self::Jsonp,
    ];
    pub(crate) const STREAMING: [Self; 3] = [Self::XhrStreaming, Self::EventSource, Self::HtmlFile];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Xhr => "xhr",
            Self::XhrStreaming => "xhr_streaming",
            Self::EventSource => "eventsource",
            Self::HtmlFile => "htmlfile",
            Self::Jsonp => "jsonp",
        }
    }

    pub(crate) fn is_streaming(self) -> bool {
        Self::STREAMING.contains(&self)
    }

    pub(crate) fn request(self, session: &str) -> Request {
        let url = format!("{session}/{}", self.name());
        match self {
            Self::Xhr | Self::XhrStreaming => post(url),
            Self::EventSource => get(url),
            Self::HtmlFile | Self::Jsonp => get(url + "?c=cb"),
        }
    }

    /// What goes over the wire for a frame.
    pub(crate) fn wrap(self, frame: &str) -> String {
        let quoted = serde_json::to_string(frame).unwrap();
        match self {
            Self::Xhr | Self::XhrStreaming => format!("{frame}\n"),
            Self::EventSource => format!("data: {frame}\r\n\r\n"),
            Self::HtmlFile => format!("<script>\np({quoted});\n</script>\r\n"),
            Self::Jsonp => format!("/**/cb({quoted});\r\n"),
        }
    }

    /// The frame in a piece; nothing but a wrapped frame is one.
    #[track_caller]
    pub(crate) fn unwrap(self, piece: &str) -> String {
        let quoted = |text: &str| serde_json::from_str::<String>(text).ok();
        let frame = match self {
            Self::Xhr | Self::XhrStreaming => piece.strip_suffix('\n').map(str::to_owned),
            Self::EventSource => piece
                .strip_prefix("data: ")
                .and_then(|rest| rest.strip_suffix("\r\n\r\n"))
                .map(str::to_owned),
            Self::HtmlFile => piece
                .strip_prefix("<script>\np(")
                .and_then(|rest| rest.strip_suffix(");\n</script>\r\n"))
                .and_then(quoted),
            Self::Jsonp => piece
                .strip_prefix("/**/cb(")
                .and_then(|rest| rest.strip_suffix(");\r\n"))
                .and_then(quoted),
        };
        frame.unwrap_or_else(|| panic!("no frame of {self:?}: {piece:?}"))
    }

    pub(crate) async fn open(self, site: &Site, session: &str) -> Frames {
        self.ask(site, &self.request(session)).await
    }

    /// Opens a session, and asks again where the opening frame is a whole answer: what comes next are messages.
    pub(crate) async fn opened(self, site: &Site, session: &str) -> Frames {
        let mut frames = self.open(site, session).await;
        frames.expect("o").await;
        if self.is_streaming() {
            return frames;
        }
        frames.end().await;
        self.open(site, session).await
    }

    /// Asks with a request of one's own.
    pub(crate) async fn ask(self, site: &Site, request: &Request) -> Frames {
        let mut wire = site.connect().await;
        wire.write(&request.bytes()).await;
        self.begin(wire).await
    }

    /// Takes over what was asked for before: of a stream the head and the prelude are read, a poll may wait with its head
    /// for its frame.
    pub(crate) async fn begin(self, wire: Wire) -> Frames {
        let mut frames = Frames {
            receiver: self,
            wire: Some(wire),
            stream: None,
            length: None,
        };
        if self.is_streaming() {
            let prelude = frames.stream().await.piece().await.unwrap();
            match self {
                Self::XhrStreaming => assert_eq!(prelude, "h".repeat(2048) + "\n"),
                Self::EventSource => assert_eq!(prelude, "\r\n"),
                _ => assert!(prelude.len() > 1024, "{prelude}"),
            }
        }
        frames
    }

    /// The first frame of an answer. A stream is given up afterwards.
    pub(crate) async fn first(self, site: &Site, session: &str) -> String {
        let mut frames = self.open(site, session).await;
        let frame = frames.next().await.unwrap();
        if !self.is_streaming() {
            frames.end().await;
        }
        frame
    }
}

/// The frames of one answer.
pub(crate) struct Frames {
    receiver: Receiver,
    /// Until the head is read.
    wire: Option<Wire>,
    stream: Option<Stream>,
    /// How long the one piece of an answer is that is not chunked, until it is taken.
    length: Option<usize>,
}

impl Frames {
    /// The answer, its head read.
    pub(crate) async fn stream(&mut self) -> &mut Stream {
        if let Some(mut wire) = self.wire.take() {
            let head = wire.head().await;
            assert_eq!(head.status, 200, "{head:?}");
            let length = head.header("content-length");
            self.length = length.map(|length| length.parse().unwrap());
            self.stream = Some(Stream { wire, head });
        }
        self.stream.as_mut().unwrap()
    }

    /// The next frame; `None` at the regular end of the answer.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let receiver = self.receiver;
        let stream = self.stream().await;
        let piece = if stream.head.is_chunked() {
            stream.piece().await?
        } else {
            // A poll whose length is known is one piece.
            assert!(!receiver.is_streaming(), "{:?}", stream.head);
            let length = self.length.take()?;
            let wire = &mut self.stream().await.wire;
            String::from_utf8(wire.take(length).await).unwrap()
        };
        Some(receiver.unwrap(&piece))
    }

    pub(crate) async fn expect(&mut self, frame: &str) {
        assert_eq!(
            self.next().await.as_deref(),
            Some(frame),
            "{:?}",
            self.receiver
        );
    }

    pub(crate) async fn end(mut self) {
        assert_eq!(self.next().await, None, "{:?}", self.receiver);
    }
}

/// The messages in an `a` frame.
#[track_caller]
pub(crate) fn messages(frame: &str) -> Vec<String> {
    let array = frame.strip_prefix('a');
    let array = array.unwrap_or_else(|| panic!("no messages: {frame}"));
    serde_json::from_str(array).unwrap()
}
