//! Secrets of programs: random and long, or chosen by somebody.
//!
//! Argon2 makes guessing slow, which a password needs and a random secret of 32 characters does not: nobody guesses it at
//! any speed. It also makes a site slow that starts again, when hundreds of agents fetch a token at once. So a random secret
//! is kept as a salted SHA-256 (NIST SP 800-63B section 5.1.2.2 allows it for what has 112 random bits), any other by
//! Argon2, and what Argon2 has said yes to is remembered for as long as the server runs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest, Sha256};

use super::password::{self, Busy, Lane, PASSWORD_BYTES_MAX, Passwords};
use super::random::random;

/// What `openssl rand -hex 16` gives has this many characters.
const RANDOM_CHARS_MIN: usize = 32;

/// A random secret of that length has more different characters than this; a word repeated has not.
const DIFFERENT_CHARS_MIN: usize = 9;

/// More than the programs of the largest site. When it is full, all are checked by Argon2 once more.
const REMEMBERED_MAX: usize = 4096;

/// The mark of a hash that is quick to check.
const QUICK: &str = "sha256";

/// Checks secrets of programs.
#[derive(Clone)]
pub struct Secrets {
    slow: Passwords,
    /// Of secret and stored hash together, under a key that nobody knows: a new secret of the same program is another one.
    remembered: Arc<Mutex<HashSet<[u8; 32]>>>,
    key: [u8; 32],
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Default for Secrets {
    fn default() -> Self {
        Self {
            slow: Passwords::new(),
            remembered: Arc::default(),
            key: random(),
        }
    }
}

impl Secrets {
    /// Whether `secret` is the one of `stored`. How long that takes depends on what kind of secret is shown only: neither
    /// whether there is a program, nor of which kind its secret is, is told by it.
    ///
    /// # Errors
    /// [`Busy`] when so many are checked that this one would have to wait too long.
    pub async fn verify(&self, secret: String, stored: Option<String>) -> Result<bool, Busy> {
        if secret.len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let (quick, slow) = match stored {
            Some(stored) if is_quick(&stored) => (Some(stored), None),
            stored => (None, stored),
        };
        // A random one is never kept slowly, nor another one quickly.
        if is_random(&secret) {
            return Ok(quick.is_some_and(|stored| matches(&secret, &stored)));
        }
        let Some(stored) = slow else {
            return self.slow.verify(secret, None, Lane::Open).await;
        };
        let print = self.print(&secret, &stored);
        if self.remembered().contains(&print) {
            return Ok(true);
        }
        let right = self.slow.verify(secret, Some(stored), Lane::Open).await?;
        if right {
            let mut remembered = self.remembered();
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
            remembered.insert(print);
        }
        Ok(right)
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn print(&self, secret: &str, stored: &str) -> [u8; 32] {
        let digest = Sha256::new()
            .chain_update(self.key)
            .chain_update(Sha256::digest(stored))
            .chain_update(secret);
        digest.finalize().into()
    }
}

/// Nobody thinks up something like it, and it has room for 112 bits.
pub(crate) fn is_random(secret: &str) -> bool {
    let different: HashSet<u8> = secret.bytes().collect();
    secret.len() >= RANDOM_CHARS_MIN
        && different.len() >= DIFFERENT_CHARS_MIN
        && secret.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_quick(stored: &str) -> bool {
    stored
        .split_once('$')
        .is_some_and(|(mark, _)| mark == QUICK)
}

fn quick(salt: &str, secret: &str) -> String {
    let digest = Sha256::new().chain_update(salt).chain_update(secret);
    let digest = STANDARD_NO_PAD.encode(digest.finalize());
    format!("{QUICK}${salt}${digest}")
}

/// What is stored of a secret.
pub fn hash(secret: &str) -> String {
    if is_random(secret) {
        return quick(&STANDARD_NO_PAD.encode(random::<16>()), secret);
    }
    password::hash(secret)
}

/// Whether `stored` is a hash of `secret`.
pub fn matches(secret: &str, stored: &str) -> bool {
    if !is_quick(stored) {
        return password::matches(secret, stored);
    }
    let salt = stored.split('$').nth(1).unwrap_or_default();
    // How long the comparison takes tells of the hash only, and nobody can choose a secret by its salted hash.
    quick(salt, secret) == stored
}

/// Whether `stored` is how this secret is kept today.
pub(crate) fn is_kept_well(secret: &str, stored: &str) -> bool {
    is_quick(stored) == is_random(secret) && matches(secret, stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM: &str = "8f14e45fceea167a5a36dedd4bea2543";

    #[tokio::test]
    async fn the_right_secret_passes_however_it_is_kept() {
        let secrets = Secrets::default();
        for (secret, is_quick_one) in [
            (RANDOM, true),
            ("correct horse", false),
            ("correct horse battery staple tree", false),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            let stored = hash(secret);
            assert_eq!(is_quick(&stored), is_quick_one, "{secret}");
            assert!(is_kept_well(secret, &stored) && !matches("other", &stored));
            for _ in 0..2 {
                let right = secrets.verify(secret.to_owned(), Some(stored.clone()));
                assert_eq!(right.await, Ok(true));
                let wrong = secrets.verify(format!("{secret}x"), Some(stored.clone()));
                assert_eq!(wrong.await, Ok(false));
            }
            let nobody = secrets.verify(secret.to_owned(), None).await;
            assert_eq!(nobody, Ok(false));
        }
        assert_eq!(secrets.remembered().len(), 3, "of Argon2 only");
        assert!(!is_kept_well(RANDOM, &password::hash(RANDOM)), "kept anew");
        // A new secret of the same program is not the old one's.
        let changed = hash("correct horse 2");
        let old = secrets.verify("correct horse".to_owned(), Some(changed));
        assert_eq!(old.await, Ok(false));
    }
}
