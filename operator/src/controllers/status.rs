//! Making conditions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use stella_crds::{Condition, ConditionStatus, set_condition};
use stella_domain::Timestamp;

/// Conditions of one object in the making: those it had, and what is said of it now.
pub(super) struct Conditions {
    list: Vec<Condition>,
    generation: i64,
    now: Timestamp,
}

impl Conditions {
    pub(super) fn of(list: &[Condition], generation: i64, now: Timestamp) -> Self {
        Self { list: list.to_vec(), generation, now }
    }

    pub(super) fn set(&mut self, type_: &str, holds: bool, reason: &str, message: impl Into<String>) {
        let status = if holds { ConditionStatus::True } else { ConditionStatus::False };
        let condition = Condition {
            type_: type_.to_owned(),
            status,
            observed_generation: self.generation,
            last_transition_time: time(self.now),
            reason: reason.to_owned(),
            message: message.into(),
        };
        set_condition(&mut self.list, condition);
    }

    /// Conditions that are only there while they hold.
    pub(super) fn only_while(&mut self, type_: &str, holds: bool, reason: &str, message: impl Into<String>) {
        if holds {
            self.set(type_, true, reason, message);
        } else {
            self.list.retain(|condition| condition.type_ != type_);
        }
    }

    pub(super) fn finish(self) -> Vec<Condition> {
        self.list
    }
}

/// An instant as Kubernetes writes it.
pub(super) fn time(at: Timestamp) -> Time {
    Time(k8s_openapi::jiff::Timestamp::from_second(at.as_millis().div_euclid(1000)).unwrap_or_default())
}

/// An instant that Kubernetes wrote.
pub(super) fn instant(time: &Time) -> Timestamp {
    Timestamp::from_millis(time.0.as_millisecond())
}
