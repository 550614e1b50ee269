//! Whether a version lies in what a record calls affected (OSV schema, "Evaluation").

use serde::{Deserialize, Serialize};

use crate::osv;
use crate::version::Scheme;

/// What happens at a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Turn {
    /// Affected from here on.
    Introduced,
    /// Not affected from here on.
    Fixed,
    /// Affected up to and including this.
    LastAffected,
}

/// A version at which something happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeEvent {
    /// The version's key in the range's scheme; empty for `0`, which precedes every version.
    pub key: Vec<u8>,
    /// What happens.
    pub turn: Turn,
    /// The version as the record spells it.
    pub version: String,
}

/// A range: events in the order of their versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRange {
    /// The order of its versions.
    pub scheme: Scheme,
    /// Key of the first version that the range does not speak of; empty when there is none.
    pub limit: Vec<u8>,
    /// What happens, ascending.
    pub events: Vec<RangeEvent>,
}

impl VersionRange {
    /// Takes a range of a record; `None` for ranges of commits, for empty ones, and where the order is not known.
    /// A range of kind `SEMVER` is one whatever the ecosystem.
    #[must_use]
    pub fn of(range: &osv::Range, ecosystem: Option<Scheme>) -> Option<Self> {
        let scheme = match range.kind.as_str() {
            "GIT" => return None,
            "SEMVER" => ecosystem.filter(|scheme| *scheme == Scheme::Go).unwrap_or(Scheme::Semver),
            _ => ecosystem?,
        };
        let listed: Vec<RangeEvent> = range.events.iter().flat_map(|event| turns(event, scheme)).collect();
        let ranks: Vec<Rank> = (0..listed.len()).map(|at| rank(&listed, at)).collect();
        let mut ranked: Vec<(RangeEvent, Rank)> = listed.into_iter().zip(ranks).collect();
        ranked.sort_by(|(a, a_rank), (b, b_rank)| (&a.key, a_rank, &a.version).cmp(&(&b.key, b_rank, &b.version)));
        ranked.dedup();
        let events: Vec<RangeEvent> = ranked.into_iter().map(|(event, _)| event).collect();
        (!events.is_empty()).then(|| Self { scheme, limit: limit(range, scheme), events })
    }

    /// Whether the version with this key in the range's scheme is affected.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        let turns = self.events.iter().map(|event| (event.key.as_slice(), event.turn));
        affected(key, &self.limit, turns)
    }

    /// The first fix after the version with this key, if the range names one.
    #[must_use]
    pub fn fix_after(&self, key: &[u8]) -> Option<&str> {
        let fixes = self.events.iter().filter(|event| event.turn == Turn::Fixed);
        fixes.into_iter().find(|event| event.key.as_slice() > key).map(|event| event.version.as_str())
    }
}

/// Whether the version with this key is affected, from turns in ascending order and the limit (empty for none).
pub(crate) fn affected<'a>(key: &[u8], limit: &[u8], turns: impl Iterator<Item = (&'a [u8], Turn)>) -> bool {
    if !limit.is_empty() && key >= limit {
        return false;
    }
    let mut affected = false;
    for (at, turn) in turns {
        match turn {
            Turn::Introduced if key >= at => affected = true,
            Turn::Fixed if key >= at => affected = false,
            Turn::LastAffected if key > at => affected = false,
            _ => {}
        }
    }
    affected
}

fn turns(event: &osv::Event, scheme: Scheme) -> impl Iterator<Item = RangeEvent> + '_ {
    let named = [
        (&event.introduced, Turn::Introduced),
        (&event.fixed, Turn::Fixed),
        (&event.last_affected, Turn::LastAffected),
    ];
    named.into_iter().filter_map(move |(version, turn)| {
        let version = version.clone()?;
        // Alpine and Debian write `fixed 0` for packages that never were affected.
        let beginning = version == "0" && turn != Turn::LastAffected;
        Some(RangeEvent { key: if beginning { Vec::new() } else { scheme.key(&version) }, turn, version })
    })
}

/// A version has to be before one of the limits, so the last one counts; `*` says that there is none.
fn limit(range: &osv::Range, scheme: Scheme) -> Vec<u8> {
    let limits: Vec<&str> = range.events.iter().filter_map(|event| event.limit.as_deref()).collect();
    if limits.contains(&"*") {
        return Vec::new();
    }
    limits.into_iter().map(|limit| scheme.key(limit)).max().unwrap_or_default()
}

/// What comes first of all that happens at one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// A window ends that began earlier: `fixed 2` then `introduced 2` leaves 2 affected.
    Ends,
    /// A window begins that ends at the same version: it is that version alone, or empty.
    BeginsOnce,
    EndsOnce,
    /// A window begins that goes on.
    Begins,
}

