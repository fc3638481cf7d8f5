//! The pages as a whole: what they say, what they must never say, and what they are made of.

mod escaping;
mod html;
mod live;
mod pages;
mod sample;
mod sources;
