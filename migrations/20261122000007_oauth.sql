-- Applications through which people act, what they were granted, and signing keys that rotate.

-- Keeps apart what is published but not yet used (neither), what signs (activated), and what only checks (retired).
alter table signing_key
    add column activated_at timestamptz,
    add column retired_at   timestamptz;

update signing_key set activated_at = created_at
    where created_at = (select max(created_at) from signing_key);

delete from signing_key where activated_at is null;

create unique index signing_key_current on signing_key ((true))
    where activated_at is not null and retired_at is null;

create table application (
    id            text primary key,
    name          text not null,
    redirect_uris text[] not null,
    -- None: a public client (RFC 6749 section 2.1), which can keep no secret.
    secret_hash   text,
    -- None: whatever the person has.
    roles         text[],
    zones         text[] not null,
    from_file     boolean not null default false,
    created_at    timestamptz not null default now(),
    disabled_at   timestamptz
);

-- What a person let an application do: one code, then a family of refresh tokens, of which only the newest is good. Its id
-- is the `sid` of every token that comes from it.
create table app_grant (
    id               uuid primary key,
    application_id   text not null references application (id),
    person_name      text not null references person (name),
    scope            text not null,
    second_factor_at timestamptz,
    peer             text not null,
    created_at       timestamptz not null,
    used_at          timestamptz not null,
    -- Whichever comes first ends it: the whole life, or not having been used.
    expires_at       timestamptz not null,
    idle_until       timestamptz not null,
    ended_at         timestamptz
);

create index app_grant_person on app_grant (person_name) where ended_at is null;

-- Codes and refresh tokens are kept as their SHA-256 only: whoever reads these tables can use none.
create table authorization_code (
    hash         bytea primary key,
    grant_id     uuid not null references app_grant (id) on delete cascade,
    -- The login in which the person said yes: it must not have ended before the code is used.
    login_id     uuid not null references login (id) on delete cascade,
    redirect_uri text not null,
    challenge    text not null,
    nonce        text,
    expires_at   timestamptz not null,
    used_at      timestamptz
);

create table refresh_token (
    hash      bytea primary key,
    grant_id  uuid not null references app_grant (id) on delete cascade,
    -- When it was exchanged for the next one.
    used_at   timestamptz,
    -- The next one.
    successor bytea
);

create index refresh_token_grant on refresh_token (grant_id);
create index authorization_code_grant on authorization_code (grant_id);
