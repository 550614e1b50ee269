//! What is kept of a record: everything that groups and matching need, in little space, for feeds have hundreds of thousands.

use stella_domain::Severity;

use crate::cvss::Cvss;
use crate::index;
use crate::naming::package_key;
use crate::osv::{self, Record, SeverityScore};
use crate::range::VersionRange;
use crate::version::Scheme;

/// A record of a feed, as far as it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Advisory {
    /// Its id.
    pub id: Box<str>,
    /// When it appeared, or else last changed (RFC 3339).
    pub age: Box<str>,
    /// Whether it no longer holds; such a record matches nothing.
    pub withdrawn: bool,
    /// Other ids of the same vulnerability. Records are joined by these.
    pub aliases: Box<[Box<str>]>,
    /// CVEs that it is about without being another name of theirs: those of a distribution's bulletin. They lend severity, and
    /// join nothing.
    pub covers: Box<[Box<str>]>,
    /// One line on what it is.
    pub summary: Box<str>,
    /// The first line of everything there is to say, where there is no summary.
    pub details: Box<str>,
    /// Its score, that of the newest CVSS version; of packages that are rated apart, that of the worst.
    pub cvss: Option<Cvss>,
    /// Its level in words: of a system of the vendor's own, and there of the worst package, else of the database.
    pub level: Option<Severity>,
    /// Whether it is about packages of a distribution.
    pub of_distribution: bool,
    /// What is affected.
    pub affected: Box<[Affected]>,
}

/// What a record says about one package.
#[derive(Debug, Clone, PartialEq)]
pub struct Affected {
    /// The package's key.
    pub(crate) key: Box<[u8]>,
    /// Ranges and listed versions, as the index keeps them.
    pub(crate) said: Box<[u8]>,
}

impl Advisory {
    /// The ecosystems and names of the packages that it speaks of.
    pub fn packages(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.affected.iter().filter_map(|affected| {
            let (ecosystem, name) = std::str::from_utf8(&affected.key).ok()?.split_once('\0')?;
            Some((ecosystem.to_owned(), name.to_owned()))
        })
    }
}

impl From<Record> for Advisory {
    fn from(record: Record) -> Self {
        let boxed = |list: Vec<String>| list.into_iter().map(String::into_boxed_str).collect::<Box<[_]>>();
        let ratings =
            || std::iter::once(&record.severity).chain(record.affected.iter().map(|affected| &affected.severity));
        let of_distribution = of_distribution(&record.affected);
        let vendor = record.database_specific.as_ref().and_then(|own| own.severity.as_ref()?.as_str());
        let withdrawn = record.withdrawn.is_some();
        Self {
            cvss: ratings().filter_map(|scores| best(scores)).max_by(|a, b| a.score.total_cmp(&b.score)),
            level: ratings()
                .flatten()
                .filter(|score| !score.system.starts_with("CVSS"))
                .filter_map(|score| level(&score.score))
                .max()
                .or_else(|| vendor.and_then(level)),
            of_distribution,
            affected: if withdrawn { Box::default() } else { record.affected.iter().filter_map(affected).collect() },
            withdrawn,
            age: record.published.unwrap_or(record.modified).into(),
            covers: boxed(covered(record.upstream, record.related, of_distribution)),
            aliases: boxed(record.aliases),
            // Only what has no summary needs them.
            details: if record.summary.trim().is_empty() { record.details.into() } else { Box::default() },
            summary: record.summary.trim().into(),
            id: record.id.into(),
        }
    }
}

/// Whether one of the packages is a distribution's.
fn of_distribution(affected: &[osv::Affected]) -> bool {
    let packages = affected.iter().filter_map(|affected| affected.package.as_ref());
    let mut schemes = packages.filter_map(|package| Scheme::of_ecosystem(&package.ecosystem));
    schemes.any(|scheme| matches!(scheme, Scheme::Deb | Scheme::Apk | Scheme::Rpm))
}

/// The CVEs that a record covers. Bulletins of AlmaLinux have them as `related`, as those of other distributions had before
/// there was `upstream`. Elsewhere, and beside `upstream`, what is related is another vulnerability.
fn covered(upstream: Vec<String>, related: Vec<String>, of_distribution: bool) -> Vec<String> {
    let named = if upstream.is_empty() && of_distribution { related } else { upstream };
    named.into_iter().filter(|id| id.starts_with("CVE-")).collect()
}

fn affected(affected: &osv::Affected) -> Option<Affected> {
    let package = affected.package.as_ref()?;
    let scheme = Scheme::of_ecosystem(&package.ecosystem);
    let ranges: Vec<_> = affected.ranges.iter().filter_map(|range| VersionRange::of(range, scheme)).collect();
    let mut versions: Vec<&str> = affected.versions.iter().map(String::as_str).collect();
    versions.sort_unstable();
    versions.dedup();
    let says_something = !ranges.is_empty() || !versions.is_empty();
    says_something.then(|| Affected {
        key: package_key(&package.ecosystem, &package.name).into(),
        said: index::encode_said(&ranges, &versions).into(),
    })
}

/// The score of the newest CVSS version, and of several the worst.
fn best(scores: &[SeverityScore]) -> Option<Cvss> {
    let order = |cvss: &Cvss| (cvss.version.clone(), (cvss.score * 10.0) as i64);
    scores.iter().filter(|s| s.system.starts_with("CVSS")).filter_map(|s| Cvss::parse(&s.score)).max_by_key(order)
}

/// A level in the words of vendors: a score of a system of their own, or GitHub's field. That nobody rated it yet is no level.
fn level(word: &str) -> Option<Severity> {
    match word.to_ascii_lowercase().as_str() {
        "moderate" => Some(Severity::Medium),
        "important" => Some(Severity::High),
        "negligible" => Some(Severity::Low),
        word => word.parse().ok().filter(|level| *level != Severity::Unknown),
    }
}
