//! Instants: since boot as the kernel counts them, and of the calendar as the wire shows them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use stella_domain::Timestamp;

/// Nanoseconds since boot, sleep included, as the kernel side stamps its records.
#[must_use]
pub fn since_boot() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
        .as_nanos()
        .try_into()
        .unwrap_or(u64::MAX)
}

/// The calendar time of boot, by which instants since boot are turned into timestamps.
#[derive(Debug, Clone, Copy)]
pub struct BootTime {
    millis: i64,
}

impl BootTime {
    /// As of now; a later change of the calendar clock is not followed, so that stamps of one run are comparable.
    #[must_use]
    pub fn now() -> Self {
        let calendar = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let up = u128::from(since_boot() / 1_000_000);
        Self { millis: i64::try_from(calendar.saturating_sub(up)).unwrap_or_default() }
    }

    /// From the milliseconds of the calendar at boot.
    #[cfg(test)]
    #[must_use]
    pub fn at_millis(millis: i64) -> Self {
        Self { millis }
    }

    /// The calendar time of an instant since boot, in nanoseconds.
    #[must_use]
    pub fn timestamp(self, since_boot: u64) -> Timestamp {
        Timestamp::from_millis(self.millis + i64::try_from(since_boot / 1_000_000).unwrap_or_default())
    }
}
