//! Key files: PEM, mode 0600.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::PrivateKey;
use crate::entropy::Entropy;
use crate::jose::{Algorithm, JoseError};

/// Longest key file in bytes; an RSA key of 8,192 bits has about 6,400.
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
    #[error("key file '{path}' has mode {mode:04o}: group and others must have no rights (chmod 600)")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
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
        error: JoseError,
    },
}

/// Reads the private key in `path`. With `secret` the file is one of a mounted Kubernetes Secret, whose rights the
/// kubelet sets; otherwise its mode must give nothing to group and others.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn load(path: &Path, secret: bool) -> Result<PrivateKey, KeyFileError> {
    let failed = |error| KeyFileError::Io { path: path.to_owned(), error };
    // The rights are read from the open file: a check by name could look at another file than the one that is read.
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(KeyFileError::NotAFile { path: path.to_owned() });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    // The kubelet gives a Secret's files to the group of the pod (fsGroup), never writable.
    let forbidden = if secret { 0o037 } else { 0o077 };
    if mode & forbidden != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
    }
    let mut pem = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut pem).map_err(failed)?;
    PrivateKey::from_pem(&pem).map_err(|error| KeyFileError::Key { path: path.to_owned(), error })
}

/// Makes a key and keeps it in `path` with mode 0600. The file appears complete or not at all, and one that is already
/// there is left as it is.
///
/// # Errors
/// `AlreadyExists` when the file is there, and whatever the file system refuses.
pub fn create(path: &Path, algorithm: Algorithm) -> Result<PrivateKey, KeyFileError> {
    let wrong = |error| KeyFileError::Key { path: path.to_owned(), error };
    let der = PrivateKey::generate_der(algorithm).map_err(wrong)?;
    let key = PrivateKey::from_pkcs8(&der).map_err(wrong)?;
    write_private(path, pem(&der).as_bytes()).map_err(|error| KeyFileError::Io { path: path.to_owned(), error })?;
    Ok(key)
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + "-----END PRIVATE KEY-----\n"
}

/// Writes `bytes` to a file of mode 0600 that appears complete or not at all, and replaces none.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = write_draft(path, bytes)?;
    // A link, unlike a rename, never replaces what another process made meanwhile.
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    linked?;
    sync_folder(path)
}

/// As [`write_private`], and takes the place of what is there.
pub(crate) fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::rename(write_draft(path, bytes)?, path)?;
    sync_folder(path)
}

fn write_draft(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    // No number of a process: in every container it may be 1.
    let unique = Entropy::system().name().map_err(io::Error::other)?;
    let draft = folder(path).join(format!(".{}.{unique}.new", name.to_string_lossy()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    if let Err(error) = file.write_all(bytes).and_then(|()| file.sync_all()) {
        let _ = fs::remove_file(&draft);
        return Err(error);
    }
    Ok(draft)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_key_is_private_and_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            let path = folder.path().join(algorithm.as_str());
            let key = create(&path, algorithm).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(load(&path, false).unwrap().public(), key.public());
            assert!(create(&path, algorithm).is_err(), "a key is never replaced");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let message = load(&path, false).unwrap_err().to_string();
            assert!(message.contains("0640") && message.contains(algorithm.as_str()), "{message}");
            assert!(load(&path, true).is_ok(), "a mounted Secret may be read by the pod's group");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            assert!(load(&path, true).is_err());
        }
        assert!(load(folder.path(), false).is_err());
    }
}
