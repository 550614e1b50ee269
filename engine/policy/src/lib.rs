//! Rules, scores and verdicts: what a policy says of the findings of an image.
//!
//! ```text
//!   YAML or JSON ──parse──> Document + issues ──Compiled::new──> Compiled ─┐
//!                              │                                           ├─evaluate──> Evaluation
//!                              └── digest: names the revision              │               verdict of each finding,
//!   findings of an image, and where it runs (Context) ─────────────────────┘               of the image, and until when
//! ```
//!
//! A document holds rules or, as `rego`, a Rego source; [`Compiled`] takes both, so that [`evaluate`] is the one function that
//! the API, the controllers, the webhook's view and the command line call. What they need beside it: [`parse`] with
//! [`Format::Rego`], [`Issue::position`] for line and column, [`Evaluation::failures`] for policies that passed a limit (the
//! image is then `Blocked`), [`waived`] for what each waiver hides, [`schema`] for editors.
//!
//! Everything here is a pure function of its arguments: the instant of an evaluation is part of its [`Context`], there is no
//! input or output, and the same question gives the same answer in the API, the operator, the webhook and the CLI. The crate
//! knows neither Kubernetes nor HTTP nor the other crates of the engine but `stella-domain`.
#![forbid(unsafe_code)]

mod action;
mod candidates;
mod compile;
mod document;
mod evaluate;
mod glob;
mod input;
mod issue;
mod json;
mod lint;
mod parse;
mod position;
mod read;
mod rego;
mod schema;
mod score;
mod scoring;
mod verdict;
mod vex;
mod waived;
mod waiver;

pub use action::{Action, ActionKind, Escalation};
pub use compile::{CompileError, Compiled};
pub use document::{DOCUMENT_VERSION, Document, DocumentError, Match, Rule};
pub use evaluate::{Decider, Evaluation, Expired, PolicyError, PolicyFailure, evaluate, evaluate_at};
pub use glob::{Dialect, GlobError, Patterns};
pub use input::{Context, FindingInput, TrustClass};
pub use issue::{FieldProblem, Issue, IssueCode, IssueSeverity, Position};
pub use lint::lint;
pub use parse::{Format, MAX_DOCUMENT_BYTES, Parsed, parse, parse_value};
pub use rego::{
    GUARDED, ImageAnswer, Module, REFUSED, REGO_IMAGE, REGO_PACKAGE, REGO_VERDICT, RegoError, RegoLimits, RegoTest,
    RegoTestOutcome, VerdictAnswer, finding_document, image_document, rego_tests,
};
pub use schema::{SCHEMA_ID, schema};
pub use score::{Confidence, ConfidenceBand, Factors};
pub use scoring::{Penalties, Scoring, UnknownConfidence};
pub use verdict::{Badge, FindingVerdict, ImageVerdict, Status, Summary};
pub use vex::{VexRequirement, VexState, VexStatement};
pub use waived::{Waived, waived};
pub use waiver::Waiver;
