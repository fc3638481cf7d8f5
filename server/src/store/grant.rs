//! Applications, what people let them do, their codes and refresh tokens.

use chrono::{DateTime, Utc};
use contract::Role;
use uuid::Uuid;

use super::identity::principal;
use super::{Store, StoreError, Unit, read};
use crate::identity::grant::{Application, GRANT_IDLE};
use crate::identity::principal::{Principal, Zones};

/// An application that is known, with what is stored of its secret; `None`: it is public.
pub(crate) struct KnownApplication {
    pub(crate) application: Application,
    pub(crate) secret_hash: Option<String>,
}

/// What a person lets an application do, from now on.
pub(crate) struct NewGrant<'a> {
    pub(crate) id: Uuid,
    pub(crate) application: &'a str,
    pub(crate) person: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) second_factor_at: Option<DateTime<Utc>>,
    pub(crate) peer: &'a str,
    pub(crate) now: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    /// Until the code must have been used.
    pub(crate) idle_until: DateTime<Utc>,
}

/// What a person lets an application do.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) id: Uuid,
    pub(crate) application: String,
    /// As they are now; `None`: disabled.
    pub(crate) person: Option<Principal>,
    pub(crate) person_name: String,
    pub(crate) scope: String,
    pub(crate) second_factor_at: Option<DateTime<Utc>>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) idle_until: DateTime<Utc>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
}

/// A code that waits to be used.
pub(crate) struct Code {
    pub(crate) login: Uuid,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: String,
    pub(crate) nonce: Option<String>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) used_at: Option<DateTime<Utc>>,
    /// Whether the login in which the person said yes lasts.
    pub(crate) login_lasts: bool,
}

/// A refresh token.
pub(crate) struct Refresh {
    pub(crate) used_at: Option<DateTime<Utc>>,
    pub(crate) successor_used: bool,
}

/// What a person sees of what they let an application do.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct GrantLine {
    pub(crate) id: Uuid,
    pub(crate) application: String,
    pub(crate) peer: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) used_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
}

/// Used refresh tokens of one grant that are kept, to know a stolen one: those of 30 days with a refresh each ten minutes
/// are 4,320. Whoever refreshes more often makes the oldest forgotten, which are good for nothing then as well.
pub(crate) const USED_REFRESH_TOKENS_MAX: i64 = 4500;

