//! CEL shared by the kinds that run on a schedule.

/// A time zone without a schedule means nothing.
pub(crate) fn needs_schedule() -> serde_json::Value {
    serde_json::json!({"rule": "!has(self.timeZone) || has(self.schedule)", "message": "timeZone needs a schedule"})
}
