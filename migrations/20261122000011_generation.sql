-- What takes a right away counts the generation of its holder up, in its own transaction; whoever reads rights reads their
-- generation with them, and tokens carry it. What came from an older generation is void, however late it came.
alter table subject add column generation bigint not null default 0;

-- Applications are in the one name space as well: nobody is called like one.
alter table subject drop constraint subject_kind_check;
alter table subject add constraint subject_kind_check check (kind in ('person', 'client', 'application'));

create or replace function claim_subject() returns trigger language plpgsql as $$
declare
    claimed text;
    owner   text;
begin
    if tg_table_name = 'person' then claimed := new.name; else claimed := new.id; end if;
    insert into subject (name, kind) values (claimed, tg_table_name) on conflict do nothing;
    select kind into owner from subject where name = claimed;
    if owner <> tg_table_name then
        raise exception using errcode = 'unique_violation', constraint = 'subject_kind',
            message = format('the %s %s cannot be, since the %s %s has that name: call one of them something else',
                             tg_table_name, claimed, owner, claimed);
    end if;
    return new;
end
$$;

-- One that is disabled has no name to lose: whoever meets this clash takes the application out of the access file first.
do $$
declare
    clash record;
begin
    select a.id, s.kind into clash from application a join subject s on s.name = a.id where a.disabled_at is null limit 1;
    if found then
        raise exception 'the application % and the % % have one name: with the version before this one, take the application out of the access file, or call it something else',
            clash.id, clash.kind, clash.id;
    end if;
end
$$;

insert into subject (name, kind) select id, 'application' from application where disabled_at is null;

create trigger application_subject before insert on application for each row execute function claim_subject();

-- `void_until` is when it was called back, by this database's clock from now on: servers follow what is new. `holder`: whose
-- live sessions are told of it; none: everybody's.
alter table revocation add column holder text, add column generation bigint not null default 0;

-- Tokens of before have no generation, which counts as none: what was called back of somebody stays so.
update subject set generation = 1 where name in (select key from revocation where kind = 'subject');
update revocation set generation = 1, holder = key where kind = 'subject';

create index revocation_new on revocation (void_until);
