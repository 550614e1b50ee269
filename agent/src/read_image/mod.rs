//! `read-image`: one image of this node becomes an inventory at the server. A process of its own, because what it
//! reads is foreign.

mod limits;
mod report;
mod running;
mod unpacked;

use stella_api::client::ClientError;
use stella_api::node::{NodeInventory, NodeReading};
use stella_cri::{Connection, ContentStore, CriError, SnapshotError, StoredImage, StoredImageError};
use stella_domain::Digest;
use stella_inventory::image::{ImageError, Platform, read_layers};
use stella_inventory::{Limits, RootfsError};
use tokio::runtime::Handle;

use crate::cli;
use crate::procfs::ProcFs;
use crate::server;
use report::{Report, ReportError};

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
    /// The runtime does not know the image, or keeps no usable documents of it.
    #[error(transparent)]
    Stored(#[from] StoredImageError),
    /// Nor does a container run it.
    #[error("the runtime keeps no packed layers of the image, and no container runs it")]
    NotRunning,
    /// Nor can its unpacked layers be found.
    #[error("the runtime keeps no packed layers of the image, no container runs it, and of the unpacked ones: {0}")]
    Unpacked(#[from] SnapshotError),
    /// Whose folders they are cannot be told.
    #[error("unpacked layers of the image cannot be reached: {0}")]
    Listener(std::io::Error),
    /// A root or unpacked layers cannot be read.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// A layer cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The address of the server.
    #[error(transparent)]
    Server(#[from] ClientError),
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
    limits::bind_self(&flags.control_group);
    if flags.image_ref.is_none() && flags.digest.is_none() {
        return Err(ReadImageError::NoImage);
    }
    let client = server::client(&flags.server, flags.traceparent.clone())?.ok_or(ReadImageError::NoServer)?;
    let report = Report::new(client);
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
    let endpoint = flags.runtime_endpoint.as_deref().or_else(|| stella_cri::usual_endpoint());
    let connection = Connection::new(endpoint.ok_or(ReadImageError::NoRuntime)?)?;
    let store = ContentStore::new(connection.clone(), Handle::current());
    let proc = ProcFs::new(&flags.proc_root);
    let through_container = |inventory: &mut NodeInventory| -> Result<(), ReadImageError> {
        inventory.outcome = running::read(&connection, &proc, &inventory.image_ref, &inventory.digests, &flags.limits)?;
        report.send(inventory)?;
        Ok(())
    };
    let image = match StoredImage::find(&store, flags.image_ref.as_deref(), flags.digest.as_ref(), &Platform::host()) {
        Ok(image) => image,
        Err(error) => {
            tracing::info!(%error, "the image is not in the content store; looking for a container that runs it");
            // What kept the image itself from being read says more than that nothing runs it.
            return through_container(inventory).map_err(|other| match other {
                ReadImageError::NotRunning => error.into(),
                other => other,
            });
        }
    };
    if inventory.image_ref.is_empty() {
        inventory.image_ref.clone_from(&image.name);
    }
    inventory.digests.clone_from(&image.digests);
    inventory.image_digest = Some(image.manifest_digest);

    let wanted = report.missing(&image.config.rootfs.diff_ids)?;
    let blobs = image.manifest.layers.iter().zip(&image.config.rootfs.diff_ids);
    let needed = blobs.filter(|(_, diff_id)| wanted.contains(diff_id));
    if !store.has(needed.map(|(blob, _)| blob.digest)) {
        tracing::info!("the runtime keeps no packed layers of the image; reading a container that runs it");
        return match through_container(inventory) {
            Err(ReadImageError::NotRunning) => {
                tracing::info!("no container runs the image; reading its unpacked layers");
                inventory.outcome = unpacked::read(&connection, &proc, &image, &flags.limits)?;
                Ok(report.send(inventory).map(drop)?)
            }
            read => read,
        };
    }
    send_layers(&store, &image, wanted, &flags.limits, report, inventory)
}

/// Sends the layers the server wants; once more if it lost some meanwhile, which it says.
fn send_layers(
    store: &ContentStore,
    image: &StoredImage,
    mut wanted: Vec<Digest>,
    limits: &Limits,
    report: &Report,
    inventory: &mut NodeInventory,
) -> Result<(), ReadImageError> {
    let diff_ids = &image.config.rootfs.diff_ids;
    for _ in 0..2 {
        let want = |diff_id: &Digest| wanted.contains(diff_id);
        let layers = read_layers(store, &image.manifest, &image.config, &want, limits)?;
        inventory.outcome = NodeReading::Layers { diff_ids: diff_ids.clone(), layers };
        wanted = report.send(inventory)?;
        if wanted.is_empty() {
            return Ok(());
        }
    }
    Err(ReportError::StillMissing(wanted.len()).into())
}
