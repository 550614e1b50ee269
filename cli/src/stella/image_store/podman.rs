//! Where Podman, Buildah and CRI-O keep images.

use std::path::{Path, PathBuf};

const OF_ROOT: &str = "/var/lib/containers/storage";
const OF_USER: &str = ".local/share/containers/storage";

/// The folder and the name in `[overlay@ROOT+RUN]NAME`, as skopeo spells it, or in `NAME` alone.
pub(super) fn place(text: &str) -> (PathBuf, &str) {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let Some((place, name)) = bracketed else { return (usual_root(), text) };
    let root = place.rsplit_once('@').map_or(place, |(_, root)| root);
    let root = root.split_once('+').map_or(root, |(root, _)| root);
    (PathBuf::from(root), name)
}

/// That of the user where there is one, else that of the system.
fn usual_root() -> PathBuf {
    let own = std::env::var_os("HOME").map(|home| Path::new(&home).join(OF_USER));
    own.filter(|own| own.join("overlay-images").exists()).unwrap_or_else(|| PathBuf::from(OF_ROOT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_stands_in_brackets() {
        let storage = PathBuf::from("/srv/storage");
        for text in ["[overlay@/srv/storage+/run/x]a:1", "[overlay@/srv/storage]a:1", "[/srv/storage]a:1"] {
            assert_eq!(place(text), (storage.clone(), "a:1"), "{text}");
        }
        assert_eq!(place("localhost/a:1").1, "localhost/a:1");
    }
}