/// A record lists the end of a window right after its beginning. Before every version, all windows are empty.
fn rank(listed: &[RangeEvent], at: usize) -> Rank {
    let event = &listed[at];
    let same = |other: &&RangeEvent| other.key == event.key;
    if event.turn == Turn::Introduced {
        let ends_here = listed.get(at + 1).filter(same).is_some_and(|next| next.turn != Turn::Introduced);
        if ends_here || event.key.is_empty() { Rank::BeginsOnce } else { Rank::Begins }
    } else {
        let before = at.checked_sub(1).and_then(|before| listed.get(before));
        let began_here = before.filter(same).is_some_and(|before| before.turn == Turn::Introduced);
        if began_here || event.key.is_empty() { Rank::EndsOnce } else { Rank::Ends }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(events: &[(&str, &str)]) -> VersionRange {
        let events = events
            .iter()
            .map(|(turn, at)| {
                let at = Some((*at).to_owned());
                match *turn {
                    "introduced" => osv::Event { introduced: at, ..osv::Event::default() },
                    "fixed" => osv::Event { fixed: at, ..osv::Event::default() },
                    "last" => osv::Event { last_affected: at, ..osv::Event::default() },
                    _ => osv::Event { limit: at, ..osv::Event::default() },
                }
            })
            .collect();
        VersionRange::of(&osv::Range { kind: "ECOSYSTEM".into(), events }, Some(Scheme::Semver)).unwrap()
    }

    fn key(version: &str) -> Vec<u8> {
        Scheme::Semver.key(version)
    }

    #[test]
    fn evaluates_several_windows_in_any_order() {
        let range = range(&[("fixed", "2.1"), ("introduced", "2.0"), ("introduced", "0"), ("fixed", "1.5")]);
        let affected = |v| range.contains(&key(v));
        assert!(affected("0.1") && affected("1.4.9") && affected("2.0.7"));
        assert!(!affected("1.5") && !affected("1.9") && !affected("2.1"));
        assert_eq!(range.fix_after(&key("1.0")), Some("1.5"));
        assert_eq!(range.fix_after(&key("2.0.1")), Some("2.1"));
    }

    #[test]
    fn last_affected_includes_and_limit_excludes() {
        assert!(range(&[("introduced", "0"), ("last", "1.5.1")]).contains(&key("1.5.1")));
        assert!(!range(&[("introduced", "0"), ("last", "1.5.1")]).contains(&key("1.5.2")));
        assert!(!range(&[("introduced", "1.0"), ("limit", "2.0")]).contains(&key("2.0")));
        assert!(range(&[("introduced", "1.0"), ("limit", "*")]).contains(&key("9.0")));
    }

    #[test]
    fn the_last_of_several_limits_counts() {
        let range = range(&[("introduced", "1.0"), ("limit", "2.0"), ("limit", "3.0")]);
        assert!(range.contains(&key("2.5")) && !range.contains(&key("3.0")));
    }

    #[test]
    fn fixed_zero_means_never_affected() {
        let range = range(&[("fixed", "0"), ("introduced", "0")]);
        assert!(["0", "0.0.0-alpha", "1.0"].iter().all(|version| !range.contains(&key(version))));
    }

    #[test]
    fn what_begins_where_something_ends_is_affected() {
        let range = range(&[("introduced", "2.0"), ("introduced", "0"), ("fixed", "2.0"), ("fixed", "3.0")]);
        assert!(range.contains(&key("2.0")) && range.contains(&key("1.0")) && !range.contains(&key("3.0")));
    }

    #[test]
    fn a_window_of_one_version_ends_at_it() {
        let one = range(&[("introduced", "2.0"), ("last", "2.0")]);
        assert!(one.contains(&key("2.0")) && !one.contains(&key("2.0.1")) && !one.contains(&key("1.9")));
        let empty = range(&[("introduced", "2.0"), ("fixed", "2.0")]);
        assert!(["1.9", "2.0", "2.1"].iter().all(|version| !empty.contains(&key(version))));
        let several = range(&[("introduced", "1.0"), ("last", "1.0"), ("introduced", "1.5"), ("fixed", "1.6")]);
        assert!(several.contains(&key("1.0")) && !several.contains(&key("1.2")) && several.contains(&key("1.5")));
    }

    #[test]
    fn commits_are_no_versions() {
        let events = vec![osv::Event { introduced: Some("0".into()), ..osv::Event::default() }];
        let of =
            |kind: &str, scheme| VersionRange::of(&osv::Range { kind: kind.into(), events: events.clone() }, scheme);
        assert_eq!(of("GIT", Some(Scheme::Semver)), None);
        assert_eq!(of("ECOSYSTEM", None), None, "an order that is not known");
        assert_eq!(of("SEMVER", None).map(|range| range.scheme), Some(Scheme::Semver));
    }
}
