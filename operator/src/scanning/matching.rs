//! Inventory × index: the findings of a stored image.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use serde::Serialize;
use stella_advisory::naming::package_hashes;
use stella_advisory::{Index, IndexError, match_inventory};
use stella_api::finding::Finding;
use stella_domain::{Digest, Reachability, Tenant, Timestamp};
use stella_policy::ImageVerdict;
use stella_service::spans::{Kind, step};
use stella_store::{FindingRow, ImageRecord, StoreError};

use super::archives::named;
use crate::app::App;
use crate::judging::{Known, judge_rows};

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

/// The findings of an image as they are to be kept: with what is known of their use, and with verdicts.
#[derive(Debug)]
pub(super) struct Found {
    /// The findings, by component.
    pub(super) rows: Vec<FindingRow>,
    /// Whether they are those that are kept already.
    pub(super) same: bool,
    /// Generation of the index they come from.
    pub(super) generation: String,
    /// By the policies that act on the whole tenant.
    pub(super) verdict: ImageVerdict,
    /// Every name of the image.
    names: Vec<String>,
    /// Whether a level of use changed.
    used: bool,
    /// What has to be published, where it is known.
    known: Option<Known>,
}

/// Matches a stored image against the index in use and keeps its findings. What was observed of their use is kept where the
/// finding was there before, and worked out anew.
///
/// # Errors
/// See [`MatchError`].
pub async fn match_image(app: &App, tenant: &Tenant, image: &Digest) -> Result<Matched, MatchError> {
    // Asked first, so that without an index nothing is read.
    app.index().ok_or(MatchError::NoIndex)?;
    let stored = step(Kind::Client, "store: read an image", app.store.image(tenant, image)).await?;
    let stored = stored.ok_or(MatchError::Unknown(*image))?;
    let record = with_names(app, tenant, stored).await?;
    let mut found = step(Kind::Internal, "match", find(app, tenant, &record)).await?;
    let matched = Matched { findings: found.rows.len(), notice: record.inventory.end_of_life_notice(app.clock.now()) };
    if found.same {
        app.store.confirm_matches(tenant, &[*image], &found.generation, app.clock.now()).await?;
        confirmed(app, tenant, &[*image]);
    } else {
        let kept = app.store.replace_findings(tenant, image, &found.generation, &found.rows, app.clock.now());
        step(Kind::Client, "store: keep findings", kept).await?;
        follow_up(app, tenant, image, &mut found).await?;
    }
    Ok(matched)
}

/// An image as it is stored, with the names that another table of artifacts has for archives without one; then it is stored so.
async fn with_names(app: &App, tenant: &Tenant, record: ImageRecord) -> Result<Arc<ImageRecord>, MatchError> {
    let unnamed = record.inventory.unnamed_archives();
    let record = ImageRecord { inventory: named(app, record.inventory).await?, ..record };
    if record.inventory.unnamed_archives() == unnamed {
        return Ok(Arc::new(record));
    }
    let record = Arc::new(ImageRecord { package_keys: package_hashes(&record.inventory), ..record });
    app.store.put_image(tenant, Arc::clone(&record), &[]).await?;
    Ok(record)
}

/// The findings of an image, which need not be stored yet.
pub(super) async fn find(app: &App, tenant: &Tenant, record: &Arc<ImageRecord>) -> Result<Found, MatchError> {
    let (shared, owner, image) = (app.clone(), tenant.clone(), Arc::clone(record));
    let hits = tokio::task::spawn_blocking(move || hits(&shared, &owner, &image)).await??;
    with_what_is_kept(app, tenant, record, hits).await
}

/// What the index in use says of an image, as long as nothing else is known of it.
#[derive(Debug)]
pub(super) struct Hits {
    generation: String,
    /// The facts of each finding.
    findings: Vec<Finding>,
    /// Their rows, in the same order.
    rows: Vec<FindingRow>,
}

