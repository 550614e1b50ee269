//! Waiting longer after each failure, and not in step with others.

use std::time::Duration;

/// Capped exponential delays with jitter: the n-th lies between half and all of `base * 2^n`, at most `cap`.
///
/// The jitter comes from the seed alone, so that a test sees the same delays each time.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    attempt: u32,
    state: u64,
}

impl Backoff {
    /// Delays from `base` to `cap`, jittered from `seed`.
    #[must_use]
    pub const fn new(base: Duration, cap: Duration, seed: u64) -> Self {
        Self { base, cap, attempt: 0, state: seed }
    }

    /// How long to wait after one more failure.
    #[must_use]
    pub fn next_delay(&mut self) -> Duration {
        let full = self.base.saturating_mul(2_u32.saturating_pow(self.attempt)).min(self.cap);
        self.attempt = self.attempt.saturating_add(1);
        let half = full / 2;
        half + half.mul_f64(self.fraction())
    }

    /// Forgets all failures.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// Failures since the last success.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.attempt
    }

    /// The next number in 0..1 of the SplitMix64 sequence (Steele, Lea, Flood: "Fast splittable pseudorandom number
    /// generators", 2014).
    fn fraction(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        f64::from((mixed >> 32) as u32) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(seed: u64) -> Vec<Duration> {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30), seed);
        (0..40).map(|_| backoff.next_delay()).collect()
    }

    #[test]
    fn delays_grow_to_the_cap_and_stay_within_their_half() {
        for (n, delay) in delays(7).into_iter().enumerate() {
            let full = Duration::from_secs(1 << n.min(5)).min(Duration::from_secs(30));
            assert!(delay >= full / 2 && delay <= full, "{n}: {delay:?}");
        }
    }

    #[test]
    fn seeds_part_ways_and_repeat_themselves() {
        assert_eq!(delays(1), delays(1));
        assert_ne!(delays(1), delays(2));
    }

    #[test]
    fn a_success_starts_over() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30), 3);
        let _ = (backoff.next_delay(), backoff.next_delay(), backoff.next_delay());
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_secs(1));
        assert_eq!(backoff.failures(), 1);
    }
}
