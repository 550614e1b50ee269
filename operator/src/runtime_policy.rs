//! The runtime API's answer about images (`/api/v1/scanner/policy/runtime`).

use std::collections::{BTreeMap, BTreeSet};

use stella_api::admission::{
    AdmissionMode, ImageAdmission, ImageDecision, ImageVerdict, NamespaceAdmission, UnscannedAction, VerdictConfidence,
};
use stella_api::runtime::{PolicyVerdict, RuntimePolicyResponse, RuntimePolicyResult};
use stella_domain::{Digest, Tenant};
use stella_policy::{ConfidenceBand, UnknownConfidence};
use stella_store::{NewScan, StoreError};

use crate::app::App;
use crate::signatures::look_again;

/// Seconds for which an answer may be kept.
const TTL: u64 = 300;

/// The verdict of each image in `namespace`. Those that were never scanned, or whose verdicts are stale there, are put into the
/// queue.
///
/// # Errors
/// When the database does not answer.
pub async fn answer(
    app: &App,
    namespace: &str,
    images: BTreeSet<&String>,
) -> Result<RuntimePolicyResponse, StoreError> {
    let now = app.clock.now();
    let admission = app.board.namespace(namespace);
    let tenant = app.namespaces.tenant_of(namespace);
    let mut results = BTreeMap::new();
    for image in images {
        results.insert(image.clone(), judge(app, &tenant, admission.as_ref(), image).await?);
    }
    Ok(RuntimePolicyResponse {
        ttl_seconds: TTL,
        expires_at_utc: now.plus_seconds(i64::try_from(TTL).unwrap_or_default()),
        policy_revision: app.board.revision(),
        results,
    })
}

async fn judge(
    app: &App,
    tenant: &Tenant,
    admission: Option<&NamespaceAdmission>,
    image: &str,
) -> Result<RuntimePolicyResult, StoreError> {
    let name = image.rsplit_once('@').map_or(image, |(_, digest)| digest);
    let known = app.store.resolve_image(tenant, name).await?;
    match &known {
        Some(digest) => app.store.image_asked(tenant, digest, app.clock.now()).await?,
        None => queue(app, tenant, image, false).await?,
    }
    // A moment after the start nothing has been judged yet.
    let Some(admission) = admission else { return Ok(unanswered("policy.state.incomplete")) };
    let Some(digest) = known else { return Ok(unscanned(admission)) };
    let Some(entry) = app.board.image(&admission.scope, &digest) else {
        let summary = app.store.image_summary(tenant, &digest).await?;
        let matched = summary.is_some_and(|image| image.matched_generation.is_some());
        return Ok(if matched { unanswered("policy.verdict.pending") } else { unscanned(admission) });
    };
    if rests_on_evidence(&entry) && !entry.is_of(name) {
        look_again(app, tenant, &digest).await?;
        return Ok(unscanned(admission));
    }
    let now = app.clock.now();
    // Waivers and rules end to the second, whether or not the verdict was worked out anew by then.
    let told = match entry.decision_at(now) {
        Some(decision) => decided(decision.clone(), admission.mode, &digest),
        None => unanswered("policy.verdict.over"),
    };
    if admission.stale_age(&entry, now).is_none() {
        return Ok(told);
    }
    queue(app, tenant, image, true).await?;
    Ok(grown_stale(told, admission))
}

/// Whether a signature or SBOM that a policy demands was found: then the verdict is of those names alone that it is told of.
const fn rests_on_evidence(entry: &ImageAdmission) -> bool {
    entry.decision.signed || entry.decision.sbom
}

fn decided(decision: ImageDecision, mode: AdmissionMode, digest: &Digest) -> RuntimePolicyResult {
    let mut metadata = BTreeMap::from([("imageDigest".to_owned(), digest.to_string())]);
    metadata.extend(decision.policy.map(|policy| ("policy".to_owned(), policy)));
    metadata.extend(decision.rule.map(|rule| ("rule".to_owned(), rule)));
    if let Some(worst) = decision.worst.first() {
        metadata.insert("worstFinding".to_owned(), worst.advisory_id.clone());
        metadata.insert("fixedIn".to_owned(), worst.fixed_in.join(", "));
    }
    let policy_verdict = match decision.verdict {
        // What a policy that failed would have said is not known; where it enforces, that refuses.
        _ if decision.failed && mode != AdmissionMode::Enforce => PolicyVerdict::Error,
        ImageVerdict::Pass => PolicyVerdict::Pass,
        ImageVerdict::Warn => PolicyVerdict::Warn,
        ImageVerdict::Blocked => PolicyVerdict::Fail,
    };
    let confidence = decision.confidence.unwrap_or_else(|| sure(1.0, ConfidenceBand::High));
    RuntimePolicyResult {
        quieted_by: decision.quieted_by,
        signed: decision.signed,
        has_sbom_referrers: decision.sbom,
        confidence: confidence.value,
        confidence_band: confidence.band,
        metadata,
        ..result(policy_verdict, decision.reasons)
    }
}

/// The answer about an image whose verdict is stale: as about one that was never scanned, and never milder than the verdict.
fn grown_stale(told: RuntimePolicyResult, admission: &NamespaceAdmission) -> RuntimePolicyResult {
    let policy_verdict = told.policy_verdict.max(of_unscanned(admission));
    let reasons = told.reasons.into_iter().chain(["policy.verdict.stale".to_owned()]).collect();
    RuntimePolicyResult { policy_verdict, reasons, ..told }
}

fn unscanned(admission: &NamespaceAdmission) -> RuntimePolicyResult {
    result(of_unscanned(admission), vec!["image.metadata.missing".to_owned()])
}

