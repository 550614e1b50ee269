//! What nodes observed: events as they came, and what follows from them about containers and the files they loaded.

use sqlx::Row as _;
use stella_domain::{Tenant, Timestamp};

use crate::codec::Columns;
use crate::database::Row;
use crate::finding_query::among;
use crate::{Store, StoreError};

/// An event to be kept, with what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedEvent {
    /// The tenant of its namespace.
    pub tenant: Tenant,
    /// Its id; the same id again is a duplicate.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// The container it is about. With an empty id the event is kept, and nothing follows from it for a container.
    pub container: ObservedContainer,
    /// Whether the container started, as far as this event says.
    pub started: bool,
    /// Files loaded.
    pub loaded: Vec<LoadedFile>,
    /// Its kind when it is one that people ask for; else empty.
    pub kind: String,
    /// The event as it came, JSON.
    pub body: String,
}

/// An event that people ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotableEvent {
    /// Its id.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// The event as it came, JSON.
    pub body: String,
}

/// A container of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedContainer {
    /// Full id, with the runtime as scheme.
    pub id: String,
    /// Digest of its image as the runtime reports it; empty when unknown.
    pub image: String,
    /// The image as the pod names it.
    pub image_ref: String,
    /// The node.
    pub node: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// Name of the container in the pod.
    pub name: String,
    /// Path of its first process.
    pub entrypoint: String,
    /// When it started, or when it was first seen.
    pub started_at: Timestamp,
    /// Whether it was watched from its first process on.
    pub from_start: bool,
    /// Whether what it opened was watched, too.
    pub openings: bool,
    /// Why something of it may have been missed.
    pub gap: Option<String>,
    /// When it ended.
    pub stopped_at: Option<Timestamp>,
}

/// A file that a container loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedFile {
    /// Path inside the container.
    pub path: String,
    /// When it was first loaded.
    pub first_seen: Timestamp,
    /// What else is known of it, JSON.
    pub body: String,
}

