//! The stream of verdicts that webhooks hold (`GET /api/v1/admission/verdicts`).
//!
//! A connection begins with a snapshot: `Begin`, any number of `Namespace` and `Image` updates, `Ready`. After that each
//! change comes as one update. The SSE `id:` of every update after `Ready` is a cursor that `Last-Event-ID` resumes from; where
//! the server cannot resume it sends a new snapshot, and the receiver drops what it had when `Ready` arrives.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stella_domain::{Digest, Severity, Timestamp};
use utoipa::ToSchema;

/// The only version of a decision's record there is.
pub const DECISION_SCHEMA: &str = "zastava.admission.decision@v1";
/// Records that `POST /api/v1/admission/decisions` takes at once.
pub const MAX_DECISIONS: usize = 512;
/// Bytes that these may have together.
pub const MAX_DECISIONS_BYTES: usize = 1024 * 1024;
/// Bytes that a record may have to be kept.
pub const MAX_DECISION_BYTES: usize = 256 * 1024;
/// Days for which decisions are kept.
pub const DECISION_DAYS: i64 = 7;

/// What reasons begin with that are no knowledge: a signature or an SBOM that could not be looked for, or was not yet.
const DOUBTS: [&str; 4] = ["signature.unverified", "signature.pending", "sbom.unverified", "sbom.pending"];

/// What became of records that were sent to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionReceipt {
    /// Records that were new; they are on disk.
    pub accepted: usize,
    /// Records that were known already.
    pub duplicates: usize,
}

/// One event of the stream; also the SSE `event:` name, in lower case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase", tag = "type", content = "body")]
pub enum AdmissionUpdate {
    /// A snapshot begins.
    Begin,
    /// How admission works in one namespace; replaces what was known of it.
    Namespace(NamespaceAdmission),
    /// The namespace is gone.
    NamespaceGone {
        /// Its name.
        namespace: String,
    },
    /// The verdict of one image in one scope; replaces what was known of this pair.
    Image(ImageAdmission),
    /// No verdict is held any more for this image in this scope.
    ImageGone {
        /// The scope.
        scope: String,
        /// The image.
        #[schema(value_type = String)]
        image: Digest,
    },
    /// The snapshot is complete, or a new revision is served.
    #[serde(rename_all = "camelCase")]
    Ready {
        /// The revision of the policies that all verdicts now come from.
        policy_revision: String,
        /// When the server sent it.
        #[schema(value_type = String, format = DateTime)]
        at: Timestamp,
    },
}

/// What a verdict leads to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AdmissionMode {
    /// Recorded as audit annotations.
    #[default]
    Audit,
    /// Said to the client as warnings.
    Warn,
    /// Refused.
    Enforce,
}

/// What to do with an image nobody has scanned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnscannedAction {
    /// Let it in.
    #[default]
    Allow,
    /// Let it in with a warning.
    Warn,
    /// Refuse it where the mode is `enforce`.
    Deny,
}

/// What happens to a review while there is nothing to judge by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub enum FailurePolicy {
    /// The registration of the webhook decides.
    #[default]
    Ignore,
    /// Refused where the mode is `enforce`.
    Fail,
}

/// How admission works in one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceAdmission {
    /// The namespace; `*` stands for every one that has no entry of its own.
    pub namespace: String,
    /// The tenant it belongs to.
    #[schema(value_type = String)]
    pub tenant: stella_domain::Tenant,
    /// Names the set of policies that hold here; verdicts are looked up by it.
    pub scope: String,
    /// Namespace label, then policy, then the chart's default.
    pub mode: AdmissionMode,
    /// For images without a verdict.
    pub unscanned: UnscannedAction,
    /// For the time without anything to judge by.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
    /// Seconds after which a verdict that was not confirmed since counts as stale: [`Self::stale_age`]. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_after_seconds: Option<i64>,
    /// Always let through, and not recorded.
    #[serde(default)]
    pub exempt: bool,
}

impl NamespaceAdmission {
    /// The age in seconds of the verdict of `image` where it counts as stale here. One of which nobody said when it was confirmed
    /// does not.
    #[must_use]
    pub fn stale_age(&self, image: &ImageAdmission, now: Timestamp) -> Option<i64> {
        let age = now.seconds_since(image.confirmed_at?);
        (age >= self.stale_after_seconds?).then_some(age)
    }
}

