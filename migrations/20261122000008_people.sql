-- People who are invited, what they show beside a password, and what is known of their logins.

-- One name space: whoever is called something is the only one, so that a token's subject never means two. Kept by
-- triggers, so that it holds for whoever writes the tables.
create table subject (
    name text primary key,
    kind text not null check (kind in ('person', 'client'))
);

insert into subject (name, kind) select name, 'person' from person on conflict do nothing;
insert into subject (name, kind) select id, 'client' from client on conflict do nothing;

create function claim_subject() returns trigger language plpgsql as $$
declare
    claimed text;
begin
    if tg_table_name = 'person' then claimed := new.name; else claimed := new.id; end if;
    insert into subject (name, kind) values (claimed, tg_table_name) on conflict do nothing;
    if (select kind from subject where name = claimed) <> tg_table_name then
        raise exception using errcode = 'unique_violation', constraint = 'subject_kind',
            message = 'the name belongs to somebody of another kind';
    end if;
    return new;
end
$$;

create trigger person_subject before insert on person for each row execute function claim_subject();
create trigger client_subject before insert on client for each row execute function claim_subject();

-- None: invited and not come yet, or known from elsewhere.
alter table person alter column password_hash drop not null;

alter table login
    add column last_seen_at timestamptz not null default now(),
    -- When the person did something: a login that is idle for long shows everything and commands nothing.
    add column last_active_at timestamptz not null default now(),
    add column second_factor_at timestamptz,
    -- The password was right; the second factor is still to come, and until then this is nobody's login.
    add column awaits_second_factor boolean not null default false;

-- A link by which somebody sets a password. Kept as its SHA-256 only; good once.
create table invitation (
    person_name text primary key references person (name),
    token_hash  bytea not null constraint invitation_token unique,
    created_by  text not null,
    created_at  timestamptz not null default now(),
    expires_at  timestamptz not null
);

create table second_factor (
    person_name   text primary key references person (name),
    -- Encrypted under a key that is not in this database.
    sealed_secret bytea not null,
    -- Only a confirmed one counts.
    confirmed_at  timestamptz,
    -- The newest step of which a code was taken: no code is taken twice.
    last_step     bigint not null default 0
);

-- Each replaces one code, once. Random enough that its SHA-256 tells nothing.
create table recovery_code (
    person_name text not null references person (name),
    code_hash   bytea not null,
    primary key (person_name, code_hash)
);
