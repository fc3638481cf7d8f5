//! A whole small airport on one machine, in the foreground.
