//! Findings that somebody accepted for a time.

use serde::Serialize;
use stella_domain::{Digest, Timestamp};

use crate::compile::CompileError;
use crate::glob::{Dialect, Patterns};
use crate::input::{Context, FindingInput};

/// An accepted risk (kubernetes.md, "Policy"). Every part of the scope that is given has to hold; within a list one entry is
/// enough. It never covers more than it says: a waiver of one CVE does not hide a bulletin that names a second one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiver {
    /// Unique within the document; named by verdicts as `quietedBy`.
    pub id: String,
    /// `cve` or `advisory`: the identifier it accepts, without regard to ASCII case.
    pub advisory: String,
    /// Globs over image references; path dialect. Empty means every image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Image digests. Empty means every image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<Digest>,
    /// Globs over package URLs; text dialect. Empty means every package.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub purls: Vec<String>,
    /// Why the risk is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    /// Who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Where it was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// From this very instant on it covers nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub(crate) struct CompiledWaiver {
    pub id: String,
    pub expires: Option<Timestamp>,
    advisory: String,
    images: Patterns,
    digests: Vec<Digest>,
    purls: Patterns,
}

/// Who covers a finding, and until when.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cover {
    pub waivers: Vec<String>,
    pub until: Option<Timestamp>,
}

impl CompiledWaiver {
    pub fn new(waiver: &Waiver) -> Result<Self, CompileError> {
        let wrong = |error| CompileError::WaiverGlob { waiver: waiver.id.clone(), error };
        Ok(Self {
            id: waiver.id.clone(),
            expires: waiver.expires,
            advisory: waiver.advisory.clone(),
            images: Patterns::new(&waiver.images, Dialect::Path).map_err(wrong)?,
            digests: waiver.digests.clone(),
            purls: Patterns::new(&waiver.purls, Dialect::Text).map_err(wrong)?,
        })
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }

    /// Whether its scope contains the image of `context`.
    pub fn holds_in(&self, context: &Context, image_names: &[String]) -> bool {
        let image = self.images.is_empty() || image_names.iter().any(|name| self.images.matches(name));
        image && (self.digests.is_empty() || self.digests.iter().any(|digest| context.digests.contains(digest)))
    }

    fn names(&self, id: &str) -> bool {
        self.advisory.eq_ignore_ascii_case(id)
    }

    fn holds_for(&self, finding: &FindingInput) -> bool {
        self.purls.is_empty() || finding.purl.as_deref().is_some_and(|purl| self.purls.matches(purl))
    }

    fn outlives(&self, other: &Self) -> bool {
        lasts_longer(self.expires, other.expires)
    }
}

/// Covers `finding` with `waivers`, which hold for its image and have not expired.
///
/// A waiver that names the record itself covers it whole. Otherwise each CVE that the record names needs one: a record with
/// several CVEs is one finding, and accepting the first says nothing of the second. Of several the one that lasts longest is
/// taken, so that verdicts change as seldom as possible.
pub(crate) fn cover(waivers: &[&CompiledWaiver], finding: &FindingInput) -> Option<Cover> {
    if waivers.is_empty() {
        return None;
    }
    let longest = |id: &str| {
        let naming = waivers.iter().copied().filter(|waiver| waiver.names(id) && waiver.holds_for(finding));
        naming.reduce(|best, next| if next.outlives(best) { next } else { best })
    };
    let (cves, records): (Vec<_>, Vec<_>) = finding.advisory_ids.iter().map(String::as_str).partition(|id| is_cve(id));
    let whole =
        records.iter().filter_map(|id| longest(id)).reduce(|best, next| if next.outlives(best) { next } else { best });
    let each: Option<Vec<_>> = cves.iter().map(|id| longest(id)).collect();
    let each = each.filter(|list| !list.is_empty()).map(|list| combined(&list));
    match (whole.map(|waiver| combined(&[waiver])), each) {
        (Some(whole), Some(each)) if lasts_longer(each.until, whole.until) => Some(each),
        (whole, each) => whole.or(each),
    }
}

fn combined(waivers: &[&CompiledWaiver]) -> Cover {
    let mut ids: Vec<&str> = waivers.iter().map(|waiver| waiver.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    Cover {
        waivers: ids.into_iter().map(str::to_owned).collect(),
        until: waivers.iter().filter_map(|waiver| waiver.expires).min(),
    }
}

fn lasts_longer(one: Option<Timestamp>, other: Option<Timestamp>) -> bool {
    match (one, other) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(one), Some(other)) => one > other,
    }
}

