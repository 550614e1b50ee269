//! Images, layers and SBOMs become packages and files.
//!
//! ```text
//!   archive, layout, registry blobs ──► LayerInventory (one a diffID) ──fold──► Inventory
//!   SBOM ─────────────────────────────────────────────────────────────────────► Inventory
//! ```
#![forbid(unsafe_code)]

pub mod model;

pub use model::*;