impl Store {
    /// Containers whose image goes by one of `names`, by id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn containers_of(&self, tenant: &Tenant, names: &[String]) -> Result<Vec<ObservedContainer>, StoreError> {
        if !self.has_containers(tenant, names).await? {
            return Ok(Vec::new());
        }
        let mut sql = self.sql(format!("SELECT {CONTAINER} FROM observed WHERE tenant = "));
        sql.push_bind(tenant.as_str());
        among(&mut sql, "image", names.iter().cloned());
        sql.push(" ORDER BY container");
        // What starts every minute has a hundred thousand of them.
        self.look_up_many(sql, |row| container(row)).await
    }

    /// Whether there is one whose image goes by one of `names`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_containers(&self, tenant: &Tenant, names: &[String]) -> Result<bool, StoreError> {
        if names.is_empty() {
            return Ok(false);
        }
        let mut sql = self.sql("SELECT container FROM observed WHERE tenant = ");
        sql.push_bind(tenant.as_str());
        among(&mut sql, "image", names.iter().cloned());
        sql.push(" LIMIT 1");
        Ok(!self.look_up(sql, |row| Ok(row.text(0)?.to_owned())).await?.is_empty())
    }

    /// Paths of the processes that containers of these image names were started with, each once, in their order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn entrypoints_of(&self, tenant: &Tenant, names: &[String]) -> Result<Vec<String>, StoreError> {
        if !self.has_containers(tenant, names).await? {
            return Ok(Vec::new());
        }
        let mut sql = self.sql("SELECT DISTINCT entrypoint FROM observed WHERE entrypoint <> '' AND tenant = ");
        sql.push_bind(tenant.as_str());
        among(&mut sql, "image", names.iter().cloned());
        sql.push(" ORDER BY entrypoint");
        self.look_up_many(sql, |row| Ok(row.text(0)?.to_owned())).await
    }

    /// Containers that run now, by id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn running_containers(&self, tenant: &Tenant) -> Result<Vec<ObservedContainer>, StoreError> {
        let sql =
            format!("SELECT {CONTAINER} FROM observed WHERE tenant = $1 AND stopped_at IS NULL ORDER BY container");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(tenant.as_str()).fetch_all(self.reader()).await?;
        rows.iter().map(container).collect()
    }

    /// A container, when it is known.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn container(&self, tenant: &Tenant, id: &str) -> Result<Option<ObservedContainer>, StoreError> {
        let sql = format!("SELECT {CONTAINER} FROM observed WHERE tenant = $1 AND container = $2");
        let row =
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(tenant.as_str()).bind(id).fetch_optional(self.reader()).await?;
        row.as_ref().map(container).transpose()
    }

    /// Files that a container loaded, by path.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn loaded_by(&self, tenant: &Tenant, container: &str) -> Result<Vec<LoadedFile>, StoreError> {
        let rows =
            sqlx::query("SELECT path, first_seen, body FROM loaded WHERE tenant = $1 AND container = $2 ORDER BY path")
                .bind(tenant.as_str())
                .bind(container)
                .fetch_all(self.reader())
                .await?;
        let loaded = |row: &Row| LoadedFile {
            path: row.get(0),
            first_seen: Timestamp::from_millis(row.get(1)),
            body: row.get(2),
        };
        Ok(rows.iter().map(loaded).collect())
    }

    /// Ids of the events of a tenant, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn events(&self, tenant: &Tenant, limit: i64) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query("SELECT id, body FROM event WHERE tenant = $1 ORDER BY at, id LIMIT $2")
            .bind(tenant.as_str())
            .bind(limit)
            .fetch_all(self.reader())
            .await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Those of `ids` under which events of the tenant are kept.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn known_events(&self, tenant: &Tenant, ids: &[String]) -> Result<Vec<String>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut sql = self.sql("SELECT id FROM event WHERE tenant = ");
        sql.push_bind(tenant.as_str());
        among(&mut sql, "id", ids.iter().cloned());
        sql.push(" ORDER BY id");
        self.look_up(sql, |row| Ok(row.text(0)?.to_owned())).await
    }

    /// Events of a notable kind, newest first, before the one at that instant with that id, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn notable_events(
        &self,
        tenant: &Tenant,
        kind: &str,
        before: (i64, &str),
        limit: i64,
    ) -> Result<Vec<NotableEvent>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, at, body FROM event WHERE tenant = $1 AND kind = $2 AND kind <> ''
               AND (at < $3 OR (at = $3 AND id < $4)) ORDER BY at DESC, id DESC LIMIT $5",
        )
        .bind(tenant.as_str())
        .bind(kind)
        .bind(before.0)
        .bind(before.1)
        .bind(limit)
        .fetch_all(self.reader())
        .await?;
        let read =
            |row: &Row| NotableEvent { id: row.get(0), at: Timestamp::from_millis(row.get(1)), body: row.get(2) };
        Ok(rows.iter().map(read).collect())
    }

    /// Forgets events older than `before`, the oldest first and at most `most`, and gives how many; what follows from them
    /// stays. Others write between two such pieces.
    ///
    /// # Errors
    /// When the database does not answer; then none is forgotten.
    pub async fn forget_events(&self, before: Timestamp, most: u32) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let gone = sqlx::query(
            "DELETE FROM event WHERE (tenant, id) IN (
               SELECT tenant, id FROM event WHERE at < $1 ORDER BY at, tenant, id LIMIT $2)",
        )
        .bind(before.as_millis())
        .bind(i64::from(most))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(gone.rows_affected())
    }
}

const CONTAINER: &str = "container, image, image_ref, node, namespace, pod, name, entrypoint, started_at, from_start, gap, stopped_at, openings";

fn container(row: &(impl Columns + ?Sized)) -> Result<ObservedContainer, StoreError> {
    let text = |at: usize| row.text(at).map(str::to_owned);
    Ok(ObservedContainer {
        id: text(0)?,
        image: text(1)?,
        image_ref: text(2)?,
        node: text(3)?,
        namespace: text(4)?,
        pod: text(5)?,
        name: text(6)?,
        entrypoint: text(7)?,
        started_at: Timestamp::from_millis(row.number(8)?),
        from_start: row.number(9)? != 0,
        gap: row.optional(10)?.map(str::to_owned),
        stopped_at: row.optional_number(11)?.map(Timestamp::from_millis),
        openings: row.number(12)? != 0,
    })
}
