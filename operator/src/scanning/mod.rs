//! From an asked-for image to its findings.
//!
//! ```text
//!   ScanJob, POST /api/v1/scans, a running container ──► queue ──► a node's agent reads it, or its registry gives it
//!   POST /scan (archive, SBOM) ─────────────────────────────────────────────────┐
//!                                          inventory in store ◄─────────────────┴── layers that nobody had
//!                                          inventory × index ──► findings
//! ```

mod archives;
mod fair;
mod from_url;
mod heed;
mod held;
mod hub;
mod inventories;
mod layers;
mod matching;
mod place;
mod progress;
mod pull_secrets;
mod pulls;
mod queue;
mod registry;
mod rematch;
mod running;
mod submission;
mod traced;
mod upload;
mod uploads;

pub(crate) use fair::{Work, fair};
pub use heed::heed;
pub use held::{Body, HeldBody, Original};
pub(crate) use held::{Room, is_document};
pub use hub::WorkHub;
pub use inventories::{InventoryError, take_inventory};
pub use matching::{MatchError, Matched, match_image};
pub use place::node_with;
pub use progress::{Following, Progress};
pub use pull_secrets::PullSecretError;
pub use queue::{open_work_id, run};
pub use registry::RegistryError;
pub(crate) use registry::{keyring, keyring_for};
pub use rematch::Changes;
pub(crate) use running::Running;
pub use submission::submit;
pub(crate) use upload::MAX_UPLOAD;
pub use upload::{Takes, Upload, UploadError, scan_body};
pub use uploads::{Reading, Uploads, read_on};
