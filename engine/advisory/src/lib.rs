//! Feeds become an index, inventories become matches.
//!
//! ```text
//!   feeds (OSV, CVE, KEV, EPSS) ──read──► advisories ──merge by alias──► groups ──build──► index file (mapped, immutable)
//!   Inventory × index ──match──► Match (one a group, package and location)
//! ```
//!
//! Nothing here has a clock, opens a socket or writes outside the file it is asked to build.
#![deny(unsafe_code)]

pub mod advisory;
pub mod artifacts;
pub mod cvss;
pub mod epss;
pub mod feed;
pub mod index;
pub mod matching;
pub mod merge;
pub mod naming;
pub mod osv;
pub mod range;
pub mod version;
pub mod vex;

pub use artifacts::{Artifacts, ArtifactsError};
pub use index::{Index, IndexError};
pub use matching::{Hit, Match, hits, match_inventory};