const fn of_unscanned(admission: &NamespaceAdmission) -> PolicyVerdict {
    match admission.unscanned {
        UnscannedAction::Allow => PolicyVerdict::Pass,
        UnscannedAction::Warn => PolicyVerdict::Warn,
        UnscannedAction::Deny => PolicyVerdict::Fail,
    }
}

/// No verdict is possible just now, and none is made up.
fn unanswered(reason: &str) -> RuntimePolicyResult {
    result(PolicyVerdict::Error, vec![reason.to_owned()])
}

/// An answer about an image of which nothing is known but the reasons.
fn result(policy_verdict: PolicyVerdict, reasons: Vec<String>) -> RuntimePolicyResult {
    let confidence = sure(UnknownConfidence::default().floor, ConfidenceBand::Low);
    RuntimePolicyResult {
        policy_verdict,
        signed: false,
        has_sbom_referrers: false,
        reasons,
        rekor: None,
        quieted_by: None,
        confidence: confidence.value,
        confidence_band: confidence.band,
        metadata: BTreeMap::new(),
    }
}

fn sure(value: f64, band: ConfidenceBand) -> VerdictConfidence {
    VerdictConfidence { value, band: band.name().to_owned() }
}

/// Asks for a scan; of an image that was scanned only when it is wanted `again`.
async fn queue(app: &App, tenant: &Tenant, image: &str, again: bool) -> Result<(), StoreError> {
    let (reference, digest) = match image.rsplit_once('@') {
        Some((_, digest)) => (Some(image.to_owned()), digest.parse::<Digest>().ok()),
        None => match image.parse::<Digest>() {
            Ok(digest) => (None, Some(digest)),
            Err(_) => (Some(image.to_owned()), None),
        },
    };
    let new = NewScan { reference, digest, again, timeout_seconds: 600, ..NewScan::default() };
    if again || app.store.scan(tenant, &new.id(tenant)).await?.is_none() {
        app.store.submit_scan(tenant, &new, app.clock.now()).await?;
        app.scans_changed.notify_one();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use stella_api::admission::FailurePolicy;

    use super::*;

    #[test]
    fn a_policy_that_failed_refuses_where_it_enforces_and_is_an_error_elsewhere() {
        let decision = ImageDecision { failed: true, ..ImageDecision::bare(ImageVerdict::Blocked) };
        let word = |mode| decided(decision.clone(), mode, &Digest::of("a")).policy_verdict;
        let modes = [AdmissionMode::Audit, AdmissionMode::Warn, AdmissionMode::Enforce];
        assert_eq!(modes.map(word), [PolicyVerdict::Error, PolicyVerdict::Error, PolicyVerdict::Fail]);
    }

    #[test]
    fn a_stale_verdict_is_answered_as_none_unless_it_says_worse() {
        use ImageVerdict::{Blocked, Pass, Warn};
        let table = [
            (Pass, [PolicyVerdict::Pass, PolicyVerdict::Warn, PolicyVerdict::Fail]),
            (Warn, [PolicyVerdict::Warn, PolicyVerdict::Warn, PolicyVerdict::Fail]),
            (Blocked, [PolicyVerdict::Fail; 3]),
        ];
        for (verdict, expected) in table {
            let actions = [UnscannedAction::Allow, UnscannedAction::Warn, UnscannedAction::Deny];
            for (unscanned, expected) in actions.into_iter().zip(expected) {
                let mut decision = ImageDecision::bare(verdict);
                decision.reasons = vec!["rule: r".to_owned()];
                let told = decided(decision, AdmissionMode::Enforce, &Digest::of("a"));
                let stale = grown_stale(told.clone(), &admission(unscanned));
                assert_eq!(stale.policy_verdict, expected, "{verdict:?}, {unscanned:?}");
                assert_eq!(stale.reasons, ["rule: r", "policy.verdict.stale"]);
                assert_eq!(stale.metadata, told.metadata);
            }
        }
    }

    fn admission(unscanned: UnscannedAction) -> NamespaceAdmission {
        NamespaceAdmission {
            namespace: "shop".to_owned(),
            tenant: Tenant::default(),
            scope: "s".to_owned(),
            mode: AdmissionMode::Enforce,
            unscanned,
            failure_policy: FailurePolicy::default(),
            stale_after_seconds: Some(60),
            exempt: false,
        }
    }

    #[test]
    fn an_answer_tells_of_signature_and_sbom() {
        let decision = ImageDecision { signed: true, ..ImageDecision::bare(ImageVerdict::Blocked) };
        let told = decided(decision, AdmissionMode::Enforce, &Digest::of("a"));
        assert_eq!((told.signed, told.has_sbom_referrers), (true, false));
    }

    #[test]
    fn an_answer_tells_how_sure_it_is_and_who_hides_the_worst() {
        let plain = decided(ImageDecision::bare(ImageVerdict::Pass), AdmissionMode::Audit, &Digest::of("a"));
        assert_eq!((plain.confidence, plain.confidence_band.as_str(), plain.quieted_by), (1.0, "high", None));
        let decision = ImageDecision {
            quieted_by: Some("w1".to_owned()),
            confidence: Some(sure(0.5, ConfidenceBand::Medium)),
            ..ImageDecision::bare(ImageVerdict::Pass)
        };
        let told = decided(decision, AdmissionMode::Audit, &Digest::of("a"));
        assert_eq!((told.confidence, told.confidence_band.as_str()), (0.5, "medium"));
        assert_eq!(told.quieted_by.as_deref(), Some("w1"));
    }
}
