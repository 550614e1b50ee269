//! Layers that a runtime has unpacked into folders and no longer keeps packed.
//!
//! ```text
//!   folder, folder, ... (base first) ──walk each──► LayerInventory ──fold──► Inventory, marked as a tree
//! ```
//!
//! Nothing says what bytes these folders were made of, so no digest is known and the result is never taken for layers.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fgetxattr, openat};
use rustix::io::Errno;
use stella_domain::Hasher;

use super::{Form, RootfsError, walk_tree};
use crate::collector::Collector;
use crate::fold::fold;
use crate::layer::Budget;
use crate::limits::Limits;
use crate::{Inventory, LayerInventory, Provenance};

/// How a folder says that lower layers do not show through (kernel documentation, "Overlay Filesystem", whiteouts and
/// opaque directories). The first needs privileges to be read, the second is that of mounts without.
const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// Reads unpacked layers, the base first, into what a container of them would see.
///
/// # Errors
/// [`RootfsError`] when a folder cannot be opened, or all together exceed `limits`.
pub fn stacked(folders: &[impl AsRef<Path>], limits: &Limits) -> Result<Inventory, RootfsError> {
    if folders.len() > limits.max_layers {
        return Err(RootfsError::TooManyLayers { found: folders.len(), max: limits.max_layers });
    }
    let (mut layers, budget) = (Vec::with_capacity(folders.len()), Budget::new(limits));
    for (index, folder) in folders.iter().enumerate() {
        layers.push(layer(folder.as_ref(), index, limits, &budget)?);
    }
    let layers: Vec<&LayerInventory> = layers.iter().collect();
    let mut inventory = fold(&layers);
    inventory.provenance = Provenance::Rootfs;
    inventory.layers.clear();
    for component in &mut inventory.components {
        component.layer = None;
    }
    Ok(inventory)
}

fn layer(folder: &Path, index: usize, limits: &Limits, budget: &Budget) -> Result<LayerInventory, RootfsError> {
    let failed = |source: Errno| RootfsError::Root { root: folder.display().to_string(), source: source.into() };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = openat(CWD, folder, flags, Mode::empty()).map_err(failed)?;
    let mut collector = Collector::for_tree(limits);
    walk_tree(&top, &mut collector, limits, budget, Form::Layer)?;
    // Only to tell the folders apart while they are folded.
    let mut place = Hasher::new();
    place.field(index.to_le_bytes());
    Ok(collector.finish(place.finish()))
}

/// A character device of the number 0, 0.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

pub(super) fn is_opaque(folder: BorrowedFd<'_>) -> bool {
    let mut value = [0; 8];
    OPAQUE.iter().any(|name| matches!(fgetxattr(folder, *name, &mut value[..]), Ok(1..=8) if value[0] == b'y'))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{XattrFlags, mknodat, setxattr};

    use super::*;

    fn write(folder: &Path, path: &str, content: &str) {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn package(name: &str) -> String {
        format!(r#"{{"name":"{name}","version":"1.0.0"}}"#)
    }

    fn names(inventory: &Inventory) -> Vec<&str> {
        inventory.components.iter().map(|component| component.package.name.as_str()).collect()
    }

    #[test]
    fn upper_folders_take_away_what_they_mark() {
        let (base, upper) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["kept", "gone", "hidden"] {
            write(base.path(), &format!("{name}/node_modules/{name}/package.json"), &package(name));
        }
        write(upper.path(), "hidden/node_modules/new/package.json", &package("new"));
        write(upper.path(), "top/.wh.kept", "a name like any other, here");
        let whiteout = mknodat(
            CWD,
            upper.path().join("gone"),
            FileType::CharacterDevice,
            Mode::empty(),
            rustix::fs::makedev(0, 0),
        );
        let opaque = setxattr(upper.path().join("hidden"), OPAQUE[0], b"y", XattrFlags::empty())
            .or_else(|_| setxattr(upper.path().join("hidden"), OPAQUE[1], b"y", XattrFlags::empty()));
        if whiteout.is_err() || opaque.is_err() {
            eprintln!("SKIPPED: neither device nodes nor attributes can be made here: {whiteout:?} {opaque:?}");
            return;
        }
        let inventory = stacked(&[base.path(), upper.path()], &Limits::default()).unwrap();
        assert_eq!(names(&inventory), ["kept", "new"]);
        assert_eq!(inventory.provenance, Provenance::Rootfs);
        assert!(inventory.layers.is_empty() && inventory.components.iter().all(|found| found.layer.is_none()));
        let alone = stacked(&[upper.path()], &Limits::default()).unwrap();
        assert_eq!(names(&alone), ["new"]);
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let none = folder.path().join("none");
        let error = stacked(&[folder.path(), &none], &Limits::default()).unwrap_err().to_string();
        assert!(error.contains(&none.display().to_string()), "{error}");
        let limits = Limits { max_layers: 1, ..Limits::default() };
        let error = stacked(&[folder.path(), folder.path()], &limits).unwrap_err();
        assert_eq!(error.to_string(), "there are 2 unpacked layers, more than the limit of 1");
    }

    #[test]
    fn what_may_be_kept_is_kept_of_all_folders_together() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..20 {
            write(
                folder.path(),
                &format!("p{number}/node_modules/p{number}/package.json"),
                &package(&format!("p{number}")),
            );
        }
        let limits = |bytes| Limits { max_inventory_bytes: bytes, ..Limits::default() };
        let enough =
            (1..).map(|kib| limits(kib << 10)).find(|limits| stacked(&[folder.path()], limits).is_ok()).unwrap();
        let twice = stacked(&[folder.path(), folder.path()], &enough).unwrap_err();
        assert!(matches!(twice, RootfsError::TooLarge { .. }), "{twice}");
    }
}
