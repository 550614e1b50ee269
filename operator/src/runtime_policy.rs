//! The runtime API's answer about images (`/api/v1/scanner/policy/runtime`).

use std::collections::{BTreeMap, BTreeSet};

use stella_api::admission::{ImageVerdict, NamespaceAdmission, UnscannedAction};
use stella_api::runtime::{PolicyVerdict, RuntimePolicyResponse, RuntimePolicyResult};
use stella_domain::{Digest, Tenant};
use stella_store::{NewScan, StoreError};

use crate::app::App;

/// Seconds for which an answer may be kept.
const TTL: u64 = 300;

/// The verdict of each image in `namespace`. Those that were never scanned are put into the queue.
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
    let Some(digest) = app.store.resolve_image(tenant, name).await? else {
        queue(app, tenant, image).await?;
        return Ok(unscanned(admission));
    };
    let Some(entry) = admission.and_then(|admission| app.board.image(&admission.scope, &digest)) else {
        return Ok(unscanned(admission));
    };
    // Waivers and rules end to the second, whether or not the verdict was worked out anew by then.
    let Some(decision) = entry.decision_at(app.clock.now()).cloned() else { return Ok(unscanned(admission)) };
    let mut metadata = BTreeMap::from([("imageDigest".to_owned(), digest.to_string())]);
    metadata.extend(decision.policy.map(|policy| ("policy".to_owned(), policy)));
    metadata.extend(decision.rule.map(|rule| ("rule".to_owned(), rule)));
    if let Some(worst) = decision.worst.first() {
        metadata.insert("worstFinding".to_owned(), worst.advisory_id.clone());
        metadata.insert("fixedIn".to_owned(), worst.fixed_in.join(", "));
    }
    let policy_verdict = match decision.verdict {
        ImageVerdict::Pass => PolicyVerdict::Pass,
        ImageVerdict::Warn => PolicyVerdict::Warn,
        ImageVerdict::Blocked => PolicyVerdict::Fail,
    };
    Ok(result(policy_verdict, decision.reasons, metadata))
}

fn unscanned(admission: Option<&NamespaceAdmission>) -> RuntimePolicyResult {
    let policy_verdict = match admission.map(|admission| admission.unscanned) {
        None | Some(UnscannedAction::Allow) => PolicyVerdict::Pass,
        Some(UnscannedAction::Warn) => PolicyVerdict::Warn,
        Some(UnscannedAction::Deny) => PolicyVerdict::Fail,
    };
    result(policy_verdict, vec!["image.metadata.missing".to_owned()], BTreeMap::new())
}

fn result(
    policy_verdict: PolicyVerdict,
    reasons: Vec<String>,
    metadata: BTreeMap<String, String>,
) -> RuntimePolicyResult {
    RuntimePolicyResult {
        policy_verdict,
        signed: false,
        has_sbom_referrers: false,
        reasons,
        rekor: None,
        quieted_by: None,
        confidence: 0.8,
        confidence_band: "high".to_owned(),
        metadata,
    }
}

async fn queue(app: &App, tenant: &Tenant, image: &str) -> Result<(), StoreError> {
    let (reference, digest) = match image.rsplit_once('@') {
        Some((_, digest)) => (Some(image.to_owned()), digest.parse::<Digest>().ok()),
        None => match image.parse::<Digest>() {
            Ok(digest) => (None, Some(digest)),
            Err(_) => (Some(image.to_owned()), None),
        },
    };
    let new = NewScan { reference, digest, timeout_seconds: 600, ..NewScan::default() };
    if app.store.scan(tenant, &new.id(tenant)).await?.is_none() {
        app.store.submit_scan(tenant, &new, app.clock.now()).await?;
        app.scans_changed.notify_one();
    }
    Ok(())
}
