//! Inventory × index: the findings of a stored image.

use std::collections::BTreeMap;

use stella_advisory::{IndexError, match_inventory};
use stella_api::finding::Finding;
use stella_domain::{Digest, Reachability, Tenant};
use stella_store::{FindingRow, StoreError};

use crate::app::App;

/// Why an image could not be matched.
#[derive(Debug, thiserror::Error)]
pub enum MatchError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A finding cannot be written.
    #[error("a finding cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// No feed has been read yet.
    #[error("no advisories are loaded yet")]
    NoIndex,
    /// The image is not stored.
    #[error("image {0} is not stored")]
    Unknown(Digest),
    /// The work was broken off.
    #[error("matching was broken off: {0}")]
    Broken(#[from] tokio::task::JoinError),
}

/// What came of matching an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// How many findings it has.
    pub findings: usize,
    /// That its distribution gets no updates any more, in one sentence.
    pub notice: Option<String>,
}

/// Matches a stored image against the index in use and keeps its findings. What was observed of their use is kept where the
/// finding was there before, and worked out anew right after.
///
/// # Errors
/// See [`MatchError`].
pub async fn match_image(app: &App, tenant: &Tenant, image: &Digest) -> Result<Matched, MatchError> {
    let index = app.index().ok_or(MatchError::NoIndex)?;
    let record = app.store.image(tenant, image).await?.ok_or(MatchError::Unknown(*image))?;
    let generation = index.info().generation.hex();
    let notice = record.inventory.end_of_life_notice(app.clock.now());
    let before: BTreeMap<String, FindingRow> =
        app.store.image_findings(tenant, image).await?.into_iter().map(|row| (row.id.clone(), row)).collect();
    let (owner, subject) = (tenant.clone(), *image);
    let rows = tokio::task::spawn_blocking(move || -> Result<Vec<FindingRow>, MatchError> {
        let matches = match_inventory(&index, &record.inventory)?;
        matches
            .iter()
            .map(|found| {
                let component = &record.inventory.components[found.component];
                row(&Finding::of(found, component, &owner, &subject), found.component, subject)
            })
            .collect()
    })
    .await??;
    let rows: Vec<FindingRow> = rows.into_iter().map(|row| with_history(row, &before)).collect();
    let same = rows.len() == before.len() && rows.iter().all(|row| before.get(&row.id) == Some(row));
    if same && !rows.is_empty() {
        app.store.confirm_matches(tenant, &[*image], &generation, app.clock.now()).await?;
        return Ok(Matched { findings: rows.len(), notice });
    }
    app.store.replace_findings(tenant, image, &generation, &rows, app.clock.now()).await?;
    crate::reach::refresh(app, tenant, image).await?;
    crate::reach::inherit(app, tenant, image).await?;
    app.judge.notify_one();
    Ok(Matched { findings: rows.len(), notice })
}

fn row(finding: &Finding, component: usize, image: Digest) -> Result<FindingRow, MatchError> {
    Ok(FindingRow {
        id: finding.finding_id.clone(),
        digest: image,
        rank: finding.rank(),
        severity: finding.severity,
        advisory_id: finding.advisory_id.clone(),
        names: finding.aliases.clone(),
        component: i64::try_from(component).unwrap_or(i64::MAX),
        purl: finding.package.purl.clone(),
        kev: finding.kev,
        fixed: !finding.fixed_in.is_empty(),
        reach: Reachability::Unknown,
        reach_reason: "no container of this image has been watched from its start".to_owned(),
        evidence: "[]".to_owned(),
        inherited_reach: Reachability::Unknown,
        inherited: "[]".to_owned(),
        badge: "pass".to_owned(),
        verdict: serde_json::to_string(&finding.verdict)?,
        body: serde_json::to_string(finding)?,
        first_seen: stella_domain::Timestamp::default(),
    })
}

fn with_history(row: FindingRow, before: &BTreeMap<String, FindingRow>) -> FindingRow {
    let Some(old) = before.get(&row.id) else { return row };
    FindingRow {
        reach: old.reach,
        reach_reason: old.reach_reason.clone(),
        evidence: old.evidence.clone(),
        inherited_reach: old.inherited_reach,
        inherited: old.inherited.clone(),
        badge: old.badge.clone(),
        verdict: old.verdict.clone(),
        first_seen: old.first_seen,
        ..row
    }
}
