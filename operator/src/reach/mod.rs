//! How close each package of an image is to running, from what nodes observed.

mod compute;
mod worker;

pub use compute::{Observation, Use, uses};
pub use worker::{refresh, run};
