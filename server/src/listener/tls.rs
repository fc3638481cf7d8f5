//! TLS by rustls with ring: the certificate of the server, and those of clients, if they are asked for.
//!
//! Versions 1.2 and 1.3 with rustls' own choice of ciphers. HTTP offers `http/1.1` by ALPN. A client that shows a certificate
//! must have one of the configured authority; whether it must show one is decided later, by whose token it brings.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use pem_files::FileError;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

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
        self.assemble(&self.read()?).map(drop)
    }

    fn assemble(&self, contents: &Contents) -> Result<Material, FileError> {
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
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring has ciphers for TLS 1.2 and 1.3");
        let builder = match (&self.client_authority, &contents.client_authority) {
            (Some(path), Some(bytes)) => {
                let mut roots = RootCertStore::empty();
                pem_files::trust(&mut roots, path, bytes)?;
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .allow_unauthenticated();
                let (verifier, path) =
                    match (&self.client_revocations, &contents.client_revocations) {
                        (Some(path), Some(bytes)) => {
                            let lists = pem_files::revocation_lists(path, bytes)?;
                            // A list whose next one is late still says what it says: agents must not be out because of it.
                            let verifier =
                                verifier.with_crls(lists).only_check_end_entity_revocation();
                            (verifier, path)
                        }
                        _ => (verifier, path),
                    };
                let verifier = verifier.build();
                builder.with_client_cert_verifier(
                    verifier.map_err(|error| FileError::new(path, error))?,
                )
            }
            _ => builder.with_no_client_auth(),
        };
        let stomp = builder
            .with_single_cert(chain, key)
            .map_err(|error| FileError::not_together(&self.key, &self.certificate, &error))?;
        let mut http = stomp.clone();
        http.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Material {
            http: Arc::new(http),
            stomp: Arc::new(stomp),
            begins: validity.0,
            expires: validity.1,
        })
    }
}

/// What is wrong with a file of TLS: one sentence.
pub type TlsError = FileError;

/// What connections need, made from one state of the files.
#[derive(Debug, Clone)]
struct Material {
    http: Arc<ServerConfig>,
    stomp: Arc<ServerConfig>,
    begins: DateTime<Utc>,
    expires: DateTime<Utc>,
}

/// The name in the certificate that a client showed; it was checked in the handshake.
pub(crate) fn name_of_client(connection: &ServerConnection) -> Option<Arc<str>> {
    certificate::name(connection.peer_certificates()?.first()?)
}
