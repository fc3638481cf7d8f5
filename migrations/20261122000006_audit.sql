-- The audit as a chain: each row carries the hash of the row before it, so that a row that is changed, removed or put in
-- between is found (`landside-server audit verify`). docs/audit.md says what that is worth, and against whom.

-- Who, from where (there already), with which login or token, what, on what, why, and the result.
alter table audit alter column id drop identity;
alter table audit rename column id to number;
alter table audit
    add column identity      jsonb not null default '{}',
    add column reason        text,
    add column previous_hash bytea,
    add column hash          bytea;

-- Existing rows take their places without gaps, in the order in which they came.
alter table audit drop constraint audit_pkey;
update audit set number = placed.place
from (select number as old, row_number() over (order by number) as place from audit) placed
where audit.number = placed.old;
alter table audit add constraint audit_number primary key (number);

-- One field of the canonical form: its length in four bytes and its bytes, or four bytes of ones for an absent one.
-- No two different sequences of fields have the same bytes.
create function audit_field(value bytea) returns bytea language sql immutable
    return case when value is null then '\xffffffff'::bytea else int4send(length(value)) || value end;

create function audit_text(value text) returns bytea language sql immutable
    return audit_field(convert_to(value, 'UTF8'));

-- The canonical form of a row, version 1. Its twin is `server/src/audit/chain.rs`. Every session must write the same times
-- the same: microseconds since 1970 in UTC, whatever its time zone.
create function audit_canonical(entry audit) returns bytea language sql stable
    return audit_text('landside audit 1')
        || audit_field(entry.previous_hash)
        || int8send(entry.number)
        || int8send((extract(epoch from entry.at) * 1000000)::bigint)
        || audit_text(entry.actor)
        || audit_text(entry.identity::text)
        || audit_text(entry.peer)
        || audit_text(entry.action)
        || audit_text(entry.subject)
        || audit_text(entry.reason)
        || audit_text(entry.outcome)
        || audit_text(entry.detail::text);

do $$
declare
    entry audit;
    before bytea := decode(repeat('00', 32), 'hex');
begin
    for entry in select * from audit order by number loop
        entry.previous_hash := before;
        entry.hash := sha256(audit_canonical(entry));
        update audit set previous_hash = entry.previous_hash, hash = entry.hash where number = entry.number;
        before := entry.hash;
    end loop;
end $$;

alter table audit
    alter column previous_hash set not null,
    alter column hash set not null;

-- What an emergency wrote into the local journal comes here once, however often it is brought.
create unique index audit_journaled on audit ((detail -> 'journaled' ->> 'id'));
create index audit_actor on audit (actor, number);
create index audit_action on audit (action, number);
create index audit_subject on audit (subject, number);

-- Appending is for one transaction at a time: the lock is held to its end, so that the row that is read as the last one is
-- the last one. Whoever writes here does so as the last thing in a transaction: then nobody who holds this lock
-- waits for another one, and no two can wait for each other.
create function audit_append() returns trigger language plpgsql as $$
declare
    last_number bigint;
    last_hash bytea;
begin
    perform pg_advisory_xact_lock(7305799, 1);
    -- A statement of its own: it sees what was committed before the lock was given.
    select number, hash into last_number, last_hash from public.audit order by number desc limit 1;
    new.number := coalesce(last_number, 0) + 1;
    new.at := clock_timestamp();
    new.previous_hash := coalesce(last_hash, decode(repeat('00', 32), 'hex'));
    new.hash := sha256(public.audit_canonical(new));
    return new;
end $$;

create trigger audit_append before insert on audit for each row execute function audit_append();

create function audit_refuse() returns trigger language plpgsql as $$
begin
    raise exception 'the audit is only ever appended to: % is refused', lower(tg_op) using errcode = 'insufficient_privilege';
end $$;

create trigger audit_unchangeable before update or delete on audit for each row execute function audit_refuse();
create trigger audit_untruncatable before truncate on audit for each statement execute function audit_refuse();

-- The role that the server works as: it may do its work in every table, and only look at and append to the audit. Roles
-- belong to the whole cluster: another database may have made it, or be making it at this moment. True when it is
-- there and has its rights.
create function audit_separate() returns boolean language plpgsql as $$
begin
    if not exists (select from pg_roles where rolname = 'landside_server') then
        begin
            create role landside_server nologin;
        exception when duplicate_object or unique_violation or insufficient_privilege then
            null;
        end;
    end if;
    if not exists (select from pg_roles where rolname = 'landside_server') then
        return false;
    end if;
    grant usage on schema public to landside_server;
    grant select, insert, update, delete on all tables in schema public to landside_server;
    grant usage, select on all sequences in schema public to landside_server;
    alter default privileges in schema public grant select, insert, update, delete on tables to landside_server;
    alter default privileges in schema public grant usage, select on sequences to landside_server;
    revoke update, delete, truncate, references, trigger on audit from landside_server;
    if to_regclass('public._sqlx_migrations') is not null then
        revoke insert, update, delete on public._sqlx_migrations from landside_server;
    end if;
    begin
        -- Also to whoever made it: from Postgres 16 on, that alone lets nobody become it.
        if not (select rolsuper from pg_roles where rolname = current_user) then
            grant landside_server to current_user;
        end if;
    exception when insufficient_privilege or undefined_object then
        null; -- Whoever owns the tables cannot become the role; another login may have it.
    end;
    return true;
end $$;

select audit_separate();
