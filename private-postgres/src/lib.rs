//! A private Postgres cluster in a data directory: found, made, started, adopted, stopped.
