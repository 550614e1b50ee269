//! What others say: the published test vectors of canonical JSON, and a DSSE library of another language.
//! `scripts/install/attest-tools.sh` puts both into the cache.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use stella_attest::{Envelope, SigningKey, canonical};

const P256: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgmK1sR9YsKZdhGNDR
ocP3+irzIilMIs68VRBFtnEduK6hRANCAAQpbjyWQdfmufdTt32bNzl15BdZJiDu
3FbgdETOwc5wLtHTAauw38R903XcrP7nE4+j6hX/6z5Q7zhiYT8YyLhO
-----END PRIVATE KEY-----
";

/// What the tools lie in; says so loudly when they do not.
fn cached(name: &str) -> Option<PathBuf> {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = var("STELLA_CACHE")
        .or_else(|| var("XDG_CACHE_HOME").map(|folder| folder.join("stella")))
        .or_else(|| var("HOME").map(|folder| folder.join(".cache/stella")))?;
    let path = cache.join("attest").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is missing; scripts/install/attest-tools.sh", path.display());
    None
}

/// The vectors that RFC 8785, appendix F, points to.
#[test]
fn canonical_json_is_that_of_the_published_vectors() {
    let Some(folder) = cached("canonical-json") else { return };
    let mut checked = 0;
    for entry in std::fs::read_dir(folder.join("input")).unwrap() {
        let path = entry.unwrap().path();
        let value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let wanted = std::fs::read(folder.join("output").join(path.file_name().unwrap())).unwrap();
        let found = canonical::to_vec(&value).unwrap();
        assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&wanted), "{}", path.display());
        checked += 1;
    }
    assert!(checked >= 6, "only {checked} vectors");
}

const VERIFY: &str = r#"
import json
import sys
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

envelope = Envelope.from_dict(json.load(open(sys.argv[1])))
key = SSlibKey.from_crypto(load_pem_public_key(open(sys.argv[2], "rb").read()), keyid=sys.argv[3])
try:
    accepted = envelope.verify([key], 1)
except VerificationError as error:
    print("refused", error)
    sys.exit(3)
assert list(accepted) == [sys.argv[3]], accepted
sys.stdout.buffer.write(envelope.payload)
"#;

#[test]
fn python_verifies_what_is_signed_here() {
    let Some(python) = cached("python/bin/python") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let script = file("verify.py", VERIFY);
    let verify = |envelope: &Envelope, key: &SigningKey| {
        let envelope = file("envelope.json", &serde_json::to_string(envelope).unwrap());
        let public = file("key.pem", &key.verifying().to_pem().unwrap());
        Command::new(&python).arg(&script).arg(&envelope).arg(&public).arg(key.id()).output().unwrap()
    };
    for key in [SigningKey::from_seed("k", &[3; 32]), SigningKey::from_pem("k", P256).unwrap()] {
        // With our fields beside the standard ones, and in the standard ones alone.
        let signed = Envelope::sign("application/vnd.example+json", "{\"é\":1}".as_bytes(), &key);
        for envelope in [&signed, &signed.standard()] {
            let said = verify(envelope, &key);
            assert!(said.status.success(), "{key:?} {said:?}");
            assert_eq!(said.stdout, "{\"é\":1}".as_bytes());
        }
        let other = Envelope::sign("application/vnd.example+json", b"{}", &key);
        let forged = Envelope { payload: other.payload, ..signed };
        assert_eq!(verify(&forged, &key).status.code(), Some(3), "{key:?}");
    }
}
