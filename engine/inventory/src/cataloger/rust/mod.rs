//! Rust: `Cargo.lock`, and what `cargo auditable` leaves in executables. One that was built without it does not
//! tell what it was built from.

mod auditable;
mod lock;

pub(super) use auditable::{SECTION, parse as parse_executable};
pub(super) use lock::LOCK;
