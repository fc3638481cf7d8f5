//! Which test shows which rule of the specifications: the table of `CONFORMANCE.md`. Pure.
//!
#![doc = include_str!("../CONFORMANCE.md")]
