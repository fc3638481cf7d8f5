//! Certificates, keys and revocation lists as PEM (RFC 7468), for whoever listens or connects by TLS: read from files, within
//! bounds, and what is wrong with a file in one sentence that names it. No sentence quotes a key.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

/// All authorities of a machine have some hundred kilobytes.
const BYTES_MAX: u64 = 1024 * 1024;

/// What is wrong with a file: one sentence that names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FileError(String);

impl FileError {
    /// This is wrong with this file.
    pub fn new(path: &Path, wrong: impl Display) -> Self {
        Self(format!("{}: {wrong}", path.display()))
    }

    /// A key that is not the one of a certificate.
    pub fn not_together(key: &Path, certificate: &Path, error: &rustls::Error) -> Self {
        let certificate = certificate.display();
        let wrong = format!(
            "it does not go with the certificate in {certificate} ({error}): name the two that were made together"
        );
        Self::new(key, wrong)
    }
}

/// The bytes of a file that is not too long.
///
/// # Errors
/// Why it cannot be read, and `remedy`: what to do.
pub fn read(path: &Path, remedy: &str) -> Result<Vec<u8>, FileError> {
    let fail =
        |error: io::Error| FileError(format!("cannot read {}: {error}; {remedy}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(fail)?;
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > BYTES_MAX) {
        let wrong = format!("it is longer than any such file; {remedy}");
        return Err(FileError::new(path, wrong));
    }
    Ok(bytes)
}

/// Whether anybody on this machine may read a file.
pub fn is_open(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o004 != 0)
}

/// The certificates in the bytes of a file, of which there is one at least.
///
/// # Errors
/// What is wrong with the file.
pub fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileError> {
    all(path, bytes, "certificate", "CERTIFICATE")
}

/// The revocation lists in the bytes of a file, of which there is one at least.
///
/// # Errors
/// What is wrong with the file.
pub fn revocation_lists(
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, FileError> {
    all(path, bytes, "revocation list", "X509 CRL")
}

fn all<T: PemObject>(
    path: &Path,
    bytes: &[u8],
    what: &str,
    label: &str,
) -> Result<Vec<T>, FileError> {
    let found: Result<Vec<_>, _> = T::pem_slice_iter(bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(pem::Error::NoItemsFound) => Err(FileError::new(
            path,
            format!("there is no {what} in it; it must begin with -----BEGIN {label}-----"),
        )),
        Err(error) => Err(FileError::new(
            path,
            format!("it is not PEM as it should be ({error})"),
        )),
    }
}

/// Puts the authorities in the bytes of a file beside others that are trusted.
///
/// # Errors
/// What is wrong with the file.
pub fn trust(roots: &mut RootCertStore, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    for authority in certificates(path, bytes)? {
        roots.add(authority).map_err(|error| {
            FileError::new(
                path,
                format!("it has no certificate of an authority ({error})"),
            )
        })?;
    }
    Ok(())
}

/// The private key in the bytes of a file. The cause of a failure is not told in full: it may quote what was read.
///
/// # Errors
/// What is wrong with the file.
pub fn private_key(path: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, FileError> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| {
        let wrong = match error {
            pem::Error::NoItemsFound => "there is no private key in it",
            _ => "it is not PEM as it should be",
        };
        let remedy = "name the file with the certificate's key, not encrypted, as PEM";
        FileError::new(path, format!("{wrong}; {remedy}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a file with this text, by each who reads one.
    #[track_caller]
    fn check(text: &str, expected: [&str; 3]) {
        let path = Path::new("some.pem");
        let mut roots = RootCertStore::empty();
        let said = [
            trust(&mut roots, path, text.as_bytes()).err(),
            private_key(path, text.as_bytes()).err(),
            revocation_lists(path, text.as_bytes()).err(),
        ];
        for (said, expected) in said.into_iter().zip(expected) {
            let said = said.map_or_else(String::new, |error| error.to_string());
            assert_eq!(said, expected, "{text}");
        }
    }

    const NO_CERTIFICATE: &str =
        "some.pem: there is no certificate in it; it must begin with -----BEGIN CERTIFICATE-----";
    const NO_KEY: &str = "some.pem: there is no private key in it; name the file with the certificate's key, not encrypted, as PEM";
    const NO_LIST: &str =
        "some.pem: there is no revocation list in it; it must begin with -----BEGIN X509 CRL-----";

    #[test]
    fn what_is_missing_or_broken_is_named() {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        check("", [NO_CERTIFICATE, NO_KEY, NO_LIST]);
        check("nonsense", [NO_CERTIFICATE, NO_KEY, NO_LIST]);
        check(&key.serialize_pem(), [NO_CERTIFICATE, "", NO_LIST]);
        check(&certificate.pem(), ["", NO_KEY, NO_LIST]);
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let no_authority = "some.pem: it has no certificate of an authority (invalid peer certificate: BadEncoding)";
        check(broken, [no_authority, NO_KEY, NO_LIST]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pem");
        let missing = read(&path, "name another").unwrap_err().to_string();
        assert!(missing.starts_with("cannot read /"), "{missing}");
        assert!(missing.ends_with("; name another"), "{missing}");
        let long = usize::try_from(BYTES_MAX).unwrap() + 1;
        std::fs::write(&path, vec![b'x'; long - 1]).unwrap();
        assert_eq!(read(&path, "").unwrap().len(), long - 1);
        std::fs::write(&path, vec![b'x'; long]).unwrap();
        let long = read(&path, "name another").unwrap_err().to_string();
        assert!(long.contains("longer than any such file; name another"));
    }

    #[test]
    fn a_key_that_everybody_may_read_is_found() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        std::fs::write(&path, "").unwrap();
        for (mode, expected) in [(0o600, false), (0o640, false), (0o604, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_open(&path), expected, "{mode:o}");
        }
    }
}
