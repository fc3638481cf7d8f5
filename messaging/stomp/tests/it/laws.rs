//! What holds for every input, whoever makes it up: proptest here, the fuzzer in `messaging/fuzz`.

pub(crate) mod decoding;
pub(crate) mod sessions;
