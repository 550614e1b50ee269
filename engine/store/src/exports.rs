//! Export runs.

use sqlx::Row as _;
use stella_domain::{Tenant, Timestamp};

use crate::database::Row;
use crate::{Store, StoreError};

/// One export run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRun {
    /// Its id.
    pub id: String,
    /// The profile it belongs to.
    pub profile: String,
    /// `queued running succeeded failed expired cancelled`.
    pub status: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// Outputs and errors, JSON.
    pub body: String,
}

impl Store {
    /// Starts a run: `make_id` is given the number of the run among the tenant's runs since `day`, from 1.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn start_export(
        &self,
        tenant: &Tenant,
        profile: &str,
        day: Timestamp,
        at: Timestamp,
        make_id: impl Fn(u32) -> String,
    ) -> Result<String, StoreError> {
        let mut tx = self.begin_alone(&["export", tenant.as_str()]).await?;
        let count: i64 = sqlx::query("SELECT count(*) FROM export_run WHERE tenant = $1 AND started_at >= $2")
            .bind(tenant.as_str())
            .bind(day.as_millis())
            .fetch_one(&mut *tx)
            .await?
            .get(0);
        let id = make_id(u32::try_from(count + 1).unwrap_or(u32::MAX));
        sqlx::query("INSERT INTO export_run (tenant, id, profile, status, started_at, body) VALUES ($1, $2, $3, 'running', $4, '{}')")
            .bind(tenant.as_str())
            .bind(&id)
            .bind(profile)
            .bind(at.as_millis())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Ends a run.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn finish_export(
        &self,
        tenant: &Tenant,
        id: &str,
        status: &str,
        body: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE export_run SET status = $3, body = $4, completed_at = $5 WHERE tenant = $1 AND id = $2")
            .bind(tenant.as_str())
            .bind(id)
            .bind(status)
            .bind(body)
            .bind(at.as_millis())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// A run by its id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn export_run(&self, tenant: &Tenant, id: &str) -> Result<Option<ExportRun>, StoreError> {
        let row = sqlx::query(
            "SELECT id, profile, status, started_at, completed_at, body FROM export_run WHERE tenant = $1 AND id = $2",
        )
        .bind(tenant.as_str())
        .bind(id)
        .fetch_optional(self.reader())
        .await?;
        Ok(row.as_ref().map(run))
    }

    /// Runs that began and never ended, which a restart left behind.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn unfinished_exports(&self) -> Result<Vec<(Tenant, ExportRun)>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, profile, status, started_at, completed_at, body, tenant FROM export_run
             WHERE status IN ('queued', 'running') ORDER BY started_at",
        )
        .fetch_all(self.reader())
        .await?;
        Ok(rows.iter().filter_map(|row| Some((row.get::<&str, _>(6).parse().ok()?, run(row)))).collect())
    }
}

fn run(row: &Row) -> ExportRun {
    ExportRun {
        id: row.get(0),
        profile: row.get(1),
        status: row.get(2),
        started_at: Timestamp::from_millis(row.get(3)),
        completed_at: row.get::<Option<i64>, _>(4).map(Timestamp::from_millis),
        body: row.get(5),
    }
}
