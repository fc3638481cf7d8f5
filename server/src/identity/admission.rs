//! Letting somebody in whom nobody knew: the rule of pages and command line. And from the machine's own command line: the
//! first administrator, or one who lost everything.

use chrono::{DateTime, Utc};
use contract::Role;
use serde_json::json;

use super::call_back::CallBack;
use super::digest::of_secret;
use super::invitation;
use super::name::{BadName, check_new};
use super::principal::{Principal, Proof, Zones};
use super::random::secret;
use crate::audit::COMMAND_LINE;
use crate::store::audit::AuditEntry;
pub use crate::store::people::Before;
use crate::store::people::InviteError;
use crate::store::{Store, StoreError, Unit};
use crate::wire;

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

impl Invitee {
    /// Who they will be, if somebody may be that.
    ///
    /// # Errors
    /// [`AdmissionError`]: what is wrong.
    async fn check(self, unit: &mut Unit<'_>) -> Result<Principal, AdmissionError> {
        let full_name = wire::clean(&self.full_name).trim().to_owned();
        if full_name.is_empty() {
            return Err(AdmissionError::FullName);
        }
        if !self.role.is_for_people() {
            return Err(AdmissionError::Role(self.role));
        }
        check_new(&self.name, &Store::names(unit).await?)?;
        Ok(Principal {
            subject: self.name,
            full_name,
            roles: vec![self.role],
            zones: self.zones,
            proof: Proof::default(),
        })
    }
}

/// Why nobody was invited.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// Nobody new can be called so.
    #[error(transparent)]
    Name(#[from] BadName),
    /// Others could not call them anything.
    #[error("the full name is empty: say what others call them")]
    FullName,
    /// A role of machines.
    #[error(
        "{0} is a role for programs; people are viewer, operator, technician, supervisor or administrator"
    )]
    Role(Role),
    /// They are there, and nobody said that they are to lose what they have.
    #[error(
        "{0} is there already: to give them this role and these zones and a new link, by which password, second factor and logins of now are void, say --replace"
    )]
    Exists(String),
    /// The same, of somebody who may not come.
    #[error(
        "{0} is there already, and disabled: to enable them again with this role and these zones and a new link, say --replace"
    )]
    Disabled(String),
    /// Whoever came in once stays in the list, as in the audit.
    #[error(
        "nobody called {0} is invited and has never come in; whoever has is disabled on the page People"
    )]
    NotAwaited(String),
    /// The store refused.
    #[error(transparent)]
    Invite(#[from] InviteError),
}

impl From<StoreError> for AdmissionError {
    fn from(error: StoreError) -> Self {
        Self::Invite(error.into())
    }
}

/// Somebody was invited.
#[derive(Debug)]
pub struct Invited {
    /// The path of the link by which they choose a password.
    pub path: String,
    /// How long it is good.
    pub until: DateTime<Utc>,
    /// Whether they were there.
    pub before: Before,
}

/// A link by which somebody chooses a password. Of somebody who was there before, if that one may be replaced, password,
/// second factor and logins are gone, and tokens are void within a second wherever a server runs.
///
/// # Errors
/// [`AdmissionError`], and nothing was changed.
pub async fn invite(
    store: &Store,
    invitee: Invitee,
    replaces: bool,
) -> Result<Invited, AdmissionError> {
    let token = secret();
    let mut back = CallBack::begin(store).await?;
    let until = Utc::now() + invitation::GOOD_FOR;
    let name = invitee.name.clone();
    let entry = AuditEntry::new(COMMAND_LINE, "", "person.invite", &name);
    let before = admit(
        &mut back,
        invitee,
        &of_secret(&token),
        until,
        replaces,
        entry,
    )
    .await?;
    back.store().await?;
    Ok(Invited {
        path: invitation::path(&token),
        until,
        before,
    })
}

/// Lets somebody in by a link, with the audit row of it. What they were is asked in the same unit, so that of two who invite at
/// once the second is refused as if it came later.
pub(crate) async fn admit(
    back: &mut CallBack,
    invitee: Invitee,
    token_hash: &[u8],
    until: DateTime<Utc>,
    replaces: bool,
    entry: AuditEntry<'_>,
) -> Result<Before, AdmissionError> {
    let person = invitee.check(&mut back.unit).await?;
    let before = Store::put_invited(&mut back.unit, &person).await?;
    let name = &person.subject;
    match before {
        Before::Enabled if !replaces => return Err(AdmissionError::Exists(name.clone())),
        Before::Disabled if !replaces => return Err(AdmissionError::Disabled(name.clone())),
        Before::Nobody | Before::Enabled | Before::Disabled => {}
    }
    if before == Before::Nobody {
        Store::put_invitation(&mut back.unit, name, token_hash, entry.actor, until).await?;
    } else {
        back.link(name, token_hash, entry.actor, until).await?;
    }
    let entry = entry.detail(json!({
        "roles": person.roles, "zones": person.zones.to_words(), "before": before.as_str(),
    }));
    Store::audit(&mut back.unit, entry).await?;
    Ok(before)
}

/// Takes an invitation back that nobody has accepted, and whom it was for.
///
/// # Errors
/// [`AdmissionError`], and nothing was changed.
pub async fn withdraw(store: &Store, name: &str) -> Result<(), AdmissionError> {
    let mut unit = store.begin().await?;
    if !Store::withdraw(&mut unit, name).await? {
        return Err(AdmissionError::NotAwaited(name.to_owned()));
    }
    let entry = AuditEntry::new(COMMAND_LINE, "", "person.withdraw", name);
    Store::audit(&mut unit, entry).await?;
    unit.commit().await.map_err(StoreError::from)?;
    Ok(())
}
