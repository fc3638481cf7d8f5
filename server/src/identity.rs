//! Who somebody is: passwords, tokens, and the policy that decides what they may do.

pub mod access;
pub(crate) mod authenticator;
pub(crate) mod grant;
pub(crate) mod keys;
pub(crate) mod passcode;
pub mod password;
pub mod policy;
pub mod principal;
pub mod rotation;
pub mod secret;
pub(crate) mod standing;
pub mod token;
