//! Objects of the cluster as they were last seen, so that one deleted while the operator was away is noticed.

use sqlx::Row as _;

use crate::database::Row;
use crate::{Store, StoreError};

/// An object that was acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenObject {
    /// Its uid.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What is needed to clean up after it, JSON.
    pub body: String,
}

impl Store {
    /// Notes an object.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn note_object(&self, kind: &str, object: &SeenObject) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO object_seen (kind, uid, namespace, name, body) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (kind, uid) DO UPDATE SET body = excluded.body",
        )
        .bind(kind)
        .bind(&object.uid)
        .bind(&object.namespace)
        .bind(&object.name)
        .bind(&object.body)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Every object of a kind that was noted and not forgotten.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn noted_objects(&self, kind: &str) -> Result<Vec<SeenObject>, StoreError> {
        let rows = sqlx::query("SELECT uid, namespace, name, body FROM object_seen WHERE kind = $1 ORDER BY uid")
            .bind(kind)
            .fetch_all(self.reader())
            .await?;
        let object =
            |row: &Row| SeenObject { uid: row.get(0), namespace: row.get(1), name: row.get(2), body: row.get(3) };
        Ok(rows.iter().map(object).collect())
    }

    /// Forgets an object.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn forget_object(&self, kind: &str, uid: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM object_seen WHERE kind = $1 AND uid = $2")
            .bind(kind)
            .bind(uid)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}
