//! Lines of JSON over TCP: a request carries an id, its reply repeats it.
//!
//! Lines with another id or none are replies that came too late, or events that the peer pushes: they answer nothing
//! and are skipped, so they can neither be mistaken for the reply nor fill anything up.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use contract::Value;
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use super::{
    DriverError, DriverErrorKind, ReadOutcome, Target, WriteOutcome, check_deadline, connect_tcp,
};
use crate::point::Raw;
use crate::profile::{DriverSettings, FrameSettings};

/// One connection to one machine.
#[derive(Debug)]
pub struct FrameDriver {
    address: String,
    stream: Option<TcpStream>,
    /// What was read beyond the last line.
    buffer: BytesMut,
    /// Of the last request: ids are not used twice, over reconnects either.
    sequence: u64,
}

impl FrameDriver {
    /// A driver for `host:port`, not connected yet.
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            stream: None,
            buffer: BytesMut::new(),
            sequence: 0,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    fn error(&self, device: &str, kind: DriverErrorKind) -> DriverError {
        DriverError {
            device: device.to_owned(),
            address: self.address.clone(),
            kind,
        }
    }

    pub(super) async fn connect(&mut self) -> Result<(), DriverError> {
        let stream = connect_tcp(&self.address)
            .await
            .map_err(|error| self.error("line", DriverErrorKind::Connect(error)))?;
        self.buffer.clear();
        self.stream = Some(stream);
        Ok(())
    }

    pub(super) async fn request(
        &mut self,
        target: Target<'_>,
        request: usize,
    ) -> Result<ReadOutcome, DriverError> {
        let settings = settings(target);
        self.sequence += 1;
        let id = self.sequence.to_string();
        let text = settings.requests[request].fill(&BTreeMap::from([("seq", id.clone())]));
        let reply = self.exchange(target, &text, &id, settings.timeout).await?;
        Ok(ReadOutcome::Data(Raw::Json(reply)))
    }

    /// As [`Self::exchange`], unless `deadline` has passed.
    pub(super) async fn command(
        &mut self,
        target: Target<'_>,
        text: &str,
        id: &str,
        within: Duration,
        deadline: Instant,
    ) -> Result<Json, DriverError> {
        check_deadline(Some(deadline)).map_err(|kind| self.error(target.device.as_str(), kind))?;
        self.exchange(target, text, id, within).await
    }

    /// Sends `text` and waits for the line that repeats `id`.
    async fn exchange(
        &mut self,
        target: Target<'_>,
        text: &str,
        id: &str,
        within: Duration,
    ) -> Result<Json, DriverError> {
        let settings = settings(target);
        let deadline = Instant::now() + within;
        let Some(stream) = self.stream.as_mut() else {
            let kind = DriverErrorKind::Connect(io::ErrorKind::NotConnected.into());
            return Err(self.error(target.device.as_str(), kind));
        };
        let exchange = converse(stream, &mut self.buffer, settings, text, id);
        let result = match timeout_at(deadline.into(), exchange).await {
            Ok(result) => result,
            Err(_elapsed) => Err(DriverErrorKind::Timeout {
                expected: text.to_owned(),
                within,
            }),
        };
        result.map_err(|kind| {
            self.stream = None;
            self.error(target.device.as_str(), kind)
        })
    }
}

fn settings(target: Target<'_>) -> &FrameSettings {
    match &target.profile.driver {
        DriverSettings::Frame(settings) => settings,
        DriverSettings::Modbus(_) | DriverSettings::Escpos(_) => {
            unreachable!("a line's devices are of its driver")
        }
    }
}

async fn converse(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    settings: &FrameSettings,
    text: &str,
    id: &str,
) -> Result<Json, DriverErrorKind> {
    let line = format!("{text}{}", settings.end);
    stream
        .write_all(line.as_bytes())
        .await
        .map_err(DriverErrorKind::Transport)?;
    loop {
        while let Some(line) = take_line(buffer, settings.end.as_bytes()) {
            let reply: Json =
                serde_json::from_slice(&line).map_err(|error| bad(&line, &error.to_string()))?;
            if reply
                .pointer(&settings.correlate)
                .is_some_and(|member| is_id(member, id))
            {
                return Ok(reply);
            }
        }
        if buffer.len() > settings.max_line_bytes {
            let why = format!("longer than {} bytes", settings.max_line_bytes);
            return Err(bad(buffer, &why));
        }
        let read = stream
            .read_buf(buffer)
            .await
            .map_err(DriverErrorKind::Transport)?;
        if read == 0 {
            return Err(DriverErrorKind::Transport(
                io::ErrorKind::UnexpectedEof.into(),
            ));
        }
    }
}

fn bad(line: &[u8], why: &str) -> DriverErrorKind {
    const SHOWN: usize = 80; // Enough to recognise it, too little to fill a log.
    let shown = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]).into_owned();
    DriverErrorKind::BadReply {
        expected: "one JSON object a line".to_owned(),
        got: format!("{shown:?} ({why})"),
    }
}

fn take_line(buffer: &mut BytesMut, end: &[u8]) -> Option<BytesMut> {
    let length = buffer.windows(end.len()).position(|window| window == end)?;
    let line = buffer.split_to(length);
    // The end itself is not part of the line.
    drop(buffer.split_to(end.len()));
    Some(line)
}

fn is_id(member: &Json, id: &str) -> bool {
    match member {
        Json::String(text) => text == id,
        Json::Number(number) => number.to_string() == id,
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => false,
    }
}

/// Whether `reply` says yes.
pub(super) fn judge(reply: &Json, ok_path: &str, ok_value: &Value) -> WriteOutcome {
    let found = reply.pointer(ok_path);
    let says_yes = match (found, ok_value) {
        (Some(Json::Bool(on)), Value::Bool(expected)) => on == expected,
        (Some(Json::Number(number)), Value::Number(expected)) => number.as_f64() == Some(*expected),
        (Some(Json::String(text)), Value::Text(expected)) => text == expected,
        _ => false,
    };
    if says_yes {
        WriteOutcome::Acknowledged
    } else {
        let said = found.map_or_else(|| "nothing".to_owned(), Json::to_string);
        WriteOutcome::Refused(format!("the device said {said} at {ok_path}"))
    }
}
