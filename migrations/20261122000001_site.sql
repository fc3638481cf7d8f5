-- The site as it was announced: zones, agents, profiles, devices.

create table zone (
    id       text primary key,
    name_ko  text not null,
    name_en  text not null,
    position integer not null default 0,
    -- Named by the configuration; others are shown only while devices stand in them.
    configured boolean not null default false
);

create table agent (
    id           text primary key,
    instance     uuid not null,
    epoch        uuid not null,
    version      text not null,
    inventory_at timestamptz not null default now()
);

-- A profile as it was announced, under the SHA-256 of the announcement: never changed, so that nobody can change what
-- the devices of another agent are by naming the same file, and an old event can be read with the words of its time.
create table profile (
    hash     text primary key,
    id       text not null,
    body     jsonb not null,
    first_at timestamptz not null default now()
);

create table device (
    id           text primary key,
    agent_id     text not null references agent (id),
    zone_id      text not null references zone (id),
    lane_id      text,
    name_ko      text not null,
    name_en      text not null,
    profile_hash text not null references profile (hash),
    line_id      text not null,
    position     integer not null,
    announced_at timestamptz not null default now(),
    -- No longer in its agent's inventory since: kept, for its history.
    retired_at   timestamptz,
    approved_at  timestamptz,
    approved_by  text
);

create index device_agent on device (agent_id);
