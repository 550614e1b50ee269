//! The built binaries, run as a pipeline runs them.

mod ctl;
mod delta;
mod formats;
mod policy;
mod policy_contract;
mod policy_life;
mod report;
mod roots;
mod scan;
mod server;
mod stores;
mod support;
mod terminal;
