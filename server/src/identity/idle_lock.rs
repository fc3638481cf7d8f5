//! A console at which nobody does anything is locked: its login, and what came from it, sees everything and does nothing,
//! until its person shows who they are again. Emergency commands are taken all the same, and written down as what they are
//! (IEC 62443-3-3, SR 1.1 and SR 2.5). The same for pages, API and STOMP.

use chrono::{DateTime, TimeDelta, Utc};
use contract::DeviceId;
use contract::command::Risk;
use serde_json::json;

use super::principal::Proof;
use super::record::Record;
use crate::alarm::Actor;
use crate::audit::AuditEntry;
use crate::config::IdentityConfig;
use crate::store::login::Login;
use crate::store::{Store, StoreError};
use crate::wire::cut;

/// Why what comes from a console is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Asleep {
    /// It is locked.
    #[error("nobody did anything at this console for long: unlock it first")]
    Locked,
    /// Nobody can say whether it is.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The last moment in which somebody must have done something; `None` where nothing is ever locked.
pub(crate) fn not_before(config: &IdentityConfig, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let idle = TimeDelta::from_std(config.idle_lock?).ok()?;
    now.checked_sub_signed(idle)
}

/// Whether a login is locked.
pub(crate) fn is_locked(config: &IdentityConfig, login: &Login, now: DateTime<Utc>) -> bool {
    not_before(config, now).is_some_and(|limit| login.last_active_at < limit)
}

/// Whether the login that a page's token came from is locked. Programs and applications have no console.
///
/// # Errors
/// [`StoreError`] when the store does not answer.
pub(crate) async fn is_proof_locked(
    store: &Store,
    config: &IdentityConfig,
    proof: &Proof,
) -> Result<bool, StoreError> {
    let (Some(grant), None, Some(limit)) =
        (proof.grant, &proof.client, not_before(config, Utc::now()))
    else {
        return Ok(false);
    };
    Ok(store
        .last_active(grant)
        .await?
        .is_some_and(|active| active < limit))
}

/// Lets everything pass but what comes from a locked console, which is written down: `what` is a path or destination.
///
/// # Errors
/// [`Asleep`].
pub(crate) fn admit(
    record: &Record,
    is_locked: Result<bool, StoreError>,
    actor: &Actor,
    what: &str,
) -> Result<(), Asleep> {
    if is_locked? {
        record.refused(AuditEntry::by(actor, REFUSED, what).outcome("locked"));
        return Err(Asleep::Locked);
    }
    Ok(())
}

/// What the audit calls what a locked console does not do.
const REFUSED: &str = "login.refused_while_locked";

/// No profile has a command with a longer name.
const NAME_CHARS_MAX: usize = 64;

/// Lets a command pass, from a locked console only if it is an emergency. Either is written down; that it could not be, or
/// that nobody knows whether the console is locked, hinders no emergency.
///
/// # Errors
/// [`Asleep`] for every other command.
pub(crate) async fn admit_command(
    (store, record): (&Store, &Record),
    is_locked: Result<bool, StoreError>,
    risk: Option<Risk>,
    actor: &Actor,
    (device, name): (&DeviceId, &str),
) -> Result<(), Asleep> {
    let is_emergency = risk == Some(Risk::Emergency);
    match is_locked {
        Ok(false) => return Ok(()),
        Err(_away) if is_emergency => return Ok(()),
        Err(away) => return Err(away.into()),
        Ok(true) => {}
    }
    let detail = json!({"name": cut(name, NAME_CHARS_MAX)});
    if !is_emergency {
        let entry = AuditEntry::by(actor, REFUSED, device.as_str());
        record.refused(entry.detail(detail).outcome("locked"));
        return Err(Asleep::Locked);
    }
    let entry = AuditEntry::by(actor, "login.emergency_while_locked", device.as_str());
    if let Err(error) = store.audit_alone(entry.detail(detail)).await {
        tracing::error!(%error, %device, name, "an emergency from a locked console could not be written down");
    }
    Ok(())
}
