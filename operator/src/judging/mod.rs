//! Findings × policies: verdicts for webhooks, for the API and for the status of policies.
//!
//! ```text
//!   Policy objects ──► revisions ──► scopes (sets of policies that hold in the same namespaces)
//!   scope × image ──► decision ──► board ──► streams to the webhooks
//! ```

mod beforehand;
mod board;
mod findings;
mod pending;
mod policies;
mod scopes;
mod worker;

pub use beforehand::judge_rows;
pub use board::{Board, Subscription};
pub(crate) use findings::repository;
pub use findings::{Facts, Judged, Subject, evaluated, judge_image, readable};
pub use pending::{Known, Pending};
pub use policies::{Compilations, LoadedPolicy, PolicySet, digest_of, document, load};
pub use scopes::{Ground, Scope, Scopes, scopes};
pub use worker::{projection, run};
