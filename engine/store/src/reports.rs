//! Signed reports.

use sqlx::Row as _;
use stella_domain::{Digest, Tenant, Timestamp};

use crate::{Store, StoreError};

/// A report as it was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReport {
    /// Its id.
    pub id: String,
    /// The answer that carried it, JSON.
    pub body: String,
    /// What it was made from and does not say itself, JSON; empty for reports of earlier versions.
    pub made_from: String,
}

/// How far the time at which a report was last asked for may be behind, in milliseconds: it is not written each time.
const DAY: i64 = 86_400_000;

impl Store {
    /// Keeps a report about what `scan` found, where there is one. The same id again changes nothing but when it was last asked for.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn put_report(
        &self,
        tenant: &Tenant,
        image: &Digest,
        report: &StoredReport,
        scan: Option<&str>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO report (tenant, id, digest, at, body, made_from, scan, asked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $4)
             ON CONFLICT (tenant, id) DO UPDATE SET asked_at = excluded.asked_at
             WHERE report.asked_at < excluded.asked_at - $8",
        )
        .bind(tenant.as_str())
        .bind(&report.id)
        .bind(image.to_string())
        .bind(at.as_millis())
        .bind(&report.body)
        .bind(&report.made_from)
        .bind(scan.unwrap_or_default())
        .bind(DAY)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// A report by its id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn report(&self, tenant: &Tenant, id: &str) -> Result<Option<StoredReport>, StoreError> {
        let row = sqlx::query("SELECT body, made_from FROM report WHERE tenant = $1 AND id = $2")
            .bind(tenant.as_str())
            .bind(id)
            .fetch_optional(self.reader())
            .await?;
        Ok(row.map(|row| StoredReport { id: id.to_owned(), body: row.get(0), made_from: row.get(1) }))
    }

    /// Every report of a tenant, by id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn reports(&self, tenant: &Tenant) -> Result<Vec<StoredReport>, StoreError> {
        let rows = sqlx::query("SELECT id, body, made_from FROM report WHERE tenant = $1 ORDER BY id")
            .bind(tenant.as_str())
            .fetch_all(self.reader())
            .await?;
        Ok(rows.iter().map(|row| StoredReport { id: row.get(0), body: row.get(1), made_from: row.get(2) }).collect())
    }
}
