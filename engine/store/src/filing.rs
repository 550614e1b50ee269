//! What a scan keeps, written at once and in few statements: an image, its findings, and the end of the scan.

use std::collections::BTreeMap;
use std::sync::Arc;

use stella_domain::{Digest, Tenant, Timestamp};

use crate::codec::{pack, text};
use crate::finding_counts::push_counts;
use crate::finding_query::{COLUMNS, FROM, among};
use crate::findings::finding;
use crate::first_seen::first_seen;
use crate::images::write_image;
use crate::scans::push_event;
use crate::sql::{Batch, Value};
use crate::writing::Writing;
use crate::{FindingRow, ImageRecord, NewScan, PackedInventory, Store, StoreError};

/// Rows a statement, most first. A statement of each length is prepared once; what is left over goes into shorter ones.
const ROWS: [usize; 5] = [128, 32, 8, 2, 1];

/// An image that was read, with what was found in it.
#[derive(Debug, Clone)]
pub struct Filing {
    /// The image.
    pub image: Arc<ImageRecord>,
    /// Its inventory in the form in which it is kept, where that was made already.
    pub packed: Option<PackedInventory>,
    /// Generation of the index that the findings come from.
    pub generation: String,
    /// Its findings; `None` where those that are kept hold on.
    pub findings: Option<Arc<[FindingRow]>>,
    /// The scan that asked for it.
    pub scan: NewScan,
    /// What is said at its end.
    pub message: String,
}

impl Store {
    /// Keeps an image and its findings, and the scan of it as succeeded: all of it or nothing. Gives the scan's id.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn file_scan(&self, tenant: &Tenant, mut filing: Filing, at: Timestamp) -> Result<String, StoreError> {
        let (id, owner, image) = (filing.scan.id(tenant), tenant.clone(), Arc::clone(&filing.image));
        let alone: &[&[&str]] = &[&["image", tenant.as_str()], &["findings", tenant.as_str()], &["scan", id.as_str()]];
        let (scan, packed) = (id.clone(), filing.packed.take());
        self.write(
            alone,
            move || packed.map_or_else(|| pack("inventory", &image.inventory), |packed| Ok(packed.into_bytes())),
            move |writing, body| Box::pin(async move { put(writing, &owner, &scan, &filing, body, at).await }),
        )
        .await?;
        Ok(id)
    }
}

/// Writes what belongs to the scan `id`; `body` is the packed inventory.
async fn put(
    writing: &mut Writing<'_>,
    tenant: &Tenant,
    id: &str,
    filing: &Filing,
    body: Vec<u8>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let image = filing.image.digest;
    let mut sql = writing.sql("SELECT status FROM scan WHERE tenant = ");
    sql.push_bind(tenant.as_str()).push(" AND id = ").push_bind(id);
    let old = writing.rows(sql, |row| Ok(row.text(0)?.to_owned())).await?.pop();
    // Findings that are to hold on may be forgotten by now; without a generation the image is matched again.
    let mut is_matched = true;
    match &filing.findings {
        Some(findings) => put_findings(writing, tenant, &image, findings, at).await?,
        None => is_matched = is_stored(writing, tenant, &image).await?,
    }
    let mut batch = writing.batch();
    write_image(&mut batch, tenant, &filing.image, body, &[]);
    if is_matched {
        put_generation(&mut batch, tenant, &image, &filing.generation, at);
    }
    put_scan(&mut batch, tenant, id, (filing, old.as_deref()), at)?;
    writing.run(batch).await
}

async fn is_stored(writing: &mut Writing<'_>, tenant: &Tenant, image: &Digest) -> Result<bool, StoreError> {
    let mut sql = writing.sql("SELECT digest FROM image WHERE tenant = ");
    sql.push_bind(tenant.as_str()).push(" AND digest = ").push_bind(image.to_string());
    let found = writing.rows(sql, |row| Ok(row.text(0)?.to_owned())).await?;
    Ok(!found.is_empty())
}

