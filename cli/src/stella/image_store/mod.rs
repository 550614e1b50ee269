//! Images in the stores of this machine: `docker://NAME`, `containerd://NAME` and `containers-storage:NAME`.

mod containerd;
mod docker;
mod podman;

use std::path::{Path, PathBuf};

use stella_inventory::Limits;
use stella_inventory::image::{ImageError, ImageFile, ReadOptions};

pub use containerd::ContainerdError;
pub use docker::DockerError;

/// Why an image of a store cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A scheme without an image.
    #[error("'{0}' names no image")]
    NoName(String),
    /// Docker does not give it.
    #[error("cannot get '{name}' from Docker")]
    Docker {
        /// The image.
        name: String,
        /// Why.
        source: DockerError,
    },
    /// containerd does not give it.
    #[error("cannot get '{name}' from containerd")]
    Containerd {
        /// The image.
        name: String,
        /// Why.
        source: ContainerdError,
    },
    /// The settings of `containers/storage` say nothing.
    #[error("cannot read {file}: {reason}")]
    Settings {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// It is damaged, or not there.
    #[error("cannot scan image '{name}'")]
    Image {
        /// The image.
        name: String,
        /// What is wrong.
        source: ImageError,
    },
}

/// Where an image lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store<'t> {
    Docker(&'t str),
    Podman(&'t str),
    Containerd(&'t str),
}

impl<'t> Store<'t> {
    fn of(target: &'t str) -> Option<Self> {
        let of_scheme = |scheme: &str| target.strip_prefix(scheme);
        of_scheme("docker://")
            .map(Self::Docker)
            .or_else(|| of_scheme("containers-storage:").map(Self::Podman))
            .or_else(|| of_scheme("containerd://").map(Self::Containerd))
    }
}

/// Whether `target` names an image in a store.
pub fn is_stored(target: &str) -> bool {
    Store::of(target).is_some()
}

/// Whether `target` names an image in a store that finds its parts by their digests alone.
pub fn is_content_addressed(target: &str) -> bool {
    matches!(Store::of(target), Some(Store::Containerd(_)))
}

/// Opens the image that `target` names; `None` when it names none in a store.
///
/// # Errors
/// When there is no such image, or it cannot be read.
pub fn open(target: &str, limits: &Limits) -> Option<Result<ImageFile, StoreError>> {
    let options = ReadOptions { limits: *limits, ..ReadOptions::default() };
    let image = |name: &str, result: Result<ImageFile, ImageError>| {
        result.map_err(|source| StoreError::Image { name: name.to_owned(), source })
    };
    Some(match Store::of(target)? {
        Store::Docker("") | Store::Podman("") | Store::Containerd("") => Err(StoreError::NoName(target.to_owned())),
        Store::Docker(name) => docker::fetch(name, limits)
            .map_err(|source| StoreError::Docker { name: name.to_owned(), source })
            .and_then(|archive| image(name, ImageFile::from_file(archive, &options))),
        Store::Podman(text) => podman::place(text).and_then(|(roots, name)| {
            let roots: Vec<&Path> = roots.iter().map(PathBuf::as_path).collect();
            image(name, ImageFile::open_stored(&roots, name, &options))
        }),
        Store::Containerd(name) => {
            containerd::open(name, &options).map_err(|source| StoreError::Containerd { name: name.to_owned(), source })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_told_from_references_and_paths() {
        assert_eq!(Store::of("docker://web:1"), Some(Store::Docker("web:1")));
        assert_eq!(Store::of("containers-storage:localhost/web:1"), Some(Store::Podman("localhost/web:1")));
        for target in ["web:1", "docker.io/library/web", "docker:5000/web", "./containerd", "https://x.example/a.tar"] {
            assert!(!is_stored(target), "{target}");
        }
        let limits = Limits::default();
        let error = |target: &str| open(target, &limits).unwrap().unwrap_err().to_string();
        assert_eq!(error("docker://"), "'docker://' names no image");
        assert_eq!(error("containerd://"), "'containerd://' names no image");
    }
}
