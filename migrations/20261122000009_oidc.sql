-- People whom an external identity provider knows: who they are there is the pair of issuer and subject, never a name or
-- an e-mail address, which change hands. They have no password here.
alter table person
    alter column password_hash drop not null,
    add column issuer         text,
    add column issuer_subject text,
    add constraint person_issuer_subject unique (issuer, issuer_subject),
    add constraint person_issuer_whole check ((issuer is null) = (issuer_subject is null));

-- A provider may vouch for a second factor.
alter table login add column if not exists second_factor_at timestamptz;
