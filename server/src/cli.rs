//! What each sub-command of `landside-server` does.

pub(crate) mod audit;
pub(crate) mod check;
mod database;
pub(crate) mod keys;
pub(crate) mod people;
pub(crate) mod policy;
pub(crate) mod run;
