//! Who somebody is: passwords, tokens, and the policy that decides what they may do.

pub mod access;
pub(crate) mod authenticator;
pub(crate) mod files;
pub(crate) mod in_force;
pub mod password;
pub mod policy;
pub mod principal;
pub(crate) mod standing;
pub mod token;