/// Writes a scan as asked for and succeeded, unless its `old` status says that it has before. One that waits still succeeds with
/// this, one that failed succeeds in a new attempt.
fn put_scan(
    batch: &mut Batch,
    tenant: &Tenant,
    id: &str,
    (filing, old): (&Filing, Option<&str>),
    at: Timestamp,
) -> Result<(), StoreError> {
    if old == Some("Succeeded") {
        return Ok(());
    }
    let new = &filing.scan;
    let sql = batch.next(
        "INSERT INTO scan (tenant, id, attempt, status, failure, reference, asked_digest, digest, source, node, metadata,
           created_at, updated_at, deadline, force) VALUES (",
    );
    let mut row = sql.separated(", ");
    row.push_bind(tenant.as_str()).push_bind(id);
    row.push("1, 'Succeeded', NULL");
    row.push_bind(&new.reference).push_bind(new.digest.map(|digest| digest.to_string()));
    row.push_bind(filing.image.digest.to_string()).push_bind(new.source.name()).push_bind(&new.node);
    row.push_bind(text("metadata", &new.metadata)?).push_bind(at.as_millis()).push_bind(at.as_millis());
    row.push_bind(at.plus_seconds(new.timeout_seconds.max(1)).as_millis()).push_bind(i64::from(new.force));
    sql.push(
        ") ON CONFLICT (tenant, id) DO UPDATE SET status = 'Succeeded', digest = excluded.digest, failure = NULL,
           attempt = scan.attempt + CASE WHEN scan.status IN ('Failed', 'Cancelled') THEN 1 ELSE 0 END,
           source = excluded.source, updated_at = excluded.updated_at",
    );
    if !matches!(old, Some("Pending" | "Running")) {
        let data = BTreeMap::from([("force".to_owned(), new.force.to_string())]);
        push_event(batch, tenant, id, ("Pending", "queued", at), &data)?;
    }
    push_event(batch, tenant, id, ("Succeeded", &filing.message, at), &BTreeMap::new())
}

/// Puts `findings` in place of those of the image. Those that are there as they are to be are not written again: a new advisory adds
/// a few findings to hundreds, and each is a row in four trees.
pub(crate) async fn put_findings(
    writing: &mut Writing<'_>,
    tenant: &Tenant,
    image: &Digest,
    findings: &[FindingRow],
    at: Timestamp,
) -> Result<(), StoreError> {
    // In the order of their key they go into the same pages one after the other.
    let mut ordered: Vec<&FindingRow> = findings.iter().collect();
    ordered.sort_by(|a, b| a.id.cmp(&b.id));
    ordered.dedup_by(|a, b| a.id == b.id);
    let mut kept = stored(writing, tenant, image).await?;
    let back = first_seen(writing, tenant, &kept, &ordered).await?;
    let (mut gone, mut rows) = (Vec::new(), Vec::new());
    for finding in &ordered {
        let mut seen = back.get(&finding.id).copied().unwrap_or(at.as_millis());
        if let Some(mut before) = kept.remove(&finding.id) {
            seen = std::mem::replace(&mut before.first_seen, finding.first_seen).as_millis();
            if before == **finding {
                continue;
            }
            gone.push(before.id);
        }
        rows.push(values(tenant, finding, seen));
    }
    gone.extend(kept.into_keys());
    let mut batch = writing.batch();
    for ids in pieces(&gone) {
        let sql = batch.next("DELETE FROM finding WHERE tenant = ").push_bind(tenant.as_str());
        among(sql, "id", ids.iter().cloned());
    }
    push_counts(&mut batch, tenant, image, &ordered);
    writing.run(batch).await?;
    writing.insert(FINDING, &rows, "ON CONFLICT (tenant, id) DO NOTHING").await
}

/// The findings that are kept of an image, by id.
async fn stored(
    writing: &mut Writing<'_>,
    tenant: &Tenant,
    image: &Digest,
) -> Result<BTreeMap<String, FindingRow>, StoreError> {
    let mut sql = writing.sql("SELECT ");
    sql.push(COLUMNS).push(FROM).push_bind(tenant.as_str());
    sql.push(" AND f.digest = ").push_bind(image.to_string());
    let rows = writing.rows(sql, |row| finding(row)).await?;
    Ok(rows.into_iter().map(|row| (row.id.clone(), row)).collect())
}

/// Where a finding is put.
const FINDING: &str = "
    INSERT INTO finding (tenant, id, digest, rank, severity, advisory_id, names, component, purl, kev, fixed, reach,
      reach_reason, evidence, inherited_reach, inherited, badge, verdict, body, first_seen)";

