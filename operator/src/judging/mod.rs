//! Findings × policies: verdicts for webhooks, for the API and for the status of policies.
//!
//! ```text
//!   Policy objects ──► revisions ──► scopes (sets of policies that hold in the same namespaces)
//!   scope × image ──► decision ──► board ──► streams to the webhooks
//! ```

mod beforehand;
mod board;
mod difference;
mod entry;
mod findings;
mod impact;
mod pending;
mod policies;
mod projections;
mod proposed;
mod ruleset;
mod said;
mod scopes;
mod shelves;
mod stand_in;
mod survey;
mod worker;

pub use beforehand::judge_rows;
pub use board::{Board, Subscription};
pub use difference::difference;
pub(crate) use findings::repository;
pub use findings::{Facts, Judged, Subject, entrypoints, evaluated, judge_image, readable, waived_of};
pub use impact::impact;
pub use pending::{Known, Pending};
pub use policies::{
    Compilations, IMPORT, LoadedPolicy, PolicySet, WAIVERS, digest_of, document, document_of, load, waiver,
};
pub use projections::{Basis, Projections};
pub use proposed::proposed;
pub use ruleset::ruleset;
pub use said::{explained, said_of};
pub use scopes::{Ground, Scope, Scopes, scopes};
pub use shelves::Shelves;
pub use stand_in::scope_with;
pub use survey::{KnownImage, SurveyError, each_image};
pub use worker::{projection, run};
