//! The one key of this server that is not in its database: whoever reads the database alone can neither sign a token, nor make
//! codes of a second factor, nor pretend to be a known browser.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, ensure};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;

use super::digest::{hex, unhex};
use super::random::random;
use crate::store::Store;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const NAME: &str = "identity.key";

/// A cookie of a browser names at most this many people: those who share a console.
const PEOPLE_MAX: usize = 16;

/// Keys for three purposes, made from the one in the file.
pub struct KeyFile {
    second_factors: XChaCha20Poly1305,
    signing_keys: XChaCha20Poly1305,
    devices: [u8; KEY_BYTES],
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFile").finish_non_exhaustive()
    }
}

/// A sealed secret that this key does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed secret is not of this server's identity.key: was that file replaced?")]
pub(crate) struct NotOurs;

impl KeyFile {
    /// Whether a data directory has one.
    pub fn exists(data: &Path) -> bool {
        data.join(NAME).exists()
    }

    /// Reads the key of a data directory, or makes it: where nothing can be sealed with another.
    ///
    /// # Errors
    /// When the file can neither be read nor made, or is none.
    pub fn open(data: &Path) -> anyhow::Result<Self> {
        let path = data.join(NAME);
        if !Self::exists(data) {
            make(data, &path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        Self::of_server(data)
    }

    /// Reads the key of a data directory, or makes it for a store in which nothing is sealed yet: with a new one, what is could
    /// not be opened, and the new file would look like the right one.
    ///
    /// # Errors
    /// As [`Self::open`], and when the file is missing.
    pub(crate) async fn of_store(data: &Path, store: &Store) -> anyhow::Result<Self> {
        let is_missing = !Self::exists(data) && store.has_sealed_keys().await?;
        ensure!(
            !is_missing,
            "{} is missing, and the signing keys in the database are sealed with it: bring that file back from a backup; if it is lost for good, remove each key that `landside-server keys list` shows by `landside-server keys remove`, and everybody connects their app anew",
            data.join(NAME).display()
        );
        Self::open(data)
    }

    /// Reads the key that a server has made: what is sealed with another one, the server could not open.
    ///
    /// # Errors
    /// When the file cannot be read, or is none.
    pub fn of_server(data: &Path) -> anyhow::Result<Self> {
        Ok(Self::new(&read(&data.join(NAME))?))
    }

    fn new(key: &[u8; KEY_BYTES]) -> Self {
        let cipher = |purpose: &[u8]| XChaCha20Poly1305::new(&derive(key, purpose).into());
        Self {
            second_factors: cipher(b"landside second factor"),
            signing_keys: cipher(b"landside signing key"),
            devices: derive(key, b"landside device cookie"),
        }
    }

    /// Encrypts a secret of somebody.
    pub(crate) fn seal(&self, name: &str, secret: &[u8]) -> Vec<u8> {
        seal(&self.second_factors, name, secret)
    }

    /// Decrypts a secret of somebody.
    pub(crate) fn unseal(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, NotOurs> {
        unseal(&self.second_factors, name, sealed)
    }

    /// Encrypts a signing key.
    pub(crate) fn seal_key(&self, kid: &str, private_der: &[u8]) -> Vec<u8> {
        seal(&self.signing_keys, kid, private_der)
    }

    /// Decrypts a signing key.
    pub(crate) fn unseal_key(&self, kid: &str, sealed: &[u8]) -> Result<Vec<u8>, NotOurs> {
        unseal(&self.signing_keys, kid, sealed)
    }

    /// The browser's id, if its cookie says that this person has signed in there.
    pub(crate) fn known_device(&self, cookie: &str, name: &str) -> Option<Uuid> {
        let (id, tags) = parts(cookie)?;
        tags.iter()
            .any(|tag| self.is_tag(tag, id, name))
            .then_some(id)
    }

    /// The browser's cookie, with this person added.
    pub(crate) fn device_cookie(&self, before: Option<&str>, name: &str) -> String {
        let (id, mut tags) = before
            .and_then(parts)
            .unwrap_or_else(|| (Uuid::new_v4(), Vec::new()));
        if !tags.iter().any(|tag| self.is_tag(tag, id, name)) {
            let tag = self.mac(id, name).finalize().into_bytes();
            tags.insert(0, hex(&tag));
            tags.truncate(PEOPLE_MAX);
        }
        format!("{}.{}", id.simple(), tags.join("."))
    }

    fn is_tag(&self, tag: &str, id: Uuid, name: &str) -> bool {
        unhex::<KEY_BYTES>(tag).is_some_and(|tag| self.mac(id, name).verify_slice(&tag).is_ok())
    }

    fn mac(&self, id: Uuid, name: &str) -> Hmac<Sha256> {
        let mut mac =
            <Hmac<Sha256> as Mac>::new_from_slice(&self.devices).expect("HMAC takes any key");
        mac.update(id.as_bytes());
        mac.update(name.as_bytes());
        mac
    }
}

fn seal(cipher: &XChaCha20Poly1305, name: &str, secret: &[u8]) -> Vec<u8> {
    let nonce = random::<NONCE_BYTES>();
    let payload = Payload {
        msg: secret,
        aad: name.as_bytes(),
    };
    let sealed = cipher
        .encrypt(&XNonce::from(nonce), payload)
        .expect("a short text can be encrypted");
    [&nonce[..], &sealed].concat()
}

fn unseal(cipher: &XChaCha20Poly1305, name: &str, sealed: &[u8]) -> Result<Vec<u8>, NotOurs> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(NotOurs)?;
    let payload = Payload {
        msg: sealed,
        aad: name.as_bytes(),
    };
    let secret = cipher.decrypt(&XNonce::from(*nonce), payload);
    secret.or(Err(NotOurs))
}

/// Writes a new key whole or not at all: half of one would be taken for another's. Where two processes make one at once, the
/// first one's is both's.
fn make(data: &Path, path: &Path) -> std::io::Result<()> {
    let unfinished = data.join(format!("{NAME}.{}", Uuid::new_v4().simple()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    let linked = file
        .write_all(&random::<KEY_BYTES>())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::hard_link(&unfinished, path));
    std::fs::remove_file(&unfinished)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => File::open(data)?.sync_all(),
    }
}

fn read(path: &Path) -> anyhow::Result<[u8; KEY_BYTES]> {
    let context = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(context)?;
    let mode = file.metadata().with_context(context)?.permissions().mode();
    ensure!(
        mode & 0o077 == 0,
        "{} can be read by others than its owner: run chmod 600 on it",
        path.display()
    );
    let mut key = Vec::new();
    file.read_to_end(&mut key).with_context(context)?;
    let is = key.len();
    key.try_into().map_err(|_wrong: Vec<u8>| {
        anyhow::anyhow!(
            "{} has {is} bytes instead of {KEY_BYTES}: bring it back from a backup; without it, second factors and signing keys must be made anew",
            path.display()
        )
    })
}

fn derive(key: &[u8; KEY_BYTES], purpose: &[u8]) -> [u8; KEY_BYTES] {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes any key");
    mac.update(purpose);
    mac.finalize().into_bytes().into()
}

fn parts(cookie: &str) -> Option<(Uuid, Vec<String>)> {
    let mut words = cookie.split('.');
    let id = words.next()?.parse().ok()?;
    Some((id, words.take(PEOPLE_MAX).map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_known_for_those_who_signed_in_there() {
        let (ours, theirs) = (KeyFile::new(&[1; 32]), KeyFile::new(&[2; 32]));
        let one = ours.device_cookie(None, "ada");
        let id = ours.known_device(&one, "ada");
        assert!(id.is_some());
        assert_eq!(ours.known_device(&one, "omar"), None);
        assert_eq!(theirs.known_device(&one, "ada"), None);
        let both = ours.device_cookie(Some(&one), "omar");
        assert_eq!(ours.known_device(&both, "omar"), id);
        assert_eq!(ours.known_device(&both, "ada"), id);
        assert_eq!(ours.device_cookie(Some(&both), "ada"), both);
        let stolen = format!(
            "{}.{}",
            Uuid::new_v4().simple(),
            one.split_once('.').unwrap().1
        );
        assert_eq!(ours.known_device(&stolen, "ada"), None);
        for nonsense in ["", ".", "x.y", "00000000000000000000000000000000.é"] {
            assert_eq!(ours.known_device(nonsense, "ada"), None);
        }
        let many = (0..40).fold(one, |cookie, number| {
            ours.device_cookie(Some(&cookie), &format!("n{number}"))
        });
        assert_eq!(many.split('.').count(), 1 + PEOPLE_MAX);
    }

    #[test]
    fn a_secret_opens_for_its_person_and_key_only() {
        let key = KeyFile::new(&[1; 32]);
        let sealed = key.seal("ada", b"secret");
        assert_eq!(key.unseal("ada", &sealed).as_deref(), Ok(&b"secret"[..]));
        assert_eq!(key.unseal("omar", &sealed), Err(NotOurs));
        assert_eq!(KeyFile::new(&[2; 32]).unseal("ada", &sealed), Err(NotOurs));
        assert_eq!(key.unseal("ada", &sealed[..20]), Err(NotOurs));
        assert_ne!(key.seal("ada", b"secret"), sealed);
        assert_eq!(key.unseal_key("ada", &sealed), Err(NotOurs), "of one kind");
        let sealed = key.seal_key("kid", b"der");
        assert_eq!(key.unseal_key("kid", &sealed).as_deref(), Ok(&b"der"[..]));
        assert_eq!(key.unseal_key("other", &sealed), Err(NotOurs));
    }

    #[test]
    fn the_file_is_made_once_and_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let sealed = KeyFile::open(directory.path()).unwrap().seal("ada", b"x");
        let again = KeyFile::open(directory.path()).unwrap();
        assert!(again.unseal("ada", &sealed).is_ok());
        let files = std::fs::read_dir(directory.path()).unwrap();
        assert_eq!(files.count(), 1, "nothing unfinished is left");
        let path = directory.path().join(NAME);
        make(directory.path(), &path).unwrap();
        let kept = KeyFile::open(directory.path()).unwrap();
        assert!(kept.unseal("ada", &sealed).is_ok(), "the first one's stays");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = KeyFile::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
}
