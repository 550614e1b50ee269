//! A clock that is set back. What was heard before would lie in the future then, nobody could say how old it is, and reviews would
//! be left to the failure policy until the server is heard again. So the clock that everything here reads never goes back by
//! itself: it stands still until what was heard is moved back with it.
//!
//! A clock that is set forward is believed: time may have passed while the machine was stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use stella_domain::Timestamp;
use stella_service::clock::Clock;
use tokio_util::sync::CancellationToken;

use crate::verdicts::Cache;

/// For so long at most the clock stands still.
const LOOK: Duration = Duration::from_secs(1);
/// Less is no setting, and is waited for.
const SET_BACK_MILLIS: i64 = 5_000;

/// Watches the machine's clock.
#[derive(Debug)]
pub struct SetBack {
    machine: Clock,
    /// The latest time that was told or looked at, in milliseconds.
    latest: Arc<AtomicI64>,
}

impl SetBack {
    /// The clock to read, and what it has to be watched with.
    #[must_use]
    pub fn watched(machine: Clock) -> (Clock, Self) {
        let latest = Arc::new(AtomicI64::new(machine.now().as_millis()));
        let (read, told) = (machine.clone(), Arc::clone(&latest));
        let clock = Clock::new(move || {
            let now = read.now().as_millis();
            Timestamp::from_millis(now.max(told.fetch_max(now, Ordering::Relaxed)))
        });
        (clock, Self { machine, latest })
    }

    /// Follows a clock that was set back, with what `cache` holds. Gives the seconds.
    pub fn follow(&self, cache: &Cache) -> Option<i64> {
        let now = self.machine.now().as_millis();
        // Nobody may have read the clock since the last look.
        let by = self.latest.fetch_max(now, Ordering::Relaxed) - now;
        if by < SET_BACK_MILLIS {
            return None;
        }
        let seconds = by / 1000;
        cache.set_back(seconds);
        self.latest.store(now, Ordering::Relaxed);
        Some(seconds)
    }

    /// Watches until `token` is cancelled.
    ///
    /// # Errors
    /// Never; the type is what a supervisor takes.
    pub async fn run(self, cache: Cache, token: CancellationToken) -> Result<(), std::convert::Infallible> {
        while token.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            if let Some(seconds) = self.follow(&cache) {
                tracing::warn!(seconds, "the clock was set back; verdicts are as old as they were");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Outcome, Rung, Settings, decide};
    use crate::fixture::{held, namespace, now, passing};
    use crate::review::Review;
    use serde_json::json;

    /// A machine's clock, and a hand to set it by.
    fn machine() -> (Clock, Arc<AtomicI64>) {
        let hand = Arc::new(AtomicI64::new(now().as_millis()));
        let read = Arc::clone(&hand);
        (Clock::new(move || Timestamp::from_millis(read.load(Ordering::Relaxed))), hand)
    }

    #[test]
    fn reviews_are_answered_all_the_while_and_verdicts_are_as_old_as_they_were() {
        let (machine, hand) = machine();
        let (clock, watch) = SetBack::watched(machine);
        let cache = Cache::new(held(&[namespace("*")], &[passing("good:1")]));
        let settings = Settings { fresh_seconds: 60, verdict_seconds: 600, ..Settings::default() };
        let request = json!({"uid": "1", "operation": "CREATE", "namespace": "shop",
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": {"spec": {"containers": [{"name": "app", "image": "good:1"}]}}});
        let body = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request});
        let review = Review::read(body.to_string().as_bytes()).unwrap();
        let ends = || {
            let decided = decide(&review, &cache.held(), None, &settings, clock.now());
            decided.map(|decision| (decision.outcome, decision.rung.unwrap())).map_err(|undecided| undecided.reason)
        };
        let pass = |seconds: i64| hand.fetch_add(seconds * 1000, Ordering::Relaxed);
        pass(50);
        assert_eq!(ends(), Ok((Outcome::Allowed, Rung::Fresh)));
        assert_eq!(watch.follow(&cache), None);
        pass(-86_400);
        assert_eq!(ends(), Ok((Outcome::Allowed, Rung::Fresh)), "before it was noticed");
        assert_eq!(watch.follow(&cache), Some(86_400));
        assert_eq!(ends(), Ok((Outcome::Allowed, Rung::Fresh)));
        pass(11);
        assert_eq!(ends(), Ok((Outcome::Allowed, Rung::Stale)), "61 s have passed since the server was heard");
        // Forward: as if the time had passed.
        pass(86_400);
        assert_eq!(watch.follow(&cache), None);
        assert!(ends().is_err());
    }

    #[test]
    fn a_clock_that_nobody_read_is_followed_too() {
        let (machine, hand) = machine();
        let (clock, watch) = SetBack::watched(machine);
        let cache = Cache::default();
        hand.fetch_add(3_600_000, Ordering::Relaxed);
        assert_eq!(watch.follow(&cache), None, "an hour without a review");
        hand.fetch_sub(1_800_000, Ordering::Relaxed);
        assert_eq!(watch.follow(&cache), Some(1800));
        assert_eq!(clock.now().as_millis(), now().as_millis() + 1_800_000);
    }

    #[test]
    fn a_little_is_waited_for() {
        let (machine, hand) = machine();
        let (clock, watch) = SetBack::watched(machine);
        hand.fetch_sub(4_000, Ordering::Relaxed);
        assert_eq!((clock.now(), watch.follow(&Cache::default())), (now(), None));
        hand.fetch_add(4_001, Ordering::Relaxed);
        assert_eq!(clock.now().as_millis(), now().as_millis() + 1);
    }
}