/// What is put there.
fn values<'a>(tenant: &'a Tenant, finding: &'a FindingRow, first_seen: i64) -> [Value<'a>; 20] {
    [
        tenant.as_str().into(),
        (&finding.id).into(),
        finding.digest.to_string().into(),
        finding.rank.into(),
        finding.severity.name().into(),
        (&finding.advisory_id).into(),
        finding.names.join("\n").to_uppercase().into(),
        finding.component.into(),
        (&finding.purl).into(),
        i64::from(finding.kev).into(),
        i64::from(finding.fixed).into(),
        finding.reach.name().into(),
        (&finding.reach_reason).into(),
        (&finding.evidence).into(),
        finding.inherited_reach.name().into(),
        (&finding.inherited).into(),
        (&finding.badge).into(),
        (&finding.verdict).into(),
        (&finding.body).into(),
        first_seen.into(),
    ]
}

/// Notes which generation of the index an image was matched against.
pub(crate) fn put_generation(batch: &mut Batch, tenant: &Tenant, image: &Digest, generation: &str, at: Timestamp) {
    let sql = batch.next("UPDATE image SET matched_generation = ").push_bind(generation);
    sql.push(", matched_at = ").push_bind(at.as_millis()).push(" WHERE tenant = ").push_bind(tenant.as_str());
    sql.push(" AND digest = ").push_bind(image.to_string());
}

/// `rows` in pieces of few different lengths.
pub(crate) fn pieces<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let length = ROWS.into_iter().find(|length| *length <= rest.len())?;
        let (piece, after) = rest.split_at(length);
        rest = after;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;

    fn row(number: i64) -> FindingRow {
        FindingRow {
            id: format!("{number:032}"),
            digest: Digest::of("image"),
            rank: number,
            severity: stella_domain::Severity::High,
            advisory_id: "GHSA-aaaa".into(),
            names: vec!["GHSA-AAAA".into()],
            component: number,
            purl: "pkg:npm/a@1".into(),
            kev: false,
            fixed: true,
            reach: stella_domain::Reachability::Unknown,
            reach_reason: "why".into(),
            evidence: "[]".into(),
            inherited_reach: stella_domain::Reachability::Unknown,
            inherited: "[]".into(),
            badge: "pass".into(),
            verdict: "{}".into(),
            body: "{}".into(),
            first_seen: Timestamp::from_millis(1),
        }
    }

    #[tokio::test]
    async fn only_what_changed_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let (tenant, image) = (Tenant::default(), Digest::of("image"));
        let put = async |rows: Vec<FindingRow>, at| {
            store.replace_findings(&tenant, &image, "g", &rows, Timestamp::from_millis(at)).await.unwrap();
            let found =
                sqlx::query("SELECT id, rowid FROM finding ORDER BY id").fetch_all(store.writer()).await.unwrap();
            found.iter().map(|row| (row.get(0), row.get(1))).collect::<BTreeMap<String, i64>>()
        };
        let first = put((0..9).map(row).collect(), 2).await;
        let changed = FindingRow { badge: "blocked".into(), ..row(3) };
        let second = put((0..3).map(row).chain([changed]).chain((4..8).map(row)).chain([row(20)]).collect(), 3).await;
        let same: Vec<i64> =
            (0..30).filter(|n| first.get(&row(*n).id).is_some_and(|at| second.get(&row(*n).id) == Some(at))).collect();
        assert_eq!(same, [0, 1, 2, 4, 5, 6, 7]);
        assert_eq!(second.len(), 9);
        let kept = store.image_findings(&tenant, &image).await.unwrap();
        let seen: BTreeMap<i64, i64> = kept.iter().map(|kept| (kept.rank, kept.first_seen.as_millis())).collect();
        assert_eq!((seen[&0], seen[&3], seen[&20]), (2, 2, 3), "what changed was there before");
        let facets = store.facets(&tenant, &crate::FindingQuery::default()).await.unwrap();
        assert_eq!(facets.badge, BTreeMap::from([("blocked".to_owned(), 1), ("pass".to_owned(), 8)]));
    }

    #[test]
    fn pieces_hold_every_row_once_and_have_few_lengths() {
        let rows: Vec<usize> = (0..583).collect();
        let pieces: Vec<&[usize]> = pieces(&rows).collect();
        assert_eq!(pieces.concat(), rows);
        assert!(pieces.iter().all(|piece| ROWS.contains(&piece.len())));
        assert_eq!(pieces.len(), 4 + 2 + 3 + 1);
    }
}
