//! Rules, scores and verdicts: what a policy says of the findings of an image.
//!
//! ```text
//!   YAML or JSON ──parse──> Document + issues ──Compiled::new──> Compiled ─┐
//!                              │                                           ├─evaluate──> Evaluation
//!                              └── digest: names the revision              │               verdict of each finding,
//!   findings of an image, and where it runs (Context) ─────────────────────┘               of the image, and until when
//! ```
//!
//! Everything here is a pure function of its arguments: the instant of an evaluation is part of its [`Context`], there is no
//! input or output, and the same question gives the same answer in the API, the operator, the webhook and the CLI. The crate
//! knows neither Kubernetes nor HTTP nor the other crates of the engine but `stella-domain`.
#![forbid(unsafe_code)]

mod action;
mod compile;
mod document;
mod evaluate;
mod glob;
mod input;
mod issue;
mod lint;
mod parse;
mod read;
mod score;
mod scoring;
mod verdict;
mod vex;
mod waiver;

pub use action::{Action, ActionKind, Escalation};
pub use compile::{CompileError, Compiled};
pub use document::{DOCUMENT_VERSION, Document, DocumentError, Match, Rule};
pub use evaluate::{Decider, Evaluation, Expired, evaluate, evaluate_at};
pub use glob::{Dialect, GlobError, Patterns};
pub use input::{Context, FindingInput, TrustClass};
pub use issue::{FieldProblem, Issue, IssueCode, IssueSeverity};
pub use lint::lint;
pub use parse::{Format, MAX_DOCUMENT_BYTES, Parsed, parse, parse_value};
pub use score::{Confidence, ConfidenceBand, Factors};
pub use scoring::{Penalties, Scoring, UnknownConfidence};
pub use verdict::{Badge, FindingVerdict, ImageVerdict, Status, Summary};
pub use vex::{VexRequirement, VexState, VexStatement};
pub use waiver::Waiver;
