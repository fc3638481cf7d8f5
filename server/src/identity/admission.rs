//! Letting somebody in from the machine's own command line: the first administrator, or one who lost everything.

use chrono::Utc;
use contract::Role;
use serde_json::json;

use super::call_back::CallBack;
use super::digest::of_secret;
use super::invitation;
use super::name::{NAME_RULE, is_name};
use super::principal::{Principal, Proof, Zones};
use super::random::secret;
use crate::audit::COMMAND_LINE;
use crate::store::audit::AuditEntry;
use crate::store::people::InviteError;
use crate::store::{Store, StoreError};

/// Somebody who is invited.
#[derive(Debug)]
pub struct Invitee {
    /// By which name they will sign in.
    pub name: String,
    /// What others call them.
    pub full_name: String,
    /// What they will be.
    pub role: Role,
    /// Where.
    pub zones: Zones,
}

/// Why nobody was invited.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// Nobody can be called so.
    #[error("{0:?} is no name: {NAME_RULE}")]
    Name(String),
    /// A role of machines.
    #[error(
        "{0} is a role for programs; people are viewer, operator, technician, supervisor or administrator"
    )]
    Role(Role),
    /// The store refused.
    #[error(transparent)]
    Invite(#[from] InviteError),
}

impl From<StoreError> for AdmissionError {
    fn from(error: StoreError) -> Self {
        Self::Invite(error.into())
    }
}

/// The path of a link by which somebody chooses a password. Of somebody who was there before, password, second factor and
/// logins are gone, and tokens are void within a second wherever a server runs.
///
/// # Errors
/// [`AdmissionError`], and nothing was changed.
pub async fn invite(store: &Store, invitee: Invitee) -> Result<String, AdmissionError> {
    if !is_name(&invitee.name) {
        return Err(AdmissionError::Name(invitee.name));
    }
    if !invitee.role.is_for_people() {
        return Err(AdmissionError::Role(invitee.role));
    }
    let token = secret();
    let (hash, now) = (of_secret(&token), Utc::now());
    let person = Principal {
        subject: invitee.name,
        full_name: invitee.full_name,
        roles: vec![invitee.role],
        zones: invitee.zones,
        proof: Proof::default(),
    };
    let mut back = CallBack::begin(store).await?;
    let until = now + invitation::GOOD_FOR;
    back.invite(&person, &hash, COMMAND_LINE, until).await?;
    let entry = AuditEntry::new(COMMAND_LINE, "", "person.invite", &person.subject)
        .detail(json!({"roles": person.roles, "zones": person.zones.to_words()}));
    Store::audit(&mut back.unit, entry).await?;
    back.store().await?;
    Ok(invitation::path(&token))
}
