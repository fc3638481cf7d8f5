//! What the certificate of a connection has to do with who comes on it: asked wherever a token or a secret is shown. Pure.

use std::time::SystemTime;

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
    /// It was good when the connection began.
    #[error(
        "the certificate of this connection has expired, or the server's authority or list of withdrawn ones was changed since it was shown: connect anew, with one that holds"
    )]
    Outdated,
    /// There is none.
    #[error("agents and devices connect by TLS with a certificate of their own here")]
    Needed,
}

impl Mismatch {
    /// As clients tell them apart.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Wrong => "wrong-certificate",
            Self::Outdated => "certificate-outdated",
            Self::Needed => "certificate-needed",
        }
    }
}

impl Certificates {
    /// Whether somebody may come on this connection now.
    ///
    /// # Errors
    /// [`Mismatch`], which says how to come instead.
    pub(crate) fn check(
        self,
        principal: &Principal,
        peer: &Peer,
        now: SystemTime,
    ) -> Result<(), Mismatch> {
        match &peer.certificate {
            Some(shown) if *shown.name == principal.subject && shown.holds(now) => Ok(()),
            Some(shown) if *shown.name == principal.subject => Err(Mismatch::Outdated),
            Some(_) => Err(Mismatch::Wrong),
            None if principal.is_machine() && self.agents_need_one => Err(Mismatch::Needed),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use broker::Certificate;
    use contract::Role;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::identity::principal::{Proof, Zones};

    const END: Duration = Duration::from_secs(10);

    /// At so many seconds; a certificate ends after ten.
    #[track_caller]
    fn check_at(
        at: u64,
        role: Role,
        certificate: Option<&str>,
        agents_need_one: bool,
        expected: Option<&str>,
    ) {
        let principal = Principal {
            subject: "agent-1".to_owned(),
            full_name: String::new(),
            roles: vec![role],
            zones: Zones::All,
            proof: Proof::default(),
        };
        let certificate = certificate.map(|name| Certificate {
            name: name.into(),
            expires: SystemTime::UNIX_EPOCH + END,
            outdated: CancellationToken::new(),
        });
        let peer = Peer {
            certificate,
            ..Peer::from(SocketAddr::from(([127, 0, 0, 1], 1)))
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
        let checked = Certificates { agents_need_one }.check(&principal, &peer, now);
        assert_eq!(checked.err().map(Mismatch::code), expected);
    }

    #[track_caller]
    fn check(role: Role, certificate: Option<&str>, agents_need_one: bool, expected: Option<&str>) {
        check_at(0, role, certificate, agents_need_one, expected);
    }

    #[test]
    fn a_certificate_that_has_ended_on_a_connection_that_lives_is_none() {
        let outdated = Some("certificate-outdated");
        check_at(9, Role::Agent, Some("agent-1"), true, None);
        check_at(10, Role::Agent, Some("agent-1"), true, outdated);
        check_at(10, Role::Agent, Some("agent-1"), false, outdated);
        check_at(
            10,
            Role::Agent,
            Some("agent-2"),
            false,
            Some("wrong-certificate"),
        );
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
