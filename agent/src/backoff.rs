//! How long to wait before trying again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const MOST: Duration = Duration::from_secs(60);
/// The longest `Retry-After` that is honoured; a server that asks for more is asked again after this.
const MOST_ASKED: Duration = Duration::from_secs(600);

/// Waits that double, each a random share between half and the whole of itself.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// After a failure: the next wait. What the server asked for is a lower bound.
    pub fn failed(&mut self, asked: Option<Duration>, share: f64) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.failures.min(10)).min(MOST);
        self.failures = self.failures.saturating_add(1);
        let own = whole.mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0);
        own.max(asked.unwrap_or_default().min(MOST_ASKED))
    }

    /// After a success: the next failure waits shortly again.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// A random number from 0 to 1; spreads the agents of a cluster out, so it need not be unguessable.
#[must_use]
pub fn random_share() -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "the upper bits are enough")]
    let number = RandomState::new().hash_one(0) as f64;
    number / (u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..10).map(|_| backoff.failed(None, 1.0).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]);
        backoff.succeeded();
        assert_eq!(backoff.failed(None, 0.0).as_millis(), 250);
    }

    #[test]
    fn the_server_may_ask_for_more_but_not_for_ever() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.failed(Some(Duration::from_secs(7)), 1.0), Duration::from_secs(7));
        assert_eq!(backoff.failed(Some(Duration::from_secs(1 << 40)), 1.0), MOST_ASKED);
        assert!(backoff.failed(Some(Duration::ZERO), 1.0) > Duration::ZERO);
    }

    #[test]
    fn shares_stay_between_nought_and_one() {
        assert!((0..1000).all(|_| (0.0..=1.0).contains(&random_share())));
    }
}
