//! What administrators see and change of people: invitations, rights, who may not come any more.

use chrono::{DateTime, Utc};
use contract::Role;

use super::identity::principal;
use super::{Store, StoreError, Unit};
use crate::identity::principal::{Principal, Zones};

/// A person as administrators see them.
#[derive(Debug, Clone)]
pub(crate) struct KnownPerson {
    pub(crate) principal: Principal,
    /// Kept by the access file: what is changed here would be undone at the next start.
    pub(crate) from_file: bool,
    /// Of the external provider, which says what they may.
    pub(crate) is_external: bool,
    pub(crate) disabled: bool,
    pub(crate) has_password: bool,
    pub(crate) has_second_factor: bool,
    pub(crate) invited_until: Option<DateTime<Utc>>,
    pub(crate) last_seen_at: Option<DateTime<Utc>>,
}

/// Who says what a person may, and how they come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeptBy {
    /// Administrators, on pages.
    Us,
    /// The access file.
    File,
    /// The external provider.
    Provider,
}

/// An invitation that is still good.
#[derive(Debug, Clone)]
pub(crate) struct Invitation {
    pub(crate) person: String,
    pub(crate) role: Role,
}

/// Whether somebody who is invited was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// They are new.
    Nobody,
    /// They could come in, or were invited.
    Enabled,
    /// They might not come.
    Disabled,
}

