//! What documents say beside their packages: how components relate, and checksums of their files.

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

impl Checksum {
    /// A checksum by any format's name of the algorithm.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(algorithm: &str, value: &str) -> Result<Self, &'static str> {
        let plain: String = algorithm.chars().filter(char::is_ascii_alphanumeric).collect();
        let (algorithm, digits) = match plain.to_ascii_uppercase().as_str() {
            "MD5" => ("MD5", 32),
            "SHA1" => ("SHA-1", 40),
            "SHA224" => ("SHA-224", 56),
            "SHA256" => ("SHA-256", 64),
            "SHA384" => ("SHA-384", 96),
            "SHA512" => ("SHA-512", 128),
            "SHA3256" => ("SHA3-256", 64),
            "SHA3384" => ("SHA3-384", 96),
            "SHA3512" => ("SHA3-512", 128),
            "BLAKE2B256" => ("BLAKE2b-256", 64),
            "BLAKE2B384" => ("BLAKE2b-384", 96),
            "BLAKE2B512" => ("BLAKE2b-512", 128),
            "BLAKE3" => ("BLAKE3", 64),
            "STREEBOG256" => ("Streebog-256", 64),
            "STREEBOG512" => ("Streebog-512", 128),
            _ => return Err("a checksum of an unknown algorithm"),
        };
        let value = value.trim();
        if value.len() != digits || !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("a checksum that is not as long as its algorithm's or not hexadecimal");
        }
        Ok(Self { algorithm, value: value.to_ascii_lowercase() })
    }
}

/// Longest reference that is followed, in bytes.
pub(super) const MAX_REFERENCE: usize = 1024;

/// References of a document, until it is known which package URLs they stand for. Each is kept once, however often
/// it occurs.
#[derive(Debug, Default)]
pub(super) struct References {
    numbers: HashMap<String, usize>,
    subject: Option<usize>,
    /// By number: the index of the package it was given to, or `None` for anything else.
    given: HashMap<usize, Option<usize>>,
    pairs: Vec<(usize, RelationKind, usize)>,
}

impl References {
    /// Says which reference means the document's subject.
    pub(super) fn set_subject(&mut self, reference: &str) {
        self.subject = self.number(reference);
    }

    /// Gives a reference to a package by its index, or to something else. Whether nobody had it before.
    pub(super) fn define(&mut self, reference: &str, index: Option<usize>) -> bool {
        let Some(number) = self.number(reference) else { return true };
        let is_new = !self.given.contains_key(&number) && self.subject != Some(number);
        self.given.entry(number).or_insert(index);
        is_new
    }

    pub(super) fn relate(&mut self, from: &str, kind: RelationKind, to: &str) {
        if let (Some(from), Some(to)) = (self.number(from), self.number(to)) {
            self.pairs.push((from, kind, to));
        }
    }

    fn number(&mut self, reference: &str) -> Option<usize> {
        if reference.is_empty() || reference.len() > MAX_REFERENCE {
            return None;
        }
        if let Some(number) = self.numbers.get(reference) {
            return Some(*number);
        }
        let number = self.numbers.len();
        self.numbers.insert(reference.to_owned(), number);
        Some(number)
    }

    /// Relations between what has a package URL; those with anything else are no relations of components.
    pub(super) fn resolve(self, purls: &[Arc<str>]) -> Vec<Relation> {
        let purl = |number: usize| self.given.get(&number).and_then(|index| purls.get((*index)?)).cloned();
        let relation = |(from, kind, to): &(usize, RelationKind, usize)| {
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
        references.set_subject("app");
        assert!(references.define("a", Some(0)));
        assert!(references.define("b", Some(1)));
        assert!(!references.define("a", None), "the first keeps its name");
        for (from, to) in [("b", "a"), ("a", "b"), ("a", "a"), ("a", "nobody"), ("app", "a"), ("b", "a")] {
            references.relate(from, RelationKind::DependsOn, to);
        }
        references.relate(&"long".repeat(MAX_REFERENCE), RelationKind::DependsOn, "a");
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
        assert!(Checksum::new("MD5", &"g".repeat(32)).is_err());
    }
}
