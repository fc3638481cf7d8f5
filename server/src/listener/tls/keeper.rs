//! Keeps what is served as the files say, without a restart: looks at them every second, and takes a new pair when it is
//! good and has been the same for two looks, since certificate and key are rarely written at the same moment.
//!
//! A pair that is broken is refused with a line in the log, once, and the one before goes on; so is one that does not hold
//! now, as long as the one before does. Connections that live are not touched.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pem_files::{FileError, is_open};
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::files::{Contents, Fingerprint};
use super::{Material, TlsError, TlsFiles};
use crate::apart::Apart;
use crate::settled::Settled;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

/// From when on an end that comes near is told: long enough for whoever renews by hand.
const NOTICE: TimeDelta = TimeDelta::days(21);

/// Between two lines about it.
const REMINDER: TimeDelta = TimeDelta::days(1);

/// What listeners take for each new connection.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    /// For HTTP.
    pub(crate) http: watch::Receiver<Arc<ServerConfig>>,
    /// For STOMP over TCP.
    pub(crate) stomp: watch::Receiver<Arc<ServerConfig>>,
    /// When the certificate ends.
    pub(crate) expires: watch::Receiver<DateTime<Utc>>,
}

/// The task that looks.
pub(crate) struct Keeper {
    files: TlsFiles,
    reading: Apart<Result<Contents, FileError>>,
    http: watch::Sender<Arc<ServerConfig>>,
    stomp: watch::Sender<Arc<ServerConfig>>,
    begins: DateTime<Utc>,
    expires: watch::Sender<DateTime<Utc>>,
    /// What was decided on last, whether it was taken or not, and what the last look saw.
    seen: Settled<Fingerprint>,
    /// Why the last look saw nothing.
    failed: Option<FileError>,
    /// What does not hold yet, as was told.
    awaited: Option<Fingerprint>,
    reminded: Option<DateTime<Utc>>,
}

impl Keeper {
    /// Reads the files for the first time.
    pub(crate) fn open(files: TlsFiles) -> Result<(Self, Served), TlsError> {
        let contents = files.read()?;
        let material = files.assemble(&contents)?;
        if is_open(&files.key) {
            tracing::warn!(key = %files.key.display(), "everybody on this machine may read the key: take that right away");
        }
        let (http, http_seen) = watch::channel(material.http);
        let (stomp, stomp_seen) = watch::channel(material.stomp);
        let (expires, expires_seen) = watch::channel(material.expires);
        let keeper = Self {
            files,
            reading: Apart::new("tls"),
            http,
            stomp,
            begins: material.begins,
            expires,
            seen: Settled::new(contents.fingerprint()),
            failed: None,
            awaited: None,
            reminded: None,
        };
        let served = Served {
            http: http_seen,
            stomp: stomp_seen,
            expires: expires_seen,
        };
        Ok((keeper, served))
    }

