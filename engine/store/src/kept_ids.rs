//! Which of a vulnerability's ids its findings hang on. They are the same for every tenant.

use std::collections::BTreeSet;

use sqlx::Row as _;

use crate::filing::pieces;
use crate::{Store, StoreError};

impl Store {
    /// The ids that are kept.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn kept_ids(&self) -> Result<BTreeSet<String>, StoreError> {
        let rows = sqlx::query("SELECT id FROM kept_id").fetch_all(self.reader()).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Keeps `ids` beside those that are kept already: all of them or none.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn keep_ids(&self, ids: &[String]) -> Result<(), StoreError> {
        let mut tx = self.begin_alone(&["kept ids"]).await?;
        for ids in pieces(ids) {
            let mut sql = self.sql("INSERT INTO kept_id (id) ");
            sql.push_values(ids, |mut row, id| {
                row.push_bind(id.as_str());
            });
            sql.push(" ON CONFLICT (id) DO NOTHING");
            sql.build().execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
