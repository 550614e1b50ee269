//! The words every part of Stella uses: digests, tenants, severities, reachability, instants.
//!
//! ```text
//!   Digest ── names an image, a layer, a blob          Tenant ── owns every row
//!   Severity ── how bad an advisory says it is         Reachability ── how close the code is to running
//!   Timestamp ── an instant as the wire shows it
//! ```
//!
//! Every type here is parsed once at the edge and cannot hold a wrong value afterwards. The crate does no
//! input or output, has no clock and knows none of its users.
#![forbid(unsafe_code)]

mod digest;
mod finding_place;
mod reachability;
mod severity;
mod tenant;
mod timestamp;

pub use digest::{Digest, DigestError, Hasher};
pub use finding_place::finding_place;
pub use reachability::Reachability;
pub use severity::{Severity, SeverityError};
pub use tenant::{Tenant, TenantError};
pub use timestamp::Timestamp;
