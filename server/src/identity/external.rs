//! From somebody of the external provider to somebody here: the one way for sign-in and for tokens, so that a person has the
//! same name whichever way they come.

use std::net::IpAddr;
use std::sync::Arc;

use contract::Role;
use serde_json::json;

use super::authenticator::Authenticator;
use super::call_back::CallBack;
use super::principal::{Holder, Principal};
use super::provider::{Provider, Visitor};
use super::record::{How, Record};
use super::tally::OTHERS;
use super::token::{Checked, TokenError};
use crate::audit::SERVER;
use crate::store::audit::AuditEntry;
use crate::store::external::{External, Known};
use crate::store::{Store, StoreError, Unit};

/// The provider, and the records of who of its people is who.
#[derive(Debug, Clone)]
pub(crate) struct Visitors {
    pub(crate) provider: Arc<Provider>,
    pub(crate) store: Store,
    pub(crate) record: Arc<Record>,
}

impl Visitors {
    /// Who brings this token of the provider's from this address. One that is refused for what it is, is written down.
    ///
    /// # Errors
    /// [`TokenError`] when it is not good, when its holder is nobody here, or when neither can be found out now.
    pub(crate) async fn authenticate(
        &self,
        token: &str,
        address: IpAddr,
    ) -> Result<Checked, TokenError> {
        let checked = self.check(token, &address.to_string()).await;
        if matches!(checked, Err(TokenError::Invalid(_))) {
            self.record.failed(OTHERS, address, How::External, false);
        }
        checked
    }

    async fn check(&self, token: &str, peer: &str) -> Result<Checked, TokenError> {
        let vouched = self.provider.check(token).await?;
        let known = self.recognize(&vouched.visitor, peer).await.map_err(|error| {
            tracing::warn!(%error, "whose a token of the identity provider is could not be looked up");
            TokenError::Unavailable
        })?;
        let subject = match known {
            Known::Person(person) => person.subject,
            Known::Disabled(_) => {
                return Err(TokenError::Invalid(
                    "its holder is disabled here".to_owned(),
                ));
            }
            Known::NameTaken => {
                let taken = "somebody else here has the name of its holder";
                return Err(TokenError::Invalid(taken.to_owned()));
            }
        };
        let mut proof = vouched.proof;
        if vouched.visitor.role().is_none() {
            proof.holder = Holder::Program;
        }
        Ok(Checked {
            principal: Principal {
                subject,
                full_name: vouched.visitor.full_name,
                roles: vouched.visitor.roles,
                zones: vouched.visitor.zones,
                proof,
            },
            expires_at: vouched.expires_at,
        })
    }

    async fn recognize(&self, visitor: &Visitor, peer: &str) -> Result<Known, StoreError> {
        let mut unit = self.store.begin().await?;
        let known = self.settle(&mut unit, visitor, peer).await?;
        unit.commit().await?;
        Ok(known)
    }

    /// Who somebody is; whoever comes for the first time is made known, which is written down.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer.
    pub(crate) async fn settle(
        &self,
        unit: &mut Unit<'_>,
        visitor: &Visitor,
        peer: &str,
    ) -> Result<Known, StoreError> {
        let issuer = &self.provider.config().issuer;
        if let Some(known) = Store::external_person(unit, issuer, &visitor.sub).await? {
            return Ok(known);
        }
        let known = Store::put_external_person(unit, &self.describe(visitor)).await?;
        if let Known::Person(person) = &known {
            let name = &person.subject;
            let entry = AuditEntry::new(name, peer, "person.create", name)
                .detail(json!({"issuer": issuer, "sub": visitor.sub}));
            Store::audit(unit, entry).await?;
        }
        Ok(known)
    }

    /// Calls back everything that somebody `known` holds if the provider took a role or a zone from them since; what it gave
    /// them is written down as well. The generation of the rights that they have then. Say it before what changes their record, as whoever calls back does.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer.
    pub(crate) async fn take_away(
        &self,
        back: &mut CallBack,
        visitor: &Visitor,
        known: &Principal,
        peer: &str,
    ) -> Result<i64, StoreError> {
        let external = self.describe(visitor);
        let mut generation = known.proof.as_of.generation();
        let has_role = known.roles == [external.role];
        if !has_role || !external.zones.include(&known.zones) {
            back.subject(&known.subject).await?;
            generation += 1;
        }
        if !has_role || *external.zones != known.zones {
            let changed =
                AuditEntry::new(SERVER, peer, "person.rights", &known.subject).detail(json!({
                    "issuer": external.issuer, "sub": external.sub,
                    "role": external.role, "zones": external.zones.to_words(),
                }));
            Store::audit(&mut back.unit, changed).await?;
        }
        Ok(generation)
    }

    /// Ends the logins of somebody to whom the provider gives nothing here any more, if they had any, and calls back everything
    /// that they hold.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer.
    pub(crate) async fn shut_out(
        &self,
        authenticator: &Authenticator,
        sub: &str,
        peer: &str,
    ) -> Result<(), StoreError> {
        let issuer = &self.provider.config().issuer;
        let mut back = CallBack::begin(&self.store).await?;
        let known = Store::external_person(&mut back.unit, issuer, sub).await?;
        let Some(Known::Person(person)) = known else {
            return Ok(());
        };
        let name = person.subject;
        back.subject(&name).await?;
        if !Store::end_logins(&mut back.unit, &name).await? {
            return Ok(());
        }
        let ended = AuditEntry::new(SERVER, peer, "person.end_logins", &name)
            .detail(json!({"issuer": issuer, "sub": sub}));
        Store::audit(&mut back.unit, ended).await?;
        back.commit(authenticator).await
    }

    /// The record of somebody.
    pub(crate) fn describe<'a>(&'a self, visitor: &'a Visitor) -> External<'a> {
        External {
            issuer: &self.provider.config().issuer,
            sub: &visitor.sub,
            name: &visitor.name,
            full_name: &visitor.full_name,
            role: visitor.role().unwrap_or(Role::Program),
            zones: &visitor.zones,
        }
    }
}
