//! Sub-commands that do something else than run the server.

pub(crate) mod audit;
