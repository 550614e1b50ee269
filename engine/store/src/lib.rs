//! What Stella keeps: SQLite or PostgreSQL behind functions that speak of tenants, images, findings, events and scans.
//!
//! Only this crate knows SQL, and one text serves both databases (decision 014). Every function takes the tenant it works for. On
//! SQLite writes take turns, in immediate transactions, and what a scan keeps is written on one thread (decision 037); on PostgreSQL
//! a function that writes what it read before holds a lock that its subject gives. A function that returned `Ok` has its change on
//! disk. What is large may
//! lie outside of the database, in a place that others bring along (decision 039).
#![forbid(unsafe_code)]

mod authority;
mod backup;
mod blobs;
mod checkpoints;
mod codec;
mod database;
mod decisions;
mod exports;
mod filing;
mod finding_counts;
mod finding_query;
mod findings;
mod first_seen;
mod forgetting;
mod hints;
mod images;
mod ingest;
mod installation;
mod kept_ids;
mod lack;
mod layers;
mod leases;
mod limits;
mod local;
mod matched;
mod nodes;
mod objects;
mod policies;
mod pull_secrets;
mod reports;
mod runtime;
mod scan_source;
mod scans;
mod schema;
mod signature_checks;
mod sql;
mod submit;
mod verdicts;
mod vex;
mod waivers;
mod writing;

pub use backup::{blobs_of_copy, check_copy, installation_of_copy, without_blobs};
pub use blobs::{BlobError, Blobs, Claim, Doing, Place};
pub use database::{Store, StoreError};
pub use decisions::{DecisionBounds, DecisionRow};
pub use exports::ExportRun;
pub use filing::Filing;
pub use findings::{Facets, FindingQuery, FindingRow, InheritedUpdate, ReachUpdate, VerdictUpdate};
pub use hints::Hints;
pub use images::{ImageRecord, ImageSummary, PackedInventory};
pub use ingest::Ingested;
pub use installation::{Installation, InstallationError};
pub use lack::{Lack, lack};
pub use limits::{BucketLevel, Idempotent};
pub use matched::StaleImage;
pub use nodes::{NodeContainers, NodeRow};
pub use objects::SeenObject;
pub use policies::{Imported, PolicyRevision};
pub use pull_secrets::PullSecrets;
pub use reports::StoredReport;
pub use runtime::{LoadedFile, NotableEvent, ObservedContainer, ObservedEvent};
pub use scan_source::ScanSource;
pub use scans::{NewScan, Scan, ScanEvent, ScanStatus};
pub use signature_checks::{SignatureCheck, Unchecked};
pub use submit::Submitted;
pub use verdicts::VerdictSince;
pub use vex::{VexDocumentRow, VexStamp};
pub use waivers::WaiverRow;

pub use stella_inventory::ANALYZER_VERSION;
