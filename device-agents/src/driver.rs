//! What a driver promises.
//!
//! - One exchange at a time, never cancelled from outside: time-outs live inside.
//! - A reply is taken only when it can be the reply to this request; anything in doubt ends in a [`DriverError`], and
//!   the next exchange cannot be answered by what is still under way.
//! - Silence is an error, never a value. A write's acknowledgement says that the device heard, not that it acted.
//! - What is late is not sent: a write looks at its deadline last, and what waits in a dropped connection goes nowhere.
//! - After an error the driver may have dropped its connection ([`Driver::is_connected`]); it never reconnects itself.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use contract::DeviceId;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::point::Raw;
use crate::profile::{Action, DriverSettings, Profile, Read};
use crate::site::{Line, LineAddress};

pub mod escpos;
pub mod frame;
pub mod modbus;
mod port;

use escpos::EscposDriver;
use frame::FrameDriver;
use modbus::{RtuDriver, TcpDriver};

/// The longest wait for a TCP connection: a machine on the same site answers in milliseconds or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the kernel repeats what the other side does not confirm: as long as a machine on the same site may take, and
/// no longer, because a command that comes through after its deadline is worse than one that does not.
const UNCONFIRMED_TIMEOUT: Duration = Duration::from_secs(2);

/// An exchange that brought nothing to trust.
#[derive(Debug, thiserror::Error)]
#[error("{device} at {address}: {kind}")]
pub struct DriverError {
    /// The device, or the line while it is being opened.
    pub device: String,
    /// Where it is reached.
    pub address: String,
    /// What went wrong.
    #[source]
    pub kind: DriverErrorKind,
}

/// What went wrong in an exchange.
#[derive(Debug, thiserror::Error)]
pub enum DriverErrorKind {
    /// There is no connection; nothing was sent.
    #[error("cannot be connected: {0}")]
    Connect(#[source] io::Error),
    /// A write's deadline passed before its turn came; nothing was sent.
    #[error("it was too late to send it")]
    TooLate,
    /// No reply in time.
    #[error("no reply to {expected} within {within:?}")]
    Timeout {
        /// What was asked.
        expected: String,
        /// How long was waited.
        within: Duration,
    },
    /// The connection broke during the exchange.
    #[error("the connection broke: {0}")]
    Transport(#[source] io::Error),
    /// A reply that cannot be the reply to this request.
    #[error("expected {expected}, got {got}")]
    BadReply {
        /// What a right reply would have been.
        expected: String,
        /// What came.
        got: String,
    },
}

impl DriverError {
    /// Whether it is certain that nothing reached the device.
    pub fn nothing_was_sent(&self) -> bool {
        matches!(
            self.kind,
            DriverErrorKind::Connect(_) | DriverErrorKind::TooLate
        )
    }
}

/// Whom an exchange is with.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Which device.
    pub device: &'a DeviceId,
    /// Its Modbus unit id.
    pub unit_id: u8,
    /// Its type.
    pub profile: &'a Profile,
}

/// What a read brought.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadOutcome {
    /// Data.
    Data(Raw),
    /// The device answered that it will not (Modbus exception code): it is alive.
    Exception(u8),
}

/// What a write brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// The device heard it, as far as its protocol can tell.
    Acknowledged,
    /// The device answered that it will not, and why: nothing happened.
    Refused(String),
    /// The device answered something else than yes, and why; what it did is to be seen.
    Doubtful(String),
}

/// The driver of one line.
#[derive(Debug)]
pub enum Driver {
    /// Modbus TCP.
    Modbus(TcpDriver),
    /// A Modbus bus in RTU framing.
    Rtu(RtuDriver),
    /// ESC/POS real-time status.
    Escpos(EscposDriver),
    /// Lines of JSON.
    Frame(FrameDriver),
}

impl Driver {
    /// The driver that the line's devices need; not connected yet.
    pub fn new(line: &Line) -> Self {
        let device = line.devices.first().expect("a line has a device");
        match (&device.profile.driver, &line.address) {
            (DriverSettings::Modbus(_), LineAddress::Tcp(address)) => {
                Self::Modbus(TcpDriver::new(address))
            }
            (DriverSettings::Frame(_), LineAddress::Tcp(address)) => {
                Self::Frame(FrameDriver::new(address))
            }
            (DriverSettings::Escpos(settings), address) => {
                Self::Escpos(EscposDriver::new(address.clone(), *settings))
            }
            (DriverSettings::Modbus(_), LineAddress::RtuSerial { settings, .. }) => {
                Self::Rtu(RtuDriver::new(line.address.clone(), settings.baud))
            }
            (DriverSettings::Modbus(_), LineAddress::RtuTcp { baud, .. }) => {
                Self::Rtu(RtuDriver::new(line.address.clone(), *baud))
            }
            (DriverSettings::Modbus(_), LineAddress::Serial(_)) | (DriverSettings::Frame(_), _) => {
                unreachable!("a site that exists has these drivers on other lines")
            }
        }
    }

