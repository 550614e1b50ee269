//! Reports about an image: verdicts by the policies of its tenant, signed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stella_api::finding::{Finding, FindingReachability, InheritedUse};
use stella_api::report::SignedReport;
use stella_attest::report::{ReportPolicy, ReportSummary};
use stella_attest::{Evidence, Report, ReportBody, ReportError, ReportFinding};
use stella_domain::{Digest, Hasher, Tenant, Timestamp};
use stella_policy::{Compiled, Evaluation, FindingInput, FindingVerdict, ImageVerdict, lint};
use stella_store::{FindingRow, Scan, StoreError, StoredReport};

use crate::app::App;
use crate::judging::{Facts, LoadedPolicy, Scope, Subject, entrypoints, evaluated, judge_image, load, readable};

/// The entry of a scan's metadata that names the environment it is judged in (policy.md, "Verdict").
const ENVIRONMENT: &str = "environment";

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportingError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The report cannot be made or signed.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The report cannot be written.
    #[error("the report cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// The image was forgotten.
    #[error("the image {0} is not stored any more")]
    Gone(Digest),
}

/// A finding as the API shows it: the facts with what was observed and decided since.
#[must_use]
pub fn wire_finding(row: &FindingRow) -> Option<Finding> {
    let mut finding: Finding = serde_json::from_str(&row.body).ok()?;
    finding.reachability = FindingReachability {
        status: row.reach,
        reason: Some(row.reach_reason.clone()).filter(|reason| !reason.is_empty()),
        evidence: serde_json::from_str(&row.evidence).ok()?,
        inherited: inherited(row),
    };
    finding.verdict = serde_json::from_str(&row.verdict).ok()?;
    Some(finding)
}

fn inherited(row: &FindingRow) -> Option<InheritedUse> {
    let evidence = serde_json::from_str(&row.inherited).ok().filter(|_| row.inherited_reach.in_use())?;
    Some(InheritedUse { status: row.inherited_reach, evidence })
}

/// The policies that act on the whole of a tenant.
pub(crate) async fn tenant_scope(app: &App, tenant: &Tenant) -> Result<Option<Scope>, StoreError> {
    Ok(load(app).await?.widest(app, tenant))
}

/// The revisions and waivers that decide, as one name and one digest.
pub(crate) fn policy_of(scope: Option<&Scope>) -> ReportPolicy {
    let revisions = scope.iter().flat_map(|scope| &scope.policies).map(|policy| &policy.revision);
    let waivers = scope.iter().filter_map(|scope| scope.waivers.as_deref()).map(|waivers| waivers.digest().hex());
    let deciding: Vec<(String, String)> = revisions
        .map(|revision| (format!("rev-{}", revision.number), bare(&revision.digest)))
        .chain(waivers.map(|hex| (format!("waivers-{}", &hex[..8]), hex)))
        .collect();
    let digest = match deciding.as_slice() {
        [] => Digest::of("").hex(),
        [(_, only)] => only.clone(),
        several => {
            let mut hasher = Hasher::new();
            several.iter().for_each(|(_, digest)| hasher.field(digest));
            hasher.finish().hex()
        }
    };
    let names: Vec<String> = deciding.into_iter().map(|(name, _)| name).collect();
    let revision_id = if names.is_empty() { "none".to_owned() } else { names.join("+") };
    ReportPolicy { revision_id, digest }
}

fn bare(digest: &str) -> String {
    digest.strip_prefix("sha256:").unwrap_or(digest).to_owned()
}

/// What the policies that act on the whole tenant say of an image.
///
/// # Errors
/// When the database does not answer.
pub async fn image_verdict(
    app: &App,
    tenant: &Tenant,
    image: &Digest,
    findings: &[FindingRow],
) -> Result<ImageVerdict, StoreError> {
    let scope = tenant_scope(app, tenant).await?;
    Ok(evaluation(app, tenant, scope.as_ref(), image, findings, None).await?.image)
}

/// Puts into `findings`, those of `rows`, the verdicts of the scan's own environment, where it names one. Those that are kept
/// are of the image, whoever scanned it.
///
/// # Errors
/// When the database does not answer, or a verdict has no JSON form.
pub async fn judge_in_environment(
    app: &App,
    scan: &Scan,
    image: &Digest,
    rows: &[FindingRow],
    findings: &mut [Finding],
) -> Result<(), ReportingError> {
    let Some(environment) = environment_of(scan) else { return Ok(()) };
    let scope = tenant_scope(app, &scan.tenant).await?;
    let evaluation = evaluation(app, &scan.tenant, scope.as_ref(), image, rows, Some(environment)).await?;
    Ok(put_verdicts(findings, &evaluation)?)
}

