//! People's visits: begun, seen, locked for being idle, ended.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::identity::principal;
use super::{Store, StoreError, Unit};
use crate::identity::principal::Principal;
use crate::identity::seconds::second_of;

/// A person's visit.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) id: Uuid,
    pub(crate) csrf: String,
    pub(crate) principal: Principal,
    /// When the person did something.
    pub(crate) last_active_at: DateTime<Utc>,
    pub(crate) last_seen_at: DateTime<Utc>,
    /// When the person last showed the password, or signed in at the provider.
    pub(crate) proved_at: DateTime<Utc>,
    /// Whether the person is one of the external provider's, and has no password here.
    pub(crate) is_external: bool,
}

/// A visit that begins.
pub(crate) struct NewLogin<'a> {
    pub(crate) id: Uuid,
    pub(crate) cookie_hash: &'a [u8],
    pub(crate) person: &'a str,
    pub(crate) csrf: &'a str,
    pub(crate) peer: &'a str,
    pub(crate) expires_at: DateTime<Utc>,
    /// It counts only once that was shown.
    pub(crate) awaits_second_factor: bool,
    /// Of the rights of its person, as they were when the person showed who they are.
    pub(crate) generation: i64,
}

/// A visit as its person sees it in the list.
#[derive(Debug, Clone)]
pub(crate) struct OpenLogin {
    pub(crate) id: Uuid,
    pub(crate) peer: String,
    pub(crate) begun_at: DateTime<Utc>,
    pub(crate) last_seen_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
}

/// How long somebody has from the password to the second factor.
const AWAITED_MINUTES: i64 = 10;

impl Store {
    /// Begins a login, unless something was taken from its person meanwhile: whether it did.
    pub(crate) async fn begin_login(
        unit: &mut Unit<'_>,
        login: NewLogin<'_>,
    ) -> Result<bool, StoreError> {
        if !Self::is_of_generation(unit, login.person, login.generation).await? {
            return Ok(false);
        }
        sqlx::query!(
            "insert into login (id, cookie_hash, person_name, csrf, peer, expires_at, awaits_second_factor)
             values ($1, $2, $3, $4, $5, $6, $7)",
            login.id,
            login.cookie_hash,
            login.person,
            login.csrf,
            login.peer,
            login.expires_at,
            login.awaits_second_factor
        )
        .execute(&mut **unit)
        .await?;
        Ok(true)
    }

    /// The login of a cookie, if it is still good; role and zones are the person's of now.
    pub(crate) async fn login(&self, cookie_hash: &[u8]) -> Result<Option<Login>, StoreError> {
        self.login_if(cookie_hash, false).await
    }

    /// The login of a cookie that still awaits its second factor.
    pub(crate) async fn awaiting_login(
        &self,
        cookie_hash: &[u8],
    ) -> Result<Option<Login>, StoreError> {
        self.login_if(cookie_hash, true).await
    }

