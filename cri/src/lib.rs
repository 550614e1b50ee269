//! Container runtimes, asked over their Unix sockets: calls of CRI, and what containerd keeps of images.
//!
//! ```text
//!   Connection ─┬─ CRI: the caller's own questions, with `messages`
//!               ├─ ContentStore ─► StoredImage: manifest, configuration, packed layers
//!               └─ snapshots ────► folders of unpacked layers, where the packed ones are gone
//! ```
//!
//! The messages are written by hand: a dozen fields do not need a protocol compiler in the build.

mod codec;
mod connection;
mod content;
mod image;
pub mod messages;
mod snapshots;

use std::path::Path;

pub use connection::{Connection, CriError};
pub use content::ContentStore;
pub use image::{StoredImage, StoredImageError};
pub use snapshots::{SnapshotError, unpacked_layers};

/// Sockets looked for when none is named.
const USUAL_SOCKETS: [&str; 4] = [
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/cri-dockerd.sock",
];

/// containerd's snapshotter where none is named.
pub const USUAL_SNAPSHOTTER: &str = "overlayfs";

/// The first of the usual sockets that exists.
#[must_use]
pub fn usual_endpoint() -> Option<&'static str> {
    USUAL_SOCKETS.into_iter().find(|socket| Path::new(socket).exists())
}
