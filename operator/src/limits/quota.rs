//! Scans a day of each token.

use stella_domain::Timestamp;
use stella_store::{Store, StoreError};

const DAY_MILLIS: i64 = 86_400_000;

/// The UTC midnight before `now`.
#[must_use]
pub fn midnight_before(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.as_millis().div_euclid(DAY_MILLIS) * DAY_MILLIS)
}

/// The next UTC midnight.
#[must_use]
pub fn midnight_after(now: Timestamp) -> Timestamp {
    midnight_before(now).plus_seconds(DAY_MILLIS / 1000)
}

/// The scans that a token may ask for on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The token.
    pub token: String,
    /// Scans a day.
    pub most: u32,
    /// The day.
    pub day: Timestamp,
}

impl Quota {
    /// Counts one more scan, and says how many are left; `None` when there was none left.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn take(&self, store: &Store) -> Result<Option<u32>, StoreError> {
        let used = store.use_quota(&self.token, self.day, self.most).await?;
        Ok(used.map(|used| self.most.saturating_sub(used)))
    }

    /// Takes one back, of a scan that was refused.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn give_back(&self, store: &Store) -> Result<(), StoreError> {
        store.give_quota_back(&self.token, self.day).await
    }

    /// How many are left.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn left(&self, store: &Store) -> Result<u32, StoreError> {
        Ok(self.most.saturating_sub(store.quota_used(&self.token, self.day).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight() {
        let noon = Timestamp::from_millis(1_700_000_000_000);
        assert_eq!(midnight_before(noon).to_string(), "2023-11-14T00:00:00.000Z");
        assert_eq!(midnight_after(noon).to_string(), "2023-11-15T00:00:00.000Z");
        assert_eq!(midnight_before(midnight_after(noon)), midnight_after(noon));
    }
}