impl Before {
    /// As the audit says it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

/// Why somebody cannot be invited.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// The name is taken by a program, an agent or an application.
    #[error("{0} is the name of a program, an agent or an application: choose another")]
    NotAPerson(String),
    /// The access file keeps them.
    #[error(
        "{0} is kept by the access file: set another password in the environment variable that it names, or take them out of it"
    )]
    FromFile(String),
    /// The external provider knows them: a password here would outlive what it decides.
    #[error("{0} comes in by the identity provider: change it there")]
    FromProvider(String),
    /// Nothing could be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for InviteError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Everybody, by name.
    pub(crate) async fn people(&self) -> Result<Vec<KnownPerson>, StoreError> {
        let rows = sqlx::query!(
            r#"select p.name, p.full_name, p.role, p.zones, u.generation, p.from_file, p.disabled_at, p.issuer is not null as "is_external!",
                   p.password_hash is not null as "has_password!",
                   exists (select from second_factor s where s.person_name = p.name) as "has_second_factor!",
                   (select i.expires_at from invitation i where i.person_name = p.name and i.expires_at > now()) as invited_until,
                   (select max(l.last_seen_at) from login l where l.person_name = p.name) as last_seen_at
               from person p join subject u on u.name = p.name order by p.name"#
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(KnownPerson {
                    principal: principal(
                        row.name,
                        row.full_name,
                        &[row.role],
                        &row.zones,
                        row.generation,
                    )?,
                    from_file: row.from_file,
                    is_external: row.is_external,
                    disabled: row.disabled_at.is_some(),
                    has_password: row.has_password,
                    has_second_factor: row.has_second_factor,
                    invited_until: row.invited_until,
                    last_seen_at: row.last_seen_at,
                })
            })
            .collect()
    }

    /// Who says what this person may and how they come in; `None` for a name that nobody has.
    pub(crate) async fn kept_by(&self, name: &str) -> Result<Option<KeptBy>, StoreError> {
        let row = sqlx::query!(
            r#"select from_file, issuer is not null as "is_external!" from person where name = $1"#,
            name
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| match row {
            row if row.from_file => KeptBy::File,
            row if row.is_external => KeptBy::Provider,
            _ => KeptBy::Us,
        }))
    }

    /// Every name that is somebody's, whether they may come or not. Until the unit ends, there is no new person.
    pub(crate) async fn names(unit: &mut Unit<'_>) -> Result<Vec<String>, StoreError> {
        Self::hold_people(unit).await?;
        let names = sqlx::query_scalar!(
            r#"select name as "name!" from person union all select id from client union all select id from application"#
        );
        Ok(names.fetch_all(&mut **unit).await?)
    }

    /// Makes sure that this person exists with these rights, and without a password. What they were before.
    pub(crate) async fn put_invited(
        unit: &mut Unit<'_>,
        person: &Principal,
    ) -> Result<Before, InviteError> {
        let role = person.roles.first().copied().unwrap_or(Role::Viewer);
        let disabled = sqlx::query_scalar!(
            r#"select disabled_at is not null as "disabled!" from person where name = $1 for update"#,
            person.subject
        )
        .fetch_optional(&mut **unit)
        .await?;
        let is_new = sqlx::query_scalar!(
            r#"insert into person (name, full_name, role, zones) values ($1, $2, $3, $4)
             on conflict (name) do update set full_name = excluded.full_name, role = excluded.role,
                 zones = excluded.zones, password_hash = null, disabled_at = null
                 where not person.from_file and person.issuer is null
             returning xmax = 0 as "is_new!""#,
            person.subject,
            person.full_name,
            role.as_str(),
            &person.zones.to_words()
        )
        .fetch_optional(&mut **unit)
        .await
        .map_err(|error| match error.into() {
            StoreError::NameTaken(_) => InviteError::NotAPerson(person.subject.clone()),
            error => InviteError::Store(error),
        })?;
        let Some(is_new) = is_new else {
            let from_file = sqlx::query_scalar!(
                "select from_file from person where name = $1",
                person.subject
            )
            .fetch_optional(&mut **unit)
            .await?;
            let name = person.subject.clone();
            return Err(match from_file {
                Some(true) => InviteError::FromFile(name),
                _ => InviteError::FromProvider(name),
            });
        };
        Ok(match disabled {
            _ if is_new => Before::Nobody,
            Some(true) => Before::Disabled,
            _ => Before::Enabled,
        })
    }

    /// Takes the password of somebody whom we keep and who may come, and nothing else: role and zones as they are now.
    pub(crate) async fn forget_password(
        unit: &mut Unit<'_>,
        name: &str,
    ) -> Result<Option<(Role, Vec<String>)>, StoreError> {
        let row = sqlx::query!(
            "update person set password_hash = null
             where name = $1 and disabled_at is null and not from_file and issuer is null returning role, zones",
            name
        )
        .fetch_optional(&mut **unit)
        .await?;
        row.map(|row| Ok((super::read("person", &row.role)?, row.zones)))
            .transpose()
    }

    /// Takes somebody out who was invited and never came in; whether there was such a person. Their name stays a person's, and
    /// nobody ever acted under it.
    pub(crate) async fn withdraw(unit: &mut Unit<'_>, name: &str) -> Result<bool, StoreError> {
        // Whoever accepts at this moment is waited for, and has a password then.
        sqlx::query!("delete from invitation where person_name = $1", name)
            .execute(&mut **unit)
            .await?;
        let gone = sqlx::query!(
            "delete from person p where name = $1 and password_hash is null and not from_file and issuer is null
                 and not exists (select from login l where l.person_name = p.name)
                 and not exists (select from audit a where a.actor = p.name and a.outcome = 'done')",
            name
        )
        .execute(&mut **unit)
        .await?;
        Ok(gone.rows_affected() > 0)
    }

    /// A link by which somebody chooses a password; their second factor of before is gone.
    pub(crate) async fn put_invitation(
        unit: &mut Unit<'_>,
        name: &str,
        token_hash: &[u8],
        by: &str,
        expires_at: DateTime<Utc>,
    ) -> Result<(), InviteError> {
        Self::forget_second_factor(unit, name).await?;
        sqlx::query!(
            "insert into invitation (person_name, token_hash, created_by, expires_at) values ($1, $2, $3, $4)
             on conflict (person_name) do update set token_hash = excluded.token_hash,
                 created_by = excluded.created_by, created_at = now(), expires_at = excluded.expires_at",
            name,
            token_hash,
            by,
            expires_at
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// The invitation of a link.
    pub(crate) async fn invitation(
        &self,
        token_hash: &[u8],
    ) -> Result<Option<Invitation>, StoreError> {
        let row = sqlx::query!(
            "select p.name, p.role from invitation i join person p on p.name = i.person_name
             where i.token_hash = $1 and i.expires_at > now() and p.disabled_at is null",
            token_hash
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            Ok(Invitation {
                role: super::read("person", &row.role)?,
                person: row.name,
            })
        })
        .transpose()
    }

    /// Uses an invitation up: whether it was still there.
    pub(crate) async fn use_invitation(
        unit: &mut Unit<'_>,
        token_hash: &[u8],
    ) -> Result<bool, StoreError> {
        let used = sqlx::query!(
            "delete from invitation i using person p
             where p.name = i.person_name and p.disabled_at is null and i.token_hash = $1 and i.expires_at > now()",
            token_hash
        )
        .execute(&mut **unit)
        .await?;
        Ok(used.rows_affected() > 0)
    }

    /// Somebody has a new password.
    pub(crate) async fn set_password(
        unit: &mut Unit<'_>,
        name: &str,
        hash: &str,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update person set password_hash = $2 where name = $1 and not from_file",
            name,
            hash
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// Somebody may do other things from now on; whether there is such a person.
    pub(crate) async fn set_rights(
        unit: &mut Unit<'_>,
        name: &str,
        role: Role,
        zones: &Zones,
    ) -> Result<bool, StoreError> {
        let changed = sqlx::query!(
            "update person set role = $2, zones = $3 where name = $1 and not from_file",
            name,
            role.as_str(),
            &zones.to_words()
        )
        .execute(&mut **unit)
        .await?;
        Ok(changed.rows_affected() > 0)
    }

    /// Keeps somebody out, whose invitation ends with it, or lets them in again; whether there is such a person.
    pub(crate) async fn set_disabled(
        unit: &mut Unit<'_>,
        name: &str,
        disabled: bool,
    ) -> Result<bool, StoreError> {
        let changed = sqlx::query!(
            "update person set disabled_at = case when $2 then coalesce(disabled_at, now()) end where name = $1",
            name,
            disabled
        )
        .execute(&mut **unit)
        .await?;
        if disabled {
            sqlx::query!("delete from invitation where person_name = $1", name)
                .execute(&mut **unit)
                .await?;
        }
        Ok(changed.rows_affected() > 0)
    }

    /// Until the unit ends, nobody else changes any person.
    async fn hold_people(unit: &mut Unit<'_>) -> Result<(), StoreError> {
        sqlx::query!("lock table person in share row exclusive mode")
            .execute(&mut **unit)
            .await?;
        Ok(())
    }

    /// Whether somebody else could still give out access: has one of `roles`, and every zone. Until the unit ends, nobody
    /// changes that.
    pub(crate) async fn has_other_manager(
        unit: &mut Unit<'_>,
        name: &str,
        roles: &[Role],
    ) -> Result<bool, StoreError> {
        Self::hold_people(unit).await?;
        let roles: Vec<String> = roles.iter().map(Role::to_string).collect();
        let others = sqlx::query_scalar!(
            r#"select count(*) as "count!" from person
               where name <> $1 and role = any ($2) and '*' = any (zones) and disabled_at is null"#,
            name,
            &roles
        )
        .fetch_one(&mut **unit)
        .await?;
        Ok(others > 0)
    }
}