    /// Looks until the shutdown.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            self.remind(Utc::now());
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let files = self.files.clone();
            let look = self.reading.look(move || files.read()).await;
            let look =
                look.unwrap_or_else(|error| Err(FileError::new(&self.files.certificate, error)));
            self.decide(look, Utc::now());
        }
    }

    fn decide(&mut self, look: Result<Contents, FileError>, now: DateTime<Utc>) {
        let contents = match look {
            Ok(contents) => contents,
            Err(error) => {
                if self.failed.as_ref() != Some(&error) {
                    tracing::error!(%error, "the certificate cannot be read again; the one before goes on");
                }
                self.failed = Some(error);
                self.seen.look_failed();
                return;
            }
        };
        self.failed = None;
        let fingerprint = contents.fingerprint();
        if !self.seen.look(fingerprint) {
            return;
        }
        let holds_before = self.begins <= now && now < *self.expires.borrow();
        match self.files.assemble(&contents) {
            Ok(material) if holds_before && now < material.begins => {
                // It is taken when its time has come.
                if self.awaited != Some(fingerprint) {
                    self.awaited = Some(fingerprint);
                    tracing::error!(begins = %material.begins, "the new certificate does not hold yet; the one before goes on until then");
                }
                return;
            }
            Ok(material) if holds_before && material.expires <= now => {
                tracing::error!(expires = %material.expires, "the new certificate has expired and is refused; the one before goes on");
            }
            Ok(material) => self.take(material),
            Err(error) => {
                tracing::error!(%error, "the new certificate is refused; the one before goes on");
            }
        }
        self.seen.decide(fingerprint);
    }

    fn take(&mut self, material: Material) {
        let expires = material.expires;
        self.begins = material.begins;
        self.http.send_replace(material.http);
        self.stomp.send_replace(material.stomp);
        self.expires.send_replace(expires);
        self.reminded = None;
        tracing::info!(%expires, "a new certificate is served from now on");
    }

    fn remind(&mut self, now: DateTime<Utc>) {
        let expires = *self.expires.borrow();
        let is_due = self.reminded.is_none_or(|last| now - last >= REMINDER);
        if !is_due {
            return;
        }
        if now >= expires {
            tracing::error!(%expires, "the certificate has expired: clients refuse to connect until there is a new one");
        } else if now < self.begins {
            tracing::error!(begins = %self.begins, "the certificate does not hold yet: clients refuse to connect until then");
        } else if expires - now <= NOTICE {
            tracing::warn!(%expires, "the certificate expires soon: put a new one in its place");
        } else {
            return;
        }
        self.reminded = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use super::*;

    struct Case {
        directory: TempDir,
        keeper: Keeper,
        served: Served,
    }

    fn pair(year: i32) -> (String, String) {
        pair_of(2000, year)
    }

    /// A pair that holds from one year to another.
    fn pair_of(begins: i32, ends: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(begins, 1, 1);
        params.not_after = rcgen::date_time_ymd(ends, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    impl Case {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let (certificate, key) = pair(2040);
            std::fs::write(directory.path().join("cert.pem"), certificate).unwrap();
            std::fs::write(directory.path().join("key.pem"), key).unwrap();
            let files = TlsFiles {
                certificate: directory.path().join("cert.pem"),
                key: directory.path().join("key.pem"),
                client_authority: None,
                client_revocations: None,
            };
            let (keeper, served) = Keeper::open(files).unwrap();
            Self {
                directory,
                keeper,
                served,
            }
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.directory.path().join(name), text).unwrap();
        }

        /// Looks so often, and tells the year in which the served certificate ends.
        fn look(&mut self, times: u8) -> String {
            self.look_in(2030, times)
        }

        fn look_in(&mut self, year: i32, times: u8) -> String {
            let now = format!("{year}-06-01T00:00:00Z").parse().unwrap();
            for _ in 0..times {
                let look = self.keeper.files.read();
                self.keeper.decide(look, now);
            }
            self.served.expires.borrow().format("%Y").to_string()
        }
    }

    #[test]
    fn a_new_pair_is_taken_when_it_has_settled() {
        let mut case = Case::new();
        let before = Arc::clone(&case.served.http.borrow());
        let (certificate, key) = pair(2041);
        case.write("cert.pem", &certificate);
        assert_eq!(case.look(1), "2040", "the key may follow in a moment");
        case.write("key.pem", &key);
        assert_eq!(case.look(1), "2040");
        assert_eq!(case.look(1), "2041");
        assert!(!Arc::ptr_eq(&before, &case.served.http.borrow()));
        assert!(case.served.stomp.borrow().alpn_protocols.is_empty());
    }

    #[test]
    fn what_is_broken_is_refused_and_the_one_before_goes_on() {
        let mut case = Case::new();
        let (certificate, key) = pair(2041);
        case.write("cert.pem", &certificate);
        assert_eq!(case.look(3), "2040", "the key is not its own");
        case.write("cert.pem", "nonsense");
        assert_eq!(case.look(3), "2040");
        std::fs::remove_file(case.directory.path().join("key.pem")).unwrap();
        assert_eq!(case.look(3), "2040");
        case.write("cert.pem", &certificate);
        case.write("key.pem", &key);
        assert_eq!(case.look(2), "2041");
    }

    #[test]
    fn what_does_not_hold_now_replaces_nothing_that_does() {
        let mut case = Case::new();
        let put = |case: &Case, (certificate, key): (String, String)| {
            case.write("cert.pem", &certificate);
            case.write("key.pem", &key);
        };
        put(&case, pair(2025));
        assert_eq!(case.look(3), "2040", "an old copy");
        put(&case, pair_of(2032, 2045));
        assert_eq!(case.look(3), "2040", "one of tomorrow");
        assert_eq!(case.look_in(2032, 1), "2045", "its time has come");
        // Where nothing holds anyway, the newest is what somebody wants.
        put(&case, pair(2046));
        assert_eq!(case.look_in(2050, 2), "2046");
        put(&case, pair(2047));
        assert_eq!(case.look_in(2050, 2), "2047");
    }

    #[test]
    fn each_mistake_names_its_file() {
        let case = Case::new();
        let check = |certificate: &str, key: &str, words: &[&str]| {
            case.write("cert.pem", certificate);
            case.write("key.pem", key);
            let error = case.keeper.files.check().unwrap_err().to_string();
            for word in words {
                assert!(error.contains(word), "{word:?} is missing in: {error}");
            }
            assert!(!error.contains("MII") && !error.contains('\n'), "{error}");
        };
        let ((one, of_one), (_, of_other)) = (pair(2040), pair(2041));
        check(&one, &of_other, &["key.pem", "cert.pem", "made together"]);
        check("", &of_one, &["cert.pem", "no certificate"]);
        check(&of_one, &of_one, &["cert.pem", "no certificate"]);
        check(&one, &one, &["key.pem", "no private key"]);
        check(&one, "-----BEGIN PRIVATE KEY-----\nMII!\n", &["key.pem"]);
        let missing = TlsFiles {
            key: "missing.pem".into(),
            ..case.keeper.files.clone()
        };
        case.write("ca.pem", &one);
        case.write("agents.crl", "nonsense");
        let listed = TlsFiles {
            client_authority: Some(case.directory.path().join("ca.pem")),
            client_revocations: Some(case.directory.path().join("agents.crl")),
            ..case.keeper.files.clone()
        };
        case.write("cert.pem", &one);
        case.write("key.pem", &of_one);
        let error = listed.check().unwrap_err().to_string();
        assert!(
            error.contains("agents.crl: there is no revocation list"),
            "{error}"
        );
        let error = missing.check().unwrap_err().to_string();
        assert!(error.contains("missing.pem"), "{error}");
    }
}
