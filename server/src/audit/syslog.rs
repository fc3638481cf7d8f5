//! Sends a head to a system log: one datagram of RFC 5424.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::time::timeout;

use super::head::{Head, MARK};
use super::settings::SyslogAddress;

/// Facility 13 (log audit), severity 5 (notice): RFC 5424 section 6.2.1.
const PRIORITY: u8 = 13 * 8 + 5;

/// The datagram. Host and structured data are left out: the receiver knows the one, and nobody needs the other.
fn message(head: &Head, now: DateTime<Utc>, process: u32) -> String {
    let now = now.to_rfc3339_opts(SecondsFormat::Micros, true);
    format!("<{PRIORITY}>1 {now} - landside-server {process} audit-head - {MARK}{head}")
}

/// Where the queue of a system log is full nobody says when there is room again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sends it, or says within [`PATIENCE`] that it was not taken.
pub(super) async fn send(to: &SyslogAddress, head: &Head) -> io::Result<()> {
    timeout(PATIENCE, try_send(to, head)).await?
}

async fn try_send(to: &SyslogAddress, head: &Head) -> io::Result<()> {
    let message = message(head, Utc::now(), std::process::id());
    match to {
        SyslogAddress::Udp(address) => {
            let any: SocketAddr = if address.is_ipv4() {
                ([0, 0, 0, 0], 0).into()
            } else {
                ([0u16; 8], 0).into()
            };
            let socket = UdpSocket::bind(any).await?;
            socket.send_to(message.as_bytes(), address).await?;
        }
        SyslogAddress::Unix(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.send_to(message.as_bytes(), path).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::chain::Hash;
    use super::*;

    fn head() -> Head {
        Head {
            at: "2026-11-22T07:08:03Z".parse().unwrap(),
            number: 12,
            hash: Hash([1; 32]),
        }
    }

    #[test]
    fn the_header_is_that_of_rfc_5424() {
        let now = "2026-11-22T07:09:00.5Z".parse().unwrap();
        let expected = format!(
            "<109>1 2026-11-22T07:09:00.500000Z - landside-server 7 audit-head - audit head {}",
            head()
        );
        assert_eq!(message(&head(), now, 7), expected);
    }

    #[tokio::test]
    async fn a_head_arrives_over_both_roads() {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = SyslogAddress::Udp(udp.local_addr().unwrap());
        send(&to, &head()).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let unix = UnixDatagram::bind(&path).unwrap();
        send(&SyslogAddress::Unix(path), &head()).await.unwrap();
        let mut buffer = [0; 1024];
        for length in [
            udp.recv(&mut buffer).await.unwrap(),
            unix.recv(&mut buffer).await.unwrap(),
        ] {
            let text = std::str::from_utf8(&buffer[..length]).unwrap();
            assert!(text.ends_with(&head().to_string()), "{text}");
        }
    }

    #[tokio::test]
    async fn a_system_log_whose_queue_is_full_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let _never_read = UnixDatagram::bind(&path).unwrap();
        let to = SyslogAddress::Unix(path);
        let mut sent = 0;
        let error = loop {
            match send(&to, &head()).await {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent < 100_000, "the queue of a socket has an end");
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
