//! Versions of Go modules and of Go itself: semantic versions, pseudo-versions among them, with `v` and
//! `+incompatible` (Go modules reference, "Versions"); toolchains are named `go1.21rc2`.

use super::key::split_run;
use super::semver;

pub(super) fn write_key(version: &str, key: &mut Vec<u8>) {
    let version = version.trim();
    let dialect = semver::Dialect::default();
    match toolchain(version.strip_prefix("go").unwrap_or(version)) {
        Some((release, pre)) => semver::write_key(&format!("{release}-{pre}"), dialect, key),
        None => semver::write_key(version.strip_prefix("go").unwrap_or(version), dialect, key),
    }
}

/// `1.21rc2` → `1.21` and `rc.2`: as semantic version it would be older than `1.21` only with a hyphen.
fn toolchain(version: &str) -> Option<(&str, String)> {
    let (release, rest) = split_run(version.as_bytes(), |c| c.is_ascii_digit() || c == b'.');
    let word = ["alpha", "beta", "rc"].into_iter().find(|word| rest.starts_with(word.as_bytes()))?;
    let number = &version[release.len() + word.len()..];
    (!release.is_empty()).then(|| (&version[..release.len()], format!("{word}.{number}")))
}
