//! Statements of many documents, found by vulnerability.

use std::collections::{BTreeMap, BTreeSet};

use stella_domain::Digest;

use super::apply::among;
use super::{Document, Statement, Target};

/// The statements of several documents, in the order in which the documents were put here.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    entries: Vec<Entry>,
    /// Places of the statements about a vulnerability, ascending.
    by_id: BTreeMap<String, Vec<usize>>,
}

#[derive(Debug, Clone)]
struct Entry {
    id: String,
    document: String,
    statement: Statement,
}

/// A statement that speaks of a finding, with its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Said<'a> {
    /// Names the statement: from the document's digest and the place in it.
    pub id: &'a str,
    /// The id that the document gives itself.
    pub document: &'a str,
    /// What it says.
    pub statement: &'a Statement,
}

impl Shelf {
    /// Adds a document; `digest` is that of its bytes.
    pub fn put(&mut self, digest: &Digest, document: Document) {
        let name = &digest.hex()[..16];
        for (number, statement) in document.statements.into_iter().enumerate() {
            let place = self.entries.len();
            for id in &statement.vulnerability {
                let places = self.by_id.entry(id.clone()).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
            let id = format!("vex-{name}-{number}");
            self.entries.push(Entry { id, document: document.id.clone(), statement });
        }
    }

    /// Whether there is no statement.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The statements that speak of the target, as [`applicable`](super::applicable) chooses them.
    #[must_use]
    pub fn about(&self, target: &Target<'_>) -> Vec<Said<'_>> {
        let places = target.vulnerability.iter().filter_map(|id| self.by_id.get(id)).flatten().copied();
        let places: BTreeSet<usize> = places.collect();
        let entries: Vec<&Entry> = places.iter().map(|place| &self.entries[*place]).collect();
        let statements: Vec<&Statement> = entries.iter().map(|entry| &entry.statement).collect();
        let said = |at: usize| {
            let entry = entries[at];
            Said { id: &entry.id, document: &entry.document, statement: &entry.statement }
        };
        among(&statements, target).into_iter().map(said).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vex::{Status, read};
    use stella_inventory::purl::Purl;

    fn document(status: &str, date: &str, author: &str) -> Vec<u8> {
        format!(
            r#"{{"@context":"https://openvex.dev/ns/v0.2.0","@id":"doc-{date}","author":"{author}","timestamp":"{date}",
            "statements":[{{"vulnerability":{{"name":"CVE-2026-1","aliases":["GHSA-1"]}},"products":[{{"@id":"pkg:npm/a"}}],
            "status":"{status}","justification":"component_not_present"}}]}}"#
        )
        .into_bytes()
    }

    #[test]
    fn of_several_documents_of_one_author_the_newest_counts() {
        let mut shelf = Shelf::default();
        assert!(shelf.is_empty());
        let (old, new) = (
            document("affected", "2026-01-01T00:00:00Z", "Acme"),
            document("not_affected", "2026-01-02T00:00:00Z", "Acme"),
        );
        for bytes in [&new, &old, &document("under_investigation", "2026-01-03T00:00:00Z", "Other")] {
            shelf.put(&Digest::of(bytes), read(bytes).unwrap());
        }
        let package: Purl = "pkg:npm/a@1".parse().unwrap();
        let ids = ["CVE-2026-1".to_owned(), "GHSA-1".to_owned()];
        let about = |ids: &[String]| {
            let target = Target {
                vulnerability: ids,
                bulletins: &[],
                package: &package,
                within: &[],
                digests: &[],
                repository: None,
            };
            let said = shelf.about(&target);
            said.iter().map(|said| (said.statement.status, said.id.to_owned())).collect::<Vec<_>>()
        };
        let name = format!("vex-{}-0", &Digest::of(&new).hex()[..16]);
        assert_eq!(about(&ids).len(), 2, "one an author");
        assert_eq!(about(&ids)[0], (Status::NotAffected, name));
        assert_eq!(about(&ids[1..]).len(), 2, "by an alias");
        assert!(about(&["CVE-2026-10".to_owned()]).is_empty());
    }
}
