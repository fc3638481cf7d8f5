//! Who somebody is: passwords, tokens, an external provider, and the policy that decides what they may do.

pub mod access;
pub(crate) mod authenticator;
pub(crate) mod external;
pub mod password;
pub mod policy;
pub mod principal;
pub(crate) mod provider;
pub(crate) mod standing;
pub mod token;