fn is_cve(id: &str) -> bool {
    id.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("CVE-"))
}

#[cfg(test)]
mod tests {
    use stella_domain::Severity;

    use super::*;

    fn waiver(id: &str, advisory: &str, expires: Option<i64>) -> CompiledWaiver {
        let waiver = Waiver {
            id: id.to_owned(),
            advisory: advisory.to_owned(),
            images: Vec::new(),
            digests: Vec::new(),
            purls: Vec::new(),
            justification: None,
            owner: None,
            ticket: None,
            expires: expires.map(Timestamp::from_millis),
        };
        CompiledWaiver::new(&waiver).unwrap()
    }

    fn finding(ids: &[&str]) -> FindingInput {
        let mut finding = FindingInput::new("f", Severity::High);
        finding.advisory_ids = ids.iter().map(|id| (*id).to_owned()).collect();
        finding
    }

    #[test]
    fn it_expires_at_that_very_instant() {
        let waiver = waiver("w", "CVE-1", Some(1000));
        assert!(!waiver.is_expired(Timestamp::from_millis(999)));
        assert!(waiver.is_expired(Timestamp::from_millis(1000)));
    }

    #[test]
    fn one_cve_of_two_is_not_enough() {
        let (first, second) = (waiver("a", "CVE-1", Some(10)), waiver("b", "cve-2", Some(5)));
        let both = finding(&["ALSA-1", "CVE-1", "CVE-2"]);
        assert_eq!(cover(&[&first], &both), None);
        let covered = cover(&[&first, &second], &both).unwrap();
        assert_eq!((covered.waivers.join(", ").as_str(), covered.until), ("a, b", Some(Timestamp::from_millis(5))));
        let record = waiver("r", "ALSA-1", None);
        assert_eq!(cover(&[&first, &record], &both).unwrap(), Cover { waivers: vec!["r".to_owned()], until: None });
    }

    #[test]
    fn the_one_that_lasts_longest_is_taken() {
        let (short, long) = (waiver("short", "CVE-1", Some(5)), waiver("long", "CVE-1", Some(9)));
        assert_eq!(cover(&[&short, &long], &finding(&["CVE-1"])).unwrap().waivers, ["long"]);
        assert_eq!(cover(&[&short], &finding(&["CVE-10"])), None);
        assert_eq!(cover(&[&short], &finding(&[])), None);
    }

    #[test]
    fn an_image_nobody_named_is_in_no_scope_of_images() {
        let mut waiver = waiver("w", "CVE-1", None);
        waiver.images = Patterns::new(&["registry.local/app:*".to_owned()], Dialect::Path).unwrap();
        assert!(!waiver.holds_in(&Context::default(), &[]));
        assert!(waiver.holds_in(&Context::default(), &["registry.local/app:1".to_owned()]));
        assert!(!waiver.holds_in(&Context::default(), &["registry.local/team/app:1".to_owned()]));
    }

    #[test]
    fn of_those_that_cover_a_finding_the_longest_is_named() {
        let named =
            |waivers: &[&CompiledWaiver], ids: &[&str]| cover(waivers, &finding(ids)).unwrap().waivers.join(", ");
        let (short, long) = (waiver("short", "CVE-1", Some(5)), waiver("long", "CVE-1", Some(9)));
        assert_eq!(named(&[&long, &short], &["CVE-1"]), "long");
        assert_eq!(named(&[&waiver("first", "CVE-1", Some(5)), &short], &["CVE-1"]), "first");
        let record = waiver("record", "ALSA-1", Some(7));
        assert_eq!(named(&[&record, &long], &["ALSA-1", "CVE-1"]), "long");
        assert_eq!(named(&[&record, &short], &["ALSA-1", "CVE-1"]), "record");
    }

    #[test]
    fn a_waiver_for_packages_covers_those_alone() {
        let mut waiver = waiver("w", "CVE-1", None);
        waiver.purls = Patterns::new(&["pkg:npm/a@*".to_owned()], Dialect::Text).unwrap();
        let with = |purl: Option<&str>| {
            let mut finding = finding(&["CVE-1"]);
            finding.purl = purl.map(str::to_owned);
            cover(&[&waiver], &finding).is_some()
        };
        assert_eq!([with(Some("pkg:npm/a@1")), with(Some("pkg:npm/b@1")), with(None)], [true, false, false]);
    }
}
