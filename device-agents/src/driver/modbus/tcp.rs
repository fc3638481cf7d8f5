//! Modbus TCP on tokio-modbus, behind a wrapper that trusts it with nothing but framing.
//!
//! tokio-modbus 0.17 checks the length of a reply and the echo of a write with `debug_assert` only, so this goes to its
//! raw `call` and checks lengths itself; a panic inside it becomes an error. A write's echo proves nothing and is not
//! looked at: whether a gate moved is read back. After a time-out or anything odd the connection is dropped, because a
//! late reply on it would make every later transaction id wrong.

use std::io;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::time::{sleep_until, timeout};
use tokio_modbus::client::{Client, Context, tcp};
use tokio_modbus::slave::{Slave, SlaveContext};
use tokio_modbus::{Error as ModbusError, Request as CodecRequest, Response};

use super::pdu::{Reply, Request};
use super::{
    DriverError, ReadOutcome, Target, WriteOutcome, outcome_of_read, outcome_of_write, settings,
};
use crate::driver::{DriverErrorKind, check_deadline, connect_tcp};
use crate::profile::{RegisterWrite, Table};

/// One Modbus TCP connection and the units behind it.
pub struct TcpDriver {
    address: String,
    context: Option<Context>,
    last_exchange: Option<Instant>,
}

impl std::fmt::Debug for TcpDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpDriver")
            .field("address", &self.address)
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

impl TcpDriver {
    /// A driver for `host:port`, not connected yet.
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            context: None,
            last_exchange: None,
        }
    }

    pub(in crate::driver) fn is_connected(&self) -> bool {
        self.context.is_some()
    }

    fn error(&self, device: &str, kind: DriverErrorKind) -> DriverError {
        DriverError {
            device: device.to_owned(),
            address: self.address.clone(),
            kind,
        }
    }

    pub(in crate::driver) async fn connect(&mut self) -> Result<(), DriverError> {
        let stream = connect_tcp(&self.address)
            .await
            .map_err(|error| self.error("line", DriverErrorKind::Connect(error)))?;
        self.context = Some(tcp::attach(stream));
        Ok(())
    }

    pub(in crate::driver) async fn read(
        &mut self,
        target: Target<'_>,
        table: Table,
        addr: u16,
        count: u16,
    ) -> Result<ReadOutcome, DriverError> {
        let request = Request::Read { table, addr, count };
        let reply = self.exchange(target, &request, None).await?;
        Ok(outcome_of_read(reply, count))
    }

    pub(in crate::driver) async fn write(
        &mut self,
        target: Target<'_>,
        writes: &[RegisterWrite],
        deadline: Instant,
    ) -> Result<WriteOutcome, DriverError> {
        // What has begun in time is not left half done.
        let mut deadline = Some(deadline);
        for (index, write) in writes.iter().enumerate() {
            let request = Request::Write(write);
            let reply = self.exchange(target, &request, deadline.take()).await?;
            if let Some(outcome) = outcome_of_write(&reply, index == 0) {
                return Ok(outcome);
            }
        }
        Ok(WriteOutcome::Acknowledged)
    }

    async fn exchange(
        &mut self,
        target: Target<'_>,
        request: &Request<'_>,
        deadline: Option<Instant>,
    ) -> Result<Reply, DriverError> {
        let settings = settings(target);
        if let Some(last) = self.last_exchange {
            sleep_until((last + settings.min_gap).into()).await;
        }
        check_deadline(deadline).map_err(|kind| self.error(target.device.as_str(), kind))?;
        let result = match self.context.as_mut() {
            None => Err(not_connected()),
            Some(context) => {
                context.set_slave(Slave(target.unit_id));
                call(context, request, settings.timeout).await
            }
        };
        self.last_exchange = Some(Instant::now());
        result.map_err(|kind| {
            self.context = None;
            self.error(target.device.as_str(), kind)
        })
    }
}

fn not_connected() -> DriverErrorKind {
    DriverErrorKind::Connect(io::ErrorKind::NotConnected.into())
}

