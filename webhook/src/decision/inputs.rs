//! Everything an answer rests on, gathered in one place, so that it can be written down and judged again.

use serde::{Deserialize, Serialize};
use stella_api::admission::{
    AdmissionMode, FailurePolicy, ImageAdmission, ImageDecision, NamespaceAdmission, UnscannedAction,
};
use stella_domain::{Digest, Timestamp};

use super::concern::Concern;
use super::rung::{Basis, Rung};
use super::{Settings, WorkloadAction};
use crate::reference::ImageName;
use crate::review::{ImageUse, Review};
use crate::verdicts::{View, holding};

/// What is known where a review is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// Namespace of the object.
    pub namespace: String,
    /// Its tenant by its own entry, else by the one for all namespaces; empty when the server has told of neither.
    pub tenant: String,
    /// The set of policies that holds there.
    pub scope: String,
    /// What a verdict leads to.
    pub mode: AdmissionMode,
    /// What is done about images nobody has scanned.
    pub unscanned: UnscannedAction,
    /// What is done while there is nothing to judge by.
    #[serde(default, skip_serializing_if = "says_nothing")]
    pub failure_policy: FailurePolicy,
    /// Why there is nothing to judge by; absent where there is, and in what a known denial rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// Whether the object is a pod.
    pub pod: bool,
    /// Whether it mirrors a static pod, which nobody can refuse.
    pub static_pod: bool,
    /// What the verdicts are worth; fresh in records of before there were rungs.
    #[serde(default)]
    pub rung: Rung,
    /// What is done about objects that make pods.
    pub workloads: WorkloadAction,
    /// The images to be judged.
    pub images: Vec<JudgedImage>,
}

/// Whether it is left out of a record: those of before there was one are to come out the same.
fn says_nothing(policy: &FailurePolicy) -> bool {
    *policy == FailurePolicy::Ignore
}

/// An image and what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JudgedImage {
    /// Where it stands.
    #[serde(flatten)]
    pub used: ImageUse,
    /// Its full spelling; absent when it is no image reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The digest its verdict is filed under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What is known.
    pub standing: Standing,
}

/// What is known of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "state")]
pub enum Standing {
    /// There is a verdict.
    Scanned {
        /// Names the verdict: the digest of its scope, of the digest it is filed under, and of `decision`, as canonical JSON.
        /// Absent in records of before there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verdict_id: Option<Digest>,
        /// The verdict that held at the instant.
        decision: ImageDecision,
        /// Until when a refusal is only a warning.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grace_until: Option<Timestamp>,
        /// How old it is, where that is too old.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stale: Option<Stale>,
    },
    /// There is none.
    Unscanned {
        /// Why not.
        reason: String,
    },
}

/// How old a verdict is that counts as stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stale {
    /// Seconds since it was confirmed.
    pub age_seconds: i64,
    /// The age from which it is stale in the namespace.
    pub after_seconds: i64,
}

/// Gathers what is known of the images of `concern` at `now`.
pub(super) fn gather(
    review: &Review,
    concern: &Concern,
    basis: &Basis<'_>,
    settings: &Settings,
    now: Timestamp,
) -> Inputs {
    let namespace = basis.view.namespace(&review.namespace);
    let images = concern.images.iter().map(|used| judged(used, &review.namespace, basis.view, now)).collect();
    Inputs {
        namespace: review.namespace.clone(),
        tenant: namespace.map(|known| known.tenant.to_string()).unwrap_or_default(),
        mode: namespace.map(|known| known.mode).unwrap_or_default(),
        unscanned: namespace.map(|known| known.unscanned).unwrap_or_default(),
        failure_policy: namespace.map(|known| known.failure_policy).unwrap_or_default(),
        missing: basis.missing.filter(|_| basis.rung == Rung::Default).map(|reason| reason.to_string()),
        pod: concern.workload.is_pod(),
        static_pod: concern.static_pod,
        rung: basis.rung,
        workloads: settings.workloads,
        scope: namespace.map(|known| known.scope.clone()).unwrap_or_default(),
        images,
    }
}

pub(super) fn judged(used: &ImageUse, namespace: &str, view: &View, now: Timestamp) -> JudgedImage {
    let name = match ImageName::parse(&used.image) {
        Ok(name) => name,
        Err(error) => return unscanned(used, None, None, error.to_string()),
    };
    let spelled = Some(name.to_string());
    let known = view.namespace(namespace);
    let Some(filed) = known.and_then(|known| view.image(&known.scope, &name)) else {
        return unscanned(used, spelled, name.digest(), "it has not been scanned".to_owned());
    };
    let image = &filed.admission;
    match holding(image, namespace, now) {
        None => unscanned(used, spelled, Some(image.image), "its verdict has ended".to_owned()),
        Some(holding) => JudgedImage {
            used: used.clone(),
            name: spelled,
            digest: Some(image.image),
            standing: Standing::Scanned {
                verdict_id: filed.verdict_id(&holding),
                decision: holding.decision.clone(),
                grace_until: holding.grace_until,
                stale: known.and_then(|known| stale(known, image, now)),
            },
        },
    }
}

fn stale(namespace: &NamespaceAdmission, image: &ImageAdmission, now: Timestamp) -> Option<Stale> {
    let after_seconds = namespace.stale_after_seconds?;
    namespace.stale_age(image, now).map(|age_seconds| Stale { age_seconds, after_seconds })
}

fn unscanned(used: &ImageUse, name: Option<String>, digest: Option<Digest>, reason: String) -> JudgedImage {
    JudgedImage { used: used.clone(), name, digest, standing: Standing::Unscanned { reason } }
}
