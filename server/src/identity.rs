//! Who somebody is: passwords, tokens, and the policy that decides what they may do.

pub mod access;
pub mod admission;
pub(crate) mod authenticator;
pub(crate) mod files;
pub(crate) mod gate;
pub(crate) mod in_force;
pub(crate) mod invitation;
pub(crate) mod key_file;
pub mod lockout;
pub mod password;
pub mod password_rule;
pub mod policy;
pub mod principal;
pub(crate) mod standing;
pub mod tally;
pub mod token;
pub mod totp;
