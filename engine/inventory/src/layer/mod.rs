//! One layer becomes a [`LayerInventory`], its digests verified on the way.
//!
//! ```text
//!   blob ──hash──► inflate ──hash──► tar walk ──► Collector ──► LayerInventory
//! ```

mod aside;
mod budget;
mod held;
mod stream;

use std::io::Read;

use stella_domain::Digest;

use crate::LayerInventory;
use crate::archive::{ArchiveError, TarReader};
use crate::collector::Collector;
use crate::limits::Limits;

pub use budget::Budget;
pub(crate) use budget::KEPT;
pub(crate) use held::{Held, Holding};
pub(crate) use stream::LayerStream;

/// Opens the bytes of a blob from their beginning; may be asked twice.
pub type OpenBlob<'a> = dyn Fn() -> std::io::Result<Box<dyn Read + Send>> + Sync + 'a;

/// Why a layer has no inventory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The blob cannot be opened.
    #[error("layer {layer}: cannot open its blob: {source}")]
    Open {
        /// DiffID of the layer.
        layer: Digest,
        /// What the source said.
        source: std::io::Error,
    },
    /// The blob cannot be read or unpacked, or exceeds a limit.
    #[error("layer {layer}: {source}")]
    Archive {
        /// DiffID of the layer.
        layer: Digest,
        /// What is wrong, and at which entry.
        source: ArchiveError,
    },
    /// The bytes are not those the manifest names.
    #[error("layer {layer}: its blob should be {expected} and is {found}")]
    BlobDigest {
        /// DiffID of the layer.
        layer: Digest,
        /// Digest in the manifest.
        expected: Digest,
        /// Digest of the bytes.
        found: Digest,
    },
    /// The uncompressed bytes are not those the configuration names.
    #[error("layer {layer}: its uncompressed bytes are {found}, so its diffID is wrong")]
    DiffId {
        /// DiffID of the layer as the configuration names it.
        layer: Digest,
        /// Digest of the uncompressed bytes.
        found: Digest,
    },
}

/// A layer as an image names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerDigests {
    /// Digest of the blob as stored, where the image names one.
    pub blob: Option<Digest>,
    /// Digest of the uncompressed bytes.
    pub diff_id: Digest,
}

/// Reads one layer.
///
/// # Errors
/// [`LayerError`] when it cannot be read, exceeds `limits` or `budget`, or either digest is wrong. A file that a
/// cataloger cannot parse is recorded in the inventory instead.
pub fn read_layer(
    open: &OpenBlob<'_>,
    digests: LayerDigests,
    limits: &Limits,
    budget: &Budget,
) -> Result<LayerInventory, LayerError> {
    let layer = digests.diff_id;
    let walk = |collector: &mut Collector<'_>, budget: &Budget| {
        let blob = open().map_err(|source| LayerError::Open { layer, source })?;
        let found =
            walk_layer(blob, collector, limits, budget).map_err(|source| LayerError::Archive { layer, source })?;
        found.check(digests)
    };
    let mut collector = Collector::new(limits).beside_others(budget.held());
    walk(&mut collector, budget)?;
    if collector.needs_second_pass() {
        collector.start_second_pass();
        walk(&mut collector, &budget.for_second_pass())?;
    }
    Ok(collector.finish(layer))
}

/// What a stream turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FoundDigests {
    pub(crate) blob: Digest,
    pub(crate) diff_id: Digest,
}

impl FoundDigests {
    pub(crate) fn check(self, wanted: LayerDigests) -> Result<(), LayerError> {
        let layer = wanted.diff_id;
        match wanted.blob {
            Some(expected) if expected != self.blob => {
                Err(LayerError::BlobDigest { layer, expected, found: self.blob })
            }
            _ if self.diff_id != layer => Err(LayerError::DiffId { layer, found: self.diff_id }),
            _ => Ok(()),
        }
    }
}

/// Walks a possibly compressed tar from its first to its last byte.
pub(crate) fn walk_layer<R: Read>(
    blob: R,
    collector: &mut Collector<'_>,
    limits: &Limits,
    budget: &Budget,
) -> Result<FoundDigests, ArchiveError> {
    let failed = |source| ArchiveError::Read { after: String::new(), source };
    let stream = LayerStream::open(blob, limits, budget).map_err(failed)?;
    let mut walk = TarReader::new(stream, limits);
    let mut last = String::new();
    while let Some(entry) = walk.next_entry()? {
        collector.entry(&entry, &mut walk.body()).map_err(|source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => ArchiveError::Truncated { after: entry.path.clone() },
            _ => ArchiveError::Read { after: entry.path.clone(), source },
        })?;
        if let Err(exceeded) = budget.keep(collector.freshly_kept()) {
            return Err(ArchiveError::Limit { entry: entry.path, what: exceeded.what, max: exceeded.max });
        }
        last = entry.path;
    }
    walk.into_source().finish().map_err(|source| ArchiveError::Read { after: last, source })
}
