//! The section `.dep-v0` of an executable: zlib over JSON ("cargo-auditable", format of version 0).

use std::io::Read;

use serde::Deserialize;

use super::super::elf;
use super::super::{Findings, ParseError, SourceFile};
use crate::{Package, PackageKind};

/// Name of the section.
pub(in crate::cataloger) const SECTION: &str = ".dep-v0";
/// Uncompressed bytes that are believed: thousands of crates take some 100 kB.
const MAX_BYTES: u64 = 16 << 20;

#[derive(Deserialize)]
struct List {
    packages: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
    version: String,
    source: String,
    /// `build` for what only ran while building.
    kind: Option<String>,
    /// Whether the program is this crate's own.
    #[serde(default)]
    root: bool,
}

/// Reads the list of an executable held whole; whether there was one.
pub(in crate::cataloger) fn parse(file: &SourceFile<'_>, findings: &mut Findings) -> Result<bool, ParseError> {
    let Some(section) = elf::section(file.bytes, SECTION) else { return Ok(false) };
    let failed = |what: String| ParseError(format!("its section {SECTION}: {what}"));
    let mut json = Vec::new();
    flate2::read::ZlibDecoder::new(section)
        .take(MAX_BYTES + 1)
        .read_to_end(&mut json)
        .map_err(|error| failed(error.to_string()))?;
    if json.len() as u64 > MAX_BYTES {
        return Err(failed(format!("unpacks to more than {MAX_BYTES} bytes")));
    }
    let list: List = serde_json::from_slice(&json).map_err(|error| failed(error.to_string()))?;
    let there = |it: &Crate| it.kind.as_deref() != Some("build") && it.source != "local";
    for found in list.packages.into_iter().filter(there) {
        findings.add(Package {
            files: vec![file.path.to_owned()],
            linked: !found.root,
            ..Package::new(PackageKind::Cargo, found.name, found.version, file.path)
        });
    }
    findings.packages.sort_unstable();
    findings.packages.dedup();
    Ok(true)
}
