//! What is written down of a decision.

use serde::{Deserialize, Serialize};
use stella_api::admission::DECISION_SCHEMA;
use stella_domain::{Digest, Timestamp};

use super::conclude::{Conclusion, conclude, effect};
use super::inputs::{Inputs, JudgedImage, Standing, judged};
use super::rung::Basis;
use crate::review::{Operation, ResourceName, Review};
use crate::verdicts::View;

/// The only version of a record there is.
pub const RECORD_SCHEMA: &str = DECISION_SCHEMA;

/// A decision with everything it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Always [`RECORD_SCHEMA`].
    pub schema_version: String,
    /// When it was made.
    pub at: Timestamp,
    /// The question it answers.
    pub uid: String,
    /// What was to be done.
    pub operation: Operation,
    /// With what.
    pub resource: ResourceName,
    /// And which part of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sub_resource: String,
    /// Name of the object, or the prefix of its name.
    pub name: String,
    /// Who asked.
    pub user: String,
    /// Names what was asked: [`Review::digest`]. Absent in records of before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_hash: Option<Digest>,
    /// The revision of the policies.
    pub policy_revision: String,
    /// When the server was last heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdicts_heard_at: Option<Timestamp>,
    /// What the answer rests on.
    pub inputs: Inputs,
    /// The answer.
    pub conclusion: Conclusion,
    /// The reason someone gave who was let past the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<String>,
}

impl Record {
    pub(super) fn new(
        review: &Review,
        input_hash: Option<Digest>,
        basis: &Basis<'_>,
        inputs: Inputs,
        conclusion: Conclusion,
        at: Timestamp,
    ) -> Self {
        Self {
            schema_version: RECORD_SCHEMA.to_owned(),
            at,
            uid: review.uid.clone(),
            operation: review.operation,
            resource: review.resource.clone(),
            sub_resource: review.sub_resource.clone(),
            name: review.object_name().to_owned(),
            user: review.user.username.clone(),
            input_hash,
            policy_revision: basis.view.policy_revision.clone().unwrap_or_default(),
            verdicts_heard_at: basis.heard_at,
            inputs,
            conclusion,
            break_glass: None,
        }
    }

    /// The answer as it follows from the recorded inputs today; the same as the recorded one unless the rules changed.
    #[must_use]
    pub fn replay(&self) -> Conclusion {
        conclude(&self.inputs)
    }

    /// The record as it follows from its inputs today: the same bytes as the recorded one unless the rules of answers changed.
    #[must_use]
    pub fn replayed(&self) -> Self {
        Self { conclusion: self.replay(), ..self.clone() }
    }

    /// The record as it would have been with the verdicts and namespaces of `view`: those of a proposed policy. An image that
    /// was in its grace is left in it.
    #[must_use]
    pub fn against(&self, view: &View) -> Self {
        let mut inputs = self.inputs.clone();
        let namespace = view.namespace(&inputs.namespace);
        inputs.tenant = namespace.map(|known| known.tenant.to_string()).unwrap_or_default();
        inputs.scope = namespace.map(|known| known.scope.clone()).unwrap_or_default();
        inputs.mode = namespace.map(|known| known.mode).unwrap_or_default();
        inputs.unscanned = namespace.map(|known| known.unscanned).unwrap_or_default();
        inputs.failure_policy = namespace.map(|known| known.failure_policy).unwrap_or_default();
        (inputs.rung, inputs.missing) = (Default::default(), None);
        let images = self.inputs.images.iter();
        inputs.images = images.map(|image| self.judged_by(view, image)).collect();
        let mut conclusion = conclude(&inputs);
        if namespace.is_some_and(|known| known.exempt) {
            conclusion = Conclusion::exempt();
        }
        let policy_revision = view.policy_revision.clone().unwrap_or_default();
        Self { inputs, conclusion, policy_revision, verdicts_heard_at: view.sent_at, ..self.clone() }
    }

    fn judged_by(&self, view: &View, then: &JudgedImage) -> JudgedImage {
        let mut now = judged(&then.used, &self.inputs.namespace, view, self.at);
        if let (Standing::Scanned { grace_until, .. }, Standing::Scanned { grace_until: granted, .. }) =
            (&mut now.standing, &then.standing)
        {
            *grace_until = grace_until.or(*granted);
        }
        now
    }

    /// The images, as the object names them, that lead to something else in `after`, the same record judged by other verdicts;
    /// all of them where only what holds in the namespace differs.
    #[must_use]
    pub fn turned(&self, after: &Self) -> Vec<&str> {
        let pairs = self.inputs.images.iter().zip(&after.inputs.images);
        let turned = pairs.filter(|(old, new)| effect(&self.inputs, old) != effect(&after.inputs, new));
        let mut images: Vec<&str> = turned.map(|(old, _)| old.used.image.as_str()).collect();
        if images.is_empty() {
            images = self.inputs.images.iter().map(|image| image.used.image.as_str()).collect();
        }
        images.sort_unstable();
        images.dedup();
        images
    }
}
