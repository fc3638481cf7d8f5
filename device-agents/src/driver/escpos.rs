//! ESC/POS real-time status: `DLE EOT n`, one byte back, over a serial port or TCP.
//!
//! A status byte does not say which query it answers. So whatever waits before a query is thrown away, a byte counts
//! only when its fixed bits are right, and after a time-out nothing is asked until a late byte can no longer come.
//! Silence is an error: a printer that does not answer has no paper status.

use std::fmt;
use std::io;
use std::time::Instant;

use tokio::io::AsyncReadExt;
use tokio::time::timeout_at;

use super::port::{Port, discard_input, hung_up, open_serial, send};
use super::{
    DriverError, DriverErrorKind, ReadOutcome, Target, WriteOutcome, check_deadline, connect_tcp,
};
use crate::point::Raw;
use crate::profile::EscposSettings;
use crate::site::LineAddress;

/// `DLE EOT`, which the number of the query follows.
const DLE_EOT: [u8; 2] = [0x10, 0x04];

/// More bytes than automatic status can make in one time-out mean that this is no printer's status channel.
const MAX_STRAY_BYTES: usize = 256;

/// One printer's port.
pub struct EscposDriver {
    address: LineAddress,
    settings: EscposSettings,
    port: Option<Box<dyn Port>>,
    /// After a time-out, until a late reply can no longer come.
    quiet_until: Option<Instant>,
}

impl fmt::Debug for EscposDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EscposDriver")
            .field("address", &self.address)
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

impl EscposDriver {
    /// A driver for `address`, not connected yet.
    pub fn new(address: LineAddress, settings: EscposSettings) -> Self {
        Self {
            address,
            settings,
            port: None,
            quiet_until: None,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.port.is_some()
    }

    fn error(&self, device: &str, kind: DriverErrorKind) -> DriverError {
        DriverError {
            device: device.to_owned(),
            address: self.address.to_string(),
            kind,
        }
    }

    pub(super) async fn connect(&mut self) -> Result<(), DriverError> {
        let port: io::Result<Box<dyn Port>> = match &self.address {
            LineAddress::Tcp(address) => connect_tcp(address)
                .await
                .map(|stream| Box::new(stream) as Box<dyn Port>),
            LineAddress::Serial(path) => open_serial(path, &self.settings.serial),
            LineAddress::RtuSerial { .. } | LineAddress::RtuTcp { .. } => {
                unreachable!("a site that exists has no printer on a Modbus bus")
            }
        };
        self.port =
            Some(port.map_err(|error| self.error("line", DriverErrorKind::Connect(error)))?);
        Ok(())
    }

    pub(super) async fn query(
        &mut self,
        target: Target<'_>,
        query: u8,
    ) -> Result<ReadOutcome, DriverError> {
        let result = self.try_query(query).await;
        self.settle(target, result)
            .map(|byte| ReadOutcome::Data(Raw::Byte(byte)))
    }

    pub(super) async fn send(
        &mut self,
        target: Target<'_>,
        bytes: &[u8],
        deadline: Instant,
    ) -> Result<WriteOutcome, DriverError> {
        let result = self.try_send(bytes, Some(deadline)).await;
        self.settle(target, result)
            .map(|()| WriteOutcome::Acknowledged)
    }

    /// A reply that does not come keeps the port and begins the quiet time, what was not sent changes nothing; everything else drops it.
    fn settle<T>(
        &mut self,
        target: Target<'_>,
        result: Result<T, DriverErrorKind>,
    ) -> Result<T, DriverError> {
        result.map_err(|kind| {
            match kind {
                DriverErrorKind::Timeout { .. } => {
                    self.quiet_until = Some(Instant::now() + self.settings.late);
                }
                DriverErrorKind::TooLate => {}
                DriverErrorKind::Connect(_)
                | DriverErrorKind::Transport(_)
                | DriverErrorKind::BadReply { .. } => {
                    self.port = None;
                    self.quiet_until = None;
                }
            }
            self.error(target.device.as_str(), kind)
        })
    }

    async fn try_send(
        &mut self,
        bytes: &[u8],
        deadline: Option<Instant>,
    ) -> Result<(), DriverErrorKind> {
        let within = self.settings.timeout;
        let quiet_until = self.quiet_until.take();
        let port = self
            .port
            .as_mut()
            .ok_or_else(|| DriverErrorKind::Connect(io::ErrorKind::NotConnected.into()))?;
        discard_input(port.as_mut(), quiet_until)
            .await
            .map_err(DriverErrorKind::Transport)?;
        check_deadline(deadline)?;
        send(port.as_mut(), bytes, within).await.inspect_err(|_| {
            self.port = None;
        })
    }

    async fn try_query(&mut self, query: u8) -> Result<u8, DriverErrorKind> {
        self.try_send(&[DLE_EOT[0], DLE_EOT[1], query], None)
            .await?;
        let settings = self.settings;
        let deadline = Instant::now() + settings.timeout;
        let port = self
            .port
            .as_mut()
            .expect("the query has just been written to it");
        for _ in 0..MAX_STRAY_BYTES {
            let mut byte = [0];
            let read = timeout_at(deadline.into(), port.read(&mut byte))
                .await
                .map_err(|_elapsed| DriverErrorKind::Timeout {
                    expected: format!("DLE EOT {query}"),
                    within: settings.timeout,
                })?;
            match read {
                Ok(0) => return Err(hung_up()),
                Ok(_) if byte[0] & settings.valid_mask == settings.valid_value => {
                    return Ok(byte[0]);
                }
                Ok(_) => {} // Automatic status, or noise: its fixed bits are others.
                Err(error) => return Err(DriverErrorKind::Transport(error)),
            }
        }
        Err(DriverErrorKind::BadReply {
            expected: format!("the status byte of DLE EOT {query}"),
            got: format!("{MAX_STRAY_BYTES} bytes without the fixed bits of one"),
        })
    }
}