    /// Whether an exchange can be tried.
    pub fn is_connected(&self) -> bool {
        match self {
            Self::Modbus(driver) => driver.is_connected(),
            Self::Rtu(driver) => driver.is_connected(),
            Self::Escpos(driver) => driver.is_connected(),
            Self::Frame(driver) => driver.is_connected(),
        }
    }

    /// Until when the target is better asked nothing, because what it says could still be the answer to something else.
    /// Who asks nevertheless waits for that long.
    pub fn quiet_until(&self, target: Target<'_>) -> Option<Instant> {
        match self {
            Self::Rtu(driver) => driver.quiet_until(target.unit_id),
            Self::Modbus(_) | Self::Escpos(_) | Self::Frame(_) => None,
        }
    }

    /// Opens the line.
    ///
    /// # Errors
    /// [`DriverErrorKind::Connect`].
    pub async fn connect(&mut self) -> Result<(), DriverError> {
        match self {
            Self::Modbus(driver) => driver.connect().await,
            Self::Rtu(driver) => driver.connect().await,
            Self::Escpos(driver) => driver.connect().await,
            Self::Frame(driver) => driver.connect().await,
        }
    }

    /// One exchange that reads.
    ///
    /// # Errors
    /// See [`DriverErrorKind`].
    pub async fn read(
        &mut self,
        target: Target<'_>,
        read: Read,
    ) -> Result<ReadOutcome, DriverError> {
        match (self, read) {
            (Self::Modbus(driver), Read::Modbus { table, addr, count }) => {
                driver.read(target, table, addr, count).await
            }
            (Self::Rtu(driver), Read::Modbus { table, addr, count }) => {
                driver.read(target, table, addr, count).await
            }
            (Self::Escpos(driver), Read::Escpos { query }) => driver.query(target, query).await,
            (Self::Frame(driver), Read::Frame { request }) => driver.request(target, request).await,
            (
                Self::Modbus(_) | Self::Rtu(_) | Self::Escpos(_) | Self::Frame(_),
                Read::Modbus { .. } | Read::Escpos { .. } | Read::Frame { .. },
            ) => {
                unreachable!("the blocks of a profile are of its driver")
            }
        }
    }

    /// Sends `action` once, with the places of its template filled from `fill`, unless `deadline` has passed when the
    /// first byte is to go.
    ///
    /// # Errors
    /// See [`DriverErrorKind`]; unless [`DriverError::nothing_was_sent`], the device may have heard.
    pub async fn write(
        &mut self,
        target: Target<'_>,
        action: &Action,
        fill: &BTreeMap<&str, String>,
        deadline: Instant,
    ) -> Result<WriteOutcome, DriverError> {
        match (self, action) {
            (Self::Modbus(driver), Action::Modbus(writes)) => {
                driver.write(target, writes, deadline).await
            }
            (Self::Rtu(driver), Action::Modbus(writes)) => {
                driver.write(target, writes, deadline).await
            }
            (Self::Escpos(driver), Action::Raw(bytes)) => {
                driver.send(target, bytes, deadline).await
            }
            (
                Self::Frame(driver),
                Action::Frame {
                    request,
                    ok_path,
                    ok_value,
                    within,
                },
            ) => {
                let id = fill.get("cmd_id").cloned().unwrap_or_default();
                let reply = driver
                    .command(target, &request.fill(fill), &id, *within, deadline)
                    .await?;
                Ok(frame::judge(&reply, ok_path, ok_value))
            }
            (
                Self::Modbus(_) | Self::Rtu(_) | Self::Escpos(_) | Self::Frame(_),
                Action::Modbus(_) | Action::Raw(_) | Action::Frame { .. },
            ) => {
                unreachable!("the actions of a profile are of its driver")
            }
        }
    }
}

/// Opens a TCP connection for short exchanges.
async fn connect_tcp(address: &str) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await??;
    // A request is one small packet; waiting to fill it would cost more than the device takes to answer.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    // A connection that is dropped throws away what it still holds instead of delivering it later.
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_tcp_user_timeout(Some(UNCONFIRMED_TIMEOUT))?;
    Ok(stream)
}

fn check_deadline(deadline: Option<Instant>) -> Result<(), DriverErrorKind> {
    match deadline {
        Some(deadline) if Instant::now() > deadline => Err(DriverErrorKind::TooLate),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_dropped_connection_holds_goes_nowhere() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stream = connect_tcp(&address).await.unwrap();
        let socket = SockRef::from(&stream);
        assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
        let timeout = socket.tcp_user_timeout().unwrap();
        assert_eq!(timeout, Some(UNCONFIRMED_TIMEOUT));
    }
}
