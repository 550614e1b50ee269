//! Which statements speak of a finding.

use std::collections::{BTreeMap, BTreeSet};

use stella_domain::Digest;
use stella_inventory::purl::Purl;

use super::{Product, Selector, Statement};

/// A finding, as far as statements can tell it from others.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Every id of the vulnerability, as [`Group::aliases`](crate::merge::Group::aliases) has them.
    pub vulnerability: &'a [String],
    /// Those ids whose record names every CVE among them, as [`Group::bulletins`](crate::merge::Group::bulletins) has them.
    pub bulletins: &'a [String],
    /// The package.
    pub package: &'a Purl,
    /// Packages that this one is known to be a part of, such as the program it was linked into.
    pub within: &'a [Purl],
    /// The image's digests: its own first, then those of indexes it is one platform of.
    pub digests: &'a [Digest],
    /// The image's repository, `registry/path` without tag and digest, where it is known.
    pub repository: Option<&'a str>,
}

/// The statements that speak of the target, in their order. Of an author who spoke of one vulnerability several times, the
/// newest counts, and of several with one date the last.
///
/// A finding that covers several CVEs is cleared by nobody who does not clear each of them, or a bulletin that names them all.
#[must_use]
pub fn applicable<'a>(statements: &'a [Statement], target: &Target<'_>) -> Vec<&'a Statement> {
    let all: Vec<&Statement> = statements.iter().collect();
    among(&all, target).into_iter().map(|at| &statements[at]).collect()
}

/// The places of the statements that [`applicable`] chooses, ascending.
pub(super) fn among(statements: &[&Statement], target: &Target<'_>) -> BTreeSet<usize> {
    let ids: BTreeSet<&str> = target.vulnerability.iter().map(String::as_str).collect();
    let cves: BTreeSet<&str> = ids.iter().copied().filter(|id| id.starts_with("CVE-")).collect();
    // By author and id, the place of what counts.
    let mut newest: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (at, statement) in statements.iter().enumerate() {
        let named = statement.vulnerability.iter().map(String::as_str).filter(|id| ids.contains(id));
        let mut named = named.peekable();
        if named.peek().is_none() || !statement.products.iter().any(|product| speaks_of(product, target)) {
            continue;
        }
        for id in named {
            let counts = newest.entry((&statement.author, id)).or_insert(at);
            if statement.timestamp >= statements[*counts].timestamp {
                *counts = at;
            }
        }
    }
    let mut chosen: BTreeSet<usize> = newest.values().copied().collect();
    // An older statement under another name of the same vulnerability is outdated with the rest.
    if cves.len() <= 1 {
        let mut by_author: BTreeMap<&str, usize> = BTreeMap::new();
        for at in &chosen {
            let counts = by_author.entry(&statements[*at].author).or_insert(*at);
            if statements[*at].timestamp >= statements[*counts].timestamp {
                *counts = *at;
            }
        }
        chosen = by_author.into_values().collect();
    } else {
        chosen.retain(|at| {
            let statement = &statements[*at];
            !statement.status.clears() || clears_all(statements, &newest, &statement.author, &cves, target.bulletins)
        });
    }
    chosen
}

/// Whether an author clears each of the CVEs, or by its name a bulletin about all of them.
fn clears_all(
    statements: &[&Statement],
    newest: &BTreeMap<(&str, &str), usize>,
    author: &str,
    cves: &BTreeSet<&str>,
    bulletins: &[String],
) -> bool {
    let clears = |id: &str| newest.get(&(author, id)).is_some_and(|at| statements[*at].status.clears());
    cves.iter().all(|cve| clears(cve)) || bulletins.iter().any(|bulletin| clears(bulletin))
}

fn speaks_of(product: &Product, target: &Target<'_>) -> bool {
    match product {
        Product::Whole(selector) => is_image(selector, target) || selector.selects(target.package),
        Product::Part { of, part } => {
            let inside = is_image(of, target) || target.within.iter().any(|package| of.selects(package));
            inside && part.selects(target.package)
        }
    }
}

fn is_image(selector: &Selector, target: &Target<'_>) -> bool {
    match selector {
        Selector::Image(digest) => target.digests.contains(digest),
        Selector::OnePlatform(digest) => target.digests.first() == Some(digest),
        Selector::Repository(repository) => target.repository == Some(repository.as_str()),
        Selector::Package { .. } => false,
    }
}
