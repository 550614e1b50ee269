//! Whether a version lies in what a record calls affected (OSV schema, "Evaluation").

use std::cmp::Ordering;

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
    /// Outside of what the range speaks of, from here on.
    Limit,
}

/// A range: events in the order of their versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRange {
    /// Version and what happens there, ascending; `0` as an introduction precedes everything.
    pub events: Vec<(String, Turn)>,
}

impl VersionRange {
    /// Takes a range of a record; `None` for ranges of commits and for empty ones.
    #[must_use]
    pub fn of(range: &osv::Range, scheme: Scheme) -> Option<Self> {
        if range.kind == "GIT" {
            return None;
        }
        let mut events: Vec<(String, Turn)> = range.events.iter().flat_map(turns).collect();
        events.sort_by(|a, b| compare_events(scheme, a, b));
        events.dedup();
        (!events.is_empty()).then_some(Self { events })
    }

    /// Whether `version` is affected.
    #[must_use]
    pub fn contains(&self, scheme: Scheme, version: &str) -> bool {
        let mut affected = false;
        for (at, turn) in &self.events {
            let order = if is_beginning(at, *turn) { Ordering::Greater } else { scheme.compare(version, at) };
            match (turn, order) {
                (Turn::Introduced, Ordering::Greater | Ordering::Equal) => affected = true,
                (Turn::Fixed | Turn::Limit, Ordering::Greater | Ordering::Equal) => affected = false,
                (Turn::LastAffected, Ordering::Greater) => affected = false,
                _ => {}
            }
        }
        affected
    }

    /// The first fix after `version`, if the range names one.
    #[must_use]
    pub fn fix_after(&self, scheme: Scheme, version: &str) -> Option<&str> {
        self.events
            .iter()
            .find(|(at, turn)| *turn == Turn::Fixed && scheme.compare(at, version).is_gt())
            .map(|(at, _)| at.as_str())
    }
}

fn turns(event: &osv::Event) -> impl Iterator<Item = (String, Turn)> + '_ {
    let pairs = [
        (&event.introduced, Turn::Introduced),
        (&event.fixed, Turn::Fixed),
        (&event.last_affected, Turn::LastAffected),
        (&event.limit, Turn::Limit),
    ];
    // A limit of `*` says that there is none.
    pairs.into_iter().filter_map(|(at, turn)| at.clone().filter(|at| at != "*").map(|at| (at, turn)))
}

fn is_beginning(at: &str, turn: Turn) -> bool {
    turn == Turn::Introduced && at == "0"
}

/// At one version, what ends comes before what begins: `fixed 2` then `introduced 2` leaves 2 affected.
fn compare_events(scheme: Scheme, a: &(String, Turn), b: &(String, Turn)) -> Ordering {
    let rank = |turn: Turn| u8::from(turn == Turn::Introduced);
    match (is_beginning(&a.0, a.1), is_beginning(&b.0, b.1)) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => scheme.compare(&a.0, &b.0).then_with(|| rank(a.1).cmp(&rank(b.1))),
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
        VersionRange::of(&osv::Range { kind: "ECOSYSTEM".into(), events }, Scheme::Semver).unwrap()
    }

    #[test]
    fn evaluates_several_windows_in_any_order() {
        let range = range(&[("fixed", "2.1"), ("introduced", "2.0"), ("introduced", "0"), ("fixed", "1.5")]);
        let affected = |v| range.contains(Scheme::Semver, v);
        assert!(affected("0.1") && affected("1.4.9") && affected("2.0.7"));
        assert!(!affected("1.5") && !affected("1.9") && !affected("2.1"));
        assert_eq!(range.fix_after(Scheme::Semver, "1.0"), Some("1.5"));
        assert_eq!(range.fix_after(Scheme::Semver, "2.0.1"), Some("2.1"));
    }

    #[test]
    fn last_affected_includes_and_limit_excludes() {
        assert!(range(&[("introduced", "0"), ("last", "1.5.1")]).contains(Scheme::Semver, "1.5.1"));
        assert!(!range(&[("introduced", "0"), ("last", "1.5.1")]).contains(Scheme::Semver, "1.5.2"));
        assert!(!range(&[("introduced", "1.0"), ("limit", "2.0")]).contains(Scheme::Semver, "2.0"));
        assert!(range(&[("introduced", "1.0"), ("limit", "*")]).contains(Scheme::Semver, "9.0"));
    }
}
