//! Counts of the HTTP listeners, and how long the certificate holds.

use chrono::{DateTime, Utc};
use metrics::{counter, describe_counter, describe_gauge, gauge};

const REFUSED: &str = "landside_http_refused_total";
const EXPIRES: &str = "landside_tls_certificate_expires_seconds";

/// Why a client was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unserved {
    /// There are too many connections.
    Connections,
    /// There are too many of its address.
    Address,
    /// Its TLS handshake failed, or took too long.
    Handshake,
    /// The head of its request took too long.
    Head,
    /// The body of its request took too long.
    Body,
    /// It did not take the answer.
    Answer,
    /// It asks too often.
    Rate,
}

impl Unserved {
    const ALL: [Self; 7] = [
        Self::Connections,
        Self::Address,
        Self::Handshake,
        Self::Head,
        Self::Body,
        Self::Answer,
        Self::Rate,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Address => "address",
            Self::Handshake => "handshake",
            Self::Head => "head",
            Self::Body => "body",
            Self::Answer => "answer",
            Self::Rate => "rate",
        }
    }
}

/// A client was not served.
pub(crate) fn count_unserved(why: Unserved) {
    counter!(REFUSED, "reason" => why.name()).increment(1);
}

pub(super) fn describe() {
    describe_counter!(
        REFUSED,
        "Connections and requests of HTTP that were refused, by the reason."
    );
    describe_gauge!(
        EXPIRES,
        "When the certificate ends, in seconds since 1970; not there without TLS."
    );
    for why in Unserved::ALL {
        counter!(REFUSED, "reason" => why.name()).absolute(0);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds since 1970 are far below 2^52"
)]
pub(super) fn observe(expires: Option<DateTime<Utc>>) {
    if let Some(expires) = expires {
        gauge!(EXPIRES).set(expires.timestamp() as f64);
    }
}
