//! What documents say beside their packages: how components relate, and checksums of their files.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// How two components relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RelationKind {
    /// The first needs the second.
    DependsOn,
    /// The second lies within the first.
    Contains,
}

/// That one component relates to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Relation {
    /// Package URL of the first as the inventory has it; `None` for the document's subject.
    pub from: Option<Arc<str>>,
    /// How.
    pub kind: RelationKind,
    /// Package URL of the second.
    pub to: Arc<str>,
}

/// A checksum that a document gives for a component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Checksum {
    /// The algorithm in CycloneDX's spelling, such as `SHA-256`.
    pub algorithm: &'static str,
    /// Hex digits in lower case, as many as the algorithm has.
    pub value: String,
}

/// Longest name of an algorithm by its letters and digits: `STREEBOG512`.
const MAX_ALGORITHM: usize = 11;
const UNKNOWN_ALGORITHM: &str = "a checksum of an unknown algorithm";

impl Checksum {
    /// A checksum by any format's name of the algorithm.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(algorithm: &str, value: &str) -> Result<Self, &'static str> {
        let (algorithm, value) = Self::check(algorithm, value)?;
        Ok(Self { algorithm, value: value.to_ascii_lowercase() })
    }

    /// The algorithm of a checksum in CycloneDX's spelling, and its digits as they are written.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn check<'v>(algorithm: &str, value: &'v str) -> Result<(&'static str, &'v str), &'static str> {
        let (mut plain, mut length) = ([0u8; MAX_ALGORITHM], 0usize);
        for byte in algorithm.bytes().filter(u8::is_ascii_alphanumeric) {
            *plain.get_mut(length).ok_or(UNKNOWN_ALGORITHM)? = byte.to_ascii_uppercase();
            length += 1;
        }
        let (algorithm, digits) = match &plain[..length] {
            b"MD5" => ("MD5", 32),
            b"SHA1" => ("SHA-1", 40),
            b"SHA224" => ("SHA-224", 56),
            b"SHA256" => ("SHA-256", 64),
            b"SHA384" => ("SHA-384", 96),
            b"SHA512" => ("SHA-512", 128),
            b"SHA3256" => ("SHA3-256", 64),
            b"SHA3384" => ("SHA3-384", 96),
            b"SHA3512" => ("SHA3-512", 128),
            b"BLAKE2B256" => ("BLAKE2b-256", 64),
            b"BLAKE2B384" => ("BLAKE2b-384", 96),
            b"BLAKE2B512" => ("BLAKE2b-512", 128),
            b"BLAKE3" => ("BLAKE3", 64),
            b"STREEBOG256" => ("Streebog-256", 64),
            b"STREEBOG512" => ("Streebog-512", 128),
            _ => return Err(UNKNOWN_ALGORITHM),
        };
        let value = value.trim();
        // All of them are looked at, several at once: a document of 500 packages may have half a megabyte of checksums.
        if value.len() != digits || !value.bytes().fold(true, |is_hex, byte| is_hex & byte.is_ascii_hexdigit()) {
            return Err("a checksum that is not as long as its algorithm's or not hexadecimal");
        }
        Ok((algorithm, value))
    }
}

/// Longest reference that is followed, in bytes.
pub(super) const MAX_REFERENCE: usize = 1024;

/// A reference by its number in the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reference(u32);

/// What a reference was given to.
#[derive(Debug, Clone, Copy)]
enum Given {
    Nothing,
    /// A package, by its index.
    Package(usize),
    Other,
}

/// References of a document, until it is known which package URLs they stand for. Each is kept once, however often
/// it occurs, and borrowed where the document outlives this. Whoever sends the document chooses these keys: the hasher is one that
/// withstands keys made to collide.
#[derive(Debug, Default)]
pub(super) struct References<'d> {
    numbers: HashMap<Cow<'d, str>, Reference>,
    subject: Option<Reference>,
    /// By number.
    given: Vec<Given>,
    pairs: Vec<(Reference, RelationKind, Reference)>,
}

impl<'d> References<'d> {
    /// Says which reference means the document's subject.
    pub(super) fn set_subject(&mut self, reference: Cow<'d, str>) {
        self.subject = self.number(reference);
    }