/// Puts the verdicts of an evaluation into those of its findings that are given.
///
/// # Errors
/// When a verdict has no JSON form.
pub(crate) fn put_verdicts<'a>(
    findings: impl IntoIterator<Item = &'a mut Finding>,
    evaluation: &Evaluation,
) -> serde_json::Result<()> {
    let verdicts: BTreeMap<&str, &FindingVerdict> =
        evaluation.verdicts.iter().map(|verdict| (verdict.finding_id.as_str(), verdict)).collect();
    for finding in findings {
        if let Some(verdict) = verdicts.get(finding.finding_id.as_str()) {
            finding.verdict = serde_json::to_value(verdict)?;
        }
    }
    Ok(())
}

/// The environment that a scan's metadata name.
pub(crate) fn environment_of(scan: &Scan) -> Option<&str> {
    scan.metadata.get(ENVIRONMENT).map(String::as_str)
}

/// What the policies of `scope` say of an image; verdicts are in the order of the findings that can be read.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn evaluation(
    app: &App,
    tenant: &Tenant,
    scope: Option<&Scope>,
    image: &Digest,
    findings: &[FindingRow],
    environment: Option<&str>,
) -> Result<Evaluation, StoreError> {
    let policies: Vec<&Compiled> = scope.map(Scope::compiled).unwrap_or_default();
    let names = app.store.image_names(tenant, image).await?;
    let reference = app.store.image_summary(tenant, image).await?.and_then(|image| image.reference);
    let statements = app.statements.of(&app.store, tenant).await?;
    let entrypoints = entrypoints(app, tenant, &names, &policies).await?;
    let subject = Subject {
        digest: *image,
        names: &names,
        reference: reference.as_deref(),
        environment,
        entrypoints: &entrypoints,
        inherits: scope.is_some_and(Scope::inherits),
        statements: &statements,
        now: app.clock.now(),
    };
    let read = readable(findings);
    let facts: Vec<Facts<'_>> = read.iter().map(|(row, finding)| (*row, finding)).collect();
    Ok(judge_image(&policies, &facts, &subject).evaluation)
}

/// The signed report of a finished scan; the same state gives the same report.
///
/// # Errors
/// See [`ReportingError`].
pub async fn of_scan(app: &App, scan: &Scan, image: &Digest) -> Result<SignedReport, ReportingError> {
    let findings = app.store.image_findings(&scan.tenant, image).await?;
    // Of an image that was forgotten a moment ago there are none, and the report would say so.
    if findings.is_empty() && app.store.image_summary(&scan.tenant, image).await?.is_none() {
        return Err(ReportingError::Gone(*image));
    }
    let scope = tenant_scope(app, &scan.tenant).await?;
    let environment = environment_of(scan);
    let evaluation = evaluation(app, &scan.tenant, scope.as_ref(), image, &findings, environment).await?;
    let (policy, issues) = (policy_of(scope.as_ref()), issues(scope.as_ref(), app.clock.now()));
    let facts = findings.iter().filter_map(|row| Some(fact(wire_finding(row)?))).collect();
    let evidence = Evidence::Scanned { scan_id: scan.id.clone() };
    let made = Made { policy, evaluation, findings: facts, evidence, issues };
    sign(app, &scan.tenant, image, made).await
}

/// What a report tells of a finding.
fn fact(finding: Finding) -> ReportFinding {
    let used_by = finding.reachability.users();
    ReportFinding {
        advisory_id: Some(finding.advisory_id),
        score: finding.cvss.map(|cvss| cvss.score),
        kev: finding.kev,
        epss: finding.epss,
        package: finding.package.name,
        version: finding.package.version,
        purl: Some(finding.package.purl).filter(|purl| !purl.is_empty()),
        path: Some(finding.location.path).filter(|path| !path.is_empty()),
        fix_available: !finding.fixed_in.is_empty(),
        fixed_in: finding.fixed_in,
        summary: finding.summary,
        reachability: finding.reachability.status,
        used_by,
        ..ReportFinding::new(finding.finding_id, finding.severity)
    }
}

/// The same of a finding that a caller brought.
fn supplied_fact(finding: &FindingInput) -> ReportFinding {
    let cve = finding.advisory_ids.iter().find(|id| id.starts_with("CVE-"));
    ReportFinding {
        advisory_id: cve.or(finding.advisory_ids.first()).cloned(),
        kev: finding.kev,
        epss: finding.epss,
        package: finding.package.clone(),
        version: finding.version.clone(),
        purl: finding.purl.clone(),
        path: finding.path.clone(),
        fix_available: finding.fix_available,
        reachability: finding.reachability,
        ..ReportFinding::new(finding.id.clone(), finding.severity)
    }
}

/// The signed report over findings that the caller brings. It says so, and feeds nothing.
///
/// # Errors
/// See [`ReportingError`].
pub async fn of_supplied(
    app: &App,
    tenant: &Tenant,
    image: &Digest,
    findings: &[FindingInput],
) -> Result<SignedReport, ReportingError> {
    // In whatever order they come, they are the same report.
    let mut findings = findings.to_vec();
    findings.sort_by(|a, b| a.id.cmp(&b.id));
    let scope = tenant_scope(app, tenant).await?;
    let policies: Vec<&Compiled> = scope.iter().flat_map(Scope::compiled).collect();
    let context = stella_policy::Context { digests: vec![*image], now: app.clock.now(), ..Default::default() };
    let evaluation = evaluated(&policies, &findings, &context);
    let (policy, facts) = (policy_of(scope.as_ref()), findings.iter().map(supplied_fact).collect());
    let (evidence, issues) = (Evidence::Supplied, issues(scope.as_ref(), app.clock.now()));
    sign(app, tenant, image, Made { policy, evaluation, findings: facts, evidence, issues }).await
}

