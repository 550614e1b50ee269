//! Which advisories apply to an inventory.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use stella_domain::{Digest, Hasher, Severity, Tenant};
use stella_inventory::{Component, Inventory};

use crate::index::{Index, IndexError, Versions};
use crate::merge::Group;
use crate::naming::{lookups, write_package_key};
use crate::version::Scheme;

/// One vulnerability that applies to one package at one place: the facts, before policy and use are known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Match {
    /// Index of the component in the inventory.
    pub component: usize,
    /// The vulnerability.
    pub group: Group,
    /// Feeds whose records say that this version is affected, sorted.
    pub sources: Vec<String>,
    /// Versions that fix it, ascending; empty when none is known.
    pub fixed_in: Vec<String>,
}

impl Match {
    /// The id of the finding: from tenant, subject, the group's oldest id, purl, path and layer.
    #[must_use]
    pub fn finding_id(&self, tenant: &Tenant, subject: &Digest, component: &Component) -> String {
        let mut hasher = Hasher::new();
        hasher.field(tenant.as_str());
        hasher.field(subject.as_bytes());
        hasher.field(&self.group.oldest_id);
        hasher.field(&component.purl);
        hasher.field(&component.package.path);
        hasher.field(component.layer.map(|layer| layer.to_string()).unwrap_or_default());
        hasher.finish().hex()[..32].to_owned()
    }

    /// The order of lists without exploit scores: severity, then CVSS score, worst first.
    #[must_use]
    pub fn rank(&self) -> (Severity, u32) {
        let score = self.group.cvss.as_ref().map_or(0.0, |cvss| cvss.score);
        (self.group.severity, (score * 10.0) as u32)
    }
}

/// Every match of `inventory` in `index`, by component, then vulnerability.
///
/// # Errors
/// When the index file is damaged.
pub fn match_inventory(index: &Index, inventory: &Inventory) -> Result<Vec<Match>, IndexError> {
    let mut matches = Vec::new();
    let mut key = Vec::new();
    for (at, component) in inventory.components.iter().enumerate() {
        match_component(index, at, component, &mut key, &mut matches)?;
    }
    Ok(matches)
}

/// What is found for one vulnerability, before its texts are looked up.
struct Hit<'a> {
    group: u32,
    source: &'a str,
    fixes: Vec<&'a str>,
}

fn match_component(
    index: &Index,
    at: usize,
    component: &Component,
    key: &mut Vec<u8>,
    matches: &mut Vec<Match>,
) -> Result<(), IndexError> {
    let (ecosystem, first, second) = lookups(component);
    let mut hits: Vec<Hit<'_>> = Vec::new();
    for subject in std::iter::once(first).chain(second) {
        key.clear();
        write_package_key(&ecosystem, subject.name, key);
        let mut version = Versions::new(subject.version);
        for entry in index.list(key)? {
            let entry = entry.map_err(|what| index.damaged(what))?;
            if entry.affects(&mut version).ok_or_else(|| index.damaged("lists"))? {
                let fixes = entry.fixes(&mut version).ok_or_else(|| index.damaged("lists"))?;
                hits.push(Hit { group: entry.group, source: index.source(&entry)?, fixes });
            }
        }
    }
    if hits.is_empty() {
        return Ok(());
    }
    hits.sort_by_key(|hit| hit.group);
    let scheme = Scheme::of_ecosystem(&component.ecosystem);
    for hits in hits.chunk_by(|a, b| a.group == b.group) {
        matches.push(found(at, index.group(hits[0].group)?, hits, scheme));
    }
    Ok(())
}

fn found(component: usize, group: Group, hits: &[Hit<'_>], scheme: Option<Scheme>) -> Match {
    let mut sources: Vec<String> = hits.iter().map(|hit| hit.source.to_owned()).collect();
    sources.sort();
    sources.dedup();
    let mut fixed_in: Vec<String> = hits.iter().flat_map(|hit| &hit.fixes).map(|fix| (*fix).to_owned()).collect();
    fixed_in.sort_by(|a, b| scheme.map_or(Ordering::Equal, |scheme| scheme.compare(a, b)).then_with(|| a.cmp(b)));
    fixed_in.dedup();
    Match { component, group, sources, fixed_in }
}
