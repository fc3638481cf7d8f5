//! The files of TLS: read whole, and told apart in what is wrong with them.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use super::TlsFiles;

/// A chain of certificates has some kilobytes.
const BYTES_MAX: u64 = 1024 * 1024;

/// What is wrong with a file: one sentence that names it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct FileError(String);

impl FileError {
    pub(super) fn new(path: &Path, wrong: &str) -> Self {
        Self(format!("{}: {wrong}", path.display()))
    }
}

/// The bytes of all files at one moment. Never printed: one of them is a key.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_authority: Option<Vec<u8>>,
}

/// Tells two states of the files apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl Contents {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        let authority = self.client_authority.as_deref().unwrap_or_default();
        for bytes in [&self.certificate, &self.key, authority] {
            hash.update(bytes.len().to_be_bytes());
            hash.update(bytes);
        }
        Fingerprint(hash.finalize().into())
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents").finish_non_exhaustive()
    }
}

impl TlsFiles {
    pub(super) fn read(&self) -> Result<Contents, FileError> {
        let authority = self.client_authority.as_deref();
        Ok(Contents {
            certificate: read(
                &self.certificate,
                "name an existing file with a certificate as PEM",
            )?,
            key: read(
                &self.key,
                "let the server's account, and nobody else, read the key",
            )?,
            client_authority: authority
                .map(|path| {
                    read(
                        path,
                        "name an existing file with the authority's certificate as PEM",
                    )
                })
                .transpose()?,
        })
    }

    /// Whether anybody on this machine may read the key.
    pub(super) fn key_is_open(&self) -> bool {
        std::fs::metadata(&self.key).is_ok_and(|metadata| metadata.mode() & 0o004 != 0)
    }

    pub(super) fn chain(
        &self,
        contents: &Contents,
    ) -> Result<Vec<CertificateDer<'static>>, FileError> {
        certificates(&self.certificate, &contents.certificate)
    }

    pub(super) fn authorities(
        &self,
        contents: &Contents,
    ) -> Result<Option<Vec<CertificateDer<'static>>>, FileError> {
        match (&self.client_authority, &contents.client_authority) {
            (Some(path), Some(bytes)) => certificates(path, bytes).map(Some),
            _ => Ok(None),
        }
    }

    /// The cause of a failure is not told in full: it may quote what was read.
    pub(super) fn private_key(
        &self,
        contents: &Contents,
    ) -> Result<PrivateKeyDer<'static>, FileError> {
        PrivateKeyDer::from_pem_slice(&contents.key).map_err(|error| {
            let wrong = match error {
                pem::Error::NoItemsFound => "there is no private key in it",
                _ => "it is not PEM as it should be",
            };
            let remedy = "name the file with the certificate's key, not encrypted, as PEM";
            FileError::new(&self.key, &format!("{wrong}; {remedy}"))
        })
    }
}

fn read(path: &Path, remedy: &str) -> Result<Vec<u8>, FileError> {
    let fail = |error: std::io::Error| {
        FileError(format!("cannot read {}: {error}; {remedy}", path.display()))
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(fail)?;
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > BYTES_MAX) {
        return Err(FileError::new(
            path,
            &format!("it is longer than any certificate; {remedy}"),
        ));
    }
    Ok(bytes)
}

fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(pem::Error::NoItemsFound) => Err(FileError::new(
            path,
            "there is no certificate in it; it must begin with -----BEGIN CERTIFICATE-----",
        )),
        Err(error) => Err(FileError::new(
            path,
            &format!("it is not PEM as it should be ({error})"),
        )),
    }
}
