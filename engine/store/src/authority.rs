//! Records of the authority: documents by kind and id, some of which end.

use sqlx::Row as _;
use stella_domain::Timestamp;

use crate::{Store, StoreError};

impl Store {
    /// The record `id` of `kind`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn authority_record(&self, kind: &str, id: &str) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT body FROM authority_record WHERE kind = $1 AND id = $2")
            .bind(kind)
            .bind(id)
            .fetch_optional(self.reader())
            .await?;
        Ok(row.map(|row| row.get(0)))
    }

    /// Every record of `kind`, by id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn authority_records(&self, kind: &str) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("SELECT body FROM authority_record WHERE kind = $1 ORDER BY id")
            .bind(kind)
            .fetch_all(self.reader())
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Keeps a record, in place of one with its id.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn keep_authority_record(
        &self,
        kind: &str,
        id: &str,
        body: &str,
        expires_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO authority_record (kind, id, body, expires_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body, expires_at = excluded.expires_at",
        )
        .bind(kind)
        .bind(id)
        .bind(body)
        .bind(expires_at.map(Timestamp::as_millis))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Keeps a record that is not there, or whose predecessor has ended by `now`. `false` when it is there.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn add_authority_record(
        &self,
        kind: &str,
        id: &str,
        body: &str,
        now: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM authority_record WHERE kind = $1 AND id = $2 AND expires_at <= $3")
            .bind(kind)
            .bind(id)
            .bind(now.as_millis())
            .execute(&mut *tx)
            .await?;
        let done = sqlx::query(
            "INSERT INTO authority_record (kind, id, body, expires_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (kind, id) DO NOTHING",
        )
        .bind(kind)
        .bind(id)
        .bind(body)
        .bind(expires_at.map(Timestamp::as_millis))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Puts `new` in place of `old`. `false` when the record is another one by now.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn swap_authority_record(
        &self,
        kind: &str,
        id: &str,
        old: &str,
        new: &str,
        expires_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "UPDATE authority_record SET body = $4, expires_at = $5 WHERE kind = $1 AND id = $2 AND body = $3",
        )
        .bind(kind)
        .bind(id)
        .bind(old)
        .bind(new)
        .bind(expires_at.map(Timestamp::as_millis))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Removes a record.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn remove_authority_record(&self, kind: &str, id: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM authority_record WHERE kind = $1 AND id = $2")
            .bind(kind)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Removes every record that ended by `now`.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn sweep_authority_records(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query("DELETE FROM authority_record WHERE expires_at <= $1")
            .bind(now.as_millis())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }
}
