//! `read-image`: one image of this node becomes an inventory at the server. A process of its own, because what it
//! reads is foreign.

mod limits;
mod report;
mod store;

use std::io;

use stella_api::node::{NodeInventory, NodeReading};
use stella_domain::Digest;
use stella_inventory::Limits;
use stella_inventory::image::{
    ImageConfig, ImageError, Manifest, ManifestError, ManifestOrIndex, Platform, parse_config, parse_manifest_or_index,
    read_layers,
};

use crate::cli;
use crate::cri::{Connection, Cri, CriError};
use crate::server::{Server, ServerError};
use report::{Report, ReportError};
use store::ContentStore;

/// Why an image could not be read, or its inventory not be sent.
#[derive(Debug, thiserror::Error)]
pub enum ReadImageError {
    /// Neither reference nor digest.
    #[error("name an image: --image-ref or --digest")]
    NoImage,
    /// No server to send to.
    #[error("name the --server the inventory goes to")]
    NoServer,
    /// No runtime to ask.
    #[error("no container runtime: name its socket with --runtime-endpoint")]
    NoRuntime,
    /// The runtime failed.
    #[error(transparent)]
    Cri(#[from] CriError),
    /// The runtime has no such image.
    #[error("the runtime has no image {0}")]
    Unknown(String),
    /// A document of the image.
    #[error("cannot read {what}: {source}")]
    Document {
        /// Which.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A manifest or configuration is of no use.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A layer cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The server cannot be asked.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The server did not take it.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// An image whose documents were read and verified.
struct Found {
    name: String,
    /// Index, manifest, configuration.
    digests: Vec<Digest>,
    manifest_digest: Digest,
    manifest: Manifest,
    config: ImageConfig,
}

/// Reads the image and sends its inventory, or why it could not be read. Blocks; must be called within a runtime
/// of several threads, outside its tasks.
///
/// # Errors
/// When it could not be read or not be sent.
pub fn run(flags: &cli::ReadImage) -> Result<(), ReadImageError> {
    limits::bind_self();
    if flags.image_ref.is_none() && flags.digest.is_none() {
        return Err(ReadImageError::NoImage);
    }
    let report = Report::new(Server::new(&flags.server).ok_or(ReadImageError::NoServer)?);
    let mut inventory = NodeInventory {
        node: flags.node.clone(),
        work_id: flags.work_id.clone(),
        image_ref: flags.image_ref.clone().unwrap_or_default(),
        digests: flags.digest.into_iter().collect(),
        image_digest: flags.digest,
        outcome: NodeReading::Failed { reason: String::new() },
    };
    let read = read(flags, &report, &mut inventory);
    if let Err(error) = &read {
        inventory.outcome = NodeReading::Failed { reason: error.to_string() };
        report.send(&inventory)?;
    }
    read
}

fn read(flags: &cli::ReadImage, report: &Report, inventory: &mut NodeInventory) -> Result<(), ReadImageError> {
    let endpoint = flags.runtime_endpoint.as_deref().or_else(|| Cri::usual_endpoint());
    let store = ContentStore::new(Connection::new(endpoint.ok_or(ReadImageError::NoRuntime)?)?);
    let found = find(&store, flags)?;
    if inventory.image_ref.is_empty() {
        inventory.image_ref.clone_from(&found.name);
    }
    inventory.digests.clone_from(&found.digests);
    inventory.image_digest = Some(found.manifest_digest);

    let mut wanted = report.missing(&found.config.rootfs.diff_ids)?;
    // Once more if the server lost some meanwhile; it says which.
    for _ in 0..2 {
        let want = |diff_id: &Digest| wanted.contains(diff_id);
        let layers = read_layers(&store, &found.manifest, &found.config, &want, &Limits::default())?;
        inventory.outcome = NodeReading::Layers { diff_ids: found.config.rootfs.diff_ids.clone(), layers };
        wanted = report.send(inventory)?;
        if wanted.is_empty() {
            return Ok(());
        }
    }
    Err(ReportError::StillMissing(wanted.len()).into())
}

fn find(store: &ContentStore, flags: &cli::ReadImage) -> Result<Found, ReadImageError> {
    let asked = || match (&flags.image_ref, &flags.digest) {
        (Some(name), _) => name.clone(),
        (None, Some(digest)) => digest.to_string(),
        (None, None) => String::new(),
    };
    let (name, target) = store
        .find(flags.image_ref.as_deref(), flags.digest.as_ref())?
        .ok_or_else(|| ReadImageError::Unknown(asked()))?;
    let document =
        |what, digest: &Digest| store.document(digest).map_err(|source| ReadImageError::Document { what, source });
    let mut digests = vec![target];
    let mut manifest_digest = target;
    let manifest = match parse_manifest_or_index(&document("the manifest", &target)?)? {
        ManifestOrIndex::Manifest(manifest) => manifest,
        ManifestOrIndex::Index(index) => {
            manifest_digest = index.select(&Platform::host())?.digest;
            digests.push(manifest_digest);
            match parse_manifest_or_index(&document("the manifest", &manifest_digest)?)? {
                ManifestOrIndex::Manifest(manifest) => manifest,
                ManifestOrIndex::Index(_) => return Err(ImageError::Nesting { max: 1 }.into()),
            }
        }
    };
    let config = parse_config(&document("the configuration", &manifest.config.digest)?)?;
    digests.push(manifest.config.digest);
    Ok(Found { name, digests, manifest_digest, manifest, config })
}
