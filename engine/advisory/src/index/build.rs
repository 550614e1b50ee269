//! Writing an index.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use stella_domain::{Digest, Hasher};

use super::blocks::{BLOCK, sum};
use super::layout::{Header, MAGIC, SECTIONS, bucket, hash, write_number};
use super::{Index, IndexError};
use crate::feed::Feeds;
use crate::merge::{Group, merge};

/// What a record says about a package key: group, number of the feed, ranges and versions.
type Said<'a> = (&'a [u8], u32, u32, &'a [u8]);

/// The bytes of an index of `feeds`.
///
/// # Errors
/// When a section cannot be encoded, which means that it is larger than the format allows.
pub fn build(feeds: &Feeds) -> Result<Vec<u8>, IndexError> {
    Ok(parts(feeds)?.concat())
}

/// The head and the sections, in their order in the file.
fn parts(feeds: &Feeds) -> Result<[Vec<u8>; 1 + SECTIONS], IndexError> {
    let count = |number: usize, what| u32::try_from(number).map_err(|_| IndexError::TooLarge(what));
    count(feeds.records.len(), "records")?;
    let merged = merge(feeds);
    let sources: BTreeSet<&str> = feeds.records.iter().map(|(source, _)| source.as_str()).collect();
    let numbers: BTreeMap<&str, u32> = sources.iter().copied().zip(0..).collect();
    let mut said: Vec<Said<'_>> = Vec::new();
    for ((source, record), group) in feeds.records.iter().zip(&merged.group_of) {
        let Some(group) = *group else { continue };
        let source = numbers[source.as_str()];
        said.extend(record.affected.iter().map(|affected| (&*affected.key, group, source, &*affected.said)));
    }
    said.sort_unstable();
    said.dedup();
    let (places, groups, sums) = encode_groups(merged.groups(feeds))?;
    let group_count = count(sums.len(), "groups")?;
    let (buckets, slots, lists, keys, bucket_bits) = encode_lists(&said, &sums)?;
    drop(said);
    let sections = [buckets, slots, lists, places, groups];
    let header = Header {
        feeds: feeds.info.clone(),
        sources: sources.into_iter().map(str::to_owned).collect(),
        groups: group_count,
        keys,
        bucket_bits,
        sections: std::array::from_fn(|at| sections[at].len() as u64),
    };
    assemble(&header, sections)
}

/// Builds an index of `feeds` at `path`, whole or not at all, and verifies what was written.
///
/// # Errors
/// When the index cannot be built, or the file or its folder cannot be written.
pub fn write(feeds: &Feeds, path: &Path) -> Result<(), IndexError> {
    // One after the other, so that the whole is not there twice.
    let parts = parts(feeds)?;
    let io = |source| IndexError::Io { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(io)?;
    let (partial, file) = begin(path).map_err(io)?;
    let written = fill(file, &parts);
    drop(parts);
    let verified = written.map_err(io).and_then(|()| Index::open(&partial)?.verify());
    verified.and_then(|()| std::fs::rename(&partial, path).map_err(io)).inspect_err(|_| {
        let _ = std::fs::remove_file(&partial);
    })
}

fn fill(mut file: File, parts: &[Vec<u8>]) -> std::io::Result<()> {
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()
}

/// A new file beside `path`. Replicas may share the folder, and in containers all of them have the same number; what ended before
/// its end left its file, too.
fn begin(path: &Path) -> std::io::Result<(PathBuf, File)> {
    let mut number = 0;
    loop {
        let partial = path.with_extension(format!("partial-{}-{number}", std::process::id()));
        match File::options().write(true).create_new(true).open(&partial) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && number < 1000 => number += 1,
            opened => return opened.map(|file| (partial, file)),
        }
    }
}

/// Buckets, slots and lists, the number of keys, and the bits that choose a bucket.
type Lists = (Vec<u8>, Vec<u8>, Vec<u8>, u32, u8);

fn encode_lists(said: &[Said<'_>], groups: &[Digest]) -> Result<Lists, IndexError> {
    let (mut slots, mut lists, mut list) = (Vec::new(), Vec::new(), Vec::new());
    for of_key in said.chunk_by(|a, b| a.0 == b.0) {
        let key = of_key[0].0;
        list.clear();
        let mut content = Hasher::new();
        for (_, group, source, said) in of_key {
            content.field(groups[*group as usize].as_bytes());
            content.field(said);
            write_number(&mut list, u64::from(*group));
            write_number(&mut list, u64::from(*source));
            list.extend_from_slice(said);
        }
        let mut known = [0; 16];
        known.copy_from_slice(&content.finish().as_bytes()[..16]);
        slots.push((hash(key), lists.len() as u64, known));
        for length in [key.len(), list.len()] {
            let length = u32::try_from(length).map_err(|_| IndexError::TooLarge("lists"))?;
            lists.extend_from_slice(&length.to_le_bytes());
        }
        lists.extend_from_slice(key);
        lists.extend_from_slice(&list);
    }
    // Lists lie by key, so slots of one hash stay in the order of their keys.
    slots.sort_unstable_by_key(|(hash, place, _)| (*hash, *place));
    let keys = u32::try_from(slots.len()).map_err(|_| IndexError::TooLarge("keys"))?;
    // About two keys a bucket.
    let bucket_bits = (32 - (keys / 2).leading_zeros()) as u8;
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
    Ok((buckets, table, lists, keys, bucket_bits))
}

/// Places, groups, and for each group a digest of what makes its findings change.
type Groups = (Vec<u8>, Vec<u8>, Vec<Digest>);

fn encode_groups(groups: impl Iterator<Item = Group>) -> Result<Groups, IndexError> {
    let (mut places, mut bytes, mut sums) = (Vec::new(), Vec::new(), Vec::new());
    for group in groups {
        places.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&encode("groups", &group)?);
        sums.push(Digest::of(&encode("groups", &group.for_comparison())?));
    }
    places.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    Ok((places, bytes, sums))
}

fn encode(section: &'static str, value: &impl Serialize) -> Result<Vec<u8>, IndexError> {
    postcard::to_stdvec(value).map_err(|_| IndexError::TooLarge(section))
}

fn assemble(header: &Header, sections: [Vec<u8>; SECTIONS]) -> Result<[Vec<u8>; 1 + SECTIONS], IndexError> {
    let header = encode("header", header)?;
    let header_length = u32::try_from(header.len()).map_err(|_| IndexError::TooLarge("header"))?;
    let mut described = header_length.to_le_bytes().to_vec();
    described.extend_from_slice(&header);
    described.extend_from_slice(&sums(&sections));
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(Digest::of(&described).as_bytes());
    head.extend_from_slice(&(described.len() as u64).to_le_bytes());
    head.extend_from_slice(&described);
    let [buckets, slots, lists, places, groups] = sections;
    Ok([head, buckets, slots, lists, places, groups])
}

/// The sums of the blocks of all sections, which do not begin with one.
fn sums(sections: &[Vec<u8>; SECTIONS]) -> Vec<u8> {
    let (mut sums, mut block) = (Vec::new(), Vec::with_capacity(BLOCK));
    for mut section in sections.iter().map(Vec::as_slice) {
        while !section.is_empty() {
            let (begin, rest) = section.split_at(section.len().min(BLOCK - block.len()));
            block.extend_from_slice(begin);
            section = rest;
            if block.len() == BLOCK {
                sums.extend_from_slice(&sum(&block));
                block.clear();
            }
        }
    }
    if !block.is_empty() {
        sums.extend_from_slice(&sum(&block));
    }
    sums
}
