//! When to ask again, and after how long.

use std::time::Duration;

use crate::error::RequestError;
use crate::limits::Limits;

/// Times that a mirror is tried which does not answer at all: the registry itself is waiting.
const ATTEMPTS_OF_ABSENT_MIRROR: u32 = 2;

/// How long to wait after failure number `failed` (from 1); none when that was the last attempt, or when asking again
/// would change nothing.
pub(crate) fn delay(limits: &Limits, mirror: bool, failed: u32, error: &RequestError) -> Option<Duration> {
    let attempts = match error.is_absence() && mirror {
        true => limits.attempts.min(ATTEMPTS_OF_ABSENT_MIRROR),
        false => limits.attempts,
    };
    if failed >= attempts || !error.is_passing() {
        return None;
    }
    let doubled = limits.first_delay.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1)));
    let wanted = match error {
        RequestError::Status { retry_after: Some(seconds), .. } => doubled.max(Duration::from_secs(*seconds)),
        _ => doubled,
    };
    Some(wanted.min(limits.longest_delay))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, retry_after: Option<u64>) -> RequestError {
        RequestError::Status { status, code: None, retry_after }
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        let limits = Limits { attempts: 9, ..Limits::default() };
        let delays: Vec<_> = (1..9).map(|failed| delay(&limits, false, failed, &RequestError::Cut)).collect();
        let millis = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000];
        assert_eq!(delays, millis.map(|millis| Some(Duration::from_millis(millis))));
        assert_eq!(delay(&limits, false, 9, &RequestError::Cut), None);
    }

    #[test]
    fn a_registry_may_ask_for_more_time_but_not_for_any() {
        let limits = Limits::default();
        assert_eq!(delay(&limits, false, 1, &status(429, Some(3))), Some(Duration::from_secs(3)));
        assert_eq!(delay(&limits, false, 1, &status(429, Some(0))), Some(limits.first_delay));
        assert_eq!(delay(&limits, false, 1, &status(503, Some(u64::MAX))), Some(limits.longest_delay));
    }

    #[test]
    fn an_absent_mirror_is_left_sooner() {
        let (limits, gone) = (Limits::default(), RequestError::Timeout { seconds: 1 });
        assert!(delay(&limits, true, 1, &gone).is_some() && delay(&limits, true, 2, &gone).is_none());
        assert!(delay(&limits, false, 2, &gone).is_some() && delay(&limits, true, 2, &RequestError::Cut).is_some());
    }

    #[test]
    fn what_will_not_pass_is_not_asked_again() {
        for error in [status(404, None), status(403, Some(1)), RequestError::TooLong { max: 1 }] {
            assert_eq!(delay(&Limits::default(), false, 1, &error), None, "{error}");
        }
    }
}
