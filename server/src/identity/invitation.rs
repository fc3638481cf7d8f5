//! Links by which somebody comes in for the first time, or again after losing what they knew. Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use sha2::{Digest, Sha256};

/// Long enough to be handed over, short enough to be forgotten safely.
pub(crate) const GOOD_FOR: TimeDelta = TimeDelta::hours(24);

/// A new link's token, from random bytes.
pub(crate) fn token(random: [u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(random)
}

/// What is stored of it.
pub(crate) fn token_hash(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}

/// The path of a link.
pub(crate) fn path(token: &str) -> String {
    format!("/invitation/{token}")
}
