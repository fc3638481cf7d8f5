-- Secrets that are offered to an app, and not confirmed yet: one for each login that asks, so that whoever had the page open
-- before has another secret than the one that is confirmed in the end.

create table second_factor_offer (
    login_id      uuid primary key references login (id) on delete cascade,
    -- Encrypted under a key that is not in this database.
    sealed_secret bytea not null,
    offered_at    timestamptz not null default now()
);

-- Until now an offer stood where the confirmed one goes, for ever.
delete from second_factor where confirmed_at is null;
alter table second_factor
    alter column confirmed_at set default now(),
    alter column confirmed_at set not null;

-- When the person of a login last showed the password, or signed in at the provider.
alter table login add column proved_at timestamptz not null default now();
update login set proved_at = created_at;
