//! temp
pub mod clock;
pub mod config;
pub mod driver;
pub mod fault;
pub mod point;
pub mod poll;
pub mod profile;
pub mod reading;
pub mod site;
