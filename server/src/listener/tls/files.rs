//! The files of TLS: read whole, all at one moment, and two states of them told apart.

use std::fmt;
use std::path::PathBuf;

use pem_files::{FileError, read};
use sha2::{Digest, Sha256};

use super::TlsFiles;

/// The bytes of all files at one moment. Never printed: one of them is a key.
pub(super) struct Contents {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) client_authority: Option<Vec<u8>>,
    pub(super) client_revocations: Option<Vec<u8>>,
}

/// Tells two states of the files apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl Contents {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        let authority = self.client_authority.as_deref().unwrap_or_default();
        let revocations = self.client_revocations.as_deref().unwrap_or_default();
        for bytes in [&self.certificate, &self.key, authority, revocations] {
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
        let perhaps = |path: &Option<PathBuf>, remedy| {
            let bytes = path.as_deref().map(|path| read(path, remedy));
            bytes.transpose()
        };
        Ok(Contents {
            certificate: read(
                &self.certificate,
                "name an existing file with a certificate as PEM",
            )?,
            key: read(
                &self.key,
                "let the server's account, and nobody else, read the key",
            )?,
            client_authority: perhaps(
                &self.client_authority,
                "name an existing file with the authority's certificate as PEM",
            )?,
            client_revocations: perhaps(
                &self.client_revocations,
                "name an existing file with the authority's revocation list as PEM",
            )?,
        })
    }
}
