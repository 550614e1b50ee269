//! Verdicts of findings that are about to be written: so they are written once.

use stella_api::finding::Finding;
use stella_domain::Tenant;
use stella_policy::{Compiled, ImageVerdict};
use stella_store::{FindingRow, ImageRecord, StoreError};

use super::findings::{Facts, Subject, entrypoints, judge_image, kept};
use super::pending::Known;
use super::policies::load;
use super::scopes::{Scope, scopes};
use crate::app::App;
use crate::signatures::{Demand, Provenance};

/// Puts the verdicts of the policies that act on the whole tenant into `rows`, whose facts are `findings`. Gives the verdict of
/// the image, and what has to be published of it where the tenant has one scope alone.
///
/// # Errors
/// When the database does not answer.
pub async fn judge_rows(
    app: &App,
    tenant: &Tenant,
    record: &ImageRecord,
    names: &[String],
    findings: &[Finding],
    rows: &mut [FindingRow],
) -> Result<(ImageVerdict, Option<Known>), StoreError> {
    let (set, statements) = futures::try_join!(load(app), app.statements.of(&app.store, tenant))?;
    let mut found = scopes(&set, &app.namespaces.all(), app.settings.ground());
    let only = found.by_id.values().filter(|scope| scope.tenant == *tenant).count() == 1;
    let scope = found.widest.get(tenant).and_then(|id| found.by_id.remove(id));
    let policies: Vec<&Compiled> = scope.iter().flat_map(Scope::compiled).collect();
    let entrypoints = entrypoints(app, tenant, names, &policies).await?;
    let subject = Subject {
        digest: record.digest,
        names,
        reference: record.reference.as_deref(),
        environment: scope.as_ref().and_then(|scope| scope.environment.as_deref()),
        entrypoints: &entrypoints,
        inherits: scope.as_ref().is_some_and(Scope::inherits),
        statements: &statements,
        now: app.clock.now(),
    };
    let facts: Vec<Facts<'_>> = rows.iter().zip(findings).collect();
    let mut judged = judge_image(&policies, &facts, &subject);
    for (row, verdict) in rows.iter_mut().zip(&judged.evaluation.verdicts) {
        if let Some((badge, text)) = kept(verdict) {
            (row.badge, row.verdict) = (badge, text);
        }
    }
    let verdict = judged.evaluation.image;
    judged.evaluation.verdicts = Vec::new();
    if let Some(scope) = &scope {
        let provenance = Provenance::load(app, tenant, &record.digest).await?;
        let demands: Vec<&Demand> = scope.demands().collect();
        judged = judged.with_demands(&provenance, &demands, scope.unscanned(), subject.now);
    }
    let known = scope.filter(|_| only).map(|scope| Known { revision: set.revision, scope: scope.id, judged });
    Ok((verdict, known))
}
