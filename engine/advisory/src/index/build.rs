//! Writing an index.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use serde::Serialize;
use stella_domain::{Digest, Hasher};

use super::blocks::{BLOCK, sum};
use super::layout::{FIXED, Header, MAGIC, SECTIONS, bucket, hash, write_number};
use super::{Index, IndexError, entry};
use crate::feed::Feeds;
use crate::merge::{Group, merge};
use crate::naming::package_key;
use crate::osv::Affected;
use crate::range::VersionRange;
use crate::version::Scheme;

/// Group and encoded entry.
type Lists = BTreeMap<Vec<u8>, Vec<(u32, Box<[u8]>)>>;

/// The bytes of an index of `feeds`.
///
/// # Errors
/// When a section cannot be encoded, which means that it is larger than the format allows.
pub fn build(feeds: &Feeds) -> Result<Vec<u8>, IndexError> {
    let merged = merge(feeds);
    let mut sources: Vec<String> = feeds.records.iter().map(|(source, _)| source.clone()).collect();
    sources.sort();
    sources.dedup();
    let mut lists = Lists::new();
    for ((source, record), group) in feeds.records.iter().zip(&merged.group_of) {
        let Some(group) = *group else { continue };
        let source = sources.binary_search(source).unwrap_or_default() as u32;
        for affected in &record.affected {
            if let Some((key, entry)) = entry(source, affected) {
                lists.entry(key).or_default().push((group, entry));
            }
        }
    }
    let count = |number: usize, what| u32::try_from(number).map_err(|_| IndexError::TooLarge(what));
    let (places, groups, sums) = encode_groups(&merged.groups)?;
    let keys = count(lists.len(), "keys")?;
    // About two keys a bucket.
    let bucket_bits = (32 - (keys / 2).leading_zeros()) as u8;
    let (buckets, slots, lists) = encode_lists(lists, bucket_bits, &sums)?;
    let sections = [buckets, slots, lists, places, groups];
    let header = Header {
        feeds: feeds.info.clone(),
        sources,
        groups: count(merged.groups.len(), "groups")?,
        keys,
        bucket_bits,
        sections: std::array::from_fn(|at| sections[at].len() as u64),
    };
    assemble(&header, &sections)
}

/// Builds an index of `feeds` at `path`, whole or not at all, and verifies what was written.
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
    drop(bytes);
    let verified = written.map_err(io).and_then(|()| Index::open(&partial)?.verify());
    verified.and_then(|()| std::fs::rename(&partial, path).map_err(io)).inspect_err(|_| {
        let _ = std::fs::remove_file(&partial);
    })
}

fn entry(source: u32, affected: &Affected) -> Option<(Vec<u8>, Box<[u8]>)> {
    let package = affected.package.as_ref()?;
    let scheme = Scheme::of_ecosystem(&package.ecosystem);
    let ranges: Vec<_> = affected.ranges.iter().filter_map(|range| VersionRange::of(range, scheme)).collect();
    let mut versions = affected.versions.clone();
    versions.sort();
    versions.dedup();
    let says_something = !ranges.is_empty() || !versions.is_empty();
    says_something.then(|| {
        let entry = entry::encode(source, &ranges, &versions);
        (package_key(&package.ecosystem, &package.name), entry.into_boxed_slice())
    })
}

/// Buckets, slots and lists.
fn encode_lists(lists: Lists, bucket_bits: u8, groups: &[Digest]) -> Result<(Vec<u8>, Vec<u8>, Vec<u8>), IndexError> {
    let mut slots = Vec::with_capacity(lists.len());
    let mut bytes = Vec::new();
    for (key, mut entries) in lists {
        entries.sort();
        entries.dedup();
        let mut content = Hasher::new();
        let mut list = Vec::new();
        for (group, entry) in entries {
            content.field(groups[group as usize].as_bytes());
            content.field(&entry);
            write_number(&mut list, u64::from(group));
            list.extend_from_slice(&entry);
        }
        let mut known = [0; 16];
        known.copy_from_slice(&content.finish().as_bytes()[..16]);
        slots.push((hash(&key), bytes.len() as u64, known));
        for length in [key.len(), list.len()] {
            let length = u32::try_from(length).map_err(|_| IndexError::TooLarge("lists"))?;
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        bytes.extend_from_slice(&key);
        bytes.extend_from_slice(&list);
    }
    // Lists lie by key, so slots of one hash stay in the order of their keys.
    slots.sort_by_key(|(hash, place, _)| (*hash, *place));
    let (mut buckets, mut table) = (Vec::new(), Vec::new());
    let mut next = 0;
    for number in 0..=1usize << bucket_bits {
        while next < slots.len() && bucket(slots[next].0, bucket_bits) < number {
            next += 1;
        }
        buckets.extend_from_slice(&(next as u32).to_le_bytes());
    }
    for (hash, place, known) in slots {
        table.extend_from_slice(&hash.to_le_bytes());
        table.extend_from_slice(&place.to_le_bytes());
        table.extend_from_slice(&known);
    }
    Ok((buckets, table, bytes))
}

/// Places, groups, and for each group a digest of what makes its findings change.
fn encode_groups(groups: &[Group]) -> Result<(Vec<u8>, Vec<u8>, Vec<Digest>), IndexError> {
    let (mut places, mut bytes, mut sums) = (Vec::new(), Vec::new(), Vec::new());
    for group in groups {
        places.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&encode("groups", group)?);
        sums.push(Digest::of(&encode("groups", &group.for_comparison())?));
    }
    places.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    Ok((places, bytes, sums))
}

fn encode(section: &'static str, value: &impl Serialize) -> Result<Vec<u8>, IndexError> {
    postcard::to_stdvec(value).map_err(|_| IndexError::TooLarge(section))
}

fn assemble(header: &Header, sections: &[Vec<u8>; SECTIONS]) -> Result<Vec<u8>, IndexError> {
    let header = encode("header", header)?;
    let length = sections.iter().map(Vec::len).sum::<usize>();
    let head = 4 + header.len() + length.div_ceil(BLOCK) * super::blocks::SUM;
    let mut bytes = Vec::with_capacity(FIXED + head + length);
    bytes.resize(FIXED + head, 0);
    sections.iter().for_each(|section| bytes.extend_from_slice(section));
    let header_length = u32::try_from(header.len()).map_err(|_| IndexError::TooLarge("header"))?;
    let sums: Vec<u8> = bytes[FIXED + head..].chunks(BLOCK).flat_map(sum).collect();
    let mut written = header_length.to_le_bytes().to_vec();
    written.extend_from_slice(&header);
    written.extend_from_slice(&sums);
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..40].copy_from_slice(Digest::of(&written).as_bytes());
    bytes[40..48].copy_from_slice(&(head as u64).to_le_bytes());
    bytes[FIXED..FIXED + head].copy_from_slice(&written);
    Ok(bytes)
}
