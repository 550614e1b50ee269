//! Leases: which process works on a scan.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row as _;
use stella_domain::Timestamp;

use crate::database::Connection;
use crate::scans::add_event;
use crate::sql::like;
use crate::{Scan, Store, StoreError};

/// Who holds the lease on a scan that is put off.
const NOBODY: &str = "";

impl Store {
    /// Lets `owner` work on a scan until `until`, unless another process does or the scan has ended. Gives how many processes
    /// began this attempt, with this one; one that begins again counts once. On SQLite, which one process uses at a time, whoever held it before is gone.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn claim_scan(
        &self,
        scan: &Scan,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let mut tx = self.begin().await?;
        // Whoever finds the scan locked goes on to the next: another process is about to claim or end it.
        let alone = if self.is_shared() { " FOR UPDATE SKIP LOCKED" } else { "" };
        if !is_open(&mut tx, scan, alone).await? {
            return Ok(None);
        }
        let row =
            sqlx::query("SELECT owner, until, tries FROM scan_lease WHERE tenant = $1 AND scan = $2 AND attempt = $3")
                .bind(scan.tenant.as_str())
                .bind(&scan.id)
                .bind(scan.attempt)
                .fetch_optional(&mut *tx)
                .await?;
        let mut tries = 1;
        if let Some(row) = &row {
            let before: &str = row.get(0);
            let (put_off, anothers) = (before == NOBODY, before != owner);
            if anothers && row.get::<i64, _>(1) > now.as_millis() && (put_off || self.is_shared()) {
                // Dropped, the transaction would hold its lock until later, and whoever comes now would go on.
                tx.rollback().await?;
                return Ok(None);
            }
            tries = row.get::<i64, _>(2) + i64::from(anothers && !put_off);
        }
        sqlx::query(
            "INSERT INTO scan_lease (tenant, scan, attempt, owner, until, tries) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (tenant, scan) DO UPDATE SET owner = excluded.owner, until = excluded.until, tries = excluded.tries,
               failures = CASE WHEN scan_lease.attempt = excluded.attempt THEN scan_lease.failures ELSE 0 END,
               attempt = excluded.attempt",
        )
        .bind(scan.tenant.as_str())
        .bind(&scan.id)
        .bind(scan.attempt)
        .bind(owner)
        .bind(until.as_millis())
        .bind(tries)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Some(tries))
    }

    /// Shows that `owner` lives and works on. `false` when the scan has ended, was called off, or is another's by now: then the
    /// work is to stop.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn keep_scan(&self, scan: &Scan, owner: &str, until: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let kept = sqlx::query(
            "UPDATE scan_lease SET until = $5 WHERE tenant = $1 AND scan = $2 AND attempt = $3 AND owner = $4",
        )
        .bind(scan.tenant.as_str())
        .bind(&scan.id)
        .bind(scan.attempt)
        .bind(owner)
        .bind(until.as_millis())
        .execute(&mut *tx)
        .await?
        .rows_affected();
        let kept = kept > 0 && is_open(&mut tx, scan, "").await?;
        tx.commit().await?;
        Ok(kept)
    }

    /// Scans that are put off beyond `now`, by tenant and id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn scans_put_off(&self, now: Timestamp) -> Result<BTreeSet<(String, String)>, StoreError> {
        let rows = sqlx::query("SELECT tenant, scan FROM scan_lease WHERE owner = $1 AND until > $2")
            .bind(NOBODY)
            .bind(now.as_millis())
            .fetch_all(self.reader())
            .await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// How often the scan was put off in this attempt.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn times_put_off(&self, scan: &Scan) -> Result<i64, StoreError> {
        let row = sqlx::query("SELECT failures FROM scan_lease WHERE tenant = $1 AND scan = $2 AND attempt = $3")
            .bind(scan.tenant.as_str())
            .bind(&scan.id)
            .bind(scan.attempt)
            .fetch_optional(self.reader())
            .await?;
        Ok(row.map_or(0, |row| row.get(0)))
    }

    /// Puts a scan that `owner` works on back into the queue: nobody claims it before `until`. An event tells `message`. `false`
    /// when the scan has ended or is another's by now.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn put_off_scan(
        &self,
        scan: &Scan,
        owner: &str,
        message: &str,
        at: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let pending = sqlx::query(
            "UPDATE scan SET status = 'Pending', updated_at = $4
             WHERE tenant = $1 AND id = $2 AND attempt = $3 AND status IN ('Pending', 'Running')",
        )
        .bind(scan.tenant.as_str())
        .bind(&scan.id)
        .bind(scan.attempt)
        .bind(at.as_millis())
        .execute(&mut *tx)
        .await?
        .rows_affected();
        let put_off = sqlx::query(
            "UPDATE scan_lease SET owner = $5, until = $6, failures = failures + 1
             WHERE tenant = $1 AND scan = $2 AND attempt = $3 AND owner = $4",
        )
        .bind(scan.tenant.as_str())
        .bind(&scan.id)
        .bind(scan.attempt)
        .bind(owner)
        .bind(NOBODY)
        .bind(until.as_millis())
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if pending == 0 || put_off == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        add_event(&mut tx, &scan.tenant, &scan.id, "Pending", message, at, &BTreeMap::new()).await?;
        tx.commit().await?;
        self.hint(&scan.id);
        Ok(true)
    }

    /// Ends every lease of an owner whose name begins with `prefix`, which is gone: others may go on at once.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn end_leases(&self, prefix: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE scan_lease SET until = 0 WHERE owner LIKE $1 ESCAPE '\\'")
            .bind(format!("{}%", like(prefix)))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets who worked on a scan, when `owner` did.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn release_scan(&self, scan: &Scan, owner: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM scan_lease WHERE tenant = $1 AND scan = $2 AND attempt = $3 AND owner = $4")
            .bind(scan.tenant.as_str())
            .bind(&scan.id)
            .bind(scan.attempt)
            .bind(owner)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn is_open(tx: &mut Connection, scan: &Scan, lock: &str) -> Result<bool, StoreError> {
    let sql = format!(
        "SELECT 1 FROM scan WHERE tenant = $1 AND id = $2 AND attempt = $3 AND status IN ('Pending', 'Running'){lock}"
    );
    let found = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(scan.tenant.as_str())
        .bind(&scan.id)
        .bind(scan.attempt)
        .fetch_optional(tx)
        .await?;
    Ok(found.is_some())
}
