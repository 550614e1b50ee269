//! Objects of the cluster (or of a folder) to work, and what came of it to their status.
//!
//! One function a kind works out the status: [`scan_job::observe`], [`policy::observe`], [`export_profile::observe`]. What feeds them is
//! either the cluster ([`cluster`]) or a folder of manifests ([`folder`]).

pub mod cluster;
pub mod export_profile;
pub mod folder;
pub mod lease;
pub mod policy;
pub mod scan_job;
mod schedule;
mod status;

use std::time::Duration;

use stella_crds::RECONCILE_AT;
use stella_store::StoreError;

use crate::exporting::ExportError;
use crate::judging::SurveyError;
use crate::reports::ReportingError;

/// Why an object could not be worked on; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Looking over the images ended early.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// The report.
    #[error(transparent)]
    Report(#[from] ReportingError),
    /// The export.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The cluster.
    #[error("the cluster refused: {0}")]
    Cluster(#[from] kube::Error),
    /// The object lacks its name or namespace.
    #[error("the object has no {0}")]
    Nameless(&'static str),
}

impl ReconcileError {
    /// The reason for events and metrics, of a closed set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Store(_) | Self::Survey(SurveyError::Store(_)) => "StoreFailed",
            Self::Survey(_) => "Interrupted",
            Self::Report(_) => "ReportFailed",
            Self::Export(_) => "ExportFailed",
            Self::Cluster(_) => "ClusterFailed",
            Self::Nameless(_) => "ObjectInvalid",
        }
    }
}

/// A new status, and when to look again although nothing changed.
#[derive(Debug, Clone)]
pub struct Observed<S> {
    /// The status.
    pub status: S,
    /// When to look again.
    pub again: Duration,
    /// Whether the object is to be deleted now.
    pub delete: bool,
}

/// The value of the annotation that asks for a run, when it is new.
fn asked_now<'a>(
    annotations: &'a std::collections::BTreeMap<String, String>,
    handled: Option<&String>,
) -> Option<&'a String> {
    annotations.get(RECONCILE_AT).filter(|value| Some(*value) != handled)
}
