//! Pulls from a real registry, from one that a test leads, and from a hostile one.

mod distribution;
mod hostile;
mod pulls;
mod support;
