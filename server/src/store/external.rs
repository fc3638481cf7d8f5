//! People whom an external identity provider knows.

use chrono::{DateTime, Utc};
use contract::Role;
use uuid::Uuid;

use super::identity::principal;
use super::{Store, StoreError, Unit};
use crate::identity::principal::{Principal, Zones};

/// Somebody as the provider describes them now.
pub(crate) struct External<'a> {
    pub(crate) issuer: &'a str,
    /// Who they are there, for ever.
    pub(crate) sub: &'a str,
    /// The name they would have here, if they have none yet.
    pub(crate) name: &'a str,
    pub(crate) full_name: &'a str,
    pub(crate) role: Role,
    pub(crate) zones: &'a Zones,
}

/// Who somebody of the provider's is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// A person, with the rights that the provider gave them when they signed in last, and their generation.
    Person(Box<Principal>),
    /// The person of this name, who may not come in.
    Disabled(String),
    /// Nobody, for the name belongs to somebody else: a person of this server or of the provider, a program, or an application.
    NameTaken,
}

/// Of rights that were never taken away.
const FIRST_GENERATION: i64 = 0;

impl Store {
    /// Who has this identity, if anybody had it before.
    pub(crate) async fn external_person(
        unit: &mut Unit<'_>,
        issuer: &str,
        sub: &str,
    ) -> Result<Option<Known>, StoreError> {
        let row = sqlx::query!(
            r#"select p.name, p.full_name, p.role, p.zones, p.disabled_at is not null as "disabled!", u.generation,
                 exists (select from subject s where lower(s.name) = lower(p.name) and s.kind <> 'person') as "taken!"
             from person p join subject u on u.name = p.name where p.issuer = $1 and p.issuer_subject = $2"#,
            issuer,
            sub
        )
        .fetch_optional(&mut **unit)
        .await?;
        row.map(|row| {
            Ok(match row {
                row if row.disabled => Known::Disabled(row.name),
                // A program or an application of this name came later: one of the two would act as the other.
                row if row.taken => Known::NameTaken,
                row => Known::Person(Box::new(principal(
                    row.name,
                    row.full_name,
                    &[row.role],
                    &row.zones,
                    row.generation,
                )?)),
            })
        })
        .transpose()
    }

    /// Makes somebody known whom nobody knew, unless their name is another's.
    pub(crate) async fn put_external_person(
        unit: &mut Unit<'_>,
        external: &External<'_>,
    ) -> Result<Known, StoreError> {
        // Names that differ in their case only are the same to whoever reads them in a list.
        let made = sqlx::query_scalar!(
            r#"insert into person (name, full_name, role, zones, password_hash, issuer, issuer_subject)
             select $1, $2, $3, $4, null, $5, $6
             where not exists (select from subject where lower(name) = lower($1))
             on conflict do nothing
             returning name"#,
            external.name,
            external.full_name,
            external.role.as_str(),
            &external.zones.to_words(),
            external.issuer,
            external.sub
        )
        .fetch_optional(&mut **unit)
        .await?;
        if let Some(name) = made {
            let (role, zones) = (external.role.to_string(), external.zones.to_words());
            let full_name = external.full_name.to_owned();
            return principal(name, full_name, &[role], &zones, FIRST_GENERATION)
                .map(|person| Known::Person(Box::new(person)));
        }
        // Perhaps the same person came twice at once.
        let known = Self::external_person(unit, external.issuer, external.sub).await?;
        Ok(known.unwrap_or(Known::NameTaken))
    }

    /// The provider vouches that a second factor was shown for a login.
    pub(crate) async fn vouch_for_login(
        unit: &mut Unit<'_>,
        login: Uuid,
        second_factor_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update login set second_factor_at = $1 where id = $2",
            second_factor_at,
            login
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// What the provider says of somebody now.
    pub(crate) async fn refresh_external_person(
        unit: &mut Unit<'_>,
        external: &External<'_>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update person set full_name = $1, role = $2, zones = $3 where issuer = $4 and issuer_subject = $5",
            external.full_name,
            external.role.as_str(),
            &external.zones.to_words(),
            external.issuer,
            external.sub
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }
}
