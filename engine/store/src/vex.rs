//! VEX documents as they came in.

use sqlx::Row as _;
use stella_domain::{Tenant, Timestamp};

use crate::database::Row;
use crate::{Store, StoreError};

/// A document with who brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VexDocumentRow {
    /// SHA-256 of the document, hex.
    pub id: String,
    /// The document, as it came.
    pub body: String,
    /// Who brought it.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}

/// Tells one state of a tenant's documents from another, as far as they are only added or only taken away between two looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VexStamp {
    documents: i64,
    newest: i64,
}

impl VexStamp {
    /// How many documents there are.
    #[must_use]
    pub const fn documents(self) -> i64 {
        self.documents
    }
}

impl Store {
    /// Keeps a document. `false` when the tenant has it already.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn put_vex(&self, tenant: &Tenant, document: &VexDocumentRow) -> Result<bool, StoreError> {
        let mut tx = self.begin_alone(&["vex", tenant.as_str()]).await?;
        let newest: i64 = sqlx::query("SELECT coalesce(max(at), 0) FROM vex_document WHERE tenant = $1")
            .bind(tenant.as_str())
            .fetch_one(&mut *tx)
            .await?
            .get(0);
        let done = sqlx::query(
            "INSERT INTO vex_document (tenant, id, body, actor, at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (tenant, id) DO NOTHING",
        )
        .bind(tenant.as_str())
        .bind(&document.id)
        .bind(&document.body)
        .bind(&document.actor)
        // Later than all others whatever the clock does, so that the stamp tells one set of documents from another.
        .bind(document.at.as_millis().max(newest.saturating_add(1)))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Forgets a document. `false` when the tenant has none of this id.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn remove_vex(&self, tenant: &Tenant, id: &str) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query("DELETE FROM vex_document WHERE tenant = $1 AND id = $2")
            .bind(tenant.as_str())
            .bind(id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// The state of a tenant's documents.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn vex_stamp(&self, tenant: &Tenant) -> Result<VexStamp, StoreError> {
        // Whether there is any is soon found out; for the stamp SQLite reads past all the documents.
        if self.local().is_some() && !self.has_vex(tenant).await? {
            return Ok(VexStamp::default());
        }
        let row = sqlx::query("SELECT count(*), coalesce(max(at), 0) FROM vex_document WHERE tenant = $1")
            .bind(tenant.as_str())
            .fetch_one(self.reader())
            .await?;
        Ok(VexStamp { documents: row.get(0), newest: row.get(1) })
    }

    async fn has_vex(&self, tenant: &Tenant) -> Result<bool, StoreError> {
        let mut sql = self.sql("SELECT id FROM vex_document WHERE tenant = ");
        sql.push_bind(tenant.as_str()).push(" LIMIT 1");
        Ok(!self.look_up(sql, |row| Ok(row.text(0)?.to_owned())).await?.is_empty())
    }

    /// A tenant's documents in the order in which they came.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn vex_documents(&self, tenant: &Tenant) -> Result<Vec<VexDocumentRow>, StoreError> {
        let rows = sqlx::query("SELECT id, body, actor, at FROM vex_document WHERE tenant = $1 ORDER BY at, id")
            .bind(tenant.as_str())
            .fetch_all(self.reader())
            .await?;
        let read = |row: &Row| VexDocumentRow {
            id: row.get(0),
            body: row.get(1),
            actor: row.get(2),
            at: Timestamp::from_millis(row.get(3)),
        };
        Ok(rows.iter().map(read).collect())
    }
}
