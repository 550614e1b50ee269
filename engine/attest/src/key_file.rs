//! Key files: the edge between keys and the disk. A mounted Secret is a folder of such files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::key::{KeyError, SigningKey, VerifyingKey};

/// Longest key file in bytes; an Ed25519 key has about 120.
const MAX_BYTES: u64 = 16 * 1024;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file system refused.
    #[error("key file '{path}': {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// Others may read or write the file.
    #[error("key file '{path}' has mode {mode:04o}: {}", if *.mounted { "others must have no rights, and the group none to write (a Secret: defaultMode 0440)" } else { "group and others must have no rights (chmod 600)" })]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Whether a group that reads is let pass.
        mounted: bool,
    },
    /// It is a folder, a pipe, or longer than 16 KiB.
    #[error("key file '{path}' is no regular file of at most 16 KiB")]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Its content is no key.
    #[error("key file '{path}': {error}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: KeyError,
    },
}

/// Reads the private key in `path`, whose mode must give nothing to group and others.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn load(path: &Path, id: &str) -> Result<SigningKey, KeyFileError> {
    read_private(path, id, false)
}

/// Reads the private key in a file of a mounted Secret. Kubernetes lets a pod that is not root read it by its group.
///
/// # Errors
/// As [`load`].
pub fn load_mounted(path: &Path, id: &str) -> Result<SigningKey, KeyFileError> {
    read_private(path, id, true)
}

fn read_private(path: &Path, id: &str, mounted: bool) -> Result<SigningKey, KeyFileError> {
    let (bytes, mode) = read(path)?;
    let forbidden = if mounted { 0o037 } else { 0o077 };
    if mode & forbidden != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode, mounted });
    }
    SigningKey::from_bytes(id, &bytes).map_err(|error| KeyFileError::Key { path: path.to_owned(), error })
}

/// Reads the keys in `path` that verify: public keys, or a shared secret. Everybody may read public keys.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn load_verifying(path: &Path, id: &str) -> Result<Vec<VerifyingKey>, KeyFileError> {
    let (bytes, _) = read(path)?;
    VerifyingKey::all_from_bytes(id, &bytes).map_err(|error| KeyFileError::Key { path: path.to_owned(), error })
}

/// The bytes of a file and its permission bits.
fn read(path: &Path) -> Result<(Vec<u8>, u32), KeyFileError> {
    let failed = |error| KeyFileError::Io { path: path.to_owned(), error };
    // The rights are read from the open file: a check by name could look at another file than the one that is read.
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(KeyFileError::NotAFile { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Ok((bytes, metadata.permissions().mode() & 0o7777))
}

/// Makes a key of `seed` and keeps it in `path` with mode 0600. The file appears complete or not at all, and one that is
/// already there is left as it is.
///
/// # Errors
/// `AlreadyExists` when the file is there, and whatever the file system refuses.
pub fn create(path: &Path, id: &str, seed: &[u8; 32]) -> Result<SigningKey, KeyFileError> {
    let key = SigningKey::from_seed(id, seed);
    let pem = key.to_pem().map_err(|error| KeyFileError::Key { path: path.to_owned(), error })?;
    let failed = |error| KeyFileError::Io { path: path.to_owned(), error };
    let name = path.file_name().ok_or_else(|| KeyFileError::NotAFile { path: path.to_owned() })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // By the key, which nobody else makes: in every container the number of a process may be 1.
    let unique = key.verifying().to_pem().map_err(|error| KeyFileError::Key { path: path.to_owned(), error })?;
    let unique = stella_domain::Digest::of(unique).hex();
    let draft = folder.join(format!(".{}.{}.new", name.to_string_lossy(), &unique[..16]));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
    // A link, unlike a rename, never replaces a key that another process made meanwhile.
    let linked = fill(file, pem.as_bytes()).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    linked.map_err(failed)?;
    removed.map_err(failed)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(key)
}

fn fill(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_key_is_private_and_can_be_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.key");
        let key = create(&path, "k", &[1; 32]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load(&path, "k").unwrap().verifying(), key.verifying());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_existing_key_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.key");
        let key = create(&path, "k", &[1; 32]).unwrap();
        let again = create(&path, "k", &[2; 32]).unwrap_err();
        assert!(matches!(again, KeyFileError::Io { error, .. } if error.kind() == io::ErrorKind::AlreadyExists));
        assert_eq!(load(&path, "k").unwrap().verifying(), key.verifying());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.key");
        create(&path, "k", &[1; 32]).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let message = load(&path, "k").unwrap_err().to_string();
            assert!(message.contains("report.key") && message.contains(&format!("{mode:04o}")), "{message}");
        }
        assert!(matches!(load(folder.path(), "k"), Err(KeyFileError::NotAFile { .. })));
    }

    /// As the kubelet lays a Secret out: the file is a link into a folder that is swapped.
    #[test]
    fn a_mounted_secret_is_read_by_its_group_and_by_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let (data, link) = (folder.path().join("..2026_01_01"), folder.path().join("tls.key"));
        fs::create_dir(&data).unwrap();
        let key = create(&data.join("tls.key"), "k", &[1; 32]).unwrap();
        std::os::unix::fs::symlink("..2026_01_01", folder.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/tls.key", &link).unwrap();
        for (mode, good) in
            [(0o400, true), (0o440, true), (0o640, true), (0o644, false), (0o660, false), (0o444, false)]
        {
            fs::set_permissions(data.join("tls.key"), fs::Permissions::from_mode(mode)).unwrap();
            match load_mounted(&link, "k") {
                Ok(loaded) => assert!(good && loaded.verifying() == key.verifying(), "{mode:o}"),
                Err(error) => assert!(!good && error.to_string().contains("defaultMode"), "{mode:o} {error}"),
            }
        }
        fs::write(folder.path().join("pub.pem"), key.verifying().to_pem().unwrap()).unwrap();
        assert_eq!(load_verifying(&folder.path().join("pub.pem"), "k").unwrap(), [key.verifying()]);
    }
}
