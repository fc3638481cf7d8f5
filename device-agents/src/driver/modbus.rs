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
use tokio_modbus::{Error as ModbusError, ExceptionCode, Request, Response};

use super::{
    DriverError, DriverErrorKind, ReadOutcome, Target, WriteOutcome, check_deadline, connect_tcp,
};
use crate::point::Raw;
use crate::profile::{DriverSettings, ModbusSettings, RegisterWrite, Table};

/// Illegal function, address, value: the device did not begin. The others (device failure, acknowledge, busy, gateway)
/// say that something went wrong, was put off, or was not answered, and not that nothing happened.
const REFUSALS: [u8; 3] = [1, 2, 3];

/// One Modbus TCP connection and the units behind it.
pub struct ModbusDriver {
    address: String,
    context: Option<Context>,
    last_exchange: Option<Instant>,
}

impl std::fmt::Debug for ModbusDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModbusDriver")
            .field("address", &self.address)
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

impl ModbusDriver {
    /// A driver for `host:port`, not connected yet.
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            context: None,
            last_exchange: None,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.context.is_some()
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
        self.context = Some(tcp::attach(stream));
        Ok(())
    }

    pub(super) async fn read(
        &mut self,
        target: Target<'_>,
        table: Table,
        addr: u16,
        count: u16,
    ) -> Result<ReadOutcome, DriverError> {
        let request = match table {
            Table::Coil => Request::ReadCoils(addr, count),
            Table::DiscreteInput => Request::ReadDiscreteInputs(addr, count),
            Table::InputRegister => Request::ReadInputRegisters(addr, count),
            Table::HoldingRegister => Request::ReadHoldingRegisters(addr, count),
        };
        let wanted = usize::from(count);
        let raw = match self.exchange(target, request, None).await? {
            Err(code) => return Ok(ReadOutcome::Exception(code.into())),
            Ok(Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words))
                if words.len() == wanted =>
            {
                Raw::Registers(words)
            }
            // The wire carries whole bytes of bits, so a right reply has up to 7 more than were asked for.
            Ok(Response::ReadCoils(mut bits) | Response::ReadDiscreteInputs(mut bits))
                if bits.len() == wanted.next_multiple_of(8) =>
            {
                bits.truncate(wanted);
                Raw::Bits(bits)
            }
            Ok(other) => {
                self.context = None;
                let kind = DriverErrorKind::BadReply {
                    expected: format!("{count} values of {table:?} {addr}"),
                    got: format!("{other:?}"),
                };
                return Err(self.error(target.device.as_str(), kind));
            }
        };
        Ok(ReadOutcome::Data(raw))
    }

    pub(super) async fn write(
        &mut self,
        target: Target<'_>,
        writes: &[RegisterWrite],
        deadline: Instant,
    ) -> Result<WriteOutcome, DriverError> {
        // What has begun in time is not left half done.
        let mut deadline = Some(deadline);
        for (index, write) in writes.iter().enumerate() {
            let request = match *write {
                RegisterWrite::Coil { addr, on } => Request::WriteSingleCoil(addr, on),
                RegisterWrite::Register { addr, word } => Request::WriteSingleRegister(addr, word),
            };
            if let Err(code) = self.exchange(target, request, deadline.take()).await? {
                let code_number = u8::from(code);
                let why = format!("Modbus exception {code_number}: {code}");
                return Ok(if index == 0 && REFUSALS.contains(&code_number) {
                    WriteOutcome::Refused(why)
                } else {
                    WriteOutcome::Doubtful(why)
                });
            }
        }
        Ok(WriteOutcome::Acknowledged)
    }

    async fn exchange(
        &mut self,
        target: Target<'_>,
        request: Request<'static>,
        deadline: Option<Instant>,
    ) -> Result<Result<Response, ExceptionCode>, DriverError> {
        let settings = settings(target);
        if let Some(last) = self.last_exchange {
            sleep_until((last + settings.min_gap).into()).await;
        }
        check_deadline(deadline).map_err(|kind| self.error(target.device.as_str(), kind))?;
        let expected = format!("{request:?}");
        let result = match self.context.as_mut() {
            None => Err(not_connected()),
            Some(context) => {
                context.set_slave(Slave(target.unit_id));
                call(context, request, expected, settings.timeout).await
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

fn settings(target: Target<'_>) -> ModbusSettings {
    match &target.profile.driver {
        DriverSettings::Modbus(settings) => *settings,
        DriverSettings::Escpos(_) | DriverSettings::Frame(_) => {
            unreachable!("a line's devices are of its driver")
        }
    }
}

async fn call(
    context: &mut Context,
    request: Request<'static>,
    expected: String,
    within: Duration,
) -> Result<Result<Response, ExceptionCode>, DriverErrorKind> {
    // The context is dropped on every error, so what a panic leaves behind in it is never seen.
    let guarded = AssertUnwindSafe(timeout(within, context.call(request))).catch_unwind();
    match guarded.await {
        Err(_panic) => Err(DriverErrorKind::BadReply {
            expected,
            got: "a reply that the Modbus codec could not bear".to_owned(),
        }),
        Ok(Err(_elapsed)) => Err(DriverErrorKind::Timeout { expected, within }),
        Ok(Ok(Ok(outcome))) => Ok(outcome),
        Ok(Ok(Err(ModbusError::Transport(error)))) => Err(DriverErrorKind::Transport(error)),
        Ok(Ok(Err(ModbusError::Protocol(error)))) => Err(DriverErrorKind::BadReply {
            expected,
            got: error.to_string(),
        }),
    }
}