/// What a report is made of.
struct Made {
    policy: ReportPolicy,
    evaluation: Evaluation,
    findings: Vec<ReportFinding>,
    evidence: Evidence,
    /// What the lint says of the policies.
    issues: Vec<serde_json::Value>,
}

/// What is odd about the policies that decide, each with its policy.
fn issues(scope: Option<&Scope>, now: Timestamp) -> Vec<serde_json::Value> {
    let of_policy = |policy: &LoadedPolicy| {
        let name = policy.revision.name.clone();
        lint(&policy.document, now).into_iter().map(move |issue| {
            serde_json::json!({"policy": name, "code": issue.code.name(), "message": issue.message,
                "severity": format!("{:?}", issue.severity), "path": issue.path})
        })
    };
    scope.iter().flat_map(|scope| &scope.policies).flat_map(of_policy).collect()
}

/// The advisories that findings were matched against.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advisories {
    /// Digest of all of them, where one is known.
    pub generation: Option<String>,
    /// The newest change in them.
    pub updated: Option<Timestamp>,
}

impl Advisories {
    /// Those in use.
    #[must_use]
    pub fn in_use(app: &App) -> Self {
        let index = app.index();
        let info = index.as_ref().map(|index| index.info());
        let updated = info.and_then(|info| info.feeds.iter().filter_map(|feed| feed.date).max());
        Self { generation: info.map(|info| info.generation.to_string()), updated }
    }
}

/// Those that the image was matched against; of others than the ones in use only the digest is known.
async fn advisories(app: &App, tenant: &Tenant, image: &Digest) -> Result<Advisories, StoreError> {
    let summary = app.store.image_summary(tenant, image).await?;
    let present = Advisories::in_use(app);
    Ok(match summary.and_then(|summary| summary.matched_generation) {
        Some(hex) if present.generation.as_deref().is_some_and(|own| own.ends_with(&hex)) => present,
        Some(hex) => Advisories { generation: Some(format!("sha256:{hex}")), updated: None },
        None => Advisories::default(),
    })
}

async fn sign(app: &App, tenant: &Tenant, image: &Digest, made: Made) -> Result<SignedReport, ReportingError> {
    let Made { policy, evaluation, findings, evidence, issues } = made;
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let summary = evaluation.summary();
    let body = ReportBody {
        image_digest: *image,
        verdict: evaluation.image.name().to_owned(),
        policy,
        summary: ReportSummary {
            total: count(summary.total),
            blocked: count(summary.blocked),
            warned: count(summary.warned),
            ignored: count(summary.ignored),
            quieted: count(summary.quieted),
        },
        verdicts: evaluation.verdicts.iter().map(serde_json::to_value).collect::<Result<_, _>>()?,
        issues,
        findings,
        evidence,
    };
    let report = Report::new(&body)?;
    let envelope = report.sign(&app.key)?;
    let signed = SignedReport { report: report.value().clone(), dsse: serde_json::to_value(&envelope)? };
    let made_from = serde_json::to_string(&advisories(app, tenant, image).await?)?;
    let scan = match &body.evidence {
        Evidence::Scanned { scan_id } => Some(scan_id.as_str()),
        _ => None,
    };
    let stored = StoredReport { id: report.id().to_owned(), body: serde_json::to_string(&signed)?, made_from };
    app.store.put_report(tenant, image, &stored, scan, app.clock.now()).await?;
    Ok(signed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judging::{WAIVERS, waiver};

    fn waived(ticket: &str) -> Scope {
        let body = serde_json::json!({
            "id": "accepted", "cve": "CVE-2024-0001", "images": ["shop/*"], "justification": "not exposed",
            "owner": "shop", "ticket": ticket, "expires": "2030-01-01T00:00:00Z",
        });
        let document = stella_policy::Document {
            waivers: vec![waiver(&body.to_string()).expect("a waiver")],
            ..stella_policy::Document::default()
        };
        let waivers = Compiled::new(WAIVERS, i32::MAX, &document).unwrap();
        Scope {
            id: "scope".to_owned(),
            tenant: Tenant::default(),
            environment: None,
            policies: Vec::new(),
            waivers: Some(std::sync::Arc::new(waivers)),
        }
    }

    #[test]
    fn waivers_of_the_api_are_named_among_what_decides() {
        let (none, one, other) = (policy_of(None), policy_of(Some(&waived("T-1"))), policy_of(Some(&waived("T-2"))));
        assert_eq!(none.revision_id, "none");
        assert_eq!(one.revision_id, format!("waivers-{}", &one.digest[..8]));
        assert_ne!(one.digest, other.digest);
    }
}
