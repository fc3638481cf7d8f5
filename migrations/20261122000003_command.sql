-- Commands: stored before they are sent, each step with its time and actor.

create table command (
    id            uuid primary key,
    -- Made by whoever asked: the same key of the same person is the same command.
    key           uuid not null,
    issued_by     text not null,
    device_id     text not null references device (id),
    agent_id      text not null references agent (id),
    name          text not null,
    params        jsonb not null,
    risk          text not null,
    ttl_ms        bigint not null,
    timeout_ms    bigint not null,
    state         text not null,
    reason_code   text,
    reason_detail text,
    issued_at     timestamptz not null default now(),
    state_at      timestamptz not null default now(),
    constraint command_key unique (issued_by, key)
);

create index command_device on command (device_id, issued_at desc);
create index command_open on command (id) where state in ('awaiting_approval', 'queued', 'sent', 'delivered', 'accepted', 'executing');

create table command_transition (
    id            bigint generated always as identity primary key,
    command_id    uuid not null references command (id),
    state         text not null,
    reason_code   text,
    reason_detail text,
    actor         text not null,
    source_at     timestamptz,
    at            timestamptz not null default now()
);

create index command_transition_command on command_transition (command_id, id);
