//! How close each package of an image is to running, from what nodes observed.

mod beforehand;
mod code;
mod compute;
mod heirs;
mod inherit;
mod unowned;
mod worker;

pub use beforehand::{catch_up, fill_in};
pub use compute::{Observation, Use, uses};
pub use inherit::{Ancestor, Inherited, inherited};
pub use worker::run;
