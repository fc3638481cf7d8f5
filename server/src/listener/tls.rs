//! TLS by rustls with ring: the certificate of the server, and those of clients, if they are asked for.
//!
//! Versions 1.2 and 1.3 with rustls' own choice of ciphers. HTTP offers `http/1.1` by ALPN. A client that shows a certificate
//! must have one of the configured authority; whether it must show one is decided later, by whose token it brings. Where
//! certificates are asked for nothing is resumed: a handshake without one would outlive the certificate of the one before.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broker::Certificate;
use chrono::{DateTime, Utc};
use pem_files::{FileError, is_open};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use url::Host;

mod certificate;
mod files;
mod keeper;

use files::Contents;
pub(crate) use keeper::{Keeper, Served};

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate and those between it and the authority, as PEM.
    pub certificate: PathBuf,
    /// Its key, as PEM.
    pub key: PathBuf,
    /// The authority of the certificates that clients may show, as PEM; `None`: they are not asked for one.
    pub client_authority: Option<PathBuf>,
    /// What each of these authorities took back of the certificates that it made, as PEM; `None`: nothing.
    pub client_revocations: Option<PathBuf>,
}

impl TlsFiles {
    /// Reads everything and puts it together, as it is done at the start.
    ///
    /// # Errors
    /// One sentence: which file, what is wrong, what to do.
    pub fn check(&self) -> Result<(), TlsError> {
        self.assemble(&self.read()?, Utc::now()).map(drop)
    }

    /// What would be served, and what clients of a server that is called so would make of it: remarks.
    ///
    /// # Errors
    /// As [`Self::check`], and where no client would take it.
    pub fn judge(
        &self,
        host: Option<Host<&str>>,
        now: DateTime<Utc>,
    ) -> Result<Vec<String>, TlsError> {
        let contents = self.read()?;
        let Material {
            begins, expires, ..
        } = self.assemble(&contents, now)?;
        let wrong = |wrong: String| Err(FileError::new(&self.certificate, wrong));
        if now < begins || expires <= now {
            return wrong(format!(
                "the server's certificate holds from {begins} to {expires} only, so clients refuse it now: put another there, or set this machine's clock"
            ));
        }
        let chain = pem_files::certificates(&self.certificate, &contents.certificate)?;
        let leaf = chain
            .first()
            .filter(|leaf| !certificate::is_authority(leaf));
        let Some(leaf) = leaf else {
            return wrong(
                "the server's certificate is one of an authority, which agents refuse: name one made with basicConstraints=CA:FALSE"
                    .to_owned(),
            );
        };
        let mut remarks = Vec::new();
        if let Some(host) = host.filter(|host| !certificate::has_name(leaf, host)) {
            remarks.push(format!(
                "{}: it does not have the name {host} of public_url, so clients that come by it refuse it: put that name into it, or the right one into public_url",
                self.certificate.display()
            ));
        }
        if is_open(&self.key) {
            remarks.push(format!(
                "{}: everybody on this machine may read the key: take that right away",
                self.key.display()
            ));
        }
        Ok(remarks)
    }

    fn assemble(&self, contents: &Contents, now: DateTime<Utc>) -> Result<Material, FileError> {
        let chain = pem_files::certificates(&self.certificate, &contents.certificate)?;
        let key = pem_files::private_key(&self.key, &contents.key)?;
        let validity = chain
            .first()
            .and_then(|leaf| certificate::validity(leaf))
            .ok_or_else(|| {
                FileError::new(
                    &self.certificate,
                    "its first certificate is not one of X.509",
                )
            })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has ciphers for TLS 1.2 and 1.3");
        let judge = self.judge_of_clients(contents, now)?;
        let builder = match &judge {
            Some((judge, _)) => builder.with_client_cert_verifier(Arc::clone(judge)),
            None => builder.with_no_client_auth(),
        };
        let mut stomp = builder
            .with_single_cert(chain, key)
            .map_err(|error| FileError::not_together(&self.key, &self.certificate, &error))?;
        if judge.is_some() {
            stomp.session_storage = Arc::new(NoServerSessionStorage {});
            stomp.send_tls13_tickets = 0;
        }
        let mut http = stomp.clone();
        http.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Material {
            http: Arc::new(http),
            stomp: Arc::new(stomp),
            begins: validity.0,
            expires: validity.1,
            authority_expires: judge.map(|(_, expires)| expires),
        })
    }

    /// Whoever says which certificates of clients are good, and the first end among those of the authorities.
    fn judge_of_clients(
        &self,
        contents: &Contents,
        now: DateTime<Utc>,
    ) -> Result<Option<Judge>, FileError> {
        let (Some(path), Some(bytes)) = (&self.client_authority, &contents.client_authority) else {
            return Ok(None);
        };
        let mut expires = DateTime::<Utc>::MAX_UTC;
        for authority in pem_files::certificates(path, bytes)? {
            let until = certificate::authority_until(&authority, now);
            expires = expires.min(until.map_err(|wrong| FileError::new(path, wrong))?);
        }
        let mut roots = RootCertStore::empty();
        pem_files::trust(&mut roots, path, bytes)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated();
        let (verifier, path) = match (&self.client_revocations, &contents.client_revocations) {
            (Some(path), Some(bytes)) => {
                let lists = pem_files::revocation_lists(path, bytes)?;
                // A list whose next one is late still says what it says: agents must not be out because of it.
                let verifier = verifier.with_crls(lists).only_check_end_entity_revocation();
                (verifier, path)
            }
            _ => (verifier, path),
        };
        let verifier = verifier.build();
        let verifier = verifier.map_err(|error| FileError::new(path, error))?;
        Ok(Some((verifier, expires)))
    }
}

/// Says which certificates of clients are good; and when the first of its authorities ends.
type Judge = (Arc<dyn ClientCertVerifier>, DateTime<Utc>);

/// What is wrong with a file of TLS: one sentence.
pub type TlsError = FileError;

/// What connections need, made from one state of the files.
#[derive(Debug, Clone)]
struct Material {
    http: Arc<ServerConfig>,
    stomp: Arc<ServerConfig>,
    begins: DateTime<Utc>,
    expires: DateTime<Utc>,
    /// `None`: clients are not asked for a certificate.
    authority_expires: Option<DateTime<Utc>>,
}

/// How the next handshake is held.
#[derive(Debug, Clone)]
pub(crate) struct Handshake {
    config: Arc<ServerConfig>,
    /// Cancelled when certificates of clients are looked at in another way.
    outdated: CancellationToken,
}

impl Handshake {
    /// Holds one.
    ///
    /// # Errors
    /// The client has gone, or shows what is not good; it was told.
    pub(crate) async fn hold(
        self,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Option<Certificate>)> {
        let stream = TlsAcceptor::from(self.config).accept(stream).await?;
        let shown = of_client(stream.get_ref().1);
        let certificate = shown.map(|(name, expires)| Certificate {
            name,
            expires,
            outdated: self.outdated,
        });
        Ok((stream, certificate))
    }
}

/// The name in the certificate that a client showed, and its end; it was checked in the handshake.
fn of_client(connection: &ServerConnection) -> Option<(Arc<str>, SystemTime)> {
    let shown = connection.peer_certificates()?.first()?;
    let (_, expires) = certificate::validity(shown)?;
    let seconds = u64::try_from(expires.timestamp()).unwrap_or_default();
    Some((
        certificate::name(shown)?,
        UNIX_EPOCH + Duration::from_secs(seconds),
    ))
}
