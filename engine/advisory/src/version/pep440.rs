//! Python versions (PEP 440), with the legacy order for texts that PEP 440 does not take.

use std::str::FromStr as _;

use pep440_rs::{LocalSegment, PrereleaseKind, Version};

use super::key::text;

/// Before and after every value that a part can have.
const LOWEST: u8 = 0;
const HIGHEST: u8 = u8::MAX;
const PRESENT: u8 = 1;

pub(super) fn write_key(version: &str, key: &mut Vec<u8>) {
    match Version::from_str(version.trim()) {
        Ok(version) => {
            key.push(PRESENT);
            write_version(&version, key);
        }
        // As pip did while it still took such versions: they are older than every proper one.
        Err(_) => {
            key.push(LOWEST);
            text(key, version.as_bytes());
        }
    }
}

fn write_version(version: &Version, key: &mut Vec<u8>) {
    key.extend_from_slice(&version.epoch().to_be_bytes());
    let release = version.release();
    let significant = release.iter().rposition(|number| *number != 0).map_or(0, |last| last + 1);
    for number in &release[..significant] {
        write_number(PRESENT, *number, key);
    }
    key.push(LOWEST);
    match (version.pre(), version.post(), version.dev()) {
        (Some(pre), _, _) => write_number(pre_rank(pre.kind), pre.number, key),
        // A development release of the release itself precedes its pre-releases.
        (None, None, Some(_)) => key.push(LOWEST),
        (None, _, _) => key.push(HIGHEST),
    }
    match version.post() {
        Some(number) => write_number(PRESENT, number, key),
        None => key.push(LOWEST),
    }
    match version.dev() {
        Some(number) => write_number(PRESENT, number, key),
        None => key.push(HIGHEST),
    }
    for segment in version.local() {
        match segment {
            LocalSegment::String(word) => {
                key.push(PRESENT);
                text(key, word.as_bytes());
            }
            LocalSegment::Number(number) => write_number(PRESENT + 1, *number, key),
        }
    }
    key.push(LOWEST);
}

fn write_number(class: u8, number: u64, key: &mut Vec<u8>) {
    key.push(class);
    key.extend_from_slice(&number.to_be_bytes());
}

fn pre_rank(kind: PrereleaseKind) -> u8 {
    match kind {
        PrereleaseKind::Alpha => 1,
        PrereleaseKind::Beta => 2,
        PrereleaseKind::Rc => 3,
    }
}
