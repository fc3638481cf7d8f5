//! Who somebody is: passwords, tokens, and the policy that decides what they may do.

pub mod access;
pub mod password;
pub mod policy;
pub mod token;
