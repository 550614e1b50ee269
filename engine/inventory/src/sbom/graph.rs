//! What documents say beside their packages: how components relate, and checksums of their files.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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
    pub from: Option<String>,
    /// How.
    pub kind: RelationKind,
    /// Package URL of the second.
    pub to: String,
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

/// References of a document, until it is known which package URLs they stand for.
#[derive(Debug, Default)]
pub(super) struct References {
    pub(super) subject: Option<String>,
    found: HashMap<String, Option<usize>>,
    pairs: Vec<(String, RelationKind, String)>,
}

impl References {
    /// Gives a reference to a package by its index, or to something else. Whether nobody had it before.
    pub(super) fn define(&mut self, reference: &str, index: Option<usize>) -> bool {
        let is_new = !self.found.contains_key(reference) && self.subject.as_deref() != Some(reference);
        self.found.entry(reference.to_owned()).or_insert(index);
        is_new
    }

    pub(super) fn relate(&mut self, from: &str, kind: RelationKind, to: &str) {
        self.pairs.push((from.to_owned(), kind, to.to_owned()));
    }

    /// Relations between what has a package URL; those with anything else are no relations of components.
    pub(super) fn resolve(self, purls: &[String]) -> Vec<Relation> {
        let purl = |reference: &str| self.found.get(reference).and_then(|index| purls.get((*index)?)).cloned();
        let relation = |(from, kind, to): &(String, RelationKind, String)| {
            let is_subject = self.subject.as_deref() == Some(from.as_str());
            let from = if is_subject { None } else { Some(purl(from)?) };
            Some(Relation { from, kind: *kind, to: purl(to)? })
        };
        let relations: BTreeSet<Relation> = self.pairs.iter().filter_map(relation).collect();
        relations.into_iter().filter(|relation| relation.from.as_ref() != Some(&relation.to)).collect()
    }
}

/// Checksums by package URL.
pub type Checksums = BTreeMap<String, BTreeSet<Checksum>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_sorted_and_circles_are_harmless() {
        let mut references = References { subject: Some("app".into()), ..References::default() };
        assert!(references.define("a", Some(0)));
        assert!(references.define("b", Some(1)));
        assert!(!references.define("a", None), "the first keeps its name");
        for (from, to) in [("b", "a"), ("a", "b"), ("a", "a"), ("a", "nobody"), ("app", "a"), ("b", "a")] {
            references.relate(from, RelationKind::DependsOn, to);
        }
        let purls = ["pkg:npm/a@1".to_owned(), "pkg:npm/b@1".to_owned()];
        let shown: Vec<String> = references
            .resolve(&purls)
            .into_iter()
            .map(|relation| format!("{} {}", relation.from.unwrap_or_default(), relation.to))
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
