//! Records of one vulnerability become one group, joined by their aliases.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stella_domain::Severity;

use crate::cvss::Cvss;
use crate::epss::Epss;
use crate::feed::{CveFacts, Feeds};
use crate::osv::{Record, SeverityScore};
use crate::version::Scheme;

/// One vulnerability under all its names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The id of its oldest record; finding ids hang on it, so that they outlive the day a CVE is assigned.
    pub oldest_id: String,
    /// What people call it: the CVE where there is exactly one that names it, else the oldest CVE alias, else the oldest record.
    pub advisory_id: String,
    /// Every id: of the records, their aliases and the vulnerabilities a bulletin covers; sorted.
    pub aliases: Vec<String>,
    /// One line on what it is.
    pub summary: String,
    /// The level that holds.
    pub severity: Severity,
    /// Who said so: the name of a feed, or `CVE`; empty when nobody did.
    pub severity_source: String,
    /// The vector behind it.
    pub cvss: Option<Cvss>,
    /// Known to be exploited.
    pub kev: bool,
    /// How probable it is to be exploited; of several CVEs the most probable.
    #[serde(default)]
    pub epss: Option<Epss>,
    /// Feeds that have a record, sorted.
    pub sources: Vec<String>,
}

impl Group {
    /// The same without what moves a little every day and makes no finding another.
    pub(crate) fn for_comparison(&self) -> Self {
        Self { epss: self.epss.map(Epss::rounded), ..self.clone() }
    }
}

/// Groups, and for each record that still holds the number of its group.
pub struct Merged {
    /// The groups, in the order of their oldest ids.
    pub groups: Vec<Group>,
    /// By index into [`Feeds::records`]; `None` for withdrawn records.
    pub group_of: Vec<Option<u32>>,
}

/// Joins the records of `feeds`.
#[must_use]
pub fn merge(feeds: &Feeds) -> Merged {
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut sets = DisjointSets::new(feeds.records.len());
    let mut holder: BTreeMap<&str, usize> = BTreeMap::new();
    let holds = |at: usize| feeds.records[at].1.withdrawn.is_none();
    for at in (0..feeds.records.len()).filter(|at| holds(*at)) {
        let record = &feeds.records[at].1;
        for name in std::iter::once(&record.id).chain(&record.aliases) {
            let first = *holder.entry(name).or_insert(at);
            sets.join(first, at);
        }
    }
    for at in (0..feeds.records.len()).filter(|at| holds(*at)) {
        members.entry(sets.root(at)).or_default().push(at);
    }
    let mut groups: Vec<(Group, Vec<usize>)> =
        members.into_values().map(|members| (group(feeds, &members), members)).collect();
    groups.sort_by(|a, b| a.0.oldest_id.cmp(&b.0.oldest_id));
    let mut group_of = vec![None; feeds.records.len()];
    for (number, (_, members)) in groups.iter().enumerate() {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        members.iter().for_each(|at| group_of[*at] = Some(number));
    }
    Merged { groups: groups.into_iter().map(|(group, _)| group).collect(), group_of }
}

fn group(feeds: &Feeds, members: &[usize]) -> Group {
    let mut records: Vec<(&str, &Record)> =
        members.iter().map(|at| (feeds.records[*at].0.as_str(), &feeds.records[*at].1)).collect();
    records.sort_by_key(|(source, record)| (age(record), record.id.as_str(), *source));
    let is_cve = |id: &&String| id.starts_with("CVE-");
    let own: BTreeSet<&String> = records.iter().flat_map(|(_, r)| std::iter::once(&r.id).chain(&r.aliases)).collect();
    let covered: BTreeSet<&String> =
        records.iter().flat_map(|(_, r)| r.upstream.iter().chain(&r.related)).filter(is_cve).collect();
    let own_cves: BTreeSet<&String> = own.iter().copied().filter(is_cve).collect();
    let cves: BTreeSet<&String> = own_cves.union(&covered).copied().collect();
    let oldest_id = records[0].1.id.clone();
    let only = |set: &BTreeSet<&String>| (set.len() == 1).then(|| set.iter().next().map(|s| (*s).clone())).flatten();
    let advisory_id =
        only(&cves).or_else(|| own_cves.first().map(|s| (*s).clone())).unwrap_or_else(|| oldest_id.clone());
    let (severity, severity_source, cvss) = rate(&records, &cves, &feeds.cves);
    Group {
        summary: summary(&records, &cves, &feeds.cves),
        epss: cves.iter().filter_map(|cve| feeds.epss.get(*cve)).copied().max_by(Epss::compare),
        kev: cves.iter().any(|cve| feeds.kev.contains(*cve)),
        sources: records.iter().map(|(source, _)| (*source).to_owned()).collect::<BTreeSet<_>>().into_iter().collect(),
        aliases: own.union(&covered).map(|s| (*s).clone()).collect(),
        oldest_id,
        advisory_id,
        severity,
        severity_source,
        cvss,
    }
}

