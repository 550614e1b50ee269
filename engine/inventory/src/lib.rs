//! Images, layers and SBOMs become packages and files.
//!
//! ```text
//!   archive, layout, registry blobs ──► LayerInventory (one a diffID) ──fold──► Inventory
//!   root of a container, unpacked layers ─────────────────────────────────────► Inventory
//!   SBOM ─────────────────────────────────────────────────────────────────────► Inventory
//! ```
//!
//! Everything read here is foreign and may be hostile: it is bounded by [`Limits`], and nothing is ever written
//! to disk.
#![forbid(unsafe_code)]

pub mod archive;
mod artifact;
pub mod cataloger;
mod collector;
mod end_of_life;
mod fold;
mod identity;
pub mod image;
pub mod layer;
mod limits;
mod links;
pub mod model;
mod path_set;
pub mod purl;
mod rootfs;
pub mod sbom;

pub use artifact::Artifact;
pub use end_of_life::{EndOfLife, Support};
pub use fold::fold;
pub use limits::{Limits, LimitsError};
pub use model::*;
pub use path_set::PathSet;
pub use rootfs::stacked;
pub use rootfs::{RootfsError, rootfs};

/// Version of the analyzers. It is part of the key of what they made, so that newer ones look again.
pub const ANALYZER_VERSION: i64 = 7;
