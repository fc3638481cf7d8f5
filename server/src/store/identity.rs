//! People and programs.

use contract::Role;

use super::{Store, StoreError, Unit, read};
use crate::identity::principal::{AsOf, Holder, Principal, Proof, Zones};

/// A person who can sign in.
pub(crate) struct Person {
    pub(crate) principal: Principal,
    /// None: invited and not come yet, or known from elsewhere.
    pub(crate) password_hash: Option<String>,
}

/// A program, agent or machine that can get tokens.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) principal: Principal,
    pub(crate) secret_hash: String,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.principal.fmt(f)
    }
}

impl Store {
    /// A person by name, unless disabled.
    pub(crate) async fn person(&self, name: &str) -> Result<Option<Person>, StoreError> {
        let row = sqlx::query!(
            "select p.name, p.full_name, p.role, p.zones, p.password_hash, s.generation
             from person p join subject s using (name) where p.name = $1 and p.disabled_at is null",
            name
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            Ok(Person {
                principal: principal(
                    row.name,
                    row.full_name,
                    &[row.role],
                    &row.zones,
                    row.generation,
                )?,
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
            "select c.id, c.roles, c.zones, c.secret_hash, s.generation
             from client c join subject s on s.name = c.id where c.id = $1 and c.disabled_at is null",
            id
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            let mut principal = principal(
                row.id.clone(),
                row.id.clone(),
                &row.roles,
                &row.zones,
                row.generation,
            )?;
            principal.proof.client = Some(row.id);
            principal.proof.holder = Holder::Program;
            Ok(Client {
                principal,
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

    /// Disables whoever came from the access file and is not named by it any more: the names of these people and clients.
    pub(crate) async fn disable_others(
        unit: &mut Unit<'_>,
        people: &[String],
        clients: &[String],
    ) -> Result<(Vec<String>, Vec<String>), StoreError> {
        let people = sqlx::query_scalar!(
            "update person set disabled_at = now() where from_file and disabled_at is null and name <> all($1) returning name",
            people
        )
        .fetch_all(&mut **unit)
        .await?;
        let clients = sqlx::query_scalar!(
            "update client set disabled_at = now() where from_file and disabled_at is null and id <> all($1) returning id",
            clients
        )
        .fetch_all(&mut **unit)
        .await?;
        Ok((people, clients))
    }
}

/// Somebody with these rights, whose generation was read in the same look.
pub(super) fn principal(
    subject: String,
    full_name: String,
    roles: &[String],
    zones: &[String],
    generation: i64,
) -> Result<Principal, StoreError> {
    Ok(Principal {
        subject,
        full_name,
        proof: Proof {
            as_of: AsOf::Generation(generation),
            ..Proof::default()
        },
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