impl Store {
    /// An application by id, unless disabled.
    pub(crate) async fn application(
        &self,
        id: &str,
    ) -> Result<Option<KnownApplication>, StoreError> {
        let row = sqlx::query!(
            "select a.id, a.name, a.redirect_uris, a.secret_hash, a.roles, a.zones, s.generation
             from application a join subject s on s.name = a.id where a.id = $1 and a.disabled_at is null",
            id
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            let roles = row.roles.map(|roles| {
                let roles = roles.iter().map(|role| read("application", role));
                roles.collect::<Result<Vec<Role>, _>>()
            });
            let zones = Zones::from_words(&row.zones).map_err(|error| StoreError::Corrupt {
                table: "application",
                what: error.to_string(),
            })?;
            Ok(KnownApplication {
                application: Application {
                    id: row.id,
                    name: row.name,
                    redirect_uris: row.redirect_uris,
                    roles: roles.transpose()?,
                    zones,
                    generation: row.generation,
                },
                secret_hash: row.secret_hash,
            })
        })
        .transpose()
    }

    /// Creates an application as the access file describes, or makes an existing one so.
    pub(crate) async fn put_application(
        unit: &mut Unit<'_>,
        application: &Application,
        secret_hash: Option<&str>,
    ) -> Result<(), StoreError> {
        let roles: Option<Vec<String>> = application
            .roles
            .as_ref()
            .map(|roles| roles.iter().map(Role::to_string).collect());
        sqlx::query!(
            "insert into application (id, name, redirect_uris, secret_hash, roles, zones, from_file)
             values ($1, $2, $3, $4, $5, $6, true)
             on conflict (id) do update set name = excluded.name, redirect_uris = excluded.redirect_uris,
                 secret_hash = excluded.secret_hash, roles = excluded.roles, zones = excluded.zones,
                 from_file = true, disabled_at = null",
            application.id,
            application.name,
            &application.redirect_uris,
            secret_hash,
            roles.as_deref(),
            &application.zones.to_words()
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// Disables the applications of the access file that it does not name any more: which.
    pub(crate) async fn disable_other_applications(
        unit: &mut Unit<'_>,
        ids: &[String],
    ) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            "update application set disabled_at = now() where from_file and disabled_at is null and id <> all($1)
             returning id",
            ids
        )
        .fetch_all(&mut **unit)
        .await?)
    }

    /// Ends what has nobody left: grants of disabled people and applications. What ended, and whose it was.
    pub(crate) async fn end_grants_of_nobody(
        unit: &mut Unit<'_>,
    ) -> Result<Vec<(Uuid, String)>, StoreError> {
        let rows = sqlx::query!(
            "update app_grant g set ended_at = now() from application a, person p
             where a.id = g.application_id and p.name = g.person_name and g.ended_at is null
                 and (a.disabled_at is not null or p.disabled_at is not null)
             returning g.id, g.person_name"
        )
        .fetch_all(&mut **unit)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.id, row.person_name))
            .collect())
    }

    /// A person lets an application do something; grants that ended long ago are forgotten.
    pub(crate) async fn begin_grant(
        unit: &mut Unit<'_>,
        grant: NewGrant<'_>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "delete from app_grant where least(ended_at, idle_until, expires_at) < $1::timestamptz - interval '30 days'",
            grant.now
        )
        .execute(&mut **unit)
        .await?;
        sqlx::query!(
            "insert into app_grant (id, application_id, person_name, scope, second_factor_at, peer, created_at, used_at,
                 expires_at, idle_until)
             values ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9)",
            grant.id,
            grant.application,
            grant.person,
            grant.scope,
            grant.second_factor_at,
            grant.peer,
            grant.now,
            grant.expires_at,
            grant.idle_until
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// Stores a code of a grant.
    pub(crate) async fn put_code(
        unit: &mut Unit<'_>,
        hash: &[u8],
        grant: Uuid,
        code: &Code,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into authorization_code (hash, grant_id, login_id, redirect_uri, challenge, nonce, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7)",
            hash,
            grant,
            code.login,
            code.redirect_uri,
            code.challenge,
            code.nonce,
            code.expires_at
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// The grant of a code or refresh token: nobody else changes it or its tokens until this unit of work has ended.
    pub(crate) async fn grant_of(
        unit: &mut Unit<'_>,
        hash: &[u8],
    ) -> Result<Option<Grant>, StoreError> {
        let row = sqlx::query!(
            "select g.id, g.application_id, g.person_name, g.scope, g.second_factor_at, g.expires_at, g.idle_until,
                 g.ended_at, p.full_name, p.role, p.zones, s.generation, p.disabled_at is not null as \"is_disabled!\"
             from app_grant g join person p on p.name = g.person_name join subject s on s.name = p.name
             where g.id = coalesce((select grant_id from refresh_token where hash = $1),
                                   (select grant_id from authorization_code where hash = $1))
             for update of g",
            hash
        )
        .fetch_optional(&mut **unit)
        .await?;
        row.map(|row| {
            let person = principal(
                row.person_name.clone(),
                row.full_name,
                &[row.role],
                &row.zones,
                row.generation,
            )?;
            Ok(Grant {
                id: row.id,
                application: row.application_id,
                person: (!row.is_disabled).then_some(person),
                person_name: row.person_name,
                scope: row.scope,
                second_factor_at: row.second_factor_at,
                expires_at: row.expires_at,
                idle_until: row.idle_until,
                ended_at: row.ended_at,
            })
        })
        .transpose()
    }

    /// A code, once its grant is held ([`Self::grant_of`]).
    pub(crate) async fn code(unit: &mut Unit<'_>, hash: &[u8]) -> Result<Option<Code>, StoreError> {
        let code = sqlx::query_as!(
            Code,
            "select c.login_id as login, c.redirect_uri, c.challenge, c.nonce, c.expires_at, c.used_at,
                 l.ended_at is null and l.expires_at > now() as \"login_lasts!\"
             from authorization_code c join login l on l.id = c.login_id where c.hash = $1",
            hash
        );
        Ok(code.fetch_optional(&mut **unit).await?)
    }

    /// A code is good once.
    pub(crate) async fn use_code(
        unit: &mut Unit<'_>,
        hash: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update authorization_code set used_at = $2 where hash = $1",
            hash,
            now
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// A refresh token, once its grant is held ([`Self::grant_of`]).
    pub(crate) async fn refresh(
        unit: &mut Unit<'_>,
        hash: &[u8],
    ) -> Result<Option<Refresh>, StoreError> {
        let refresh = sqlx::query_as!(
            Refresh,
            "select r.used_at, s.used_at is not null as \"successor_used!\"
             from refresh_token r left join refresh_token s on s.hash = r.successor where r.hash = $1",
            hash
        );
        Ok(refresh.fetch_optional(&mut **unit).await?)
    }

    /// Stores the newest refresh token of a grant.
    pub(crate) async fn put_refresh(
        unit: &mut Unit<'_>,
        grant: Uuid,
        hash: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into refresh_token (hash, grant_id) values ($1, $2)",
            hash,
            grant
        )
        .execute(&mut **unit)
        .await?;
        sqlx::query!(
            "delete from refresh_token where hash in
                 (select hash from refresh_token where grant_id = $1 and used_at is not null
                  order by used_at desc offset $2)",
            grant,
            USED_REFRESH_TOKENS_MAX
        )
        .execute(&mut **unit)
        .await?;
        sqlx::query!(
            "update app_grant set used_at = $2, idle_until = least($3, expires_at) where id = $1",
            grant,
            now,
            now + GRANT_IDLE
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// `old` was exchanged for `new`. A successor that it had is void, and shows a theft if it is ever used.
    pub(crate) async fn replace_refresh(
        unit: &mut Unit<'_>,
        old: &[u8],
        new: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update refresh_token set used_at = 'epoch'
             where used_at is null and hash = (select successor from refresh_token where hash = $1)",
            old
        )
        .execute(&mut **unit)
        .await?;
        sqlx::query!(
            "update refresh_token set used_at = coalesce(used_at, $3), successor = $2 where hash = $1",
            old,
            new,
            now
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// Ends a grant; call its tokens back as well.
    pub(crate) async fn end_grant(
        unit: &mut Unit<'_>,
        id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update app_grant set ended_at = $2 where id = $1 and ended_at is null",
            id,
            now
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// Ends everything that a person lets applications do, or that people let an application do: what ended.
    pub(super) async fn end_grants(
        unit: &mut Unit<'_>,
        name: &str,
    ) -> Result<Vec<Uuid>, StoreError> {
        Ok(sqlx::query_scalar!(
            "update app_grant set ended_at = now() where $1 in (person_name, application_id) and ended_at is null
             returning id",
            name
        )
        .fetch_all(&mut **unit)
        .await?)
    }

    /// What a person lets applications do, beside their logins: the newest first.
    pub(crate) async fn grants(
        &self,
        person: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<GrantLine>, StoreError> {
        let lines = sqlx::query_as!(
            GrantLine,
            "select g.id, a.name as application, g.peer, g.created_at, g.used_at,
                 least(g.expires_at, g.idle_until) as \"expires_at!\"
             from app_grant g join application a on a.id = g.application_id
             where g.person_name = $1 and g.ended_at is null and g.expires_at > $2 and g.idle_until > $2
             order by g.created_at desc",
            person,
            now
        );
        Ok(lines.fetch_all(&self.pool).await?)
    }

    /// Whose grant or login this is.
    pub(crate) async fn holder_of(&self, grant: Uuid) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            "select person_name as \"name!\" from app_grant where id = $1
             union all select person_name from login where id = $1",
            grant
        )
        .fetch_optional(&self.pool)
        .await?)
    }
}
