//! Machines that can send nothing but a login and a passcode in CONNECT: the program's id and its secret.
//!
//! Such a session has no token that could end, since the machine could not renew it: it lasts for as long as the program is
//! in force as it was when it connected. That is looked at every [`LOOK_EVERY`], whoever changed the program and wherever,
//! so that a kiosk that works is left alone for months, and one that was disabled, changed, or called back is not.
//!
//! Guessing is slowed as that of passwords is: whoever guesses from elsewhere does not lock out the kiosk that has come from
//! its address before. Passcodes are checked in places of their own, which cost agents no token.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use broker::{Denied, Peer};
use network::network;
use stomp::Frame;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::authenticator::Authenticator;
use super::call_back::CallBack;
use super::lockout::{Attempt, Factor, Locked, Lockout, TrialPlace};
use super::name::is_name;
use super::principal::{Principal, Proof};
use super::record::{How, Record};
use super::secret::Secrets;
use super::tally::OTHERS;
use crate::store::identity::Client;
use crate::store::{Store, StoreError};

/// A kiosk that was disabled shows nothing more after this.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The login and the passcode of a frame that brings no token.
pub(crate) fn passcode_of(frame: &Frame) -> Option<(&str, &str)> {
    if frame.headers.get_ignore_case("authorization").is_some() {
        return None;
    }
    let (login, passcode) = (frame.header("login")?, frame.header("passcode")?);
    // Every JWT begins with `{"`, and has three parts. Clients of today put it here as well, with any login.
    let is_token = passcode.starts_with("eyJ") && passcode.matches('.').count() == 2;
    (!login.is_empty() && !is_token).then_some((login, passcode))
}

/// Why somebody is not let in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum PasscodeError {
    #[error("no such login, or the wrong passcode")]
    Wrong,
    #[error("passcodes cannot be checked now; try again in a moment")]
    Unavailable,
    #[error(transparent)]
    Locked(#[from] Locked),
}

