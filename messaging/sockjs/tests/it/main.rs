//! What a client may rely on, and what holds for every input.

mod laws;
mod properties;
