//! The one key of this server that is not in its database: whoever reads the database alone can neither make codes of a
//! second factor nor pretend to be a known browser.

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

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const NAME: &str = "identity.key";

/// A cookie of a browser names at most this many people: those who share a console.
const PEOPLE_MAX: usize = 16;

/// Keys for two purposes, made from the one in the file.
pub(crate) struct KeyFile {
    sealing: XChaCha20Poly1305,
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
    /// Reads the key of a data directory, or makes it.
    ///
    /// # Errors
    /// When the file can neither be read nor made, or is none.
    pub(crate) fn open(data: &Path) -> anyhow::Result<Self> {
        let path = data.join(NAME);
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        let key = match made {
            Ok(mut file) => {
                let key = random::<KEY_BYTES>();
                file.write_all(&key)
                    .and_then(|()| file.sync_all())
                    .with_context(|| format!("cannot write {}", path.display()))?;
                key
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => read(&path)?,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot make {}", path.display()));
            }
        };
        Ok(Self::new(&key))
    }

    fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self {
            sealing: XChaCha20Poly1305::new(&derive(key, b"landside second factor").into()),
            devices: derive(key, b"landside device cookie"),
        }
    }

    /// Encrypts a secret of somebody.
    pub(crate) fn seal(&self, name: &str, secret: &[u8]) -> Vec<u8> {
        let nonce = random::<NONCE_BYTES>();
        let payload = Payload {
            msg: secret,
            aad: name.as_bytes(),
        };
        let sealed = self
            .sealing
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a short text can be encrypted");
        [&nonce[..], &sealed].concat()
    }

    /// Decrypts a secret of somebody.
    pub(crate) fn unseal(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, NotOurs> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(NotOurs)?;
        let payload = Payload {
            msg: sealed,
            aad: name.as_bytes(),
        };
        self.sealing
            .decrypt(&XNonce::from(*nonce), payload)
            .or(Err(NotOurs))
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
            "{} has {is} bytes instead of {KEY_BYTES}: bring it back from a backup; without it, second factors must be made anew",
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
    }

    #[test]
    fn the_file_is_made_once_and_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let sealed = KeyFile::open(directory.path()).unwrap().seal("ada", b"x");
        let again = KeyFile::open(directory.path()).unwrap();
        assert!(again.unseal("ada", &sealed).is_ok());
        let path = directory.path().join(NAME);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = KeyFile::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
}