    /// Gives a reference to a package by its index, or to something else. Whether nobody had it before.
    pub(super) fn define(&mut self, reference: Cow<'d, str>, index: Option<usize>) -> bool {
        let Some(number) = self.number(reference) else { return true };
        let Some(given) = self.given.get_mut(number.0 as usize) else { return true };
        let is_new = matches!(given, Given::Nothing) && self.subject != Some(number);
        if let Given::Nothing = given {
            *given = index.map_or(Given::Other, Given::Package);
        }
        is_new
    }

    /// That one relates to another, if both are references.
    pub(super) fn relate(&mut self, from: Option<Reference>, kind: RelationKind, to: Option<Reference>) {
        self.pairs.extend(from.zip(to).map(|(from, to)| (from, kind, to)));
    }

    /// The number of a reference; `None` for one that is empty or too long to be followed.
    pub(super) fn number(&mut self, reference: Cow<'d, str>) -> Option<Reference> {
        if reference.is_empty() || reference.len() > MAX_REFERENCE {
            return None;
        }
        let next = u32::try_from(self.given.len()).ok()?;
        match self.numbers.entry(reference) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(vacant) => {
                self.given.push(Given::Nothing);
                Some(*vacant.insert(Reference(next)))
            }
        }
    }

    /// Relations between what has a package URL; those with anything else are no relations of components.
    pub(super) fn resolve(self, purls: &[Arc<str>]) -> Vec<Relation> {
        let purl = |number: Reference| match self.given.get(number.0 as usize) {
            Some(Given::Package(index)) => purls.get(*index).cloned(),
            _ => None,
        };
        let relation = |(from, kind, to): &(Reference, RelationKind, Reference)| {
            let from = if self.subject == Some(*from) { None } else { Some(purl(*from)?) };
            Some(Relation { from, kind: *kind, to: purl(*to)? }).filter(from_another)
        };
        let mut relations: Vec<Relation> = self.pairs.iter().filter_map(relation).collect();
        relations.sort_unstable();
        relations.dedup();
        relations
    }
}

fn from_another(relation: &Relation) -> bool {
    relation.from.as_ref() != Some(&relation.to)
}

/// Checksums by package URL.
pub type Checksums = BTreeMap<String, BTreeSet<Checksum>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_sorted_and_circles_are_harmless() {
        let mut references = References::default();
        references.set_subject("app".into());
        assert!(references.define("a".into(), Some(0)));
        assert!(references.define("b".into(), Some(1)));
        assert!(!references.define("a".into(), None), "the first keeps its name");
        let long = "long".repeat(MAX_REFERENCE);
        let pairs =
            [("b", "a"), ("a", "b"), ("a", "a"), ("a", "nobody"), ("app", "a"), ("b", "a"), (long.as_str(), "a")];
        for (from, to) in pairs {
            let (from, to) = (references.number(from.into()), references.number(to.into()));
            references.relate(from, RelationKind::DependsOn, to);
        }
        let purls = [Arc::from("pkg:npm/a@1"), Arc::from("pkg:npm/b@1")];
        let shown: Vec<String> = references
            .resolve(&purls)
            .into_iter()
            .map(|relation| format!("{} {}", relation.from.as_deref().unwrap_or(""), relation.to))
            .collect();
        assert_eq!(shown, [" pkg:npm/a@1", "pkg:npm/a@1 pkg:npm/b@1", "pkg:npm/b@1 pkg:npm/a@1"]);
    }

    #[test]
    fn checksums_by_every_spelling() {
        for name in ["SHA-256", "SHA256", "sha256"] {
            assert_eq!(Checksum::new(name, &"A".repeat(64)).unwrap().algorithm, "SHA-256");
        }
        assert!(Checksum::new("SHA-1", "foo").is_err());
        assert!(Checksum::new("FOO", &"a".repeat(32)).is_err());
        assert_eq!(Checksum::new("Streebog-512", &"A".repeat(128)).unwrap().value, "a".repeat(128));
        assert_eq!(Checksum::new("STREEBOG-5120", &"a".repeat(128)), Err(UNKNOWN_ALGORITHM));
        assert!(Checksum::new("MD5", &"g".repeat(32)).is_err());
    }
}
