//! Containers that run though policy refuses their image are evicted, where that is switched on (decision 023).
//!
//! ```text
//!   running containers × board ──sentence──► pod? ──pace──► eviction ──► event on the pod, runtime event, metric
//! ```

mod pace;
mod pod;
mod round;
mod sentence;

pub use round::{Enforcement, run};

/// What is done about containers whose image is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is said what would be evicted.
    DryRun,
    /// They are evicted.
    Evict,
}
