//! A port that bytes come from and go to, with nothing that says where a message begins: a serial port, or a TCP
//! connection to what stands before one.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{timeout, timeout_at};
use tokio_serial::{DataBits, SerialStream, StopBits};

use super::DriverErrorKind;
use crate::profile::{Parity, SerialSettings};

/// A serial port or a TCP connection.
pub(super) trait Port: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Port for T {}

pub(super) fn hung_up() -> DriverErrorKind {
    DriverErrorKind::Transport(io::ErrorKind::UnexpectedEof.into())
}

/// Opens a serial port, for this process alone.
pub(super) fn open_serial(path: &Path, settings: &SerialSettings) -> io::Result<Box<dyn Port>> {
    let builder = tokio_serial::new(path.to_string_lossy(), settings.baud)
        .data_bits(if settings.data_bits == 7 {
            DataBits::Seven
        } else {
            DataBits::Eight
        })
        .parity(match settings.parity {
            Parity::None => tokio_serial::Parity::None,
            Parity::Even => tokio_serial::Parity::Even,
            Parity::Odd => tokio_serial::Parity::Odd,
        })
        .stop_bits(if settings.stop_bits == 2 {
            StopBits::Two
        } else {
            StopBits::One
        })
        .timeout(Duration::ZERO);
    let stream = SerialStream::open(&builder).map_err(io::Error::from)?;
    Ok(Box::new(stream))
}

/// Throws away what waits, and whatever comes until `quiet_until`; how many bytes that were.
///
/// # Errors
/// The connection's.
pub(super) async fn discard_input(
    port: &mut dyn Port,
    quiet_until: Option<Instant>,
) -> io::Result<u64> {
    let mut scratch = [0; 64];
    let mut discarded = 0;
    loop {
        let read = match quiet_until {
            Some(until) if Instant::now() < until => {
                match timeout_at(until.into(), port.read(&mut scratch)).await {
                    Ok(read) => read,
                    Err(_elapsed) => continue,
                }
            }
            _ => match port.read(&mut scratch).now_or_never() {
                Some(read) => read,
                None => return Ok(discarded),
            },
        };
        match read? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => discarded += u64::try_from(count).unwrap_or(u64::MAX),
        }
    }
}

/// Sends all of `bytes`, or it is an error after which the port must be dropped: what did not get through now must not do
/// so later.
///
/// # Errors
/// The connection's, or a time-out.
pub(super) async fn send(
    port: &mut dyn Port,
    bytes: &[u8],
    within: Duration,
) -> Result<(), DriverErrorKind> {
    let write = async {
        port.write_all(bytes).await?;
        port.flush().await
    };
    match timeout(within, write).await {
        Ok(written) => written.map_err(DriverErrorKind::Transport),
        Err(_elapsed) => Err(DriverErrorKind::Timeout {
            expected: format!("writing {} bytes", bytes.len()),
            within,
        }),
    }
}
