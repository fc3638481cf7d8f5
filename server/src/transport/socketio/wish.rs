//! What a client's event asks of the broker, as STOMP frames: each event is one of STOMP's commands. Pure.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use stomp::{Command, Frame};

/// The subscription under which a session hears what handlers refuse. Clients cannot name theirs so.
pub(super) const REFUSALS: &str = "socket.io refusals";

/// The transaction that carries a renewed token: it never holds anything.
const RENEWAL: &str = "socket.io renewal";

/// What the argument of an event may have. What an event does not need is refused, as is what nobody knows: a mistyped
/// name that is silently ignored is found much later.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Argument<'json> {
    #[serde(borrow)]
    destination: Option<Cow<'json, str>>,
    id: Option<Value>,
    ack: Option<Cow<'json, str>>,
    transaction: Option<Value>,
    token: Option<Cow<'json, str>>,
    headers: Map<String, Value>,
    body: Option<&'json RawValue>,
}

/// Where socket.io puts binary data in the JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Placeholder {
    #[serde(rename = "_placeholder")]
    is_placeholder: bool,
    num: usize,
}

/// An event that was understood.
pub(super) struct Wish {
    /// The first of them wants the receipt.
    pub(super) frames: Vec<Frame>,
}

/// Reads an event. `acknowledgement` is the number under which the client wants an answer, `fresh_id` names a subscription
/// to which the client gives no name.
///
/// # Errors
/// One sentence for whoever wrote the client.
pub(super) fn wish_of(
    event: &str,
    argument: Option<&RawValue>,
    attachment: Option<Bytes>,
    acknowledgement: Option<u64>,
    fresh_id: u64,
) -> Result<Wish, String> {
    let json = argument.map_or("{}", RawValue::get);
    if !json.starts_with('{') {
        return Err(format!("{event}: its argument must be an object"));
    }
    let argument: Argument<'_> =
        serde_json::from_str(json).map_err(|error| format!("{event}: {error}"))?;
    if attachment.is_some() && event != "send" {
        return Err(format!("{event}: only the body of `send` may be binary"));
    }
    let mut reader = Reader {
        event,
        argument,
        receipt: acknowledgement.map(|number| number.to_string()),
    };
    let frames = match event {
        "subscribe" => vec![reader.subscribe(fresh_id)?],
        "unsubscribe" => vec![reader.with_id(Command::Unsubscribe)?],
        "send" => vec![reader.send(attachment)?],
        "ack" => vec![reader.with_id(Command::Ack)?],
        "nack" => vec![reader.with_id(Command::Nack)?],
        "begin" => vec![reader.with_transaction(Command::Begin)?],
        "commit" => vec![reader.with_transaction(Command::Commit)?],
        "abort" => vec![reader.with_transaction(Command::Abort)?],
        "token" => reader.token()?,
        _ => {
            return Err(format!(
                "{event:?} is no event of this server: use subscribe, unsubscribe, send, ack, nack, begin, commit, abort or token"
            ));
        }
    };
    Ok(Wish { frames })
}

struct Reader<'json> {
    event: &'json str,
    argument: Argument<'json>,
    receipt: Option<String>,
}

