//! The built binaries, run as a pipeline runs them.

mod ctl;
mod decisions;
mod delta;
mod formats;
mod ground;
mod hostile;
mod policy;
mod policy_contract;
mod policy_life;
mod policy_objects;
mod policy_test;
mod report;
mod reports;
mod roots;
mod scan;
mod server;
mod stores;
mod support;
mod terminal;
