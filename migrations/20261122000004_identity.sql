-- Who may do what, who is signed in, and what people did.

create table person (
    name          text primary key,
    full_name     text not null,
    role          text not null,
    zones         text[] not null,
    password_hash text not null,
    -- Kept by the access file: whoever is taken out of it is disabled.
    from_file     boolean not null default false,
    created_at    timestamptz not null default now(),
    disabled_at   timestamptz
);

create table client (
    id          text primary key,
    roles       text[] not null,
    zones       text[] not null,
    secret_hash text not null,
    from_file   boolean not null default false,
    created_at  timestamptz not null default now(),
    disabled_at timestamptz
);

-- A person's visit. The cookie is kept as its SHA-256 only: whoever reads this table can sign in as nobody.
create table login (
    id           uuid primary key,
    cookie_hash  bytea not null constraint login_cookie unique,
    person_name  text not null references person (name),
    csrf         text not null,
    peer         text not null,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz not null,
    ended_at     timestamptz
);

create index login_person on login (person_name);

create table signing_key (
    kid         text primary key,
    private_der bytea not null,
    created_at  timestamptz not null default now()
);

-- Every action of a person, in the same transaction as what it did.
create table audit (
    id      bigint generated always as identity primary key,
    at      timestamptz not null default now(),
    actor   text not null,
    peer    text not null,
    action  text not null,
    subject text not null,
    detail  jsonb not null,
    outcome text not null
);

create index audit_at on audit (at);
