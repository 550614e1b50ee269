//! When a schedule falls due.

use chrono::{DateTime, Utc};
use stella_domain::Timestamp;

/// The first instant after `after` at which `schedule` (five fields, UTC) falls due.
///
/// # Errors
/// What is wrong with the schedule.
pub(super) fn next(schedule: &str, after: Timestamp) -> Result<Timestamp, String> {
    let cron: croner::Cron = schedule.parse().map_err(|e: croner::errors::CronError| format!("'{schedule}': {e}"))?;
    let from: DateTime<Utc> = DateTime::from_timestamp_millis(after.as_millis()).ok_or("the year is out of range")?;
    let next = cron.find_next_occurrence(&from, false).map_err(|e| format!("'{schedule}': {e}"))?;
    Ok(Timestamp::from_millis(next.timestamp_millis()))
}

/// Why a time zone cannot be used.
pub(super) fn unsupported_zone(zone: Option<&str>) -> Option<&'static str> {
    match zone {
        None | Some("UTC" | "Etc/UTC") => None,
        Some(_) => Some("spec.timeZone: only UTC is supported yet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn falls_due_strictly_after() {
        let at: Timestamp = "2026-01-01T02:00:00Z".parse().unwrap();
        assert_eq!(next("0 2 * * *", at).unwrap().to_string(), "2026-01-02T02:00:00.000Z");
        assert!(next("every day", at).unwrap_err().contains("every day"));
    }
}
