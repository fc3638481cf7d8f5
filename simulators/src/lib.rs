//! The airport without the airport: equipment that behaves, fails on cue, and keeps a truth log.
