//! From a bearer token to somebody: the one way for STOMP, SockJS, Socket.IO and the API.

use std::net::IpAddr;
use std::sync::Arc;

use broker::Publisher;

use super::external::Visitors;
use super::principal::Principal;
use super::standing::{CalledBack, Revoked, Standing};
use super::token::{Checked, Issued, TokenError, Tokens};

/// Checks what clients bring, and makes what they get.
#[derive(Debug, Clone)]
pub(crate) struct Authenticator {
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) standing: Arc<Standing>,
    pub(crate) publisher: Publisher,
    /// Whose tokens are accepted beside ours.
    pub(crate) external: Option<Visitors>,
}

impl Authenticator {
    /// Who brings this token from this address.
    ///
    /// # Errors
    /// [`TokenError`] when it is neither ours nor of the provider whom we trust, not for us, not yet or no longer good, or was called back.
    pub(crate) async fn authenticate(
        &self,
        token: &str,
        address: IpAddr,
    ) -> Result<Checked, TokenError> {
        // Who made it is what it says; whether that is true is for the keys of that one issuer to tell.
        let checked = match &self.external {
            Some(visitors) if visitors.provider.is_issuer_of(token) => {
                visitors.authenticate(token, address).await?
            }
            _ => self.tokens.check(token)?,
        };
        self.admitted(&checked.principal)?;
        Ok(checked)
    }

    /// Whether somebody who was let in is still welcome. Quick: asked again whenever rights change.
    ///
    /// # Errors
    /// [`Revoked`] when what they came with was called back.
    pub(crate) fn admitted(&self, principal: &Principal) -> Result<(), Revoked> {
        let key = principal.proof.key.as_deref();
        if key.is_some_and(|kid| !self.tokens.has_key(kid)) {
            return Err(Revoked);
        }
        self.standing.check(principal)
    }

    /// What was called back, and is stored so, is void from now on, also in sessions that live. Whoever says it again
    /// changes nothing: it may be known here already.
    pub(crate) fn take_effect(&self, called_back: &[CalledBack]) {
        for one in called_back {
            if !self.standing.take_effect(one) {
                continue;
            }
            let sessions = match &one.holder {
                Some(subject) => self.publisher.rights_changed(subject),
                None => self.publisher.all_rights_changed(),
            };
            tracing::info!(
                kind = one.revocation.kind(),
                subject = one.holder,
                sessions,
                "tokens were called back"
            );
        }
    }

    /// Signing keys are gone: sessions whose tokens they signed end.
    pub(crate) fn keys_removed(&self, keys: &[String]) {
        let sessions = self.publisher.all_rights_changed();
        for key in keys {
            tracing::info!(key, sessions, "a signing key was removed");
        }
    }

    /// A token for somebody; what their [`Principal::proof`] says of grant, client and second factor goes into it.
    pub(crate) fn issue(&self, principal: &Principal) -> Issued {
        self.tokens.issue(principal)
    }
}