/// An address as the lock-out tells known places apart.
fn number(network: IpAddr) -> Uuid {
    let address = match network {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    Uuid::from_u128(address.to_bits())
}

/// Checks passcodes, and remembers whom it let in.
#[derive(Debug)]
pub(crate) struct Passcodes {
    authenticator: Authenticator,
    store: Store,
    secrets: Secrets,
    record: Arc<Record>,
    lockout: Mutex<Lockout>,
    /// By id. Bounded by the programs that exist.
    admitted: Mutex<HashMap<String, Client>>,
}

impl Passcodes {
    pub(crate) fn new(authenticator: Authenticator, store: Store, record: Arc<Record>) -> Self {
        Self {
            authenticator,
            store,
            secrets: Secrets::default(),
            record,
            lockout: Mutex::default(),
            admitted: Mutex::default(),
        }
    }

    /// Who brings this passcode on a connection of `peer`.
    pub(crate) async fn admit(
        &self,
        login: &str,
        passcode: &str,
        peer: &Peer,
    ) -> Result<Principal, Denied> {
        if !peer.is_private() {
            return Err(Denied::new(
                "passcode-in-clear",
                "a passcode is taken over TLS only, or from this machine; connect to the port with TLS",
            ));
        }
        let admitted = self.attempt(login, passcode, peer.address.ip()).await;
        admitted.map_err(|error| match error {
            PasscodeError::Wrong => Denied::unauthenticated(error.to_string()),
            PasscodeError::Unavailable => Denied::new("unavailable", error.to_string()),
            PasscodeError::Locked(_) => Denied::new("too-many", error.to_string()),
        })
    }

    fn lockout(&self) -> MutexGuard<'_, Lockout> {
        self.lockout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets somebody try if it is time, and counts and writes down what came of it.
    async fn attempt(
        &self,
        login: &str,
        passcode: &str,
        address: IpAddr,
    ) -> Result<Principal, PasscodeError> {
        // What nobody is called counts as one.
        let login = if is_name(login) { login } else { OTHERS };
        let network = network(address);
        let place = if self.record.is_known(login, address, How::Passcode) {
            TrialPlace::Device(number(network))
        } else {
            TrialPlace::Elsewhere
        };
        let attempt = Attempt {
            name: login,
            factor: Factor::Password,
            address: network,
            place,
        };
        let admitted = self.lockout().admit(attempt, Instant::now());
        if let Err(locked) = admitted {
            // Whether there is such a program was not asked: names of strangers stand in no row.
            self.record.failed(OTHERS, address, How::Passcode, true);
            return Err(locked.into());
        }
        let authenticated = self.authenticate(login, passcode, address).await;
        let now = Instant::now();
        match authenticated {
            Ok(_) => {
                self.lockout().was_right(attempt, now);
                self.record.admitted(login, address, How::Passcode);
            }
            Err(PasscodeError::Unavailable) => self.lockout().withdraw(attempt, now),
            Err(PasscodeError::Wrong | PasscodeError::Locked(_)) => {}
        }
        authenticated
    }

    /// Who brings this passcode.
    async fn authenticate(
        &self,
        login: &str,
        passcode: &str,
        address: IpAddr,
    ) -> Result<Principal, PasscodeError> {
        let known = self.store.client(login).await;
        let known = known.map_err(|error| {
            tracing::error!(%error, "a passcode was not checked");
            PasscodeError::Unavailable
        })?;
        let stored = known.as_ref().map(|client| client.secret_hash.clone());
        let right = self.secrets.verify(passcode.to_owned(), stored).await;
        let right = right.map_err(|_busy| PasscodeError::Unavailable)?;
        let name = if known.is_some() { login } else { OTHERS };
        let Some(client) = known.filter(|_| right) else {
            tracing::warn!(%address, "a wrong login or passcode was shown");
            self.record.failed(name, address, How::Passcode, false);
            return Err(PasscodeError::Wrong);
        };
        let subject = &client.principal.subject;
        let principal = Principal {
            proof: Proof {
                token: Some(Uuid::new_v4()),
                ..client.principal.proof.clone()
            },
            ..client.principal.clone()
        };
        self.remembered().insert(subject.clone(), client);
        Ok(principal)
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<String, Client>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the sessions of programs that are not what they were, until the word to stop.
    pub(crate) async fn follow(&self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let admitted: Vec<String> = self.remembered().keys().cloned().collect();
            for id in admitted {
                // With the database away nobody can have changed a program.
                if let Err(error) = self.look_at(&id).await {
                    tracing::warn!(%error, "programs with passcodes were not looked at");
                    break;
                }
            }
        }
    }

    async fn look_at(&self, id: &str) -> Result<(), StoreError> {
        let known = self.store.client(id).await?;
        let is_same = self
            .remembered()
            .get(id)
            .zip(known.as_ref())
            .is_some_and(|(remembered, known)| is_same(remembered, known));
        if is_same {
            return Ok(());
        }
        let mut back = CallBack::begin(&self.store).await?;
        back.subject(id).await?;
        back.commit(&self.authenticator).await?;
        self.remembered().remove(id);
        Ok(())
    }
}

/// Whether a program is as it was, but for what was called back of it: that takes effect by itself.
fn is_same(remembered: &Client, known: &Client) -> bool {
    let (before, now) = (&remembered.principal, &known.principal);
    remembered.secret_hash == known.secret_hash
        && before.roles == now.roles
        && before.zones == now.zones
}

#[cfg(test)]
mod tests {
    use stomp::Command;

    use super::*;

    #[test]
    fn a_token_is_no_passcode_whatever_the_login() {
        for (headers, expected) in [
            (vec![("login", "a"), ("passcode", "b")], Some(("a", "b"))),
            (
                vec![("login", "a"), ("passcode", "b.c.d")],
                Some(("a", "b.c.d")),
            ),
            (vec![("login", "a"), ("passcode", "eyJ.c.d")], None),
            (vec![("login", ""), ("passcode", "b")], None),
            (vec![("passcode", "b")], None),
            (vec![("login", "a")], None),
            (
                vec![
                    ("login", "a"),
                    ("passcode", "b"),
                    ("Authorization", "Bearer x"),
                ],
                None,
            ),
        ] {
            let mut frame = Frame::new(Command::Connect);
            for (name, value) in &headers {
                frame.headers.push(*name, *value);
            }
            assert_eq!(passcode_of(&frame), expected, "{headers:?}");
        }
    }
}
