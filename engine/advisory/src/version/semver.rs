//! Semantic versions and their kin (Semantic Versioning 2.0.0, section 11).

use super::key::{is_number, number, split_run, text};

/// What the kin do differently.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Dialect {
    /// Letters of pre-releases compare without case (NuGet).
    pub(super) ignore_case: bool,
    /// What follows a `+` orders, too (Pub, Conan).
    pub(super) ordered_build: bool,
    /// Letters may follow a number: `1w` lies between `1` and `2` (Conan).
    pub(super) lettered: bool,
}

const END: u8 = 0;
const NUMBER: u8 = 1;
const TEXT: u8 = 2;

pub(super) fn write_key(version: &str, dialect: Dialect, key: &mut Vec<u8>) {
    let version = version.trim();
    let version = version.strip_prefix(['v', 'V', '=']).unwrap_or(version);
    let (version, build) = version.split_once('+').map_or((version, None), |(version, build)| (version, Some(build)));
    let (core, pre) = version.split_once('-').map_or((version, None), |(core, pre)| (core, Some(pre)));
    write_identifiers(without_zeros(core), dialect, key);
    // A pre-release precedes its release.
    key.push(u8::from(pre.is_none()));
    if let Some(pre) = pre {
        write_identifiers(pre, dialect, key);
    }
    if let Some(build) = build.filter(|_| dialect.ordered_build) {
        key.push(1);
        write_identifiers(build, dialect, key);
    }
}

/// Missing numbers count as zero.
fn without_zeros(core: &str) -> &str {
    let mut core = core;
    while let Some((rest, last)) = core.rsplit_once('.') {
        if !is_number(last.as_bytes()) || last.bytes().any(|digit| digit != b'0') {
            return core;
        }
        core = rest;
    }
    core
}

fn write_identifiers(identifiers: &str, dialect: Dialect, key: &mut Vec<u8>) {
    for identifier in identifiers.split('.') {
        let (digits, letters) = split_run(identifier.as_bytes(), |c| c.is_ascii_digit());
        if dialect.lettered && !digits.is_empty() {
            key.push(NUMBER);
            number(key, digits);
            text(key, letters);
        } else if letters.is_empty() && !digits.is_empty() {
            key.push(NUMBER);
            number(key, digits);
        } else if dialect.ignore_case {
            key.push(TEXT);
            text(key, identifier.to_ascii_lowercase().as_bytes());
        } else {
            key.push(TEXT);
            text(key, identifier.as_bytes());
        }
    }
    key.push(END);
}
