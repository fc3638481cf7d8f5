//! What is wrong with a file is said with its name, and nothing of a key is.

use std::os::unix::fs::PermissionsExt;

use super::made::{Authority, Pair, TODAY};
use super::*;

struct Case {
    directory: tempfile::TempDir,
    files: TlsFiles,
}

impl Case {
    fn new(authority: &str, certificate: &str, key: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pair = Pair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
        let own = pair.write(directory.path());
        let path = directory.path().join("ca.pem");
        std::fs::write(&path, authority).unwrap();
        let files = TlsFiles {
            authority: Some(path),
            own: Some(own),
        };
        Self { directory, files }
    }

    #[track_caller]
    fn check(&self, words: &[&str]) {
        let error = self.files.check().unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{word:?} is missing in: {error}");
        }
        assert!(!error.contains("MII") && !error.contains('\n'), "{error}");
    }
}

#[test]
fn each_mistake_names_its_file() {
    let authority = Authority::new("Airport");
    let (ca, one) = (authority.pem(), authority.pair("agent-1", TODAY));
    let other = authority.pair("agent-1", TODAY);
    let (certificate, key) = (one.certificate.as_str(), one.key.as_str());
    assert_eq!(Case::new(&ca, certificate, key).files.check(), Ok(()));
    for (authority, certificate, key, words) in [
        ("", certificate, key, ["ca.pem", "no certificate"]),
        (key, certificate, key, ["ca.pem", "no certificate"]),
        (&ca, "", key, ["/cert.pem", "no certificate"]),
        (&ca, certificate, "", ["key.pem", "no private key"]),
        (&ca, certificate, certificate, ["key.pem", "no private key"]),
        (&ca, certificate, &other.key, ["key.pem", "made together"]),
        (
            &ca,
            certificate,
            "-----BEGIN PRIVATE KEY-----\nMII!\n",
            ["key.pem", "PEM"],
        ),
    ] {
        Case::new(authority, certificate, key).check(&words);
    }
    let mut missing = Case::new(&ca, certificate, key);
    let path = missing.directory.path().join("missing.pem");
    missing.files.authority = Some(path);
    missing.check(&["missing.pem", "cannot read"]);
}

#[test]
fn a_key_that_everybody_may_read_is_noticed() {
    let pair = Pair::self_signed("agent-1", false);
    let case = Case::new("", &pair.certificate, &pair.key);
    let key = case.directory.path().join("key.pem");
    for (mode, is_open) in [(0o644, true), (0o640, false), (0o600, false)] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(case.files.open_key().is_some(), is_open, "{mode:o}");
    }
}
