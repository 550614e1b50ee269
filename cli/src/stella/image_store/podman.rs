//! Where Podman, Buildah and CRI-O keep images (containers-storage.conf(5)).

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::StoreError;

const OF_ROOT: &str = "/var/lib/containers/storage";
const OF_USER: &str = ".local/share/containers/storage";
/// Names the file of settings, in place of the usual ones.
const SETTINGS: &str = "CONTAINERS_STORAGE_CONF";
/// The first that is there counts alone.
const USUAL_SETTINGS: [&str; 2] = ["/etc/containers/storage.conf", "/usr/share/containers/storage.conf"];

/// What is read of the settings.
#[derive(Debug, Default, Deserialize)]
struct Settings {
    #[serde(default)]
    storage: Table,
}

#[derive(Debug, Default, Deserialize)]
struct Table {
    graphroot: Option<PathBuf>,
    #[serde(default)]
    options: Options,
}

#[derive(Debug, Default, Deserialize)]
struct Options {
    /// Storages that are read beside its own.
    #[serde(default)]
    additionalimagestores: Vec<PathBuf>,
}

/// The folders of a storage, its own first, then those it only reads, and the name of an image: in
/// `[DRIVER@ROOT+RUN:DRIVER.imagestore=OTHER]NAME`, as skopeo spells it, or in `NAME` alone.
///
/// # Errors
/// [`StoreError::Settings`] when the settings of this machine are needed and cannot be read.
pub(super) fn place(text: &str) -> Result<(Vec<PathBuf>, &str), StoreError> {
    match bracketed(text) {
        Some(place) => Ok(place),
        None => Ok((usual()?, text)),
    }
}

fn bracketed(text: &str) -> Option<(Vec<PathBuf>, &str)> {
    let (place, name) = text.strip_prefix('[')?.split_once(']')?;
    let with_driver = place.split_once('@').filter(|(driver, _)| !driver.contains('/'));
    let place = with_driver.map_or(place, |(_, place)| place);
    let (folders, options) = place.split_once(':').unwrap_or((place, ""));
    let root = folders.split_once('+').map_or(folders, |(root, _)| root);
    let others = options.split(',').filter_map(|option| option.split_once('='));
    let others = others.filter(|(key, _)| key.ends_with(".imagestore")).map(|(_, other)| other);
    Some((std::iter::once(root).chain(others).map(PathBuf::from).collect(), name))
}

/// Those of the settings that are named; else of the user where there are any, else of the system.
fn usual() -> Result<Vec<PathBuf>, StoreError> {
    let named = std::env::var_os(SETTINGS).map(PathBuf::from);
    let own = std::env::var_os("HOME").map(|home| Path::new(&home).join(OF_USER)).filter(|own| has_images(own));
    let is_named = named.is_some();
    let file = named.or_else(|| USUAL_SETTINGS.map(PathBuf::from).into_iter().find(|file| file.exists()));
    let Table { graphroot, options } = file.as_deref().map(settings).transpose()?.unwrap_or_default().storage;
    let graphroot = graphroot.filter(|root| !root.as_os_str().is_empty());
    let root = if is_named { graphroot.or(own) } else { own.or(graphroot) };
    let root = root.unwrap_or_else(|| PathBuf::from(OF_ROOT));
    Ok(std::iter::once(root).chain(options.additionalimagestores).collect())
}

fn has_images(root: &Path) -> bool {
    ["overlay-images", "vfs-images"].iter().any(|images| root.join(images).exists())
}

fn settings(file: &Path) -> Result<Settings, StoreError> {
    let failed = |reason: String| StoreError::Settings { file: file.display().to_string(), reason };
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    toml::from_str(&text).map_err(|error| failed(error.to_string().trim().replace('\n', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_stand_in_brackets() {
        for (text, folders) in [
            ("[overlay@/srv/storage+/run/x]a:1", &["/srv/storage"][..]),
            ("[overlay@/srv/storage]a:1", &["/srv/storage"]),
            ("[/srv/storage]a:1", &["/srv/storage"]),
            ("[/srv/one@two+/run/x]a:1", &["/srv/one@two"]),
            (
                "[vfs@/srv/storage+/run/x:vfs.imagestore=/mnt/a,vfs.ignore_chown_errors=true,.imagestore=/mnt/b]a:1",
                &["/srv/storage", "/mnt/a", "/mnt/b"],
            ),
        ] {
            let folders = folders.iter().map(PathBuf::from).collect();
            assert_eq!(bracketed(text), Some((folders, "a:1")), "{text}");
        }
        assert_eq!(bracketed("localhost/a:1"), None);
    }

    #[test]
    fn settings_name_the_folders() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            settings(file.path()).map(|settings| settings.storage)
        };
        let table = read(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"/srv/a\"\n[storage.options]\nadditionalimagestores = [\"/mnt/b\"]\n\
             [storage.options.overlay]\nmountopt = \"nodev\"\n",
        )
        .unwrap();
        assert_eq!(table.graphroot, Some(PathBuf::from("/srv/a")));
        assert_eq!(table.options.additionalimagestores, [PathBuf::from("/mnt/b")]);
        assert!(read("").unwrap().graphroot.is_none());
        let error = read("[storage").unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot read {}: ", file.path().display())), "{error}");
    }
}
