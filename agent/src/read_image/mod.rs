//! `read-image`: one image of this node becomes an inventory at the server. A process of its own, because what it
//! reads is foreign.

mod documents;
mod limits;
mod report;
mod running;
mod store;

use std::io;

use stella_api::node::{NodeInventory, NodeReading};
use stella_domain::Digest;
use stella_inventory::image::{ImageError, ManifestError, read_layers};
use stella_inventory::{Limits, RootfsError};

use crate::cli;
use crate::cri::{Connection, Cri, CriError};
use crate::procfs::ProcFs;
use crate::server::{Server, ServerError};
use documents::Documents;
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
    #[error("the runtime has no such image")]
    Unknown,
    /// Nor does a container run it.
    #[error("the runtime keeps no packed layers of the image, and no container runs it")]
    NotRunning,
    /// A container's root cannot be read.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
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
    let connection = Connection::new(endpoint.ok_or(ReadImageError::NoRuntime)?)?;
    let store = ContentStore::new(connection.clone());
    let through_container = |inventory: &mut NodeInventory| -> Result<(), ReadImageError> {
        let proc = ProcFs::new(&flags.proc_root);
        inventory.outcome = running::read(&connection, &proc, &inventory.image_ref, &inventory.digests, &flags.limits)?;
        report.send(inventory)?;
        Ok(())
    };
    let documents = match documents::read(&store, flags.image_ref.as_deref(), flags.digest.as_ref()) {
        Ok(documents) => documents,
        Err(error) => {
            tracing::info!(%error, "the image is not in the content store; looking for a container that runs it");
            // What kept the image itself from being read says more than that nothing runs it.
            return through_container(inventory).map_err(|other| match other {
                ReadImageError::NotRunning => error,
                other => other,
            });
        }
    };
    if inventory.image_ref.is_empty() {
        inventory.image_ref.clone_from(&documents.name);
    }
    inventory.digests.clone_from(&documents.digests);
    inventory.image_digest = Some(documents.manifest_digest);

    let wanted = report.missing(&documents.config.rootfs.diff_ids)?;
    let blobs = documents.manifest.layers.iter().zip(&documents.config.rootfs.diff_ids);
    let mut needed = blobs.filter(|(_, diff_id)| wanted.contains(diff_id));
    if needed.any(|(blob, _)| !store.has(&blob.digest)) {
        tracing::info!("the runtime keeps no packed layers of the image; reading a container that runs it");
        return through_container(inventory);
    }
    send_layers(&store, &documents, wanted, &flags.limits, report, inventory)
}

/// Sends the layers the server wants; once more if it lost some meanwhile, which it says.
fn send_layers(
    store: &ContentStore,
    documents: &Documents,
    mut wanted: Vec<Digest>,
    limits: &Limits,
    report: &Report,
    inventory: &mut NodeInventory,
) -> Result<(), ReadImageError> {
    let diff_ids = &documents.config.rootfs.diff_ids;
    for _ in 0..2 {
        let want = |diff_id: &Digest| wanted.contains(diff_id);
        let layers = read_layers(store, &documents.manifest, &documents.config, &want, limits)?;
        inventory.outcome = NodeReading::Layers { diff_ids: diff_ids.clone(), layers };
        wanted = report.send(inventory)?;
        if wanted.is_empty() {
            return Ok(());
        }
    }
    Err(ReportError::StillMissing(wanted.len()).into())
}
