//! Layers that containerd has unpacked: where their folders lie.
//!
//! containerd tells folders only of a snapshot that could be mounted, so a view on top of the image's layers is made, asked
//! for its mount, and removed. Nothing is mounted. Layers are shared by what lies below them, and found by their chain id (OCI
//! image specification, "Layer ChainID").

use std::path::PathBuf;

use stella_domain::Digest;
use tokio::runtime::Handle;

use crate::messages::{Empty, Mount, RemoveSnapshotRequest, ViewSnapshotRequest, ViewSnapshotResponse};
use crate::{Connection, CriError};

const VIEW: &str = "/containerd.services.snapshots.v1.Snapshots/View";
const REMOVE: &str = "/containerd.services.snapshots.v1.Snapshots/Remove";

/// Why unpacked layers cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// containerd failed, or has not unpacked the image with this snapshotter.
    #[error(transparent)]
    Cri(#[from] CriError),
    /// An image without layers.
    #[error("the image has no layers")]
    NoLayers,
    /// The snapshotter keeps layers in another form than as folders.
    #[error("snapshotter {snapshotter} keeps layers as '{kind}', not as folders")]
    NoFolders {
        /// Its name.
        snapshotter: String,
        /// The kind of mount it gives.
        kind: String,
    },
}

/// The folders of the layers with these diffIDs, the base first, as the host names them; one folder when the snapshotter keeps
/// each layer with all below it. `key` names the view while it exists: no other process may use it at the same time. Blocks.
///
/// # Errors
/// When containerd has not unpacked the image with `snapshotter`, or keeps no folders.
pub fn unpacked_layers(
    connection: &Connection,
    handle: &Handle,
    snapshotter: &str,
    key: &str,
    diff_ids: &[Digest],
) -> Result<Vec<PathBuf>, SnapshotError> {
    let parent = chain_id(diff_ids).ok_or(SnapshotError::NoLayers)?;
    let remove = || {
        let question = RemoveSnapshotRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
        handle.block_on(connection.call::<_, Empty>(REMOVE, question))
    };
    // One that a process left when it was killed.
    let _ = remove();
    let question =
        ViewSnapshotRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned(), parent: parent.to_string() };
    let view: ViewSnapshotResponse = handle.block_on(connection.call(VIEW, question))?;
    remove()?;
    folders(&view.mounts).ok_or_else(|| SnapshotError::NoFolders {
        snapshotter: snapshotter.to_owned(),
        kind: view.mounts.first().map_or_else(String::new, |mount| mount.kind.chars().take(40).collect()),
    })
}

/// What names a layer together with all below it.
fn chain_id(diff_ids: &[Digest]) -> Option<Digest> {
    let (first, rest) = diff_ids.split_first()?;
    Some(rest.iter().fold(*first, |chain, diff_id| Digest::of(format!("{chain} {diff_id}"))))
}

/// The folders of a mount that is read only, the base first.
fn folders(mounts: &[Mount]) -> Option<Vec<PathBuf>> {
    let [mount] = mounts else { return None };
    let mut folders: Vec<PathBuf> = match mount.kind.as_str() {
        "bind" => vec![PathBuf::from(&mount.source)],
        "overlay" => {
            let lower = mount
                .options
                .iter()
                .filter_map(|option| option.strip_prefix("lowerdir=").or_else(|| option.strip_prefix("lowerdir+=")));
            lower.flat_map(|list| list.split(':')).map(PathBuf::from).collect()
        }
        _ => return None,
    };
    // Of folders that lie on each other the mount names the upper ones first.
    folders.reverse();
    (!folders.is_empty() && folders.iter().all(|folder| folder.is_absolute())).then_some(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_all_layers_below() {
        let [a, b, c] = ["a", "b", "c"].map(Digest::of);
        assert_eq!(chain_id(&[]), None);
        assert_eq!(chain_id(&[a]), Some(a));
        let two = Digest::of(format!("{a} {b}"));
        assert_eq!(chain_id(&[a, b, c]), Some(Digest::of(format!("{two} {c}"))));
    }

    #[test]
    fn folders_come_from_the_base_up() {
        let mount = |kind: &str, source: &str, options: &[&str]| Mount {
            kind: kind.to_owned(),
            source: source.to_owned(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
        };
        let found = |mount: Mount| {
            folders(&[mount]).map(|found| found.iter().map(|f| f.display().to_string()).collect::<Vec<_>>())
        };
        let list = |list: &[&str]| Some(list.iter().map(|&folder| folder.to_owned()).collect::<Vec<_>>());
        assert_eq!(found(mount("bind", "/s/1/fs", &["ro", "rbind"])), list(&["/s/1/fs"]));
        assert_eq!(
            found(mount("overlay", "overlay", &["index=off", "lowerdir=/s/2/fs:/s/1/fs"])),
            list(&["/s/1/fs", "/s/2/fs"])
        );
        assert_eq!(
            found(mount("overlay", "overlay", &["lowerdir+=/s/2/fs", "lowerdir+=/s/1/fs"])),
            list(&["/s/1/fs", "/s/2/fs"])
        );
        assert_eq!(found(mount("overlay", "overlay", &["lowerdir=2/fs:/s/1/fs"])), None);
        assert_eq!(found(mount("erofs", "/s/1/layer.erofs", &[])), None);
        assert_eq!(folders(&[]), None);
    }
}
