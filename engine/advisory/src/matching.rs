//! Which advisories apply to an inventory.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use stella_domain::{Digest, Hasher, Severity, Tenant, finding_place};
use stella_inventory::{Component, Inventory};

use crate::index::{Entry, Index, IndexError, Versions};
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
    /// The id of the finding: from tenant, subject, the group's oldest id, purl, path and layer. It begins with what tenant and
    /// subject alone make, so that the findings of an image lie side by side wherever they are kept by id.
    #[must_use]
    pub fn finding_id(&self, tenant: &Tenant, subject: &Digest, component: &Component) -> String {
        let mut hasher = Hasher::new();
        hasher.field(tenant.as_str());
        hasher.field(subject.as_bytes());
        hasher.field(&self.group.oldest_id);
        hasher.field(&component.purl);
        hasher.field(&component.package.path);
        hasher.field(component.layer.map(|layer| layer.to_string()).unwrap_or_default());
        format!("{}{}", finding_place(tenant, subject), &hasher.finish().hex()[..22])
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
    let hits = hits(index, inventory)?;
    let mut matches = Vec::with_capacity(hits.len());
    for of_component in hits.chunk_by(|a, b| a.component == b.component) {
        let component = &inventory.components[of_component[0].component];
        let (_, first, second) = lookups(component);
        let second = second.map_or("", |subject| subject.version);
        let mut versions = [Versions::new(first.version), Versions::new(second)];
        let scheme = Scheme::of_ecosystem(&component.ecosystem);
        for of_group in of_component.chunk_by(|a, b| a.group() == b.group()) {
            matches.push(found(index, of_group, &mut versions, scheme)?);
        }
    }
    Ok(matches)
}

/// A record that applies to a component, as it lies in the index: no text is read and nothing is copied.
#[derive(Debug, Clone, Copy)]
pub struct Hit<'i> {
    /// Index of the component in the inventory.
    pub component: usize,
    /// What the record says.
    pub entry: Entry<'i>,
    /// Whether it was found under the second of the component's names.
    by_second: bool,
}

impl Hit<'_> {
    /// Number of the vulnerability; [`Index::group`] has its texts.
    #[must_use]
    pub const fn group(&self) -> u32 {
        self.entry.group
    }
}

/// The records that apply to `inventory`, by component, then vulnerability: matching alone. What is to be shown of them is in
/// [`match_inventory`].
///
/// # Errors
/// When the index file is damaged.
pub fn hits<'i>(index: &'i Index, inventory: &Inventory) -> Result<Vec<Hit<'i>>, IndexError> {
    let mut hits = Vec::new();
    let mut key = Vec::new();
    for (at, component) in inventory.components.iter().enumerate() {
        let begin = hits.len();
        let (ecosystem, first, second) = lookups(component);
        for (subject, by_second) in std::iter::once((first, false)).chain(second.map(|second| (second, true))) {
            key.clear();
            write_package_key(&ecosystem, subject.name, &mut key);
            let mut version = Versions::new(subject.version);
            for entry in index.list(&key)? {
                let entry = entry.map_err(|what| index.damaged(what))?;
                if entry.affects(&mut version).ok_or_else(|| index.damaged("lists"))? {
                    hits.push(Hit { component: at, entry, by_second });
                }
            }
        }
        hits[begin..].sort_by_key(Hit::group);
    }
    Ok(hits)
}

fn found(
    index: &Index,
    hits: &[Hit<'_>],
    versions: &mut [Versions<'_>; 2],
    scheme: Option<Scheme>,
) -> Result<Match, IndexError> {
    let (mut sources, mut fixes): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for hit in hits {
        sources.push(index.source(&hit.entry)?);
        let version = &mut versions[usize::from(hit.by_second)];
        fixes.extend(hit.entry.fixes(version).ok_or_else(|| index.damaged("lists"))?);
    }
    sources.sort_unstable();
    sources.dedup();
    fixes.sort_by(|a, b| scheme.map_or(Ordering::Equal, |scheme| scheme.compare(a, b)).then_with(|| a.cmp(b)));
    fixes.dedup();
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
    let group = index.group(hits[0].group())?;
    Ok(Match { component: hits[0].component, group, sources: owned(sources), fixed_in: owned(fixes) })
}
