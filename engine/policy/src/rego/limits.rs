//! How much a question to a Rego policy may cost.

use std::time::Duration;

/// Limits of one evaluation. The count of instructions is what stops an endless policy, the same on every machine; the times
/// are there for what a single instruction may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegoLimits {
    /// Instructions for one question.
    pub instructions: usize,
    /// Bytes that one question may ask for, all of them together, whether given back or not.
    pub memory_bytes: u64,
    /// Bytes of one answer as JSON.
    pub output_bytes: usize,
    /// For one question.
    pub time: Duration,
    /// For all questions of one evaluation.
    pub total_time: Duration,
}

impl Default for RegoLimits {
    fn default() -> Self {
        Self {
            instructions: 250_000,
            memory_bytes: 64 << 20,
            output_bytes: 64 << 10,
            time: Duration::from_secs(2),
            total_time: Duration::from_secs(30),
        }
    }
}
