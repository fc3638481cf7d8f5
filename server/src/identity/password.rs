//! Passwords and client secrets: Argon2id, a bounded number at a time.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::random::random;

/// RFC 9106 section 4, the second recommended option scaled to a control-room server: 19 MiB, 2 passes, 1 lane (OWASP's
/// equivalent of it). About 20 ms on one core.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Each check takes 19 MiB and a core for its time: a flood of wrong passwords queues here instead of starving the alarms.
const CHECKS_AT_ONCE_MAX: usize = 2;

/// Checks kept for those who are known to belong here: whatever strangers do, these are free of them.
const RESERVED_MAX: usize = 1;

/// How many may wait for a place; others are told at once.
const WAITING_MAX: usize = 32;

/// Whoever waits longer for a check is told so: a queue without end only hides that somebody guesses.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The longest password or secret that is looked at: far beyond any that a person types, and cheap to refuse.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Whose places are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Anybody's.
    Open,
    /// Those of known browsers and of the control room.
    Reserved,
}

/// Checks and makes hashes, off the threads that serve sockets.
#[derive(Debug, Clone)]
pub struct Passwords {
    open: Places,
    reserved: Places,
    /// What is checked when there is nobody of that name, so that the time it takes does not tell.
    nobody: Arc<str>,
}

impl Passwords {
    /// A checker with its own places.
    pub fn new() -> Self {
        Self {
            open: Places::new(CHECKS_AT_ONCE_MAX),
            reserved: Places::new(RESERVED_MAX),
            nobody: hash("nobody has this password").into(),
        }
    }

    /// Whether `password` is the one of `stored` (a PHC string); with `None`, takes as long and says no.
    ///
    /// # Errors
    /// [`Busy`] when so many are checked that this one would have to wait too long.
    pub async fn verify(
        &self,
        password: String,
        stored: Option<String>,
        lane: Lane,
    ) -> Result<bool, Busy> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.nobody.to_string());
        let _place = self.places(lane).take().await?;
        let right = tokio::task::spawn_blocking(move || matches(&password, &stored))
            .await
            .unwrap_or(false);
        Ok(right && known)
    }
}

impl Passwords {
    /// The PHC string of a new hash of `password`, in its turn.
    ///
    /// # Errors
    /// [`Busy`] when so many are checked that this one would have to wait too long.
    pub async fn make(&self, password: String, lane: Lane) -> Result<String, Busy> {
        let _place = self.places(lane).take().await?;
        let made = tokio::task::spawn_blocking(move || hash(&password)).await;
        Ok(made.expect("hashing does not panic"))
    }

    fn places(&self, lane: Lane) -> &Places {
        match lane {
            Lane::Open => &self.open,
            Lane::Reserved => &self.reserved,
        }
    }
}

/// Places for checks, and for those who wait for one.
#[derive(Debug, Clone)]
struct Places {
    checks: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Places {
    fn new(at_once: usize) -> Self {
        Self {
            checks: Arc::new(Semaphore::new(at_once)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
        }
    }

    async fn take(&self) -> Result<SemaphorePermit<'_>, Busy> {
        let _waits = self.waiting.try_acquire().or(Err(Busy))?;
        let place = tokio::time::timeout(WAIT_MAX, self.checks.acquire()).await;
        Ok(place.or(Err(Busy))?.expect("the semaphore is never closed"))
    }
}

/// Too many secrets are being checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked: try again in a moment")]
pub struct Busy;

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .expect("the constants are within Argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The PHC string of a new hash of `password`. Slow on purpose.
pub fn hash(password: &str) -> String {
    let salt = SaltString::encode_b64(&random::<16>()).expect("16 bytes are a valid salt");
    argon2()
        .hash_password(password.as_bytes(), &salt)
        .expect("hashing with valid parameters cannot fail")
        .to_string()
}

/// Whether `stored` is a hash of `password`. Slow on purpose.
pub fn matches(password: &str, stored: &str) -> bool {
    PasswordHash::new(stored).is_ok_and(|stored| {
        argon2()
            .verify_password(password.as_bytes(), &stored)
            .is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_somebody_passes() {
        let passwords = Passwords::new();
        let stored = hash("인천 gate 7");
        assert!(
            passwords
                .verify("인천 gate 7".to_owned(), Some(stored.clone()), Lane::Open)
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .verify("인천 gate 8".to_owned(), Some(stored.clone()), Lane::Open)
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .verify(String::new(), Some(stored), Lane::Open)
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .verify("nobody has this password".to_owned(), None, Lane::Open)
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .verify(
                    "x".to_owned(),
                    Some("not a hash".to_owned()),
                    Lane::Reserved
                )
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .verify("x".repeat(PASSWORD_BYTES_MAX + 1), None, Lane::Open)
                .await
                .unwrap()
        );
    }

    #[test]
    fn the_same_password_never_has_the_same_hash() {
        assert_ne!(hash("x"), hash("x"));
    }
}
