//! What a server starts with, or only fails with when it listens, and what is of no use to anybody: found before it is started.

use std::net::SocketAddr;
use std::path::Path;

use chrono::{DateTime, Utc};

use super::{Config, ConfigError};

impl Config {
    /// Looks at what reading it did not: remarks on what is better otherwise.
    ///
    /// # Errors
    /// [`ConfigError`]: two places to listen that are one, or a certificate that no client takes now.
    pub fn judge(&self, path: &Path, now: DateTime<Utc>) -> Result<Vec<String>, ConfigError> {
        let mut places = vec![
            ("http.listen", self.http),
            ("stomp.listen", self.stomp),
            ("metrics.listen", self.metrics),
        ];
        places.extend(self.stomp_tls.map(|place| ("stomp.listen_tls", place)));
        for (index, (key, place)) in places.iter().enumerate() {
            let before = places.iter().take(index);
            let mut same = before.filter(|(_, other)| are_one(*place, *other));
            if let Some((other, _)) = same.next() {
                let wrong = format!("{place} is where {other} listens: give each its own port");
                return Err(ConfigError::invalid(path, key, &wrong));
            }
        }
        let Some(tls) = &self.tls else {
            return Ok(Vec::new());
        };
        let remarks = tls.files.judge(self.public_url.host(), now);
        let mut remarks =
            remarks.map_err(|wrong| ConfigError::invalid(path, "tls", &wrong.to_string()))?;
        if self.public_url.scheme() == "http" {
            remarks.push(
                "public_url begins with http://, though there is [tls]: cookies are sent without it as well, and links lead nowhere; write https://"
                    .to_owned(),
            );
        }
        Ok(remarks)
    }
}

/// Whether only one of two can listen. Port 0 is whichever is free.
fn are_one(one: SocketAddr, other: SocketAddr) -> bool {
    let is_everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (is_everywhere || one.ip() == other.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cannot_listen_at_one_place() {
        for (one, other, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("127.0.0.1:1", "0.0.0.0:1", true),
            ("[::]:1", "127.0.0.1:1", true),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let address = |text: &str| text.parse().unwrap();
            assert_eq!(
                are_one(address(one), address(other)),
                expected,
                "{one} {other}"
            );
        }
    }
}