/// The verdict of one image in one scope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageAdmission {
    /// The set of policies.
    pub scope: String,
    /// The digest it is filed under.
    #[schema(value_type = String)]
    pub image: Digest,
    /// Every digest that names it: manifest, index, config. Of an image that is let in for a signature or SBOM, those that these are
    /// of.
    #[schema(value_type = Vec<String>)]
    pub digests: Vec<Digest>,
    /// References that nodes saw resolve to it, newest holder only: a reference stands at one image. Of an image that is
    /// let in for a signature or SBOM, those that stood at one of its digests.
    pub references: Vec<String>,
    /// What holds now.
    pub decision: ImageDecision,
    /// Until when; absent when nothing known will change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub valid_until: Option<Timestamp>,
    /// What holds from `validUntil` on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<ImageDecision>,
    /// Namespaces where the image ran when the verdict turned: until then a refusal is only a warning.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub grace: BTreeMap<String, Timestamp>,
    /// When its findings were last confirmed by the advisories: it was scanned, or matched again. Told where a policy of the scope
    /// says when verdicts are stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub confirmed_at: Option<Timestamp>,
}

impl ImageAdmission {
    /// What holds at `now`; `None` when the verdict has ended and nobody said what follows.
    #[must_use]
    pub fn decision_at(&self, now: Timestamp) -> Option<&ImageDecision> {
        match self.valid_until {
            Some(end) if now >= end => self.next.as_ref(),
            _ => Some(&self.decision),
        }
    }

    /// Whether it is told of `name`: a digest or a reference.
    #[must_use]
    pub fn is_of(&self, name: &str) -> bool {
        match name.parse::<Digest>() {
            Ok(digest) => digest == self.image || self.digests.contains(&digest),
            Err(_) => self.references.iter().any(|reference| reference == name),
        }
    }
}

/// A verdict with all that a refusal has to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageDecision {
    /// `pass`, `warn` or `blocked`.
    pub verdict: ImageVerdict,
    /// The policy whose rule decided, `namespace/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The rule that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The findings that decided, worst first, at most three.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub worst: Vec<WorstFinding>,
    /// How many findings the verdict rests on.
    pub count: u32,
    /// Reasons in the words of the runtime API.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Whether a policy that had to decide gave no answer; the verdict is then `blocked`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// The rule, or the waivers, that hide the worst of the findings that do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quieted_by: Option<String>,
    /// Whether it has a signature that a policy of the scope demands.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signed: bool,
    /// Whether it has an SBOM that a policy of the scope demands.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sbom: bool,
    /// How sure the verdict is, where something it rests on is not known. A verdict that passes rests on all findings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<VerdictConfidence>,
}

impl ImageDecision {
    /// A verdict of which nothing more is known.
    #[must_use]
    pub const fn bare(verdict: ImageVerdict) -> Self {
        Self {
            verdict,
            policy: None,
            rule: None,
            worst: Vec::new(),
            count: 0,
            reasons: Vec::new(),
            failed: false,
            quieted_by: None,
            signed: false,
            sbom: false,
            confidence: None,
        }
    }

    /// Whether the verdict rests on a signature or an SBOM that could not be looked for, or was not yet: not on anything that is
    /// known against the image.
    #[must_use]
    pub fn rests_on_doubt(&self) -> bool {
        let doubt = |reason: &String| DOUBTS.iter().any(|doubt| reason.starts_with(doubt));
        self.rule.is_none() && self.reasons.first().is_some_and(doubt)
    }
}

/// The least confidence among the findings that a verdict rests on (policy.md, "Scores").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerdictConfidence {
    /// 0 to 1; it decays by the day.
    pub value: f64,
    /// `high`, `medium` or `low`.
    pub band: String,
}

/// The verdict of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImageVerdict {
    /// Nothing speaks against it.
    Pass,
    /// Something should be looked at.
    Warn,
    /// Policy refuses it.
    Blocked,
}

/// A finding in short, for a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorstFinding {
    /// CVE where there is one.
    pub advisory_id: String,
    /// Name of the package.
    pub package: String,
    /// Installed version.
    pub version: String,
    /// How bad.
    #[schema(value_type = String)]
    pub severity: Severity,
    /// Versions that fix it.
    pub fixed_in: Vec<String>,
    /// Whether a running container uses it.
    pub in_use: bool,
    /// Whether that was seen in another image of the repository, and not in this one.
    #[serde(default)]
    pub inherited: bool,
}
