//! The audit log: lines of canonical JSON, each with the hash of the one before.
//!
//! A changed line no longer has its hash; a removed, inserted or moved one breaks the chain to its neighbour. What is
//! cut off the end is found by the *head*: number and hash of the last line, kept in another file and, better, on
//! another machine.

mod entry;
mod log;
mod verify;

pub use entry::{Entry, Event, Head, Outcome, What};
pub use log::{AuditError, AuditLog, CURRENT, HEAD, Place};
pub use verify::{Broken, Checked, Fault, verify, verify_files};

/// The longest line, in bytes.
pub const MAX_LINE: usize = 16 * 1024;
