//! The keys of reports: the one that signs, and those that signed before.
//!
//! Every public half that ever signed stays in `keys/public` of the data folder, so that a key can be changed without a word
//! about the old one.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use stella_attest::key_file::{self, KeyFileError};
use stella_attest::{DEFAULT_KEY_ID, KeyError, SigningKey, VerifyingKey};
use stella_domain::Digest;

use crate::cli::Signing;

/// Most public halves that are kept.
const MOST: usize = 1_000;

/// Why there are no keys to sign with.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// A key file is of no use.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// A key has no text form.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The folder of the keys cannot be used.
    #[error("keys in '{path}': {error}")]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The name of a key is no name.
    #[error("signing key id '{0}': 1 to 64 letters, digits, '.', '_' and '-' are needed")]
    Id(String),
}

/// The keys in use.
#[derive(Debug)]
pub struct Keys {
    /// Signs.
    pub active: SigningKey,
    /// Signed before; sorted by name.
    pub retired: Vec<VerifyingKey>,
}

/// The keys that the flags name, and what the data folder knows.
///
/// # Errors
/// [`SigningError`] naming the file.
pub fn keys(data: &Path, flags: &Signing) -> Result<Keys, SigningError> {
    let id = if flags.signing_key_id.is_empty() { DEFAULT_KEY_ID } else { &flags.signing_key_id };
    if id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
        return Err(SigningError::Id(id.chars().take(100).collect()));
    }
    let folder = data.join("keys");
    let public = folder.join("public");
    fs::create_dir_all(&public).map_err(|error| SigningError::Folder { path: public.clone(), error })?;
    let active = match &flags.signing_key {
        Some(path) => key_file::load_mounted(path, id)?,
        None => own(&folder, id)?,
    };
    keep(&folder, &public, &active.verifying())?;
    let mut retired = seen(&public)?;
    for path in &flags.retired_key {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let id = name.split('.').next().unwrap_or_default();
        // Nobody here verifies with a secret, and it is not shown to others.
        retired.extend(key_file::load_verifying(path, id)?.into_iter().filter(VerifyingKey::is_public));
    }
    let now = active.verifying();
    retired.retain(|key| *key != now);
    retired.sort_by_cached_key(|key| (key.id().to_owned(), key.to_pem().unwrap_or_default()));
    retired.dedup();
    tracing::info!(key = id, algorithm = active.algorithm().name(), retired = retired.len(), "signing key");
    Ok(Keys { active, retired })
}

/// The key of the data folder, made at the first start from the system's randomness.
fn own(folder: &Path, id: &str) -> Result<SigningKey, SigningError> {
    let path = folder.join("report-signing.pem");
    if path.exists() {
        return Ok(key_file::load(&path, id)?);
    }
    let mut seed = [0; 32];
    let random = Path::new("/dev/urandom");
    let read = fs::File::open(random).and_then(|mut file| file.read_exact(&mut seed));
    read.map_err(|error| SigningError::Folder { path: random.to_owned(), error })?;
    match key_file::create(&path, id, &seed) {
        // Another replica was first.
        Err(KeyFileError::Io { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok(key_file::load(&path, id)?)
        }
        made => Ok(made?),
    }
}

/// Keeps the public half of the key in use: for people in one place, and among all that were ever used.
fn keep(folder: &Path, public: &Path, key: &VerifyingKey) -> Result<(), SigningError> {
    if !key.is_public() {
        return Ok(());
    }
    let pem = key.to_pem()?;
    let name = format!("{}.{}.pem", key.id(), &Digest::of(&pem).hex()[..16]);
    for path in [folder.join("report-signing.pub.pem"), public.join(name)] {
        if fs::read_to_string(&path).is_ok_and(|present| present == pem) {
            continue;
        }
        let written = replace(&path, pem.as_bytes());
        written.map_err(|error| SigningError::Folder { path, error })?;
    }
    Ok(())
}

/// Gives a file that content at once, whoever else does the same.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut draft = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    draft.write_all(bytes)?;
    // Everybody may read what verifies.
    draft.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    draft.persist(path).map(drop).map_err(|error| error.error)
}

