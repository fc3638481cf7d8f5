-- What was called back before its time: tokens, what tokens come from (logins, families of refresh tokens), and everything
-- that somebody holds. A row is of use only until the last token that it could concern has expired by itself.
create table revocation (
    kind       text not null,
    key        text not null,
    -- Of a subject: tokens made before it are void. Others are void whenever they were made.
    void_until timestamptz not null,
    expires_at timestamptz not null,
    primary key (kind, key)
);
