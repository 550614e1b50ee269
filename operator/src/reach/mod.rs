//! How close each package of an image is to running, from what nodes observed.

mod code;
mod compute;
mod heirs;
mod inherit;
mod worker;

pub use compute::{Observation, Use, uses};
pub use heirs::inherit;
pub use inherit::{Ancestor, Inherited, inherited};
pub use worker::{refresh, run};
