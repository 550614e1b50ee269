//! Blobs from anywhere: registries, content stores, archives.

use std::collections::HashSet;
use std::io::{self, Read};
use std::num::NonZero;
use std::thread::available_parallelism;

use rayon::ThreadPoolBuilder;
use rayon::prelude::*;
use stella_domain::Digest;

use crate::LayerInventory;
use crate::layer::{Budget, LayerDigests, LayerError, OpenBlob, read_layer};
use crate::limits::Limits;

use super::ImageError;
use super::manifest::{ImageConfig, Manifest, ManifestError};

/// Something that holds blobs. Its bytes are not trusted: every digest is computed from what it gives.
pub trait BlobSource: Sync {
    /// Opens the blob of this digest at its beginning; may be called more than once for one blob, and from
    /// several threads.
    ///
    /// # Errors
    /// `NotFound` when it has no such blob, or what kept it from being read.
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>>;
}

/// Reads the layers whose diffID `want` accepts, at the same time as far as there are processors, each with a
/// fixed amount of memory. Every distinct diffID is read once; the inventories come in the image's order.
///
/// # Errors
/// [`ImageError`] naming the first layer that cannot be read, is not what its digests say, or exceeds `limits`.
pub fn read_layers(
    source: &dyn BlobSource,
    manifest: &Manifest,
    config: &ImageConfig,
    want: &dyn Fn(&Digest) -> bool,
    limits: &Limits,
) -> Result<Vec<LayerInventory>, ImageError> {
    check_counts(manifest.layers.len(), config, limits)?;
    let digests = manifest.layers.iter().zip(&config.rootfs.diff_ids);
    let layers = digests.map(|(blob, diff_id)| LayerDigests { blob: Some(blob.digest), diff_id: *diff_id }).collect();
    let open = |layer: &LayerDigests| source.open(&layer.blob.unwrap_or(layer.diff_id));
    read_wanted(wanted(layers, want), &open, limits)
}

pub(super) fn check_counts(blobs: usize, config: &ImageConfig, limits: &Limits) -> Result<(), ManifestError> {
    let diff_ids = config.rootfs.diff_ids.len();
    if blobs != diff_ids {
        return Err(ManifestError::LayerCount { blobs, diff_ids });
    }
    if blobs > limits.max_layers {
        return Err(ManifestError::TooManyLayers { found: blobs, max: limits.max_layers });
    }
    Ok(())
}

/// The first of each distinct layer that is wanted.
pub(super) fn wanted(layers: Vec<LayerDigests>, want: &dyn Fn(&Digest) -> bool) -> Vec<LayerDigests> {
    let mut seen = HashSet::new();
    layers.into_iter().filter(|layer| seen.insert(layer.diff_id) && want(&layer.diff_id)).collect()
}

pub(super) type OpenLayer<'a> = dyn Fn(&LayerDigests) -> io::Result<Box<dyn Read + Send>> + Sync + 'a;

/// Reads `layers` on threads of their own, more than there are processors: of three equal layers on two processors the third
/// would else be read alone, with nothing to do for the other.
pub(super) fn read_wanted(
    layers: Vec<LayerDigests>,
    open: &OpenLayer<'_>,
    limits: &Limits,
) -> Result<Vec<LayerInventory>, ImageError> {
    let budget = Budget::new(limits);
    let read = |layer: LayerDigests| {
        let open: &OpenBlob<'_> = &|| open(&layer);
        read_layer(open, layer, limits, &budget)
    };
    let threads = layers.len().min(2 * available_parallelism().map_or(1, NonZero::get)).max(1);
    let all = || layers.into_par_iter().with_max_len(1).map(read).collect::<Result<Vec<_>, LayerError>>();
    let inventories = match ThreadPoolBuilder::new().num_threads(threads).thread_name(|_| "layer".to_owned()).build() {
        Ok(pool) => pool.install(all),
        Err(_) => all(),
    };
    Ok(inventories?)
}
