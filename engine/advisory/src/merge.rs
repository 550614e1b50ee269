//! Records of one vulnerability become one group, joined by their aliases.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stella_domain::Severity;

use crate::advisory::Advisory;
use crate::cvss::Cvss;
use crate::epss::Epss;
use crate::feed::{CveFacts, Feeds};

/// One vulnerability under all its names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What finding ids hang on, so that they outlive the day a CVE is assigned: the one of its ids that is kept already
    /// ([`Feeds::kept_ids`]), else the id of its oldest record.
    pub oldest_id: String,
    /// What people call it: the CVE where there is exactly one that names it, else the oldest CVE alias, else the oldest record.
    pub advisory_id: String,
    /// Every id: of the records, their aliases and the vulnerabilities a bulletin covers; sorted.
    pub aliases: Vec<String>,
    /// Of a vulnerability with several CVEs: ids of the records that name all of them, sorted. Who speaks of such a record
    /// speaks of every CVE; who speaks of another may mean one.
    #[serde(default)]
    pub bulletins: Vec<String>,
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

/// Which records are of one vulnerability.
pub struct Merged {
    /// By group, in the order of the ids of their oldest records: indices into [`Feeds::records`], oldest first.
    members: Vec<Box<[u32]>>,
    /// By index into [`Feeds::records`]; `None` for withdrawn records.
    pub group_of: Vec<Option<u32>>,
}

/// Joins the records of `feeds`.
#[must_use]
pub fn merge(feeds: &Feeds) -> Merged {
    let holds = |at: &usize| !feeds.records[*at].1.withdrawn;
    let mut sets = DisjointSets::new(feeds.records.len());
    let mut holder: BTreeMap<&str, usize> = BTreeMap::new();
    for at in (0..feeds.records.len()).filter(holds) {
        let record = &feeds.records[at].1;
        for name in std::iter::once(&record.id).chain(&record.aliases) {
            let first = *holder.entry(name).or_insert(at);
            sets.join(first, at);
        }
    }
    drop(holder);
    let mut members: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for at in (0..feeds.records.len()).filter(holds) {
        members.entry(sets.root(at)).or_default().push(at as u32);
    }
    let order = |at: &u32| {
        let (source, record) = &feeds.records[*at as usize];
        (&*record.age, &*record.id, source.as_str())
    };
    let mut members: Vec<Box<[u32]>> = members
        .into_values()
        .map(|mut members| {
            members.sort_by_key(order);
            members.into()
        })
        .collect();
    members.sort_by_key(|members| &*feeds.records[members[0] as usize].1.id);
    let mut group_of = vec![None; feeds.records.len()];
    for (number, members) in members.iter().enumerate() {
        members.iter().for_each(|at| group_of[*at as usize] = Some(number as u32));
    }
    Merged { members, group_of }
}

impl Merged {
    /// The groups, in the order of the ids of their oldest records; each is made when it is asked for.
    pub fn groups<'a>(&'a self, feeds: &'a Feeds) -> impl ExactSizeIterator<Item = Group> + 'a {
        self.members.iter().map(move |members| {
            let records = members.iter().map(|at| &feeds.records[*at as usize]);
            group(feeds, &records.map(|(source, record)| (source.as_str(), record)).collect::<Vec<_>>())
        })
    }
}

/// A group of records, oldest first.
fn group(feeds: &Feeds, records: &[(&str, &Advisory)]) -> Group {
    let own: BTreeSet<&str> =
        records.iter().flat_map(|(_, r)| std::iter::once(&r.id).chain(&r.aliases)).map(|id| &**id).collect();
    let covered: BTreeSet<&str> = records.iter().flat_map(|(_, r)| &r.covers).map(|id| &**id).collect();
    let own_cves: BTreeSet<&str> = own.iter().copied().filter(is_cve).collect();
    let cves: BTreeSet<&str> = own_cves.union(&covered).copied().collect();
    let oldest_id = kept_id(feeds, records, &own).unwrap_or(&*records[0].1.id).to_owned();
    let only = cves.first().copied().filter(|_| cves.len() == 1);
    let advisory_id = only.or_else(|| own_cves.first().copied()).unwrap_or(&oldest_id).to_owned();
    let (severity, severity_source, cvss) = rate(records, &cves, &feeds.cves);
    Group {
        summary: summary(records, &cves, &feeds.cves),
        epss: cves.iter().filter_map(|cve| feeds.epss.get(*cve)).copied().max_by(Epss::compare),
        kev: cves.iter().any(|cve| feeds.kev.contains(*cve)),
        sources: records.iter().map(|(source, _)| (*source).to_owned()).collect::<BTreeSet<_>>().into_iter().collect(),
        bulletins: bulletins(records, &cves),
        aliases: own.union(&covered).map(|id| (*id).to_owned()).collect(),
        oldest_id,
        advisory_id,
        severity,
        severity_source,
        cvss,
    }
}

