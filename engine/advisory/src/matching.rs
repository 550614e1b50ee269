//! Which advisories apply to an inventory.

use serde::{Deserialize, Serialize};
use stella_domain::{Digest, Hasher, Severity, Tenant};
use stella_inventory::{Component, Inventory};

use crate::index::{Entry, Index, IndexError};
use crate::merge::Group;
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
/// When the index file changed under us.
pub fn match_inventory(index: &Index, inventory: &Inventory) -> Result<Vec<Match>, IndexError> {
    let mut matches = Vec::new();
    for (at, component) in inventory.components.iter().enumerate() {
        matches.append(&mut match_component(index, at, component)?);
    }
    Ok(matches)
}

fn match_component(index: &Index, at: usize, component: &Component) -> Result<Vec<Match>, IndexError> {
    let scheme = Scheme::of_ecosystem(&component.ecosystem);
    let (name, version) = compared(component);
    let mut found: Vec<(u32, Match)> = Vec::new();
    for entry in index.entries(&component.ecosystem, name)? {
        if !affects(&entry, scheme, version) {
            continue;
        }
        // Entries come sorted by group.
        if found.last().is_none_or(|(group, _)| *group != entry.group) {
            let group = index.group(entry.group)?;
            found.push((entry.group, Match { component: at, group, sources: Vec::new(), fixed_in: Vec::new() }));
        }
        if let Some((_, last)) = found.last_mut() {
            last.fixed_in.extend(fixes(&entry, scheme, version));
            last.sources.push(entry.source);
        }
    }
    Ok(found.into_iter().map(|(_, found)| in_order(found, scheme)).collect())
}

fn in_order(mut found: Match, scheme: Option<Scheme>) -> Match {
    found.sources.sort();
    found.sources.dedup();
    if let Some(scheme) = scheme {
        found.fixed_in.sort_by(|a, b| scheme.compare(a, b).then_with(|| a.cmp(b)));
    }
    found.fixed_in.dedup();
    found
}

/// Distributions publish advisories for source packages.
fn compared(component: &Component) -> (&str, &str) {
    match &component.package.source {
        Some(source) => (&source.name, &source.version),
        None => (&component.package.name, &component.package.version),
    }
}

fn affects(entry: &Entry, scheme: Option<Scheme>, version: &str) -> bool {
    let listed = entry.versions.binary_search_by(|listed| listed.as_str().cmp(version)).is_ok();
    listed || scheme.is_some_and(|scheme| entry.ranges.iter().any(|range| range.contains(scheme, version)))
}

/// The next fix of each range that holds the version; of every range when only the list of versions does.
fn fixes(entry: &Entry, scheme: Option<Scheme>, version: &str) -> Vec<String> {
    let Some(scheme) = scheme else { return Vec::new() };
    let next = |all: bool| {
        let holds = entry.ranges.iter().filter(move |range| all || range.contains(scheme, version));
        holds.filter_map(|range| range.fix_after(scheme, version)).map(str::to_owned).collect::<Vec<_>>()
    };
    let named = next(false);
    if named.is_empty() { next(true) } else { named }
}
