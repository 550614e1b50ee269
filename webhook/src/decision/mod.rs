//! The decision on one review: a pure function of the review, the verdicts held, the settings and the instant.
//!
//! ```text
//!   concern ──> which images have to be judged, if any
//!   inputs  ──> what is known of them: everything the answer rests on
//!   conclude ─> the answer; the same for the same inputs, so that a record can be replayed
//! ```
//!
//! [`Rung`] says what an answer rests on. Without verdicts that someone still vouches for, what was refused before stays
//! refused, and a namespace that enforces and whose policies say `failurePolicy: Fail` refuses the rest. Beyond that there is
//! no decision but [`Undecided`]. The caller then fails the request, and the API server does what the `failurePolicy` of the
//! registration says that it came through: `Ignore` lets the object in and notes it in the audit log, `Fail` refuses it.
//! Neither `allowed: true` nor `allowed: false` could say that, because the review does not tell which registration asked.

mod concern;
mod conclude;
mod inputs;
mod record;
mod rung;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stella_domain::{Digest, Timestamp};

use crate::reference::ImageName;
use crate::review::{BREAK_GLASS, Review};
use crate::verdicts::{Bundled, Held, View};

pub use conclude::{Conclusion, conclude};
pub use inputs::{Inputs, JudgedImage, Stale, Standing};
pub use record::{RECORD_SCHEMA, Record};
pub use rung::Rung;

use concern::{Concern, concern};
use rung::{Basis, basis};

/// What is done about images in objects that make pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadAction {
    /// Say it; the pods will be refused.
    #[default]
    Warn,
    /// Refuse the object already.
    Deny,
}

/// What is done while there are no verdicts that anybody vouches for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AwayAction {
    /// Fail the request, so that the registration's `failurePolicy` decides.
    #[default]
    FailurePolicy,
    /// Let everything in, with a warning.
    Allow,
}

/// What holds for all decisions of this process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Namespaces where everything is let through: the cluster's and the product's own, so that neither is locked out.
    pub exempt_namespaces: BTreeSet<String>,
    /// For objects that make pods.
    pub workloads: WorkloadAction,
    /// For the time without verdicts.
    pub away: AwayAction,
    /// Seconds after the server was last heard in which verdicts are fresh: their time to live.
    pub fresh_seconds: i64,
    /// Seconds that verdicts hold after the server was last heard: their time to live and the grace after it.
    pub verdict_seconds: i64,
}

/// How a review ended; a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing in it had to be judged.
    Passed,
    /// The namespace is exempt.
    Exempt,
    /// Judged, and nothing speaks against it.
    Allowed,
    /// Something does, and is only recorded.
    Audited,
    /// Something does, and the client was warned.
    Warned,
    /// Refused.
    Denied,
    /// Let in because there was nothing to judge by.
    Unchecked,
    /// Refused, and let in on someone's responsibility.
    GlassBroken,
}

impl Outcome {
    /// The name, as label and in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Exempt => "exempt",
            Self::Allowed => "allowed",
            Self::Audited => "audited",
            Self::Warned => "warned",
            Self::Denied => "denied",
            Self::Unchecked => "unchecked",
            Self::GlassBroken => "glass-broken",
        }
    }
}

/// Why there is nothing to judge by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoVerdicts {
    /// There has been no snapshot, neither from the server nor on disk.
    #[error("no verdicts have been received yet")]
    Never,
    /// The server has been away for too long.
    #[error("the verdicts are of {heard_at} and have ended: the server has been away for {seconds} s")]
    Ended {
        /// When the server was last heard.
        heard_at: Timestamp,
        /// How long ago that is.
        seconds: i64,
    },
    /// The clock was set back, so that nobody can say how old they are.
    #[error("the verdicts are of {heard_at}, which is {seconds} s ahead of the clock")]
    Ahead {
        /// When the server was last heard.
        heard_at: Timestamp,
        /// How far that lies in the future.
        seconds: i64,
    },
}

/// An image whose scan is to be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScanWish {
    /// The tenant of the namespace; empty when the server has told of no such namespace.
    pub tenant: String,
    /// Where it is to run.
    pub namespace: String,
    /// The image in its full spelling; one that was scanned by the digest its verdict is filed under, so that it is recognised.
    pub image: String,
    /// When its verdict was last confirmed, where it is stale.
    pub confirmed_at: Option<Timestamp>,
}

/// Why there is no decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Undecided {
    /// What is missing.
    pub reason: NoVerdicts,
    /// Images to be scanned all the same; none in a dry run.
    pub scans: Vec<ScanWish>,
}

/// What a review is answered, and what follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// How it ended.
    pub outcome: Outcome,
    /// What it rests on; absent where nothing was judged.
    pub rung: Option<Rung>,
    /// Whether the object may pass.
    pub allowed: bool,
    /// Shown to the client.
    pub warnings: Vec<String>,
    /// Written to the audit log by the API server, each key behind the webhook's name.
    pub audit: BTreeMap<String, String>,
    /// Why not, when not allowed.
    pub message: Option<String>,
    /// To be logged; absent where nothing was judged.
    pub record: Option<Record>,
    /// Images to be scanned; none in a dry run.
    pub scans: Vec<ScanWish>,
    /// The reason someone gave for getting past the refusal. Whether they may is not decided here.
    pub break_glass: Option<String>,
}