/// Of the ids that are kept, that of the oldest record, else the first: where groups have become one, a single id can stay.
fn kept_id<'a>(feeds: &Feeds, records: &[(&str, &'a Advisory)], own: &BTreeSet<&'a str>) -> Option<&'a str> {
    let mut ids = records.iter().map(|(_, record)| &*record.id).chain(own.iter().copied());
    ids.find(|id| feeds.kept_ids.contains(*id))
}

fn is_cve(id: &&str) -> bool {
    id.starts_with("CVE-")
}

/// The ids of records that name each of several CVEs. A CVE is itself alone, whatever its record says.
fn bulletins(records: &[(&str, &Advisory)], cves: &BTreeSet<&str>) -> Vec<String> {
    let names_all = |record: &Advisory| {
        let named: BTreeSet<&str> = record.aliases.iter().chain(&record.covers).map(|id| &**id).collect();
        cves.len() > 1 && !is_cve(&&*record.id) && cves.is_subset(&named)
    };
    let all = records.iter().filter(|(_, record)| names_all(record)).map(|(_, record)| record.id.to_string());
    all.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whoever knows the package best is heard first: a distribution, then an ecosystem, then NVD. A distribution's word is its own,
/// while scores in its records are often copies of NVD's, so there the word goes first; elsewhere a record's score before its
/// word. What nobody rates has the worst of the CVE records, where the assigning authority goes before others.
fn rate(
    records: &[(&str, &Advisory)],
    cves: &BTreeSet<&str>,
    facts: &BTreeMap<String, CveFacts>,
) -> (Severity, String, Option<Cvss>) {
    let mut heard = records.to_vec();
    heard.sort_by_key(|(source, record)| authority(source, record));
    let by_cve = cves.iter().filter_map(|cve| facts.get(*cve)?.vectors.iter().find_map(|v| Cvss::parse(v)));
    let worst = by_cve.max_by(|a, b| a.score.total_cmp(&b.score).then_with(|| b.vector.cmp(&a.vector)));
    for (source, record) in &heard {
        if let Some(level) = record.level.filter(|_| record.of_distribution || record.cvss.is_none()) {
            // The word stands; a vector of somebody else's is better than none.
            let cvss = heard.iter().find_map(|(_, record)| record.cvss.clone()).or(worst);
            return (level, (*source).to_owned(), cvss);
        }
        if let Some(cvss) = &record.cvss {
            return (cvss.severity(), (*source).to_owned(), Some(cvss.clone()));
        }
    }
    worst.map_or((Severity::Unknown, String::new(), None), |cvss| (cvss.severity(), "CVE".to_owned(), Some(cvss)))
}

/// A rank: the lower, the closer to the package.
fn authority(source: &str, record: &Advisory) -> u8 {
    match source {
        "NVD" | "CVE" => 2,
        _ if record.of_distribution => 0,
        _ => 1,
    }
}

fn summary(records: &[(&str, &Advisory)], cves: &BTreeSet<&str>, facts: &BTreeMap<String, CveFacts>) -> String {
    let own = records.iter().map(|(_, r)| &*r.summary).find(|s| !s.is_empty());
    let title = || cves.iter().filter_map(|cve| facts.get(*cve)).map(|f| f.title.trim()).find(|s| !s.is_empty());
    let details = || records.iter().map(|(_, r)| &*r.details).find(|s| !s.is_empty());
    own.or_else(title).or_else(details).unwrap_or_default().chars().take(300).collect()
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
