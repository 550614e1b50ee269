//! The custom resources of the group `stella-ops.org`: `ScanJob`, `Policy`, `ExportProfile`.
//!
//! The manifests under `manifests/` are made from these types by [`manifests`]; a test fails when they differ. Validation that
//! one field alone cannot express stands beside the field as CEL (`x-kubernetes-validations`). No object ever carries findings: a status is
//! a summary and references, and every text and list in it is bounded.
#![forbid(unsafe_code)]
// Each print column has a `type_` and a `description` of its own; clippy takes them for repetitions.
#![allow(clippy::duplicated_attributes)]

mod conditions;
mod export_profile;
mod manifest;
mod policy;
mod policy_rule;
mod policy_scoring;
mod policy_signer;
mod policy_status;
mod scan_job;
mod time_zone;

pub use conditions::{Condition, ConditionStatus, set_condition};
pub use export_profile::*;
pub use manifest::{manifests, yaml};
pub use policy::*;
pub use policy_rule::*;
pub use policy_scoring::*;
pub use policy_signer::*;
pub use policy_status::*;
pub use scan_job::*;

/// The API group of every kind.
pub const GROUP: &str = "stella-ops.org";

/// Annotation that asks for a run now; any new value counts. Echoed in `status.lastHandledReconcileAt`.
pub const RECONCILE_AT: &str = "stella-ops.org/reconcile-at";
