//! What policies do to the images in store. It is worked out at most once a minute, and only where something changed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use stella_crds::Projection;
use stella_domain::{Digest, Tenant, Timestamp};
use stella_store::{StoreError, VexStamp};

use crate::app::App;

/// Seconds for which nothing is worked out anew.
const AT_MOST_EVERY: i64 = 60;
/// Seconds after which it is, whatever changed.
const AT_LEAST_EVERY: i64 = 600;

/// What a projection was worked out from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    /// Digest of the policy, and how it looks at images.
    policy: String,
    /// Findings and their use.
    findings: (u64, Option<Digest>),
    /// What others say.
    statements: VexStamp,
}

impl Basis {
    /// The present one of a policy with this digest, which looks at images as `looks` says.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn now(app: &App, tenant: &Tenant, digest: &str, looks: &str) -> Result<Self, StoreError> {
        let statements = app.store.vex_stamp(tenant).await?;
        Ok(Self { policy: format!("{digest} {looks}"), findings: app.unjudged.stamp(), statements })
    }
}

/// What was worked out last, by policy.
#[derive(Debug, Default)]
pub struct Projections(Mutex<BTreeMap<String, Entry>>);

#[derive(Debug, Clone)]
struct Entry {
    basis: Basis,
    at: Timestamp,
    /// When time alone changes it.
    until: Option<Timestamp>,
    projection: Projection,
}

impl Entry {
    fn holds(&self, basis: &Basis, now: Timestamp) -> bool {
        let age = now.seconds_since(self.at);
        let unchanged = self.basis == *basis && self.until.is_none_or(|end| now < end) && age < AT_LEAST_EVERY;
        self.basis.policy == basis.policy && age >= 0 && (age < AT_MOST_EVERY || unchanged)
    }
}

impl Projections {
    /// What a policy does, if what was worked out last still holds.
    #[must_use]
    pub fn fresh(&self, policy: &str, basis: &Basis, now: Timestamp) -> Option<Projection> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(policy).filter(|entry| entry.holds(basis, now)).map(|entry| entry.projection)
    }

    /// Keeps what it does; `until` is when time alone changes it.
    pub fn keep(
        &self,
        policy: &str,
        basis: Basis,
        at: Timestamp,
        (projection, until): (Projection, Option<Timestamp>),
    ) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(policy.to_owned(), Entry { basis, at, until, projection });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projection_holds_for_a_minute_and_then_until_something_changes() {
        let known = Projections::default();
        let at = |second: i64| Timestamp::from_millis(second * 1000);
        let basis = |policy: &str, asked| Basis {
            policy: policy.into(),
            findings: (asked, None),
            statements: VexStamp::default(),
        };
        let projection = Projection { images: 3, blocked: 1, warned: 0 };
        assert_eq!(known.fresh("ns/p", &basis("d", 1), at(0)), None);
        known.keep("ns/p", basis("d", 1), at(10), (projection, Some(at(500))));
        assert_eq!(known.fresh("ns/p", &basis("d", 2), at(69)), Some(projection), "changes wait for their minute");
        assert_eq!(known.fresh("ns/p", &basis("d", 2), at(70)), None);
        assert_eq!(known.fresh("ns/p", &basis("d", 1), at(499)), Some(projection), "nothing changed");
        let other = Basis { findings: (1, Some(Digest::of("seen"))), ..basis("d", 1) };
        assert_eq!(known.fresh("ns/p", &other, at(71)), None, "another replica wrote findings");
        assert_eq!(known.fresh("ns/p", &basis("d", 1), at(500)), None, "a waiver ends");
        assert_eq!(known.fresh("ns/p", &basis("e", 1), at(11)), None, "another revision does not wait");
        assert_eq!(known.fresh("ns/p", &basis("d", 1), at(9)), None, "the clock was set back");
        known.keep("ns/p", basis("d", 1), at(10), (projection, None));
        assert_eq!(known.fresh("ns/p", &basis("d", 1), at(609)), Some(projection));
        assert_eq!(known.fresh("ns/p", &basis("d", 1), at(610)), None, "not for ever");
    }
}
