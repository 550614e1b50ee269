//! Waivers that came in through the API.

use stella_domain::{Tenant, Timestamp};

use crate::codec::{Columns, damaged};
use crate::{Store, StoreError};

/// A waiver with who made it and who took it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaiverRow {
    /// Its id, unique in the tenant for ever.
    pub id: String,
    /// The waiver, JSON.
    pub body: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// Who took it back, and when.
    pub withdrawn: Option<(String, Timestamp)>,
}

const COLUMNS: &str = "id, body, created_by, created_at, withdrawn_by, withdrawn_at";

impl Store {
    /// Keeps a waiver. `false` when the tenant has or had one of this id; then nothing changes.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn put_waiver(&self, tenant: &Tenant, waiver: &WaiverRow) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "INSERT INTO waiver (tenant, id, body, created_by, created_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (tenant, id) DO NOTHING",
        )
        .bind(tenant.as_str())
        .bind(&waiver.id)
        .bind(&waiver.body)
        .bind(&waiver.created_by)
        .bind(waiver.created_at.as_millis())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Takes a waiver back. `false` when there is none, or it was taken back before.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn withdraw_waiver(
        &self,
        tenant: &Tenant,
        id: &str,
        actor: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "UPDATE waiver SET withdrawn_by = $3, withdrawn_at = $4
             WHERE tenant = $1 AND id = $2 AND withdrawn_at IS NULL",
        )
        .bind(tenant.as_str())
        .bind(id)
        .bind(actor)
        .bind(at.as_millis())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Every waiver of a tenant, also those taken back, by id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn waivers(&self, tenant: &Tenant) -> Result<Vec<WaiverRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM waiver WHERE tenant = $1 ORDER BY id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(tenant.as_str()).fetch_all(self.reader()).await?;
        rows.iter().map(read).collect()
    }

    /// Every waiver that was not taken back, with its tenant, by tenant and id.
    ///
    /// # Errors
    /// When the database does not answer or a row is damaged.
    pub async fn standing_waivers(&self) -> Result<Vec<(Tenant, WaiverRow)>, StoreError> {
        let sql =
            self.sql(format!("SELECT {COLUMNS}, tenant FROM waiver WHERE withdrawn_at IS NULL ORDER BY tenant, id"));
        self.look_up(sql, |row| Ok((owner(row.text(6)?)?, read(row)?))).await
    }
}

fn owner(tenant: &str) -> Result<Tenant, StoreError> {
    tenant.parse().map_err(|e: stella_domain::TenantError| damaged("waiver", e))
}

fn read(row: &(impl Columns + ?Sized)) -> Result<WaiverRow, StoreError> {
    let withdrawn = (row.optional(4)?.map(str::to_owned), row.optional_number(5)?.map(Timestamp::from_millis));
    Ok(WaiverRow {
        id: row.text(0)?.to_owned(),
        body: row.text(1)?.to_owned(),
        created_by: row.text(2)?.to_owned(),
        created_at: Timestamp::from_millis(row.number(3)?),
        withdrawn: withdrawn.0.zip(withdrawn.1),
    })
}