/// Matches an image against the index in use. This takes a while, and waits for nothing.
///
/// # Errors
/// When there is no index, or it is damaged.
pub(super) fn hits(app: &App, tenant: &Tenant, record: &ImageRecord) -> Result<Hits, MatchError> {
    let index = app.index().ok_or(MatchError::NoIndex)?;
    let generation = index.info().generation.hex();
    let (findings, rows) = matched(&index, record, tenant, app.clock.now())?;
    Ok(Hits { generation, findings, rows })
}

/// What was found, with what is kept of the image: of its findings before, their use, and its policies.
pub(super) async fn with_what_is_kept(
    app: &App,
    tenant: &Tenant,
    record: &ImageRecord,
    hits: Hits,
) -> Result<Found, MatchError> {
    let Hits { generation, findings, rows } = hits;
    let stored = app.store.image_names(tenant, &record.digest).await?;
    // Whatever is stored has a name.
    let before = if stored.is_empty() { Vec::new() } else { app.store.image_findings(tenant, &record.digest).await? };
    let before: BTreeMap<String, FindingRow> = before.into_iter().map(|row| (row.id.clone(), row)).collect();
    let mut rows: Vec<FindingRow> = rows.into_iter().map(|row| with_history(row, &before)).collect();
    let names = names(stored, record);
    let used = crate::reach::fill_in(app, tenant, record, &names, &mut rows).await?;
    let (verdict, known) = judge_rows(app, tenant, record, &names, &findings, &mut rows).await?;
    let same = !rows.is_empty() && rows.len() == before.len() && rows.iter().all(|r| before.get(&r.id) == Some(r));
    Ok(Found { rows, same, generation, verdict, names, used, known })
}

/// What has to be done when other findings were written.
pub(super) async fn follow_up(app: &App, tenant: &Tenant, image: &Digest, found: &mut Found) -> Result<(), StoreError> {
    crate::reach::catch_up(app, tenant, image, &found.names, found.used).await?;
    app.unjudged.add_known(tenant, image, found.known.take());
    Ok(())
}

/// What has to be done when those that are kept hold on: where verdicts grow stale, webhooks have to know that these are not.
pub(super) fn confirmed(app: &App, tenant: &Tenant, images: &[Digest]) {
    if app.board.has_stale_limits(tenant) {
        app.unjudged.renew(tenant, images);
    }
}

/// The facts of each finding, and its row.
type Rows = (Vec<Finding>, Vec<FindingRow>);

fn matched(index: &Index, record: &ImageRecord, tenant: &Tenant, now: Timestamp) -> Result<Rows, MatchError> {
    let (mut findings, mut rows) = (Vec::new(), Vec::new());
    let (mut known, mut json) = (HashSet::new(), Vec::new());
    for found in match_inventory(index, &record.inventory)? {
        let at = found.component;
        let finding = Finding::of(found, &record.inventory.components[at], tenant, &record.digest);
        // The same package may be listed twice; it is one finding.
        if known.insert(finding.finding_id.clone()) {
            rows.push(row(&finding, at, (record.digest, now), &mut json)?);
            findings.push(finding);
        }
    }
    Ok((findings, rows))
}

/// The names that an image is stored under, and those it is about to be.
fn names(stored: Vec<String>, record: &ImageRecord) -> Vec<String> {
    let own = std::iter::once(record.digest.to_string()).chain(record.reference.clone());
    stored.into_iter().chain(own).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The row of a finding. `json` is room to write in, which all rows share: what is kept of it is as long as it has to be.
fn row(
    finding: &Finding,
    component: usize,
    (image, now): (Digest, Timestamp),
    json: &mut Vec<u8>,
) -> Result<FindingRow, MatchError> {
    Ok(FindingRow {
        id: finding.finding_id.clone(),
        digest: image,
        rank: finding.rank(),
        severity: finding.severity,
        advisory_id: finding.advisory_id.clone(),
        names: finding.aliases.iter().map(|name| name.to_uppercase()).collect(),
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
        verdict: text(&finding.verdict, json)?,
        body: text(finding, json)?,
        first_seen: now,
    })
}

fn text(value: &impl Serialize, room: &mut Vec<u8>) -> Result<String, serde_json::Error> {
    room.clear();
    serde_json::to_writer(&mut *room, value)?;
    Ok(String::from_utf8_lossy(room).into_owned())
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
