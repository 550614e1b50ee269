//! What a scan keeps, written at once and in few statements: an image, its findings, and the end of the scan.

use std::collections::BTreeMap;

use sqlx::Row as _;
use stella_domain::{Digest, Tenant, Timestamp};

use crate::codec::{pack, text};
use crate::database::Connection;
use crate::finding_counts::count;
use crate::first_seen::first_seen;
use crate::images::write_image;
use crate::scans::add_event;
use crate::sql::Sql;
use crate::{FindingRow, ImageRecord, NewScan, Store, StoreError};

/// Rows a statement, most first. A statement of each length is prepared once; what is left over goes into shorter ones.
const ROWS: [usize; 3] = [128, 16, 1];

/// An image that was read, with what was found in it.
#[derive(Debug, Clone, Copy)]
pub struct Filing<'a> {
    /// The image.
    pub image: &'a ImageRecord,
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
        let body = pack("inventory", &filing.image.inventory)?;
        let mut tx = self.begin_alone(&["image", tenant.as_str()]).await?;
        self.be_alone(&mut tx, &["findings", tenant.as_str()]).await?;
        self.be_alone(&mut tx, &["scan", &id]).await?;
        write_image(&mut tx, tenant, filing.image, body, &[]).await?;
        if let Some(findings) = filing.findings {
            put_findings(&mut tx, tenant, &image, findings, at).await?;
        }
        put_generation(&mut tx, tenant, &image, filing.generation, at).await?;
        put_scan(&mut tx, tenant, &id, filing, at).await?;
        tx.commit().await?;
        Ok(id)
    }
}

/// Writes a scan as asked for and succeeded, unless it has succeeded before. One that waits still succeeds with this, one that
/// failed succeeds in a new attempt.
async fn put_scan(
    tx: &mut Connection,
    tenant: &Tenant,
    id: &str,
    filing: Filing<'_>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let old: Option<String> = sqlx::query("SELECT status FROM scan WHERE tenant = $1 AND id = $2")
        .bind(tenant.as_str())
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?
        .map(|row| row.get(0));
    if old.as_deref() == Some("Succeeded") {
        return Ok(());
    }
    let (new, image) = (filing.scan, filing.image.digest.to_string());
    sqlx::query(
        "INSERT INTO scan (tenant, id, attempt, status, reference, asked_digest, digest, source, node, metadata, failure,
           created_at, updated_at, deadline, force)
         VALUES ($1, $2, 1, 'Succeeded', $3, $4, $5, $6, $7, $8, NULL, $9, $9, $10, $11)
         ON CONFLICT (tenant, id) DO UPDATE SET status = 'Succeeded', digest = excluded.digest, failure = NULL,
           attempt = scan.attempt + CASE WHEN scan.status IN ('Failed', 'Cancelled') THEN 1 ELSE 0 END,
           source = excluded.source, updated_at = excluded.updated_at",
    )
    .bind(tenant.as_str())
    .bind(id)
    .bind(&new.reference)
    .bind(new.digest.map(|digest| digest.to_string()))
    .bind(image)
    .bind(new.source.name())
    .bind(&new.node)
    .bind(text("metadata", &new.metadata)?)
    .bind(at.as_millis())
    .bind(at.plus_seconds(new.timeout_seconds.max(1)).as_millis())
    .bind(i64::from(new.force))
    .execute(&mut *tx)
    .await?;
    if !matches!(old.as_deref(), Some("Pending" | "Running")) {
        let data = BTreeMap::from([("force".to_owned(), new.force.to_string())]);
        add_event(tx, tenant, id, "Pending", "queued", at, &data).await?;
    }
    add_event(tx, tenant, id, "Succeeded", filing.message, at, &BTreeMap::new()).await
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
    sqlx::query("DELETE FROM finding WHERE tenant = $1 AND digest = $2")
        .bind(tenant.as_str())
        .bind(image.to_string())
        .execute(&mut *tx)
        .await?;
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
    count(tx, tenant, image, &ordered).await
}

/// Notes which generation of the index an image was matched against.
pub(crate) async fn put_generation(
    tx: &mut Connection,
    tenant: &Tenant,
    image: &Digest,
    generation: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE image SET matched_generation = $3, matched_at = $4 WHERE tenant = $1 AND digest = $2")
        .bind(tenant.as_str())
        .bind(image.to_string())
        .bind(generation)
        .bind(at.as_millis())
        .execute(tx)
        .await?;
    Ok(())
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
        assert_eq!(pieces.len(), 4 + 4 + 7);
    }
}
