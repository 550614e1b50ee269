//! What one record says about one package, as it lies in the index.
//!
//! ```text
//!   group | source | length of ranges, ranges | length of versions, listed versions
//!   range:  scheme (byte) | limit | count of events | events: turn (byte) | key | version
//!   listed versions: those of one length together: length | count | the versions, sorted
//! ```
//! Numbers have seven bits a byte; keys, versions and limits have their length before them.

use super::layout::{Reader, write_field, write_number};
use crate::range::{RangeEvent, Turn, VersionRange, affected};
use crate::version::Scheme;

const TURNS: [Turn; 3] = [Turn::Introduced, Turn::Fixed, Turn::LastAffected];

/// What one record says about one package. Its parts are read where they lie.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Number of the vulnerability's group.
    pub group: u32,
    source: u32,
    ranges: Reader<'a>,
    versions: Reader<'a>,
}

/// A version that is looked up: its text, and its keys as far as they were needed.
#[derive(Debug)]
pub struct Versions<'a> {
    text: &'a str,
    keys: Vec<(Scheme, Vec<u8>)>,
}

impl<'a> Versions<'a> {
    /// The version as its package spells it.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text, keys: Vec::new() }
    }

    /// The key in a scheme.
    pub fn key(&mut self, scheme: Scheme) -> &[u8] {
        let at = match self.keys.iter().position(|(of, _)| *of == scheme) {
            Some(at) => at,
            None => {
                self.keys.push((scheme, scheme.key(self.text)));
                self.keys.len() - 1
            }
        };
        &self.keys[at].1
    }
}

/// Ranges and listed versions, as entries keep them.
pub(crate) fn encode_said(ranges: &[VersionRange], versions: &[&str]) -> Vec<u8> {
    let (mut body, mut listed) = (Vec::new(), Vec::new());
    for range in ranges {
        body.push(Scheme::ALL.iter().position(|scheme| *scheme == range.scheme).unwrap_or(usize::MAX) as u8);
        write_field(&mut body, &range.limit);
        write_number(&mut body, range.events.len() as u64);
        for event in &range.events {
            body.push(event.turn as u8);
            write_field(&mut body, &event.key);
            write_field(&mut body, event.version.as_bytes());
        }
    }
    let mut ordered = versions.to_vec();
    ordered.sort_unstable_by_key(|version| (version.len(), *version));
    for same in ordered.chunk_by(|a, b| a.len() == b.len()) {
        write_number(&mut listed, same[0].len() as u64);
        write_number(&mut listed, same.len() as u64);
        same.iter().for_each(|version| listed.extend_from_slice(version.as_bytes()));
    }
    let mut out = Vec::with_capacity(body.len() + listed.len() + 4);
    write_field(&mut out, &body);
    write_field(&mut out, &listed);
    out
}

impl<'a> Entry<'a> {
    /// Reads the entry at the front; `None` when it is malformed.
    pub(super) fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let group = u32::try_from(reader.number()?).ok()?;
        let source = u32::try_from(reader.number()?).ok()?;
        Some(Self { group, source, ranges: Reader(reader.field()?), versions: Reader(reader.field()?) })
    }

    /// Number of the feed in the index.
    pub(super) fn source(&self) -> usize {
        self.source as usize
    }

    /// Whether the version is listed, or in one of the ranges. `None` when the entry is malformed.
    #[must_use]
    pub fn affects(&self, version: &mut Versions<'_>) -> Option<bool> {
        // Ranges are shorter than lists, and most records that name versions have both.
        let mut ranges = self.ranges;
        while !ranges.0.is_empty() {
            let (scheme, limit, mut events) = range(&mut ranges)?;
            if affected(version.key(scheme), limit, &mut events) {
                return Some(true);
            }
            ranges = events.finish()?;
        }
        let (mut listed, wanted) = (self.versions, version.text.as_bytes());
        while !listed.0.is_empty() {
            let (length, count) = (listed.number()?, listed.number()?);
            let same = listed.take(length.checked_mul(count)?)?;
            if length == wanted.len() as u64 {
                // Nothing is longer after it.
                return Some(wanted.is_empty() || same.chunks_exact(wanted.len()).any(|known| known == wanted));
            }
        }
        Some(false)
    }

    /// The next fix of each range that holds the version; of every range when only the list of versions does. `None` when the
    /// entry is malformed.
    #[must_use]
    pub fn fixes(&self, version: &mut Versions<'_>) -> Option<Vec<&'a str>> {
        let (mut named, mut others) = (Vec::new(), Vec::new());
        let mut ranges = self.ranges;
        while !ranges.0.is_empty() {
            let (scheme, limit, mut events) = range(&mut ranges)?;
            let key = version.key(scheme);
            let holds = affected(key, limit, &mut events.clone());
            let mut next = None;
            while let Some((at, turn)) = events.next() {
                if turn == Turn::Fixed && at > key && next.is_none() {
                    next = Some(std::str::from_utf8(events.version).ok()?);
                }
            }
            ranges = events.finish()?;
            if holds { &mut named } else { &mut others }.extend(next);
        }
        Some(if named.is_empty() { others } else { named })
    }

    /// The ranges, for those who want to see them. `None` when the entry is malformed.
    #[must_use]
    pub fn ranges(&self) -> Option<Vec<VersionRange>> {
        let mut ranges = self.ranges;
        let mut read = Vec::new();
        while !ranges.0.is_empty() {
            let (scheme, limit, mut events) = range(&mut ranges)?;
            let mut of = Vec::new();
            while let Some((key, turn)) = events.next() {
                let version = std::str::from_utf8(events.version).ok()?.to_owned();
                of.push(RangeEvent { key: key.to_vec(), turn, version });
            }
            read.push(VersionRange { scheme, limit: limit.to_vec(), events: of });
            ranges = events.finish()?;
        }
        Some(read)
    }
}

fn range<'a>(reader: &mut Reader<'a>) -> Option<(Scheme, &'a [u8], Events<'a>)> {
    let scheme = *Scheme::ALL.get(usize::from(reader.byte()?))?;
    let limit = reader.field()?;
    let left = reader.number()?;
    Some((scheme, limit, Events { reader: *reader, left, version: b"", sound: true }))
}

/// The events of a range, one after the other.
#[derive(Clone)]
struct Events<'a> {
    reader: Reader<'a>,
    left: u64,
    /// The version of the event that was read last.
    version: &'a [u8],
    sound: bool,
}

impl<'a> Events<'a> {
    fn read(&mut self) -> Option<(&'a [u8], Turn)> {
        let turn = *TURNS.get(usize::from(self.reader.byte()?))?;
        let key = self.reader.field()?;
        self.version = self.reader.field()?;
        Some((key, turn))
    }

    /// What follows the range, all events having been read.
    fn finish(mut self) -> Option<Reader<'a>> {
        while self.next().is_some() {}
        self.sound.then_some(self.reader)
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = (&'a [u8], Turn);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let event = self.read();
        if event.is_none() {
            (self.left, self.sound) = (0, false);
        }
        event
    }
}
