//! What the certificate of a connection has to do with who comes on it: asked wherever a token or a secret is shown. Pure.

use broker::Peer;

use super::principal::Principal;

/// The rule of this site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Certificates {
    /// Whether a machine is who it says only with a certificate of its own.
    pub(crate) agents_need_one: bool,
}

/// The certificate does not go with who is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mismatch {
    /// The stolen token of one is of no use to who has the certificate of another.
    #[error(
        "the certificate of this connection has another name than the token: connect with its own"
    )]
    Wrong,
    /// There is none.
    #[error("agents and devices connect by TLS with a certificate of their own here")]
    Needed,
}

impl Mismatch {
    /// As clients tell them apart.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Wrong => "wrong-certificate",
            Self::Needed => "certificate-needed",
        }
    }
}

impl Certificates {
    /// Whether somebody may come on this connection.
    ///
    /// # Errors
    /// [`Mismatch`], which says how to come instead.
    pub(crate) fn check(self, principal: &Principal, peer: &Peer) -> Result<(), Mismatch> {
        match peer.certificate.as_deref() {
            Some(name) if name == principal.subject => Ok(()),
            Some(_) => Err(Mismatch::Wrong),
            None if principal.is_machine() && self.agents_need_one => Err(Mismatch::Needed),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use contract::Role;

    use super::*;
    use crate::identity::principal::{Proof, Zones};

    #[track_caller]
    fn check(role: Role, certificate: Option<&str>, agents_need_one: bool, expected: Option<&str>) {
        let principal = Principal {
            subject: "agent-1".to_owned(),
            full_name: String::new(),
            roles: vec![role],
            zones: Zones::All,
            proof: Proof::default(),
        };
        let peer = Peer {
            certificate: certificate.map(Arc::from),
            ..Peer::from(SocketAddr::from(([127, 0, 0, 1], 1)))
        };
        let checked = Certificates { agents_need_one }.check(&principal, &peer);
        assert_eq!(checked.err().map(Mismatch::code), expected);
    }

    #[test]
    fn a_certificate_and_a_token_have_one_name() {
        let (wrong, needed) = (Some("wrong-certificate"), Some("certificate-needed"));
        check(Role::Agent, None, false, None);
        check(Role::Agent, Some("agent-1"), true, None);
        check(Role::Agent, Some("agent-2"), false, wrong);
        check(Role::Agent, None, true, needed);
        check(Role::Device, None, true, needed);
        check(Role::Operator, None, true, None);
        check(Role::Operator, Some("agent-2"), true, wrong);
    }
}
