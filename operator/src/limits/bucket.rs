//! A token bucket, in thousandths of a request, so that no fraction is lost.

use stella_domain::Timestamp;
use stella_store::BucketLevel;

/// One request.
const ONE: i64 = 1000;

/// Fills at a rate up to a burst. Its level may be below zero: what was spent before anybody asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Requests a second, which are thousandths a millisecond.
    rate: i64,
    /// Requests at once.
    burst: i64,
    level: i64,
    at: Timestamp,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn full(rate: u32, burst: u32, now: Timestamp) -> Self {
        Self { rate: rate.into(), burst: burst.into(), level: i64::from(burst) * ONE, at: now }
    }

    /// The one that was kept as `kept`.
    #[must_use]
    pub fn kept(rate: u32, burst: u32, kept: Option<BucketLevel>, now: Timestamp) -> Self {
        match kept {
            Some(BucketLevel { level, at }) => Self { level, at, ..Self::full(rate, burst, now) },
            None => Self::full(rate, burst, now),
        }
    }

    /// How it is to be kept.
    #[must_use]
    pub fn level(&self) -> BucketLevel {
        BucketLevel { level: self.level, at: self.at }
    }

    /// Fills it up to `now`. A clock that went back fills nothing.
    pub fn fill(&mut self, now: Timestamp) {
        let millis = now.as_millis().saturating_sub(self.at.as_millis());
        if millis > 0 {
            let filled = self.level.saturating_add(millis.saturating_mul(self.rate));
            self.level = filled.min(self.burst * ONE);
            self.at = now;
        }
    }

    /// Takes out what was spent already, or puts back what was not.
    pub fn settle(&mut self, spent: i64) {
        self.level = self.level.saturating_sub(spent.saturating_mul(ONE)).min(self.burst * ONE);
    }

    /// Takes up to `wanted` requests.
    pub fn take(&mut self, wanted: i64) -> i64 {
        let granted = self.whole().min(wanted);
        self.level -= granted * ONE;
        granted
    }

    /// Whole requests in it.
    #[must_use]
    pub fn whole(&self) -> i64 {
        (self.level / ONE).max(0)
    }

    /// Seconds, rounded up, until `requests` are in it.
    #[must_use]
    pub fn seconds_until(&self, requests: i64) -> u64 {
        let missing = (requests * ONE).saturating_sub(self.level).max(0);
        u64::try_from(missing.div_euclid(self.rate.max(1)) / 1000 + 1).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn no_more_than_rate_and_one_burst_comes_out() {
        let mut bucket = Bucket::full(40, 40, at(0));
        let mut taken = 0;
        for step in 0..10_000 {
            bucket.fill(at(step));
            taken += bucket.take(3);
        }
        assert!((430..=440).contains(&taken), "{taken} in 10 s");
        bucket.fill(at(1_000_000));
        assert_eq!(bucket.whole(), 40, "it does not overflow");
        bucket.fill(at(0));
        assert_eq!(bucket.whole(), 40, "a clock that goes back changes nothing");
    }

    #[test]
    fn what_was_spent_before_has_to_be_earned_first() {
        let mut bucket = Bucket::full(40, 40, at(0));
        bucket.settle(50);
        assert_eq!((bucket.take(1), bucket.seconds_until(1)), (0, 1));
        bucket.fill(at(249));
        assert_eq!(bucket.take(1), 0);
        bucket.fill(at(275));
        assert_eq!(bucket.take(5), 1);
        let kept = Bucket::kept(40, 40, Some(bucket.level()), at(300));
        assert_eq!(kept, bucket);
    }
}
