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

/// Tells two states of the files apart, and in what they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    pair: [u8; 32],
    authority: [u8; 32],
    revocations: [u8; 32],
}

impl Fingerprint {
    /// Whether certificates of clients are looked at as they were.
    pub(super) fn judges_clients_as(&self, other: &Self) -> bool {
        (self.authority, self.revocations) == (other.authority, other.revocations)
    }

    /// What is another than it was, for the log.
    pub(super) fn changes_since(&self, before: &Self) -> String {
        let parts = [
            (self.pair != before.pair, "the server's certificate"),
            (
                self.authority != before.authority,
                "the authority of the agents' certificates",
            ),
            (
                self.revocations != before.revocations,
                "the list of certificates that were taken back",
            ),
        ];
        let changed = parts.into_iter().filter(|(is_changed, _)| *is_changed);
        changed.map(|(_, what)| what).collect::<Vec<_>>().join(", ")
    }
}

impl Contents {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let of = |files: &[&[u8]]| {
            let mut hash = Sha256::new();
            for bytes in files {
                hash.update(bytes.len().to_be_bytes());
                hash.update(bytes);
            }
            hash.finalize().into()
        };
        Fingerprint {
            pair: of(&[&self.certificate, &self.key]),
            authority: of(&[self.client_authority.as_deref().unwrap_or_default()]),
            revocations: of(&[self.client_revocations.as_deref().unwrap_or_default()]),
        }
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
