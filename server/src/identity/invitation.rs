//! Links by which somebody comes in for the first time, or again after losing what they knew. Pure.

use chrono::TimeDelta;

/// Long enough to be handed over, short enough to be forgotten safely.
pub(crate) const GOOD_FOR: TimeDelta = TimeDelta::hours(24);

/// The path of a link.
pub(crate) fn path(token: &str) -> String {
    format!("/invitation/{token}")
}
