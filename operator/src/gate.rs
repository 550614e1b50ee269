//! Whether a pipeline may go on with what it had scanned: policy, and a severity that is too much (`POST /scan`).

use stella_domain::{Digest, Severity, Tenant};
use stella_judged::counts;
use stella_policy::{Evaluation, ImageVerdict};
use stella_store::{FindingRow, StoreError};

use crate::app::App;
use crate::judging::{LoadedPolicy, explained, scope_with};
use crate::reports::{ReportingError, evaluation, image_verdict, put_verdicts, tenant_scope};

/// What a pipeline asks for.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The least severity that blocks.
    pub threshold: Severity,
    /// What stands in place of the policies of the whole tenant, for this answer alone. The waivers of the API stay.
    pub policy: Option<LoadedPolicy>,
}

/// An image with its findings.
#[derive(Debug, Clone, Copy)]
pub struct Scanned<'a> {
    /// The digest it is filed under.
    pub digest: &'a Digest,
    /// Its findings.
    pub findings: &'a [FindingRow],
    /// The environment that the scan's metadata name.
    pub environment: Option<&'a str>,
    /// What the policies in force say of it, where that was worked out.
    pub verdict: Option<ImageVerdict>,
}

/// `blocked` when policy blocks the image, or when a finding at or over the threshold counts: neither policy nor what others say
/// of it takes it out. Else what policy says. Nothing of this is kept, and admission never sees it.
///
/// # Errors
/// When the database does not answer, or a verdict has no JSON form.
pub async fn status(
    app: &App,
    tenant: &Tenant,
    scanned: Scanned<'_>,
    terms: &Terms,
) -> Result<ImageVerdict, ReportingError> {
    let over: Vec<FindingRow> =
        scanned.findings.iter().filter(|row| row.severity >= terms.threshold).cloned().collect();
    let mut over = explained(app, tenant, &over).await?;
    let verdict = match (said(app, tenant, scanned, terms).await?, scanned.verdict) {
        (Some(said), _) => {
            put_verdicts(over.iter_mut().flatten(), &said)?;
            said.image
        }
        (None, Some(verdict)) => verdict,
        (None, None) => image_verdict(app, tenant, scanned.digest, scanned.findings).await?,
    };
    let blocks = over.iter().flatten().any(counts);
    Ok(if blocks { ImageVerdict::Blocked } else { verdict })
}

/// What another policy than those in force says, or what holds in the scan's own environment; nothing where neither is asked for.
async fn said(
    app: &App,
    tenant: &Tenant,
    scanned: Scanned<'_>,
    terms: &Terms,
) -> Result<Option<Evaluation>, StoreError> {
    let scope = match (&terms.policy, scanned.environment) {
        (Some(policy), _) => scope_with(app, policy.clone()).await?,
        (None, Some(_)) => tenant_scope(app, tenant).await?,
        (None, None) => return Ok(None),
    };
    let (digest, findings) = (scanned.digest, scanned.findings);
    evaluation(app, tenant, scope.as_ref(), digest, findings, scanned.environment).await.map(Some)
}
