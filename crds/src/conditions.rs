//! Conditions with stable transition times.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The value of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody knows.
    Unknown,
}

/// One aspect of an object's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about: Ready, Reconciling, Stalled, PolicyViolated, DataStale.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64))]
    pub type_: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// The generation of the spec that was judged.
    pub observed_generation: i64,
    /// When status last changed.
    #[schemars(schema_with = "date_time")]
    pub last_transition_time: Time,
    /// One word for programs.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z]([A-Za-z0-9]*)$"))]
    pub reason: String,
    /// One sentence for people.
    #[schemars(length(max = 512))]
    pub message: String,
}

/// The schema of an instant in a status.
pub(crate) fn date_time(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "string", "format": "date-time"})
}

/// The schema of an instant that may be absent.
pub(crate) fn optional_date_time(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "string", "format": "date-time", "nullable": true})
}

/// Puts `new` in place of the condition of its type. The transition time of the old one is kept while the status is the same.
/// The list stays sorted by type.
pub fn set_condition(conditions: &mut Vec<Condition>, mut new: Condition) {
    if let Some(old) = conditions.iter().find(|c| c.type_ == new.type_)
        && old.status == new.status
    {
        new.last_transition_time = old.last_transition_time.clone();
    }
    new.message = new.message.chars().take(500).collect();
    conditions.retain(|c| c.type_ != new.type_);
    conditions.push(new);
    conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(status: ConditionStatus, at: i64, reason: &str) -> Condition {
        Condition {
            type_: "Ready".into(),
            status,
            observed_generation: 1,
            last_transition_time: Time(k8s_openapi::jiff::Timestamp::from_second(at).unwrap()),
            reason: reason.into(),
            message: String::new(),
        }
    }

    #[test]
    fn the_transition_time_changes_only_with_the_status() {
        let mut conditions = vec![ready(ConditionStatus::True, 1, "Succeeded")];
        set_condition(&mut conditions, ready(ConditionStatus::True, 2, "StillFine"));
        assert_eq!(conditions[0].last_transition_time.0.as_second(), 1);
        assert_eq!(conditions[0].reason, "StillFine");
        set_condition(&mut conditions, ready(ConditionStatus::False, 3, "Broken"));
        assert_eq!((conditions.len(), conditions[0].last_transition_time.0.as_second()), (1, 3));
    }
}
