//! Repeated failures lock for a while that grows.

use serde::{Deserialize, Serialize};
use stella_domain::Timestamp;

/// Failures that cost nothing.
const FREE: u32 = 5;
/// Seconds of the first lock; each further failure doubles it.
const FIRST: i64 = 10;
/// The longest lock, in seconds.
const LONGEST: i64 = 15 * 60;
/// Seconds after the last failure for which failures are remembered.
pub const REMEMBERED: i64 = 60 * 60;

/// The failures of one name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// How many in a row.
    pub count: u32,
    /// The last one.
    pub last: Timestamp,
}

impl Failures {
    /// With one more failure at `now`.
    #[must_use]
    pub fn and_one(self, now: Timestamp) -> Self {
        let count = if now.seconds_since(self.last) >= REMEMBERED { 0 } else { self.count };
        Self { count: count.saturating_add(1), last: now }
    }

    /// Seconds for which the name stays locked at `now`; none when it is not.
    #[must_use]
    pub fn locked(self, now: Timestamp) -> Option<i64> {
        let over = self.count.checked_sub(FREE)?;
        let lock = FIRST.saturating_mul(1 << over.min(20)).min(LONGEST);
        let rest = lock - now.seconds_since(self.last);
        (rest > 0).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_double_up_to_a_quarter_of_an_hour_and_are_forgotten() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let mut failures = Failures::default();
        for _ in 0..4 {
            failures = failures.and_one(at(10_000));
            assert_eq!(failures.locked(at(10_000)), None);
        }
        failures = failures.and_one(at(10_000));
        assert_eq!(failures.locked(at(10_000)), Some(10));
        assert_eq!(failures.locked(at(10_010)), None);
        failures = failures.and_one(at(10_010));
        assert_eq!(failures.locked(at(10_010)), Some(20));
        for _ in 0..100 {
            failures = failures.and_one(at(10_020));
        }
        assert_eq!(failures.locked(at(10_020)), Some(LONGEST));
        assert_eq!(failures.and_one(at(10_020 + REMEMBERED)).count, 1);
    }
}