/// Public halves of keys that signed here, `ID.FINGERPRINT.pem`.
fn seen(public: &Path) -> Result<Vec<VerifyingKey>, SigningError> {
    let failed = |error| SigningError::Folder { path: public.to_owned(), error };
    let mut found = Vec::new();
    for entry in fs::read_dir(public).map_err(failed)?.take(MOST) {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(id) = name.strip_suffix(".pem").and_then(|stem| stem.rsplit_once('.')).map(|(id, _)| id) else {
            continue;
        };
        found.extend(key_file::load_verifying(&path, id)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const P256: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgmK1sR9YsKZdhGNDR
ocP3+irzIilMIs68VRBFtnEduK6hRANCAAQpbjyWQdfmufdTt32bNzl15BdZJiDu
3FbgdETOwc5wLtHTAauw38R903XcrP7nE4+j6hX/6z5Q7zhiYT8YyLhO
-----END PRIVATE KEY-----
";

    fn secret(folder: &Path, name: &str, content: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        path
    }

    fn named(id: &str, key: Option<PathBuf>) -> Signing {
        Signing { signing_key: key, signing_key_id: id.to_owned(), retired_key: Vec::new() }
    }

    #[test]
    fn a_key_is_made_once_and_stays() {
        let data = tempfile::tempdir().unwrap();
        let first = keys(data.path(), &named("k", None)).unwrap();
        let again = keys(data.path(), &named("k", None)).unwrap();
        assert_eq!(first.active.verifying(), again.active.verifying());
        assert!(again.retired.is_empty());
        let shown = fs::read_to_string(data.path().join("keys/report-signing.pub.pem")).unwrap();
        assert_eq!(shown, first.active.verifying().to_pem().unwrap());
    }

    #[test]
    fn reports_of_a_retired_key_still_verify() {
        let data = tempfile::tempdir().unwrap();
        let old = keys(data.path(), &named("old", None)).unwrap().active;
        let envelope = stella_attest::Envelope::sign("t", b"report", &old);
        let file = secret(data.path(), "new.pem", P256);
        let now = keys(data.path(), &named("new", Some(file.clone()))).unwrap();
        assert_eq!((now.active.id(), now.active.algorithm().name()), ("new", "es256"));
        assert_eq!(now.retired, [old.verifying()]);
        assert!(envelope.verify("t", &[&now.retired[0]]).is_ok());

        // A shared secret leaves nothing behind, and is shown to nobody when it is named.
        let shared = secret(data.path(), "shared.key", &"s".repeat(40));
        let next = keys(data.path(), &named("shared", Some(shared.clone()))).unwrap();
        assert_eq!(next.retired.len(), 2);
        let flags = Signing { retired_key: vec![shared], ..named("new", Some(file)) };
        let ids: Vec<String> =
            keys(data.path(), &flags).unwrap().retired.iter().map(|key| key.id().to_owned()).collect();
        assert_eq!(ids, ["old"]);
    }

    /// How many processes start at once, and how often.
    const PROCESSES: usize = 4;
    const ROUNDS: usize = 20;
    /// In the processes that the next test starts: the folder to make keys in, and which of them it is.
    const FOLDER: &str = "STELLA_TEST_KEY_FOLDER";
    const PROCESS: &str = "STELLA_TEST_KEY_PROCESS";

    /// Makes a key in each of the folders, at the same moment as the others, and tells which one it has.
    fn make_keys_with_others(folder: &Path, process: &str) {
        for round in 0..ROUNDS {
            let data = folder.join(round.to_string());
            let ready = folder.join(format!("ready-{round}"));
            fs::create_dir_all(&ready).unwrap();
            fs::write(ready.join(process), "").unwrap();
            let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
            while fs::read_dir(&ready).unwrap().count() < PROCESSES {
                assert!(std::time::Instant::now() < until, "the others are not there");
                std::thread::yield_now();
            }
            let key = keys(&data, &named("k", None)).unwrap().active;
            fs::write(data.join(process), key.verifying().to_pem().unwrap()).unwrap();
        }
    }

    /// This program is started again, as four processes that run this test alone.
    #[test]
    fn of_processes_that_make_the_key_at_once_all_use_one() {
        if let (Some(folder), Ok(process)) = (std::env::var_os(FOLDER), std::env::var(PROCESS)) {
            make_keys_with_others(Path::new(&folder), &process);
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let program = std::env::current_exe().unwrap();
        let name = "signing::tests::of_processes_that_make_the_key_at_once_all_use_one";
        let start = |process: usize| {
            let mut command = std::process::Command::new(&program);
            command.args([name, "--exact"]).env(FOLDER, folder.path()).env(PROCESS, process.to_string());
            command.stdout(std::process::Stdio::null()).spawn().unwrap()
        };
        let processes: Vec<_> = (0..PROCESSES).map(start).collect();
        for mut process in processes {
            assert!(process.wait().unwrap().success());
        }
        for round in 0..ROUNDS {
            let data = folder.path().join(round.to_string());
            let kept = keys(&data, &named("k", None)).unwrap();
            assert!(kept.retired.is_empty(), "round {round}: no other key ever was");
            let kept = kept.active.verifying().to_pem().unwrap();
            for process in 0..PROCESSES {
                assert_eq!(fs::read_to_string(data.join(process.to_string())).unwrap(), kept, "round {round}");
            }
            let left: Vec<_> =
                fs::read_dir(data.join("keys")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left.len(), 3, "the key, its public half, and those of all keys: {left:?}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        let data = tempfile::tempdir().unwrap();
        for id in ["a/b", "a b", &"x".repeat(65)] {
            assert!(matches!(keys(data.path(), &named(id, None)), Err(SigningError::Id(_))), "{id}");
        }
    }
}
