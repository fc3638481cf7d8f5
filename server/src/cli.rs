//! What each sub-command of `landside-server` does.

pub(crate) mod audit;
pub(crate) mod run;
