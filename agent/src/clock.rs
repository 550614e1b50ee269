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

/// A calendar clock that differs by so much was set. Less is what it is corrected by, or what lies between two readings.
const SET_MILLIS: i64 = 5_000;

/// The calendar time of boot, by which instants since boot are turned into timestamps.
#[derive(Debug, Clone, Copy)]
pub struct BootTime {
    millis: i64,
}

impl BootTime {
    /// As of now. The calendar clock is not read for each event, so that stamps are comparable however it is corrected.
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

    /// Takes over `now` where the calendar clock was set, and says by how many milliseconds.
    pub fn follow(&mut self, now: Self) -> Option<i64> {
        let by = now.millis.saturating_sub(self.millis);
        let was_set = by.unsigned_abs() >= SET_MILLIS.unsigned_abs();
        was_set.then(|| {
            *self = now;
            by
        })
    }

    /// The calendar time of an instant since boot, in nanoseconds.
    #[must_use]
    pub fn timestamp(self, since_boot: u64) -> Timestamp {
        Timestamp::from_millis(self.millis + i64::try_from(since_boot / 1_000_000).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the calendar clock is set, forth and back: the stamps that follow are its own to within what is no setting, and
        /// within one setting they keep their order.
        #[test]
        fn stamps_follow_a_clock_that_is_set(steps in prop::collection::vec((0_i64..4_000_000_000_000, 0_u64..1_000_000), 1..40)) {
            let mut boot = BootTime::at_millis(steps[0].0);
            let mut up = 0;
            let mut before = boot.timestamp(0);
            for (set_to, later) in steps {
                up += later * 1_000_000;
                let moved = boot.follow(BootTime::at_millis(set_to));
                let stamp = boot.timestamp(up);
                let true_time = set_to + i64::try_from(up / 1_000_000).unwrap();
                prop_assert!((stamp.as_millis() - true_time).abs() < SET_MILLIS);
                prop_assert!(moved.is_some() || stamp >= before);
                before = stamp;
            }
        }
    }

    #[test]
    fn what_a_clock_is_corrected_by_is_no_setting() {
        let mut boot = BootTime::at_millis(1_000_000);
        assert_eq!(boot.follow(BootTime::at_millis(1_004_999)), None);
        assert_eq!(boot.timestamp(0).as_millis(), 1_000_000);
        assert_eq!(boot.follow(BootTime::at_millis(0)), Some(-1_000_000));
        assert_eq!(boot.follow(BootTime::at_millis(i64::MAX)), Some(i64::MAX));
    }
}