/// The request as the codec wants it.
fn of_codec(request: &Request<'_>) -> CodecRequest<'static> {
    match *request {
        Request::Read { table, addr, count } => match table {
            Table::Coil => CodecRequest::ReadCoils(addr, count),
            Table::DiscreteInput => CodecRequest::ReadDiscreteInputs(addr, count),
            Table::InputRegister => CodecRequest::ReadInputRegisters(addr, count),
            Table::HoldingRegister => CodecRequest::ReadHoldingRegisters(addr, count),
        },
        Request::Write(write) => match write.clone() {
            RegisterWrite::Coil { addr, on } => CodecRequest::WriteSingleCoil(addr, on),
            RegisterWrite::Register { addr, word } => CodecRequest::WriteSingleRegister(addr, word),
            RegisterWrite::Coils { addr, on } => CodecRequest::WriteMultipleCoils(addr, on.into()),
            RegisterWrite::Registers { addr, words } => {
                CodecRequest::WriteMultipleRegisters(addr, words.into())
            }
            RegisterWrite::Exchange {
                read,
                count,
                addr,
                words,
            } => CodecRequest::ReadWriteMultipleRegisters(read, count, addr, words.into()),
        },
    }
}

/// The reply, if it can be that to the request: the codec looks neither at its length nor at its echo.
fn reply_to(request: &Request<'_>, response: &Response) -> Option<Reply> {
    let number = |count: usize| u16::try_from(count).ok();
    let echo = |is_echo: bool| is_echo.then_some(Reply::Echo);
    match (request, response) {
        (
            Request::Read { count, .. },
            Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words),
        ) if number(words.len()) == Some(*count) => Some(Reply::Words(words.clone())),
        // The wire carries whole bytes of bits, so a right reply has up to 7 more than were asked for.
        (
            Request::Read { count, .. },
            Response::ReadCoils(bits) | Response::ReadDiscreteInputs(bits),
        ) if number(bits.len()) == Some(count.next_multiple_of(8)) => {
            Some(Reply::Bits(bits.clone()))
        }
        (
            Request::Write(RegisterWrite::Coil { addr, on }),
            Response::WriteSingleCoil(address, value),
        ) => echo((addr, on) == (address, value)),
        (
            Request::Write(RegisterWrite::Register { addr, word }),
            Response::WriteSingleRegister(address, value),
        ) => echo((addr, word) == (address, value)),
        (
            Request::Write(RegisterWrite::Coils { addr, on }),
            Response::WriteMultipleCoils(address, count),
        ) => echo((*addr, number(on.len())) == (*address, Some(*count))),
        (
            Request::Write(RegisterWrite::Registers { addr, words }),
            Response::WriteMultipleRegisters(address, count),
        ) => echo((*addr, number(words.len())) == (*address, Some(*count))),
        (
            Request::Write(RegisterWrite::Exchange { count, .. }),
            Response::ReadWriteMultipleRegisters(words),
        ) => echo(number(words.len()) == Some(*count)),
        _ => None,
    }
}

async fn call(
    context: &mut Context,
    request: &Request<'_>,
    within: Duration,
) -> Result<Reply, DriverErrorKind> {
    let odd = |got: String| DriverErrorKind::BadReply {
        expected: request.to_string(),
        got,
    };
    // The context is dropped on every error, so what a panic leaves behind in it is never seen.
    let call = timeout(within, context.call(of_codec(request)));
    match AssertUnwindSafe(call).catch_unwind().await {
        Err(_panic) => Err(odd(
            "a reply that the Modbus codec could not bear".to_owned()
        )),
        Ok(Err(_elapsed)) => Err(DriverErrorKind::Timeout {
            expected: request.to_string(),
            within,
        }),
        Ok(Ok(Ok(Ok(response)))) => {
            reply_to(request, &response).ok_or_else(|| odd(format!("{response:?}")))
        }
        Ok(Ok(Ok(Err(exception)))) => Ok(Reply::Exception(exception.into())),
        Ok(Ok(Err(ModbusError::Transport(error)))) => Err(DriverErrorKind::Transport(error)),
        Ok(Ok(Err(ModbusError::Protocol(error)))) => Err(odd(error.to_string())),
    }
}
