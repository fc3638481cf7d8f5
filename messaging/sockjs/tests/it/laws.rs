//! What holds for every input, whoever makes it up: proptest here, the fuzzer in `messaging/fuzz`.

pub(crate) mod payloads;
pub(crate) mod sessions;
pub(crate) mod urls;