/// Decides on `review` by what is held, or by a signed `bundle` while nobody vouches for that.
///
/// # Errors
/// Nothing to judge by, where [`AwayAction::FailurePolicy`] is set.
pub fn decide(
    review: &Review,
    held: &Held,
    bundle: Option<&Bundled>,
    settings: &Settings,
    now: Timestamp,
) -> Result<Decision, Undecided> {
    let Some(concern) = concern(review) else { return Ok(Decision::let_through(Outcome::Passed)) };
    let basis = basis(held, bundle, settings, now);
    let exempt = basis.view.namespace(&review.namespace).is_some_and(|namespace| namespace.exempt);
    if exempt || settings.exempt_namespaces.contains(&review.namespace) {
        return Ok(Decision::let_through(Outcome::Exempt));
    }
    let asked = Asked { review, concern: &concern, hash: review.digest() };
    let decision = judge(&asked, &basis, settings, now);
    let Some(reason) = basis.missing else { return Ok(decision) };
    if decision.outcome == Outcome::Denied {
        return Ok(decision);
    }
    let decision = judge(&asked, &Basis { rung: Rung::Default, ..basis }, settings, now);
    if decision.outcome == Outcome::Denied {
        return Ok(decision);
    }
    match settings.away {
        AwayAction::FailurePolicy => Err(Undecided { reason, scans: decision.scans }),
        AwayAction::Allow => Ok(Decision { record: None, ..decision }),
    }
}

/// A review that has to be judged, perhaps on two rungs.
struct Asked<'a> {
    review: &'a Review,
    concern: &'a Concern,
    /// Names the question.
    hash: Option<Digest>,
}

fn judge(asked: &Asked<'_>, basis: &Basis<'_>, settings: &Settings, now: Timestamp) -> Decision {
    let Asked { review, concern, hash } = *asked;
    let inputs = inputs::gather(review, concern, basis, settings, now);
    let conclusion = conclude(&inputs);
    let denied = conclusion.outcome == Outcome::Denied;
    let break_glass = review.annotation(BREAK_GLASS).map(str::trim).filter(|reason| denied && !reason.is_empty());
    Decision {
        outcome: conclusion.outcome,
        rung: Some(basis.rung),
        allowed: conclusion.allowed,
        warnings: conclusion.warnings.clone(),
        audit: audit(&inputs, &conclusion, basis),
        message: conclusion.message.clone(),
        scans: if review.dry_run { Vec::new() } else { scans(&inputs, basis.view, now) },
        break_glass: break_glass.map(str::to_owned),
        record: Some(Record::new(review, hash, basis, inputs, conclusion, now)),
    }
}

fn audit(inputs: &Inputs, conclusion: &Conclusion, basis: &Basis<'_>) -> BTreeMap<String, String> {
    let mut entries = BTreeMap::from([("rung".to_owned(), inputs.rung.name().to_owned())]);
    if conclusion.outcome != Outcome::Allowed {
        entries.insert("decision".to_owned(), conclusion.outcome.name().to_owned());
    }
    if let Some(missing) = &inputs.missing {
        entries.insert("reason".to_owned(), missing.clone());
    } else if conclusion.outcome != Outcome::Allowed {
        let revision = basis.view.policy_revision.clone().unwrap_or_default();
        entries.insert("policy-revision".to_owned(), revision);
        entries.insert("violations".to_owned(), words::violations(inputs));
    }
    entries
}

/// Each image that has no verdict, or a stale one. The entry for all namespaces does not tell whose this one is.
fn scans(inputs: &Inputs, view: &View, now: Timestamp) -> Vec<ScanWish> {
    let tenant = if view.has_namespace(&inputs.namespace) { inputs.tenant.as_str() } else { "" };
    let wanting: BTreeMap<_, _> = inputs.images.iter().filter_map(|image| wanting(image, now)).collect();
    let wish = |(image, confirmed_at)| ScanWish {
        tenant: tenant.to_owned(),
        namespace: inputs.namespace.clone(),
        image,
        confirmed_at,
    };
    wanting.into_iter().map(wish).collect()
}

/// The name to ask for an image by, and when it was confirmed, where it needs a scan.
fn wanting(image: &JudgedImage, now: Timestamp) -> Option<(String, Option<Timestamp>)> {
    let name = image.name.as_ref()?;
    match &image.standing {
        Standing::Unscanned { .. } => Some((name.clone(), None)),
        Standing::Scanned { stale, .. } => {
            let confirmed_at = now.plus_seconds(-(*stale)?.age_seconds);
            Some((filed_name(name, image.digest), Some(confirmed_at)))
        }
    }
}

fn filed_name(name: &str, digest: Option<Digest>) -> String {
    let filed = digest.and_then(|digest| Some(ImageName::parse(name).ok()?.at(digest).to_string()));
    filed.unwrap_or_else(|| name.to_owned())
}

impl Decision {
    fn let_through(outcome: Outcome) -> Self {
        Self {
            outcome,
            rung: None,
            allowed: true,
            warnings: Vec::new(),
            audit: BTreeMap::new(),
            message: None,
            record: None,
            scans: Vec::new(),
            break_glass: None,
        }
    }

    /// Lets a refused object in on the responsibility of `user`, who gave `reason` and may do so.
    #[must_use]
    pub fn break_glass(mut self, user: &str, reason: &str) -> Self {
        let refusal = self.message.take().unwrap_or_default();
        self.outcome = Outcome::GlassBroken;
        self.allowed = true;
        self.warnings.insert(0, format!("stella: glass broken by {user}: {refusal}"));
        self.audit.insert("decision".to_owned(), self.outcome.name().to_owned());
        self.audit.insert("break-glass".to_owned(), format!("{user}: {reason}"));
        if let Some(record) = &mut self.record {
            record.break_glass = Some(reason.to_owned());
        }
        self
    }
}

#[cfg(test)]
mod ladder;
#[cfg(test)]
mod tests;
