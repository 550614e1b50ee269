//! What Stella keeps: SQLite behind functions that speak of tenants, images, findings, events and scans.
//!
//! Only this crate knows SQL. Every function takes the tenant it works for. Writes go one at a time through one connection, in
//! immediate transactions; a function that returned `Ok` has its change on disk (`synchronous = FULL`).
#![forbid(unsafe_code)]

mod codec;
mod database;
mod exports;
mod filing;
mod findings;
mod images;
mod ingest;
mod layers;
mod matched;
mod objects;
mod policies;
mod reports;
mod runtime;
mod scans;
mod verdicts;

pub use database::{Store, StoreError};
pub use exports::ExportRun;
pub use filing::Filing;
pub use findings::{Facets, FindingQuery, FindingRow, InheritedUpdate, ReachUpdate, VerdictUpdate};
pub use images::{ImageRecord, ImageSummary};
pub use ingest::Ingested;
pub use matched::StaleImage;
pub use objects::SeenObject;
pub use policies::PolicyRevision;
pub use reports::StoredReport;
pub use runtime::{LoadedFile, ObservedContainer, ObservedEvent};
pub use scans::{NewScan, Scan, ScanEvent, ScanStatus, Submitted};
pub use verdicts::VerdictSince;

pub use stella_inventory::ANALYZER_VERSION;
