//! Statements of others on the findings of images.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use stella_api::finding::Finding;
use stella_api::vex::FindingVex;
use stella_domain::Tenant;
use stella_store::{FindingRow, StoreError};

use super::findings::{Subject, repository};
use crate::app::App;
use crate::reports::wire_finding;

/// What the subject's statements say of a finding of it, with provenance.
#[must_use]
pub fn said_of(finding: &Finding, subject: &Subject<'_>) -> Option<FindingVex> {
    let named = subject.names.iter().filter_map(|name| name.parse().ok());
    let digests: Vec<_> = std::iter::once(subject.digest).chain(named).collect();
    let repository = subject.reference.map(repository);
    FindingVex::of(subject.statements, finding, &digests, repository.as_deref())
}

/// Findings as the API shows them, with what others say of them; `None` in place of a damaged one.
///
/// # Errors
/// When the database does not answer.
pub async fn explained(app: &App, tenant: &Tenant, rows: &[FindingRow]) -> Result<Vec<Option<Finding>>, StoreError> {
    let statements = app.statements.of(&app.store, tenant).await?;
    let mut findings: Vec<Option<Finding>> = rows.iter().map(wire_finding).collect();
    if statements.is_empty() {
        return Ok(findings);
    }
    let mut images = BTreeMap::new();
    for (row, finding) in rows.iter().zip(&mut findings) {
        let Some(finding) = finding else { continue };
        let (names, reference) = match images.entry(row.digest) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let names = app.store.image_names(tenant, &row.digest).await?;
                let summary = app.store.image_summary(tenant, &row.digest).await?;
                new.insert((names, summary.and_then(|image| image.reference)))
            }
        };
        let subject = Subject {
            digest: row.digest,
            names,
            reference: reference.as_deref(),
            environment: None,
            entrypoints: &[],
            inherits: false,
            statements: &statements,
            now: app.clock.now(),
        };
        finding.vex = said_of(finding, &subject);
    }
    Ok(findings)
}
