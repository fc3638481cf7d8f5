//! Who is at the other end of a connection, as far as the connection itself knows.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

/// The other end of a connection: what a [`crate::Guard`] knows of it before it reads a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Where it comes from: whom the bounds on connections count for.
    pub address: SocketAddr,
    /// Whether nobody on the way can read along: TLS ends here, or at a proxy that is trusted.
    pub is_secured: bool,
    /// A client certificate that was checked; `None` when none was asked for or shown.
    pub certificate: Option<Certificate>,
}

/// A certificate that was good when the connection began, which may last longer than that.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The name in it.
    pub name: Arc<str>,
    /// Its end.
    pub expires: SystemTime,
    /// Cancelled when whoever listens looks at certificates in another way, so that this one might not be good any more.
    pub outdated: CancellationToken,
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.expires) == (&other.name, other.expires)
    }
}

impl Eq for Certificate {}

impl Certificate {
    /// Whether it is still good.
    pub fn holds(&self, now: SystemTime) -> bool {
        now < self.expires && !self.outdated.is_cancelled()
    }
}

impl Peer {
    /// The name in the connection's certificate.
    pub fn name(&self) -> Option<&str> {
        self.certificate
            .as_ref()
            .map(|certificate| &*certificate.name)
    }

    /// Whether a secret may be told on this connection: it is secured, or it does not leave this machine.
    pub fn is_private(&self) -> bool {
        self.is_secured || self.address.ip().to_canonical().is_loopback()
    }
}

/// A connection without TLS.
impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            is_secured: false,
            certificate: None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn check(address: &str, is_secured: bool, expected: bool) {
        let plain = Peer::from(address.parse::<SocketAddr>().unwrap());
        let peer = Peer {
            is_secured,
            ..plain
        };
        assert_eq!(peer.is_private(), expected, "{peer:?}");
        assert_eq!(peer.to_string(), address);
    }

    #[test]
    fn a_certificate_is_good_until_its_end_or_until_it_is_outdated() {
        let (now, second) = (SystemTime::now(), Duration::from_secs(1));
        let certificate = Certificate {
            name: "agent-1".into(),
            expires: now + second,
            outdated: CancellationToken::new(),
        };
        assert!(certificate.holds(now));
        assert!(!certificate.holds(now + second));
        certificate.outdated.cancel();
        assert!(!certificate.holds(now));
    }

    #[test]
    fn a_secret_may_be_told_where_nobody_reads_along() {
        check("127.0.0.1:1", false, true);
        check("127.8.8.8:1", false, true);
        check("[::1]:1", false, true);
        check("[::ffff:127.0.0.1]:1", false, true);
        check("10.0.0.1:1", false, false);
        check("[2001:db8::1]:1", false, false);
        check("10.0.0.1:1", true, true);
    }
}