    async fn login_if(
        &self,
        cookie_hash: &[u8],
        awaits: bool,
    ) -> Result<Option<Login>, StoreError> {
        let since = Utc::now() - TimeDelta::minutes(AWAITED_MINUTES);
        let row = sqlx::query!(
            r#"select l.id, l.csrf, l.last_active_at, l.last_seen_at, l.proved_at, l.second_factor_at,
                 p.name, p.full_name, p.role, p.zones, p.issuer is not null as "is_external!", s.generation
             from login l join person p on p.name = l.person_name join subject s on s.name = p.name
             where l.cookie_hash = $1 and l.ended_at is null and l.expires_at > now() and p.disabled_at is null
               and l.awaits_second_factor = $2 and (not $2 or l.created_at > $3)"#,
            cookie_hash,
            awaits,
            since
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            let second_factor_at = row.second_factor_at.map(second_of);
            let mut principal = principal(
                row.name,
                row.full_name,
                &[row.role],
                &row.zones,
                row.generation,
            )?;
            principal.proof.grant = Some(row.id);
            principal.proof.second_factor_at = second_factor_at;
            Ok(Login {
                id: row.id,
                csrf: row.csrf,
                last_active_at: row.last_active_at,
                last_seen_at: row.last_seen_at,
                proved_at: row.proved_at,
                is_external: row.is_external,
                principal,
            })
        })
        .transpose()
    }

    /// Why the login of a cookie is no more, as an address says it; `None` where no login came of it.
    pub(crate) async fn end_of_login(
        &self,
        cookie_hash: &[u8],
    ) -> Result<Option<&'static str>, StoreError> {
        let row = sqlx::query!(
            r#"select p.disabled_at is not null as "disabled!", l.ended_at is not null as "ended!"
             from login l join person p on p.name = l.person_name
             where l.cookie_hash = $1 and not l.awaits_second_factor"#,
            cookie_hash
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| match row {
            row if row.disabled => "disabled",
            row if row.ended => "ended",
            _ => "expired",
        }))
    }

    /// A login was seen, and from where.
    pub(crate) async fn see_login(&self, id: Uuid, peer: &str) -> Result<(), StoreError> {
        sqlx::query!(
            "update login set last_seen_at = now(), peer = $2 where id = $1",
            id,
            peer
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The person of a login did something, which counts unless the login is locked by then.
    pub(crate) async fn use_login(
        &self,
        id: Uuid,
        not_before: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update login set last_active_at = now(), last_seen_at = now() where id = $1 and last_active_at >= $2",
            id,
            not_before
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// When the person of a login last did something; `None` for what is no login of ours.
    pub(crate) async fn last_active(&self, id: Uuid) -> Result<Option<DateTime<Utc>>, StoreError> {
        Ok(
            sqlx::query_scalar!("select last_active_at from login where id = $1", id)
                .fetch_optional(&self.pool)
                .await?,
        )
    }

    /// The person of a login showed once more who they are: it is locked no longer.
    pub(crate) async fn unlock_login(unit: &mut Unit<'_>, id: Uuid) -> Result<(), StoreError> {
        sqlx::query!(
            "update login set last_active_at = now(), last_seen_at = now(), proved_at = now() where id = $1",
            id
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// The person of a login showed their second factor.
    pub(crate) async fn second_factor_shown(
        unit: &mut Unit<'_>,
        id: Uuid,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update login set second_factor_at = now(), last_active_at = now(), awaits_second_factor = false where id = $1",
            id
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// The open logins of a person, the newest first.
    pub(crate) async fn open_logins(&self, person: &str) -> Result<Vec<OpenLogin>, StoreError> {
        let rows = sqlx::query_as!(
            OpenLogin,
            "select id, peer, created_at as begun_at, last_seen_at, expires_at from login
             where person_name = $1 and ended_at is null and expires_at > now() and not awaits_second_factor
             order by created_at desc limit 100",
            person
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }

    /// Ends one login of a person; whether there was one to end.
    pub(crate) async fn end_login(
        unit: &mut Unit<'_>,
        person: &str,
        id: Uuid,
    ) -> Result<bool, StoreError> {
        let ended = sqlx::query!(
            "update login set ended_at = now() where id = $1 and person_name = $2 and ended_at is null",
            id,
            person
        )
        .execute(&mut **unit)
        .await?;
        Ok(ended.rows_affected() > 0)
    }

    /// Ends every login of a person but one, and what they let applications do: what ended.
    pub(crate) async fn end_other_logins(
        unit: &mut Unit<'_>,
        person: &str,
        but: Uuid,
    ) -> Result<Vec<Uuid>, StoreError> {
        let mut ended = sqlx::query_scalar!(
            "update login set ended_at = now()
             where person_name = $1 and id <> $2 and ended_at is null and expires_at > now() returning id",
            person,
            but
        )
        .fetch_all(&mut **unit)
        .await?;
        ended.extend(Self::end_grants(unit, person).await?);
        Ok(ended)
    }

    /// Ends every login of a person, and what they let applications do; whether there was anything to end.
    pub(crate) async fn end_logins(unit: &mut Unit<'_>, person: &str) -> Result<bool, StoreError> {
        let logins = sqlx::query!(
            "update login set ended_at = now() where person_name = $1 and ended_at is null",
            person
        )
        .execute(&mut **unit)
        .await?;
        let grants = Self::end_grants(unit, person).await?;
        Ok(logins.rows_affected() > 0 || !grants.is_empty())
    }
}