/// Records without a date of publication are taken to be as old as their last change.
fn age(record: &Record) -> &str {
    record.published.as_deref().unwrap_or(&record.modified)
}

/// Whoever knows the package best is heard first: a distribution, then an ecosystem, then NVD; each record's score before
/// its word. What nobody rates has the worst of the CVE records, where the assigning authority goes before others.
fn rate(
    records: &[(&str, &Record)],
    cves: &BTreeSet<&String>,
    facts: &BTreeMap<String, CveFacts>,
) -> (Severity, String, Option<Cvss>) {
    let mut heard: Vec<&(&str, &Record)> = records.iter().collect();
    heard.sort_by_key(|(source, record)| authority(source, record));
    let scores = |record: &Record| {
        let scores = record.severity.iter().chain(record.affected.iter().flat_map(|a| &a.severity));
        best(scores.cloned())
    };
    let by_cve = cves.iter().filter_map(|cve| facts.get(*cve)?.vectors.iter().find_map(|v| Cvss::parse(v)));
    let worst = by_cve.max_by(|a, b| a.score.total_cmp(&b.score).then_with(|| b.vector.cmp(&a.vector)));
    for (source, record) in &heard {
        if let Some(cvss) = scores(record) {
            return (cvss.severity(), (*source).to_owned(), Some(cvss));
        }
        if let Some(level) = word(record) {
            // The word stands; a vector of somebody else's is better than none.
            let cvss = heard.iter().find_map(|(_, record)| scores(record)).or(worst);
            return (level, (*source).to_owned(), cvss);
        }
    }
    worst.map_or((Severity::Unknown, String::new(), None), |cvss| (cvss.severity(), "CVE".to_owned(), Some(cvss)))
}

/// A rank: the lower, the closer to the package.
fn authority(source: &str, record: &Record) -> u8 {
    let of_distribution = |scheme| matches!(scheme, Scheme::Deb | Scheme::Apk | Scheme::Rpm);
    let packages = record.affected.iter().filter_map(|affected| affected.package.as_ref());
    let mut schemes = packages.filter_map(|package| Scheme::of_ecosystem(&package.ecosystem));
    match source {
        "NVD" | "CVE" => 2,
        _ if schemes.any(of_distribution) => 0,
        _ => 1,
    }
}

/// The score of the newest CVSS version.
fn best(scores: impl Iterator<Item = SeverityScore>) -> Option<Cvss> {
    let order = |cvss: &Cvss| (cvss.version.clone(), (cvss.score * 10.0) as i64);
    scores.filter(|s| s.system.starts_with("CVSS")).filter_map(|s| Cvss::parse(&s.score)).max_by_key(order)
}

/// A level in words: a score of a system of the vendor's own, or GitHub's field.
fn word(record: &Record) -> Option<Severity> {
    let own = record.severity.iter().chain(record.affected.iter().flat_map(|a| &a.severity));
    let own = own.filter(|s| !s.system.starts_with("CVSS")).find_map(|s| level(&s.score));
    own.or_else(|| level(record.database_specific.as_ref()?.severity.as_ref()?.as_str()?))
}

fn level(word: &str) -> Option<Severity> {
    match word.to_ascii_lowercase().as_str() {
        "moderate" => Some(Severity::Medium),
        "important" => Some(Severity::High),
        "negligible" => Some(Severity::Low),
        word => word.parse().ok(),
    }
}

fn summary(records: &[(&str, &Record)], cves: &BTreeSet<&String>, facts: &BTreeMap<String, CveFacts>) -> String {
    let own = records.iter().map(|(_, r)| r.summary.trim()).find(|s| !s.is_empty());
    let title = || cves.iter().filter_map(|cve| facts.get(*cve)).map(|f| f.title.trim()).find(|s| !s.is_empty());
    let first_sentence = || records.iter().map(|(_, r)| r.details.trim()).find(|s| !s.is_empty());
    own.or_else(title).or_else(first_sentence).unwrap_or_default().chars().take(300).collect()
}

struct DisjointSets(Vec<usize>);

impl DisjointSets {
    fn new(size: usize) -> Self {
        Self((0..size).collect())
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    /// The smaller root wins, so that the outcome does not depend on the order of joining.
    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        let (low, high) = (a.min(b), a.max(b));
        self.0[high] = low;
    }
}
