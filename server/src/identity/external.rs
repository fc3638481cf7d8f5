//! From somebody of the external provider to somebody here: the one way for sign-in and for tokens, so that a person has the
//! same name whichever way they come.

use std::sync::Arc;

use contract::Role;
use serde_json::json;

use super::principal::{Holder, Principal};
use super::provider::{Provider, Visitor};
use super::token::{Checked, TokenError};
use crate::store::audit::AuditEntry;
use crate::store::external::{External, Known};
use crate::store::{Store, StoreError, Unit};

/// The provider, and the records of who of its people is who.
#[derive(Debug, Clone)]
pub(crate) struct Visitors {
    pub(crate) provider: Arc<Provider>,
    pub(crate) store: Store,
}

impl Visitors {
    /// Who brings this token of the provider's.
    ///
    /// # Errors
    /// [`TokenError`] when it is not good, when its holder is nobody here, or when neither can be found out now.
    pub(crate) async fn authenticate(
        &self,
        token: &str,
        peer: &str,
    ) -> Result<Checked, TokenError> {
        let vouched = self.provider.check(token).await?;
        let known = self.recognize(&vouched.visitor, peer).await.map_err(|error| {
            tracing::warn!(%error, "whose a token of the identity provider is could not be looked up");
            TokenError::Unavailable
        })?;
        let subject = match known {
            Known::Person(name, _) => name,
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
        if let Known::Person(name, _) = &known {
            let entry = AuditEntry::new(name, peer, "person.create", name)
                .detail(json!({"issuer": issuer, "sub": visitor.sub}));
            Store::audit(unit, entry).await?;
        }
        Ok(known)
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
