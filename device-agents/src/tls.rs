//! TLS to the server, by rustls with ring: whom the agent trusts, the certificate that it shows, and what a failure means.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pem_files::{FileError, certificates, is_open, private_key, read};
use rustls::client::{ClientConfig, Resumption};
use rustls::{AlertDescription, CertificateError, RootCertStore};

#[cfg(test)]
pub(crate) mod made;
#[cfg(test)]
mod tests;

/// The files of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates of the authorities that are trusted, as PEM; `None`: those of this machine.
    pub authority: Option<PathBuf>,
    /// What the agent shows if it is asked for a certificate.
    pub own: Option<OwnCertificate>,
}

/// The agent's own certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnCertificate {
    /// The certificate and those between it and its authority, as PEM.
    pub certificate: PathBuf,
    /// Its key, as PEM.
    pub key: PathBuf,
}

/// What is wrong with what TLS is made of: one sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TlsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "this machine knows no authorities ({0}): name the file of the server's authority in server.authority"
    )]
    NoAuthorities(String),
}

/// What to do about a file of certificates that cannot be read.
const NAME_ANOTHER: &str = "name an existing file with a certificate as PEM";

impl TlsFiles {
    /// Reads everything and puts it together, as it is done for each connection.
    pub(crate) fn check(&self) -> Result<(), TlsError> {
        self.assemble().map(drop)
    }

    /// Reads the files as they are now.
    pub(crate) fn assemble(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let roots = match &self.authority {
            Some(path) => {
                let mut roots = RootCertStore::empty();
                pem_files::trust(&mut roots, path, &read(path, NAME_ANOTHER)?)?;
                roots
            }
            None => authorities_of_this_machine()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has ciphers for TLS 1.2 and 1.3")
            .with_root_certificates(roots);
        let mut config = match &self.own {
            None => builder.with_no_client_auth(),
            Some(OwnCertificate { certificate, key }) => {
                let chain = certificates(certificate, &read(certificate, NAME_ANOTHER)?)?;
                let secret = private_key(
                    key,
                    &read(
                        key,
                        "let the agent's account, and nobody else, read the key",
                    )?,
                )?;
                builder
                    .with_client_auth_cert(chain, secret)
                    .map_err(|error| FileError::not_together(key, certificate, &error))?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Each connection shows the certificate of its time.
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// The key, if anybody on this machine may read it.
    pub(crate) fn open_key(&self) -> Option<&Path> {
        let key = self.own.as_ref()?.key.as_path();
        is_open(key).then_some(key)
    }
}

/// What the operating system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` say where else). A few of hundreds may be unreadable.
fn authorities_of_this_machine() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(
            || "none is installed".to_owned(),
            |error| error.to_string().replace('\n', " "),
        );
        return Err(TlsError::NoAuthorities(why));
    }
    Ok(roots)
}

/// If TLS is the reason for this failure: what `server` did wrong, and what to do.
pub(crate) fn explain(server: &str, failure: &(dyn Error + 'static)) -> Option<String> {
    let Some(cause) = find::<rustls::Error>(failure, |_| true) else {
        return went_away(failure).then(|| format!("{server} {WENT_AWAY}"));
    };
    let what = match cause {
        rustls::Error::InvalidCertificate(wrong) => untrusted(wrong),
        rustls::Error::AlertReceived(alert) => refused(*alert),
        rustls::Error::InvalidMessage(_) => {
            "does not speak TLS there: is the port right, or is the server reached by http?"
                .to_owned()
        }
        other => format!("cannot be connected by TLS ({other})"),
    };
    Some(format!("{server} {what}"))
}

/// What is said of a server that [`went_away`].
pub(crate) const WENT_AWAY: &str = "went away: the connection ended in the middle, as when a server or the network before it is stopped";

/// Whether the other side was gone before it had said that it would go (RFC 8446, 6.1).
pub(crate) fn went_away(failure: &(dyn Error + 'static)) -> bool {
    find::<io::Error>(failure, |error| {
        error.kind() == io::ErrorKind::UnexpectedEof
    })
    .is_some()
}

/// The first of the causes that is one of these.
fn find<'a, T: Error + 'static>(
    failure: &'a (dyn Error + 'static),
    is_wanted: impl Fn(&T) -> bool,
) -> Option<&'a T> {
    let mut next = Some(failure);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref().filter(|found| is_wanted(found)) {
            return Some(found);
        }
        // An I/O error passes over what it holds when it is asked for its source.
        let held = error.downcast_ref().and_then(io::Error::get_ref);
        next = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

fn untrusted(wrong: &CertificateError) -> String {
    use CertificateError as E;
    match wrong {
        // All but the first: of another authority that calls itself like one that is trusted, and has another key.
        E::UnknownIssuer
        | E::BadSignature
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "shows a certificate of an authority that this agent does not trust: name the file of that authority in server.authority"
                .to_owned()
        }
        E::NotValidForName => {
            "shows a certificate with another name: write the certificate's name in server.url, or give the server a certificate for this one"
                .to_owned()
        }
        E::NotValidForNameContext { presented, .. } => {
            let names = if presented.is_empty() {
                "no name".to_owned()
            } else {
                let names = presented.iter().map(|name| bare(name));
                format!("the name {}", Vec::from_iter(names).join(", "))
            };
            format!(
                "shows a certificate with {names}: write the certificate's name in server.url, or give the server a certificate for this one"
            )
        }
        E::Expired | E::ExpiredContext { .. } => {
            "shows a certificate that has expired: give the server a new one, or set the clock of this machine"
                .to_owned()
        }
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "shows a certificate that does not hold yet: set the clock of this machine, or wait"
                .to_owned()
        }
        E::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "shows the certificate of an authority as its own: make one with basicConstraints=CA:FALSE"
                .to_owned()
        }
        other => format!("shows a certificate that cannot be trusted ({other})"),
    }
}

/// What stands in `DnsName("a.example")` or `IpAddress(10.0.0.1)`.
fn bare(name: &str) -> &str {
    name.split_once('(')
        .and_then(|(_, name)| name.strip_suffix(')'))
        .map_or(name, |name| name.trim_matches('"'))
}

/// What the server's last word means (RFC 8446, 6.2).
fn refused(alert: AlertDescription) -> String {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => {
            "wants to see a certificate of this agent: name its files in server.certificate and server.key"
                .to_owned()
        }
        A::CertificateExpired => {
            "says that this agent's certificate has expired: put a new one in the place of server.certificate and server.key"
                .to_owned()
        }
        A::UnknownCA => {
            "does not trust the authority of this agent's certificate: have one made by the authority that the server names"
                .to_owned()
        }
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateUnknown
        | A::AccessDenied
        | A::DecryptError => format!(
            "refuses this agent's certificate ({alert:?}): the server's log says why"
        ),
        other => format!("ended TLS ({other:?}): the server's log may say why"),
    }
}
