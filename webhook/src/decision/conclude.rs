//! From inputs to an answer. Nothing else goes in, so that a recorded decision can be made again anywhere.

use serde::{Deserialize, Serialize};
use stella_api::admission::{AdmissionMode, FailurePolicy, ImageVerdict, UnscannedAction};

use super::inputs::{Inputs, JudgedImage, Standing};
use super::rung::Rung;
use super::{Outcome, WorkloadAction, words};

/// The answer that follows from [`Inputs`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conclusion {
    /// How it ends.
    pub outcome: Outcome,
    /// Whether the object may pass.
    pub allowed: bool,
    /// For the client.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Conclusion {
    /// The answer in a namespace that is exempt.
    pub(super) fn exempt() -> Self {
        open(Outcome::Exempt, Vec::new())
    }
}

/// What one image leads to before the mode is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    Pass,
    Warn,
    Deny,
}

/// What one image leads to where the mode is `enforce`.
pub(super) fn effect(inputs: &Inputs, image: &JudgedImage) -> Effect {
    match &image.standing {
        Standing::Scanned { decision, grace_until, stale, .. } => {
            let said = match decision.verdict {
                ImageVerdict::Pass => Effect::Pass,
                ImageVerdict::Warn => Effect::Warn,
                ImageVerdict::Blocked if grace_until.is_some() => Effect::Warn,
                ImageVerdict::Blocked => Effect::Deny,
            };
            // What is known against it still is.
            if stale.is_some() { said.max(of_unscanned(inputs)) } else { said }
        }
        Standing::Unscanned { .. } => of_unscanned(inputs),
    }
}

fn of_unscanned(inputs: &Inputs) -> Effect {
    match inputs.unscanned {
        // It may have been scanned since.
        _ if inputs.rung >= Rung::KnownDenial => Effect::Pass,
        UnscannedAction::Allow => Effect::Pass,
        UnscannedAction::Warn => Effect::Warn,
        UnscannedAction::Deny => Effect::Deny,
    }
}

/// The answer.
#[must_use]
pub fn conclude(inputs: &Inputs) -> Conclusion {
    if inputs.rung == Rung::Default {
        return without_verdicts(inputs);
    }
    let worst = inputs.images.iter().map(|image| effect(inputs, image)).max().unwrap_or(Effect::Pass);
    match (worst, inputs.mode) {
        (Effect::Pass, _) => open(Outcome::Allowed, Vec::new()),
        (_, AdmissionMode::Audit) => open(Outcome::Audited, Vec::new()),
        (Effect::Deny, AdmissionMode::Enforce) if can_refuse(inputs) => Conclusion {
            outcome: Outcome::Denied,
            allowed: false,
            warnings: words::warnings(inputs, Effect::Warn),
            message: Some(words::refusal(inputs)),
        },
        _ => open(Outcome::Warned, words::all_warnings(inputs)),
    }
}

/// The answer where there is nothing to judge by.
fn without_verdicts(inputs: &Inputs) -> Conclusion {
    let fails = inputs.failure_policy == FailurePolicy::Fail && inputs.mode == AdmissionMode::Enforce;
    if !fails || !can_refuse(inputs) {
        return open(Outcome::Unchecked, vec![words::unchecked(inputs)]);
    }
    let message = Some(words::failing(inputs));
    Conclusion { outcome: Outcome::Denied, allowed: false, warnings: Vec::new(), message }
}

/// Static pods run whatever is answered; what makes pods is refused only where that is set.
fn can_refuse(inputs: &Inputs) -> bool {
    if inputs.pod { !inputs.static_pod } else { inputs.workloads == WorkloadAction::Deny }
}

fn open(outcome: Outcome, warnings: Vec<String>) -> Conclusion {
    Conclusion { outcome, allowed: true, warnings, message: None }
}
