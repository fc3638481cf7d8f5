-- Signing keys are sealed under a key that is not in this database. Those that lie open from before are sealed when the server
-- starts.
alter table signing_key rename column private_der to secret;
alter table signing_key add column is_sealed boolean not null default false;
