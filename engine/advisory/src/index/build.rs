//! Writing an index.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use serde::Serialize;
use stella_domain::Digest;

use super::{Entry, FIXED, Header, IndexError, MAGIC, SECTIONS, key};
use crate::feed::Feeds;
use crate::merge::merge;
use crate::osv::Affected;
use crate::range::VersionRange;
use crate::version::Scheme;

/// The bytes of an index of `feeds`.
///
/// # Errors
/// When a section cannot be encoded, which means that it is larger than the format allows.
pub fn build(feeds: &Feeds) -> Result<Vec<u8>, IndexError> {
    let merged = merge(feeds);
    let mut lists: BTreeMap<Vec<u8>, Vec<Entry>> = BTreeMap::new();
    for ((source, record), group) in feeds.records.iter().zip(&merged.group_of) {
        let Some(group) = *group else { continue };
        for affected in &record.affected {
            if let Some((key, entry)) = entry(group, source, affected) {
                lists.entry(key).or_default().push(entry);
            }
        }
    }
    let (keys, postings) = encode_postings(lists)?;
    let (places, groups) = encode_groups(&merged.groups)?;
    let count = u32::try_from(merged.groups.len()).map_err(|_| IndexError::TooLarge("groups"))?;
    let header = encode("header", &Header { feeds: feeds.info.clone(), groups: count })?;
    Ok(assemble([header, keys, postings, places, groups]))
}

/// Builds an index of `feeds` at `path`, whole or not at all.
///
/// # Errors
/// When the index cannot be built, or the file or its folder cannot be written.
pub fn write(feeds: &Feeds, path: &Path) -> Result<(), IndexError> {
    let bytes = build(feeds)?;
    let io = |source| IndexError::Io { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(io)?;
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    let written = std::fs::File::create(&partial).and_then(|mut file| {
        file.write_all(&bytes)?;
        file.sync_all()
    });
    let placed = written.and_then(|()| std::fs::rename(&partial, path));
    placed.map_err(|source| {
        let _ = std::fs::remove_file(&partial);
        io(source)
    })
}

fn entry(group: u32, source: &str, affected: &Affected) -> Option<(Vec<u8>, Entry)> {
    let package = affected.package.as_ref()?;
    let ranges = Scheme::of_ecosystem(&package.ecosystem).map_or_else(Vec::new, |scheme| {
        affected.ranges.iter().filter_map(|range| VersionRange::of(range, scheme)).collect()
    });
    let mut versions = affected.versions.clone();
    versions.sort();
    versions.dedup();
    let says_something = !ranges.is_empty() || !versions.is_empty();
    says_something
        .then(|| (key(&package.ecosystem, &package.name), Entry { group, source: source.to_owned(), ranges, versions }))
}

fn encode_postings(lists: BTreeMap<Vec<u8>, Vec<Entry>>) -> Result<(Vec<u8>, Vec<u8>), IndexError> {
    let mut postings = Vec::new();
    let mut keys = fst::MapBuilder::memory();
    for (key, mut entries) in lists {
        entries.sort_by(|a, b| (a.group, &a.source).cmp(&(b.group, &b.source)));
        keys.insert(key, postings.len() as u64).map_err(|_| IndexError::TooLarge("keys"))?;
        let list = encode("postings", &entries)?;
        let length = u32::try_from(list.len()).map_err(|_| IndexError::TooLarge("postings"))?;
        postings.extend_from_slice(&length.to_le_bytes());
        postings.extend_from_slice(&list);
    }
    let keys = keys.into_inner().map_err(|_| IndexError::TooLarge("keys"))?;
    Ok((keys, postings))
}

fn encode_groups(groups: &[impl Serialize]) -> Result<(Vec<u8>, Vec<u8>), IndexError> {
    let (mut places, mut bytes) = (Vec::new(), Vec::new());
    for group in groups {
        places.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&encode("groups", group)?);
    }
    places.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    Ok((places, bytes))
}

fn encode(section: &'static str, value: &impl Serialize) -> Result<Vec<u8>, IndexError> {
    postcard::to_stdvec(value).map_err(|_| IndexError::TooLarge(section))
}

fn assemble(sections: [Vec<u8>; SECTIONS]) -> Vec<u8> {
    let mut rest = Vec::with_capacity(FIXED + sections.iter().map(Vec::len).sum::<usize>());
    sections.iter().for_each(|section| rest.extend_from_slice(&(section.len() as u64).to_le_bytes()));
    sections.iter().for_each(|section| rest.extend_from_slice(section));
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(Digest::of(&rest).as_bytes());
    bytes.append(&mut rest);
    bytes
}
