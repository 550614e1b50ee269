//! What a scan keeps, written at once and in few statements: an image, its findings, and the end of the scan.

use std::collections::BTreeMap;

use sqlx::Row as _;
use stella_domain::{Digest, Tenant, Timestamp};

use crate::codec::{pack, text};
use crate::database::Connection;
use crate::finding_counts::push_counts;
use crate::first_seen::first_seen;
use crate::images::write_image;
use crate::scans::push_event;
use crate::sql::{Batch, Sql};
use crate::{FindingRow, ImageRecord, NewScan, PackedInventory, Store, StoreError};

/// Rows a statement, most first. A statement of each length is prepared once; what is left over goes into shorter ones.
const ROWS: [usize; 5] = [128, 32, 8, 2, 1];

/// An image that was read, with what was found in it.
#[derive(Debug, Clone, Copy)]
pub struct Filing<'a> {
    /// The image.
    pub image: &'a ImageRecord,
    /// Its inventory in the form in which it is kept, where that was made already.
    pub packed: Option<&'a PackedInventory>,
    /// Generation of the index that the findings come from.
    pub generation: &'a str,
    /// Its findings; `None` where those that are kept hold on.
    pub findings: Option<&'a [FindingRow]>,
    /// The scan that asked for it.
    pub scan: &'a NewScan,
    /// What is said at its end.
    pub message: &'a str,
}

impl Store {
    /// Keeps an image and its findings, and the scan of it as succeeded: all of it or nothing. Gives the scan's id.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn file_scan(&self, tenant: &Tenant, filing: Filing<'_>, at: Timestamp) -> Result<String, StoreError> {
        let (id, image) = (filing.scan.id(tenant), filing.image.digest);
        let body = match filing.packed {
            Some(packed) => packed.as_bytes().to_vec(),
            None => pack("inventory", &filing.image.inventory)?,
        };
        let mut tx = self.begin_alone(&["image", tenant.as_str()]).await?;
        self.be_alone(&mut tx, &["findings", tenant.as_str()]).await?;
        self.be_alone(&mut tx, &["scan", &id]).await?;
        let old: Option<String> = sqlx::query("SELECT status FROM scan WHERE tenant = $1 AND id = $2")
            .bind(tenant.as_str())
            .bind(&id)
            .fetch_optional(&mut *tx)
            .await?
            .map(|row| row.get(0));
        // Findings that are to hold on may be forgotten by now; without a generation the image is matched again.
        let mut is_matched = true;
        match filing.findings {
            Some(findings) => put_findings(&mut tx, tenant, &image, findings, at).await?,
            None => is_matched = is_stored(&mut tx, tenant, &image).await?,
        }
        let mut batch = Batch::on(&tx);
        write_image(&mut batch, tenant, filing.image, body, &[]);
        if is_matched {
            put_generation(&mut batch, tenant, &image, filing.generation, at);
        }
        put_scan(&mut batch, tenant, &id, (filing, old.as_deref()), at)?;
        batch.run(&mut tx).await?;
        tx.commit().await?;
        Ok(id)
    }
}

async fn is_stored(tx: &mut Connection, tenant: &Tenant, image: &Digest) -> Result<bool, StoreError> {
    let found = sqlx::query("SELECT 1 FROM image WHERE tenant = $1 AND digest = $2")
        .bind(tenant.as_str())
        .bind(image.to_string())
        .fetch_optional(tx)
        .await?;
    Ok(found.is_some())
}

/// Writes a scan as asked for and succeeded, unless its `old` status says that it has before. One that waits still succeeds with
/// this, one that failed succeeds in a new attempt.
fn put_scan(
    batch: &mut Batch,
    tenant: &Tenant,
    id: &str,
    (filing, old): (Filing<'_>, Option<&str>),
    at: Timestamp,
) -> Result<(), StoreError> {
    if old == Some("Succeeded") {
        return Ok(());
    }
    let new = filing.scan;
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
    push_event(batch, tenant, id, ("Succeeded", filing.message, at), &BTreeMap::new())
}

/// Puts `findings` in place of those of the image.
pub(crate) async fn put_findings(
    tx: &mut Connection,
    tenant: &Tenant,
    image: &Digest,
    findings: &[FindingRow],
    at: Timestamp,
) -> Result<(), StoreError> {
    // In the order of their key they go into the same pages one after the other.
    let mut ordered: Vec<&FindingRow> = findings.iter().collect();
    ordered.sort_by(|a, b| a.id.cmp(&b.id));
    ordered.dedup_by(|a, b| a.id == b.id);
    let seen = first_seen(tx, tenant, image, &ordered).await?;
    let mut batch = Batch::on(tx);
    let gone = batch.next("DELETE FROM finding WHERE tenant = ").push_bind(tenant.as_str());
    gone.push(" AND digest = ").push_bind(image.to_string());
    push_counts(&mut batch, tenant, image, &ordered);
    batch.run(tx).await?;
    for rows in pieces(&ordered) {
        let mut sql = Sql::on(
            tx,
            "INSERT INTO finding (tenant, id, digest, rank, severity, advisory_id, names, component, purl, kev, fixed, reach,
               reach_reason, evidence, inherited_reach, inherited, badge, verdict, body, first_seen) ",
        );
        sql.push_values(rows, |mut row, finding| {
            row.push_bind(tenant.as_str()).push_bind(&finding.id).push_bind(finding.digest.to_string());
            row.push_bind(finding.rank).push_bind(finding.severity.name()).push_bind(&finding.advisory_id);
            row.push_bind(finding.names.join("\n").to_uppercase()).push_bind(finding.component);
            row.push_bind(&finding.purl).push_bind(i64::from(finding.kev)).push_bind(i64::from(finding.fixed));
            row.push_bind(finding.reach.name()).push_bind(&finding.reach_reason).push_bind(&finding.evidence);
            row.push_bind(finding.inherited_reach.name()).push_bind(&finding.inherited);
            row.push_bind(&finding.badge).push_bind(&finding.verdict).push_bind(&finding.body);
            row.push_bind(seen.get(&finding.id).copied().unwrap_or(at.as_millis()));
        });
        sql.push(" ON CONFLICT (tenant, id) DO NOTHING");
        sql.build().execute(&mut *tx).await?;
    }
    Ok(())
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
    use super::*;

    #[test]
    fn pieces_hold_every_row_once_and_have_few_lengths() {
        let rows: Vec<usize> = (0..583).collect();
        let pieces: Vec<&[usize]> = pieces(&rows).collect();
        assert_eq!(pieces.concat(), rows);
        assert!(pieces.iter().all(|piece| ROWS.contains(&piece.len())));
        assert_eq!(pieces.len(), 4 + 2 + 3 + 1);
    }
}
