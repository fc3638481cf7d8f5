//! People, programs, logins and signing keys.

use chrono::{DateTime, Utc};
use contract::Role;
use uuid::Uuid;

use super::{Store, StoreError, Unit, read};
use crate::identity::principal::{Principal, Proof, Zones};

/// A person who can sign in.
pub(crate) struct Person {
    pub(crate) principal: Principal,
    /// None: known from elsewhere.
    pub(crate) password_hash: Option<String>,
}

/// A program, agent or machine that can get tokens.
pub(crate) struct Client {
    pub(crate) principal: Principal,
    pub(crate) secret_hash: String,
}

/// A person's visit.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) id: Uuid,
    pub(crate) csrf: String,
    pub(crate) principal: Principal,
}

/// A visit that begins.
pub(crate) struct NewLogin<'a> {
    pub(crate) id: Uuid,
    pub(crate) cookie_hash: &'a [u8],
    pub(crate) person: &'a str,
    pub(crate) csrf: &'a str,
    pub(crate) peer: &'a str,
    pub(crate) expires_at: DateTime<Utc>,
}

impl Store {
    /// A person by name, unless disabled.
    pub(crate) async fn person(&self, name: &str) -> Result<Option<Person>, StoreError> {
        let row = sqlx::query!(
            "select name, full_name, role, zones, password_hash from person where name = $1 and disabled_at is null",
            name
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            Ok(Person {
                principal: principal(row.name, row.full_name, &[row.role], &row.zones)?,
                password_hash: row.password_hash,
            })
        })
        .transpose()
    }

    /// Creates a person as the access file describes, or makes an existing one so; one of an external provider is theirs no more.
    pub(crate) async fn put_person(
        unit: &mut Unit<'_>,
        principal: &Principal,
        password_hash: &str,
    ) -> Result<(), StoreError> {
        let role = principal
            .roles
            .first()
            .map_or("viewer", |role| role.as_str());
        sqlx::query!(
            "insert into person (name, full_name, role, zones, password_hash, from_file) values ($1, $2, $3, $4, $5, true)
             on conflict (name) do update set full_name = excluded.full_name, role = excluded.role,
                 zones = excluded.zones, password_hash = excluded.password_hash, from_file = true, disabled_at = null,
                 issuer = null, issuer_subject = null",
            principal.subject,
            principal.full_name,
            role,
            &principal.zones.to_words(),
            password_hash
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// A program by id, unless disabled.
    pub(crate) async fn client(&self, id: &str) -> Result<Option<Client>, StoreError> {
        let row = sqlx::query!(
            "select id, roles, zones, secret_hash from client where id = $1 and disabled_at is null",
            id
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            Ok(Client {
                principal: Principal {
                    proof: Proof {
                        client: Some(row.id.clone()),
                        ..Proof::default()
                    },
                    ..principal(row.id.clone(), row.id, &row.roles, &row.zones)?
                },
                secret_hash: row.secret_hash,
            })
        })
        .transpose()
    }

    /// Creates a program as the access file describes, or makes an existing one so.
    pub(crate) async fn put_client(
        unit: &mut Unit<'_>,
        principal: &Principal,
        secret_hash: &str,
    ) -> Result<(), StoreError> {
        let roles: Vec<String> = principal.roles.iter().map(Role::to_string).collect();
        sqlx::query!(
            "insert into client (id, roles, zones, secret_hash, from_file) values ($1, $2, $3, $4, true)
             on conflict (id) do update set roles = excluded.roles, zones = excluded.zones,
                 secret_hash = excluded.secret_hash, from_file = true, disabled_at = null",
            principal.subject,
            &roles,
            &principal.zones.to_words(),
            secret_hash
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// Disables whoever came from the access file and is not named by it any more.
    pub(crate) async fn disable_others(
        unit: &mut Unit<'_>,
        people: &[String],
        clients: &[String],
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update person set disabled_at = now() where from_file and disabled_at is null and name <> all($1)",
            people
        )
        .execute(&mut **unit)
        .await?;
        sqlx::query!(
            "update client set disabled_at = now() where from_file and disabled_at is null and id <> all($1)",
            clients
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// Ends every login of a person.
    pub(crate) async fn end_logins(unit: &mut Unit<'_>, person: &str) -> Result<(), StoreError> {
        sqlx::query!(
            "update login set ended_at = now() where person_name = $1 and ended_at is null",
            person
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// Begins a login.
    pub(crate) async fn begin_login(
        unit: &mut Unit<'_>,
        login: NewLogin<'_>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into login (id, cookie_hash, person_name, csrf, peer, expires_at) values ($1, $2, $3, $4, $5, $6)",
            login.id,
            login.cookie_hash,
            login.person,
            login.csrf,
            login.peer,
            login.expires_at
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// The login of a cookie, if it is still good; role and zones are the person's of now.
    pub(crate) async fn login(&self, cookie_hash: &[u8]) -> Result<Option<Login>, StoreError> {
        let row = sqlx::query!(
            "select l.id, l.csrf, p.name, p.full_name, p.role, p.zones
             from login l join person p on p.name = l.person_name
             where l.cookie_hash = $1 and l.ended_at is null and l.expires_at > now() and p.disabled_at is null",
            cookie_hash
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            Ok(Login {
                id: row.id,
                csrf: row.csrf,
                principal: Principal {
                    proof: Proof {
                        grant: Some(row.id),
                        ..Proof::default()
                    },
                    ..principal(row.name, row.full_name, &[row.role], &row.zones)?
                },
            })
        })
        .transpose()
    }

    /// Ends a login.
    pub(crate) async fn end_login(unit: &mut Unit<'_>, id: Uuid) -> Result<(), StoreError> {
        sqlx::query!(
            "update login set ended_at = now() where id = $1 and ended_at is null",
            id
        )
        .execute(&mut **unit)
        .await?;
        Ok(())
    }

    /// The newest signing key: its id and its PKCS #8 document.
    pub(crate) async fn signing_key(&self) -> Result<Option<(String, Vec<u8>)>, StoreError> {
        let row = sqlx::query!(
            "select kid, private_der from signing_key order by created_at desc limit 1"
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| (row.kid, row.private_der)))
    }

    /// Stores a signing key.
    pub(crate) async fn put_signing_key(
        &self,
        kid: &str,
        private_der: &[u8],
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into signing_key (kid, private_der) values ($1, $2)",
            kid,
            private_der
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

fn principal(
    subject: String,
    full_name: String,
    roles: &[String],
    zones: &[String],
) -> Result<Principal, StoreError> {
    Ok(Principal {
        subject,
        full_name,
        proof: Proof::default(),
        roles: roles
            .iter()
            .map(|role| read("person", role))
            .collect::<Result<_, _>>()?,
        zones: Zones::from_words(zones).map_err(|error| StoreError::Corrupt {
            table: "person",
            what: error.to_string(),
        })?,
    })
}
