//! The admission webhook: answers the API server's reviews from verdicts it holds, and never waits for a scan.
//!
//! ```text
//!   operator ──stream──> verdicts ──View──┐
//!                           │ disk        v
//!   API server ──review──> server ──> decision ──> answer
//!                                         └──> scans, refusals, records  (nobody waits for these)
//! ```
//!
//! `decision` and `reference` do no input or output and know no clock; everything that talks to the operator or the
//! cluster stands beside them and may fail without a review noticing.
#![forbid(unsafe_code)]

mod away;
pub mod break_glass;
pub mod certificates;
pub mod cli;
pub mod decision;
#[cfg(test)]
mod fixture;
pub mod metrics;
pub mod problem;
pub mod records;
pub mod reference;
pub mod refusals;
pub mod replay;
pub mod review;
pub mod scans;
pub mod serve;
pub mod server;
pub mod set_back;
pub mod verdicts;
