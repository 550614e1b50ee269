//! Requests a second of each token, over all replicas.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stella_domain::Timestamp;
use stella_store::{Store, StoreError};

use super::bucket::Bucket;

/// Milliseconds for which a slice may be used; what is left goes back with the next question.
const SLICE_MILLIS: i64 = 1000;
/// The most tokens that are watched. Whoever was silent longest is forgotten first.
const MAX_HELD: usize = 20_000;

/// What a request that is let through is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// Requests a second.
    pub limit: u32,
    /// Requests that this replica would let through now.
    pub remaining: i64,
    /// Seconds until a request is let through.
    pub wait: Option<u64>,
}

/// Holds each token to its rate. Where replicas share the database, each takes a quarter of a second's worth at a time from the
/// bucket there; a tenth goes on account, so that callers who ask seldom cost no write. What went on account is settled with the
/// next slice, so that no caller gets more than rate and one burst, whichever replicas it asks. A replica that did not get its
/// whole slice asks again when there may be one: who is refused costs no write either.
#[derive(Debug)]
pub struct Rates {
    rate: u32,
    held: Mutex<BTreeMap<String, Held>>,
}

#[derive(Debug, Clone)]
struct Held {
    /// Alone, the whole bucket; with other replicas, what goes on account.
    own: Bucket,
    /// Left of the last slice.
    slice: i64,
    until: Timestamp,
    /// Until then there is no further slice.
    dry_until: Timestamp,
    /// Spent on account, not settled.
    unsettled: i64,
    used: Timestamp,
}

/// What is held here says of a request.
enum Said {
    /// It is let through, and so many after it.
    Through(i64),
    /// It has to wait.
    Wait,
    /// Another slice is needed; this much is to be settled with it.
    Ask(i64),
}

impl Rates {
    /// `rate` requests a second, as many at once; no limit when it is 0.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self { rate, held: Mutex::default() }
    }

    /// Counts a request of the token `id`. `None` when there is no limit.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count(&self, store: &Store, id: &str, now: Timestamp) -> Result<Option<Allowed>, StoreError> {
        if self.rate == 0 {
            return Ok(None);
        }
        if !store.is_shared() {
            return Ok(Some(self.alone(store, id, now)));
        }
        let (rate, slice) = (self.rate, self.slice());
        let unsettled = match self.by_slice(store, id, now) {
            Said::Through(remaining) => return Ok(Some(Allowed { limit: rate, remaining, wait: None })),
            Said::Wait => return Ok(Some(Allowed { limit: rate, remaining: 0, wait: Some(1) })),
            Said::Ask(unsettled) => unsettled,
        };
        let leased = store.change_bucket(id, |kept| {
            let mut bucket = Bucket::kept(rate, rate, kept, now);
            bucket.fill(now);
            bucket.settle(unsettled);
            let granted = bucket.take(slice);
            (bucket.level(), (granted, bucket.seconds_until(1)))
        });
        let (granted, wait) = match leased.await {
            Ok(leased) => leased,
            Err(error) => {
                self.held(id, store, now, |held| held.unsettled += unsettled);
                return Err(error);
            }
        };
        let after = |millis| Timestamp::from_millis(now.as_millis() + millis);
        let remaining = self.held(id, store, now, |held| {
            if granted < slice {
                held.dry_until = after(slice * 1000 / i64::from(rate));
            }
            if granted == 0 {
                return None;
            }
            held.slice += granted - 1;
            held.until = after(SLICE_MILLIS);
            Some(held.slice)
        });
        Ok(Some(match remaining {
            Some(remaining) => Allowed { limit: rate, remaining, wait: None },
            None => Allowed { limit: rate, remaining: 0, wait: Some(wait) },
        }))
    }

    fn alone(&self, store: &Store, id: &str, now: Timestamp) -> Allowed {
        let limit = self.rate;
        self.held(id, store, now, |held| {
            held.own.fill(now);
            if held.own.take(1) == 1 {
                Allowed { limit, remaining: held.own.whole(), wait: None }
            } else {
                Allowed { limit, remaining: 0, wait: Some(held.own.seconds_until(1)) }
            }
        })
    }

    /// How much is asked for at a time.
    fn slice(&self) -> i64 {
        i64::from(self.rate / 4).max(1)
    }

    /// Lets a request through by what is held here, or says what has to be done.
    fn by_slice(&self, store: &Store, id: &str, now: Timestamp) -> Said {
        self.held(id, store, now, |held| {
            if now >= held.until {
                held.unsettled -= std::mem::take(&mut held.slice);
            }
            if held.slice > 0 {
                held.slice -= 1;
                return Said::Through(held.slice);
            }
            held.own.fill(now);
            if held.own.take(1) == 1 {
                held.unsettled += 1;
                return Said::Through(held.own.whole());
            }
            if now < held.dry_until {
                return Said::Wait;
            }
            Said::Ask(std::mem::take(&mut held.unsettled))
        })
    }

    fn held<T>(&self, id: &str, store: &Store, now: Timestamp, work: impl FnOnce(&mut Held) -> T) -> T {
        let mut all = self.all();
        if all.len() >= MAX_HELD && !all.contains_key(id) {
            forget(&mut all);
        }
        let own = if store.is_shared() { (self.rate / 10).max(1) } else { self.rate };
        let held = all.entry(id.to_owned()).or_insert_with(|| Held {
            own: Bucket::full(own, own, now),
            slice: 0,
            until: now,
            dry_until: now,
            unsettled: 0,
            used: now,
        });
        held.used = now;
        work(held)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the half that was silent longest.
fn forget(all: &mut BTreeMap<String, Held>) {
    let mut times: Vec<Timestamp> = all.values().map(|held| held.used).collect();
    let middle = times.len() / 2;
    let (_, median, _) = times.select_nth_unstable(middle);
    let median = *median;
    all.retain(|_, held| held.used > median);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[tokio::test]
    async fn a_token_gets_its_rate_and_one_burst_and_others_are_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let rates = Rates::new(40);
        let mut passed = 0;
        for millis in 0..2000 {
            let allowed = rates.count(&store, "a", at(millis)).await.unwrap().unwrap();
            passed += i64::from(allowed.wait.is_none());
        }
        assert!((119..=120).contains(&passed), "{passed} in two seconds");
        let other = rates.count(&store, "b", at(2000)).await.unwrap().unwrap();
        assert_eq!((other.wait, other.remaining, other.limit), (None, 39, 40));
        assert_eq!(Rates::new(0).count(&store, "a", at(0)).await.unwrap(), None);
    }

    #[test]
    fn whoever_was_silent_longest_is_forgotten() {
        let held = |used| Held {
            own: Bucket::full(1, 1, at(0)),
            slice: 0,
            until: at(0),
            dry_until: at(0),
            unsettled: 0,
            used: at(used),
        };
        let mut all: BTreeMap<String, Held> = (0..10).map(|number| (number.to_string(), held(number))).collect();
        forget(&mut all);
        assert_eq!(all.keys().map(String::as_str).collect::<Vec<_>>(), ["6", "7", "8", "9"]);
    }
}
