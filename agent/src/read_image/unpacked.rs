//! Reads an image from its unpacked layers, where its packed ones are gone and no container runs it.

use stella_api::node::NodeReading;
use stella_cri::{Connection, StoredImage, USUAL_SNAPSHOTTER, unpacked_layers};
use stella_inventory::{Limits, stacked};
use tokio::runtime::Handle;

use super::ReadImageError;
use crate::procfs::ProcFs;

/// Reads the folders of the image's layers as one flat inventory.
///
/// # Errors
/// When containerd has not unpacked the image into folders, or they cannot be read.
pub fn read(
    connection: &Connection,
    proc: &ProcFs,
    image: &StoredImage,
    limits: &Limits,
) -> Result<NodeReading, ReadImageError> {
    let key = format!("stella-{}", image.manifest_digest.hex());
    let diff_ids = &image.config.rootfs.diff_ids;
    let folders = unpacked_layers(connection, &Handle::current(), USUAL_SNAPSHOTTER, &key, diff_ids)?;
    // They are named as containerd itself sees them.
    let containerd = Handle::current().block_on(connection.listener()).map_err(ReadImageError::Listener)?;
    let seen: Vec<_> = folders.iter().map(|folder| proc.through_root(containerd, &folder.to_string_lossy())).collect();
    Ok(NodeReading::Rootfs { container_id: String::new(), inventory: stacked(&seen, limits)? })
}