impl Reader<'_> {
    fn subscribe(&mut self, fresh_id: u64) -> Result<Frame, String> {
        let destination = self.destination()?;
        let id = match self.argument.id.take() {
            Some(id) => self.name("id", &id)?,
            None => format!("socket.io {fresh_id}"),
        };
        if id == REFUSALS {
            return Err(format!("subscribe: the id {REFUSALS:?} is taken"));
        }
        // The answer tells the id, and the receipt brings it there and back.
        self.receipt = self.receipt.take().map(|number| format!("{number} {id}"));
        let mut frame = Frame::new(Command::Subscribe)
            .with_header("id", id)
            .with_header("destination", destination);
        if let Some(mode) = self.argument.ack.take() {
            frame.headers.push("ack", mode);
        }
        self.finish(frame)
    }

    fn send(&mut self, attachment: Option<Bytes>) -> Result<Frame, String> {
        let destination = self.destination()?;
        let mut frame = Frame::new(Command::Send).with_header("destination", destination);
        if let Some(transaction) = self.argument.transaction.take() {
            let transaction = self.name("transaction", &transaction)?;
            frame.headers.push("transaction", transaction);
        }
        let said = self
            .argument
            .headers
            .keys()
            .any(|name| name.eq_ignore_ascii_case("content-type"));
        if let Some((body, content_type)) = self.body(attachment)? {
            if !said {
                frame.headers.push("content-type", content_type);
            }
            frame.body = body;
        }
        self.finish(frame)
    }

    /// UNSUBSCRIBE, ACK, NACK.
    fn with_id(&mut self, command: Command) -> Result<Frame, String> {
        let id = self.argument.id.take().ok_or_else(|| self.lacks("id"))?;
        let id = self.name("id", &id)?;
        if id == REFUSALS {
            return Err(format!("{}: the id {REFUSALS:?} is not yours", self.event));
        }
        let mut frame = Frame::new(command).with_header("id", id);
        if command != Command::Unsubscribe
            && let Some(transaction) = self.argument.transaction.take()
        {
            let transaction = self.name("transaction", &transaction)?;
            frame.headers.push("transaction", transaction);
        }
        self.finish(frame)
    }

    /// BEGIN, COMMIT, ABORT.
    fn with_transaction(&mut self, command: Command) -> Result<Frame, String> {
        let transaction = self.argument.transaction.take();
        let transaction = transaction.ok_or_else(|| self.lacks("transaction"))?;
        let transaction = self.name("transaction", &transaction)?;
        self.finish(Frame::new(command).with_header("transaction", transaction))
    }

    /// Any frame may bring a new token; one that does nothing else is a transaction without content.
    fn token(&mut self) -> Result<Vec<Frame>, String> {
        let token = self.argument.token.take();
        let token = token.ok_or_else(|| self.lacks("token"))?;
        let begin = Frame::new(Command::Begin)
            .with_header("transaction", RENEWAL)
            .with_header("authorization", format!("Bearer {token}"));
        let abort = Frame::new(Command::Abort).with_header("transaction", RENEWAL);
        Ok(vec![self.finish(begin)?, abort])
    }

    /// Puts on what all frames may have, and looks for what nobody asked for.
    fn finish(&mut self, mut frame: Frame) -> Result<Frame, String> {
        let argument = std::mem::take(&mut self.argument);
        let superfluous = [
            ("destination", argument.destination.is_some()),
            ("id", argument.id.is_some()),
            ("ack", argument.ack.is_some()),
            ("transaction", argument.transaction.is_some()),
            ("token", argument.token.is_some()),
            ("body", argument.body.is_some()),
        ];
        if let Some((name, _)) = superfluous.into_iter().find(|(_, is_there)| *is_there) {
            return Err(format!("{}: it takes no `{name}`", self.event));
        }
        if let Some(receipt) = self.receipt.take() {
            frame.headers.push("receipt", receipt);
        }
        for (name, value) in &argument.headers {
            const OURS: [&str; 7] = [
                "destination",
                "id",
                "ack",
                "transaction",
                "receipt",
                "content-length",
                "",
            ];
            if OURS.contains(&name.as_str()) {
                return Err(format!(
                    "{}: `headers` cannot have {name:?}: it has a place of its own",
                    self.event
                ));
            }
            let value = match value {
                Value::Bool(value) => value.to_string(),
                value => self.name(name, value)?,
            };
            frame.headers.push(name, value);
        }
        Ok(frame)
    }

    fn destination(&mut self) -> Result<String, String> {
        let destination = self.argument.destination.take();
        destination
            .map(Cow::into_owned)
            .ok_or_else(|| self.lacks("destination"))
    }

    /// The bytes and what they are: text as it is, what else JSON knows as JSON, buffers as they are.
    fn body(&mut self, attachment: Option<Bytes>) -> Result<Option<(Bytes, &'static str)>, String> {
        let Some(body) = self.argument.body.take() else {
            return match attachment {
                Some(_) => Err("send: only `body` may be binary".to_owned()),
                None => Ok(None),
            };
        };
        if let Some(bytes) = attachment {
            let placeholder: Option<Placeholder> = serde_json::from_str(body.get()).ok();
            return match placeholder {
                Some(Placeholder {
                    is_placeholder: true,
                    num: 0,
                }) => Ok(Some((bytes, "application/octet-stream"))),
                _ => Err("send: only `body` itself may be binary, not a part of it".to_owned()),
            };
        }
        let json = body.get();
        if json == "null" {
            return Ok(None);
        }
        if !json.starts_with('"') {
            let body = Bytes::copy_from_slice(json.as_bytes());
            return Ok(Some((body, "application/json")));
        }
        let text: String =
            serde_json::from_str(json).map_err(|error| format!("send: body: {error}"))?;
        Ok(Some((text.into(), "text/plain;charset=utf-8")))
    }

    /// A string, or a number as a string.
    fn name(&self, field: &str, value: &Value) -> Result<String, String> {
        match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(format!(
                "{}: `{field}` must be a string or a number",
                self.event
            )),
        }
    }

    fn lacks(&self, field: &str) -> String {
        format!("{}: `{field}` is missing", self.event)
    }
}

#[cfg(test)]
mod tests;
