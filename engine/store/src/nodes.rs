//! What agents say of themselves, and which nodes concern a tenant.

use std::collections::BTreeMap;

use sqlx::Row as _;
use stella_domain::{Tenant, Timestamp};

use crate::{Store, StoreError};

/// A node as its agent described it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// The agent's own tenant.
    pub tenant: Tenant,
    /// The node's name.
    pub node: String,
    /// When it was heard.
    pub heard_at: Timestamp,
    /// The description, JSON.
    pub body: String,
}

/// Containers of one tenant that run on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeContainers {
    /// How many.
    pub running: u64,
    /// Of these, those whose observation has a gap, by its reason.
    pub gaps: BTreeMap<String, u64>,
}

impl Store {
    /// Keeps what an agent says of itself in place of what it said before. What was heard later stays.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn put_node(&self, row: &NodeRow) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO node (tenant, node, heard_at, body) VALUES ($1, $2, $3, $4)
             ON CONFLICT (tenant, node) DO UPDATE SET heard_at = excluded.heard_at, body = excluded.body
             WHERE excluded.heard_at >= node.heard_at",
        )
        .bind(row.tenant.as_str())
        .bind(&row.node)
        .bind(row.heard_at.as_millis())
        .bind(&row.body)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The nodes that concern a tenant, by name, after the node `after`, at most `limit`: its own, and those of a cluster (of the
    /// default tenant) on which a container of its own runs.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn nodes(&self, tenant: &Tenant, after: &str, limit: i64) -> Result<Vec<NodeRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT n.tenant, n.node, n.heard_at, n.body FROM node n WHERE n.node > $1 AND (n.tenant = $2 OR (n.tenant = $3
               AND EXISTS (SELECT 1 FROM observed o WHERE o.tenant = $2 AND o.node = n.node AND o.stopped_at IS NULL)
               AND NOT EXISTS (SELECT 1 FROM node own WHERE own.tenant = $2 AND own.node = n.node)))
             ORDER BY n.node LIMIT $4",
        )
        .bind(after)
        .bind(tenant.as_str())
        .bind(Tenant::default().as_str())
        .bind(limit)
        .fetch_all(self.reader())
        .await?;
        let read = |row: &crate::database::Row| NodeRow {
            tenant: row.get::<String, _>(0).parse().unwrap_or_default(),
            node: row.get(1),
            heard_at: Timestamp::from_millis(row.get(2)),
            body: row.get(3),
        };
        Ok(rows.iter().map(read).collect())
    }

    /// What of a tenant runs on a node.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn containers_on(&self, tenant: &Tenant, node: &str) -> Result<NodeContainers, StoreError> {
        let rows = sqlx::query(
            "SELECT gap, COUNT(*) FROM observed WHERE tenant = $1 AND node = $2 AND stopped_at IS NULL GROUP BY gap",
        )
        .bind(tenant.as_str())
        .bind(node)
        .fetch_all(self.reader())
        .await?;
        let mut found = NodeContainers::default();
        for row in &rows {
            let count = u64::try_from(row.get::<i64, _>(1)).unwrap_or_default();
            found.running += count;
            if let Some(reason) = row.get::<Option<String>, _>(0) {
                found.gaps.insert(reason, count);
            }
        }
        Ok(found)
    }

    /// Forgets nodes that were not heard since `before`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_nodes(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let gone =
            sqlx::query("DELETE FROM node WHERE heard_at < $1").bind(before.as_millis()).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(gone.rows_affected())
    }
}
