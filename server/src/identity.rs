//! Who somebody is: passwords, tokens, an external provider, and the policy that decides what they may do.

pub mod access;
pub mod admission;
pub(crate) mod authenticator;
pub(crate) mod external;
pub(crate) mod files;
pub(crate) mod gate;
pub(crate) mod grant;
pub(crate) mod idle_lock;
pub(crate) mod in_force;
pub(crate) mod invitation;
pub(crate) mod key_file;
pub(crate) mod keys;
pub mod lockout;
pub(crate) mod passcode;
pub mod password;
pub mod password_rule;
pub mod policy;
pub mod principal;
pub(crate) mod provider;
pub mod rotation;
pub mod secret;
pub(crate) mod standing;
pub mod tally;
pub mod token;
pub mod totp;
