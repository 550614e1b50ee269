//! Putting scans into the queue.

use std::collections::BTreeMap;

use sqlx::Row as _;
use stella_domain::{Digest, Tenant, Timestamp};

use crate::codec::{damaged, text};
use crate::database::Connection;
use crate::pull_secrets::{forget_pull_secrets, put_pull_secrets};
use crate::scans::{SCAN, add_event, scan};
use crate::{NewScan, Scan, ScanStatus, Store, StoreError};

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The scan.
    pub scan: Scan,
    /// Whether it is new, or a new attempt.
    pub created: bool,
}

impl Store {
    /// Puts a scan into the queue. The same request again gives the same scan, and a new attempt when it is forced or wanted
    /// again, the last one failed or was cancelled, or the reference names another image by now.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn submit_scan(&self, tenant: &Tenant, new: &NewScan, at: Timestamp) -> Result<Submitted, StoreError> {
        let id = new.id(tenant);
        loop {
            if self.submit_first(tenant, &id, new, at).await? {
                return Ok(Submitted { scan: first_attempt(tenant, id, new, at), created: true });
            }
            // One that was there a moment ago may be forgotten by now.
            if let Some(submitted) = self.submit_again(tenant, &id, new, at).await? {
                return Ok(submitted);
            }
        }
    }

    /// Puts a scan into the queue that nobody asked for before, in as few steps as the database allows. `false` when somebody did.
    async fn submit_first(&self, tenant: &Tenant, id: &str, new: &NewScan, at: Timestamp) -> Result<bool, StoreError> {
        let data = data(new);
        if self.is_shared() && new.pull_secrets.is_none() {
            let insert = first(QUEUE_WITH_EVENT, tenant, id, new, at)?;
            let queued = insert.bind(text("scan event", &data)?).execute(self.writer()).await?.rows_affected() > 0;
            if queued {
                self.hint(id);
            }
            return Ok(queued);
        }
        let mut tx = self.begin().await?;
        if first(QUEUE, tenant, id, new, at)?.execute(&mut *tx).await?.rows_affected() == 0 {
            return Ok(false);
        }
        if let Some(named) = &new.pull_secrets {
            put_pull_secrets(&mut tx, tenant, id, named).await?;
        }
        add_event(&mut tx, tenant, id, "Pending", "queued", at, &data).await?;
        tx.commit().await?;
        self.hint(id);
        Ok(true)
    }

    /// Joins the scan that is there, or makes another attempt of it. `None` when there is none.
    async fn submit_again(
        &self,
        tenant: &Tenant,
        id: &str,
        new: &NewScan,
        at: Timestamp,
    ) -> Result<Option<Submitted>, StoreError> {
        let mut tx = self.begin_alone(&["scan", id]).await?;
        let old = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT {SCAN} FROM scan WHERE tenant = $1 AND id = $2")))
            .bind(tenant.as_str())
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(old) = old.as_ref().map(scan).transpose()? else {
            tx.rollback().await?;
            return Ok(None);
        };
        let moved = moved(&mut tx, &old, new).await?;
        let wanted = new.force || new.again || moved.is_some();
        if !old.status.is_final() || (old.status == ScanStatus::Succeeded && !wanted) {
            // Whoever joins a scan that is open brings its Secrets along.
            if !old.status.is_final()
                && let Some(named) = &new.pull_secrets
            {
                put_pull_secrets(&mut tx, tenant, id, named).await?;
                tx.commit().await?;
            }
            return Ok(Some(Submitted { scan: old, created: false }));
        }
        sqlx::query(
            "UPDATE scan SET attempt = attempt + 1, status = 'Pending', failure = NULL, asked_digest = $3, digest = NULL,
               source = $4, node = $5, metadata = $6, force = $7, updated_at = $8, deadline = $9
             WHERE tenant = $1 AND id = $2",
        )
        .bind(tenant.as_str())
        .bind(id)
        .bind(moved.or(new.digest).map(|d| d.to_string()))
        .bind(new.source.name())
        .bind(&new.node)
        .bind(text("metadata", &new.metadata)?)
        // The image that goes by the reference here is not the one that is wanted.
        .bind(i64::from(new.force || moved.is_some()))
        .bind(at.as_millis())
        .bind(at.plus_seconds(new.timeout_seconds.max(1)).as_millis())
        .execute(&mut *tx)
        .await?;
        forget_pull_secrets(&mut tx, tenant, id).await?;
        if let Some(named) = &new.pull_secrets {
            put_pull_secrets(&mut tx, tenant, id, named).await?;
        }
        let message =
            moved.map_or_else(|| "queued".to_owned(), |now| format!("queued: the reference names {now} by now"));
        add_event(&mut tx, tenant, id, "Pending", &message, at, &data(new)).await?;
        tx.commit().await?;
        self.hint(id);
        let scan = self.scan(tenant, id).await?.ok_or_else(|| damaged("scan", "vanished while it was queued"))?;
        Ok(Some(Submitted { scan, created: true }))
    }
}

/// What the event of a scan that was queued says of it.
fn data(new: &NewScan) -> BTreeMap<String, String> {
    let notes = new.metadata.iter().map(|(key, value)| (format!("meta.{key}"), value.clone()));
    notes.chain([("force".to_owned(), new.force.to_string())]).collect()
}

/// The row of a first attempt.
macro_rules! queue {
    () => {
        "INSERT INTO scan (tenant, id, attempt, status, reference, asked_digest, source, node, metadata, created_at, updated_at,
           deadline, force)
         VALUES ($1, $2, 1, 'Pending', $3, $4, $5, $6, $7, $8, $8, $9, $10) ON CONFLICT (tenant, id) DO NOTHING"
    };
}

const QUEUE: &str = queue!();

/// For PostgreSQL, which a round trip costs more than a statement: the row and its event.
const QUEUE_WITH_EVENT: &str = concat!(
    "WITH queued AS (",
    queue!(),
    " RETURNING id)
     INSERT INTO scan_event (tenant, scan, sequence, state, message, at, data)
     SELECT $1, id, 1, 'Pending', 'queued', $8, $11 FROM queued"
);

/// `sql` with the values of a first attempt.
fn first(
    sql: &'static str,
    tenant: &Tenant,
    id: &str,
    new: &NewScan,
    at: Timestamp,
) -> Result<sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments>, StoreError> {
    Ok(sqlx::query(sql)
        .bind(tenant.as_str().to_owned())
        .bind(id.to_owned())
        .bind(new.reference.clone())
        .bind(new.digest.map(|digest| digest.to_string()))
        .bind(new.source.name())
        .bind(new.node.clone())
        .bind(text("metadata", &new.metadata)?)
        .bind(at.as_millis())
        .bind(at.plus_seconds(new.timeout_seconds.max(1)).as_millis())
        .bind(i64::from(new.force)))
}

/// What that wrote.
fn first_attempt(tenant: &Tenant, id: String, new: &NewScan, at: Timestamp) -> Scan {
    Scan {
        tenant: tenant.clone(),
        id,
        attempt: 1,
        status: ScanStatus::Pending,
        reference: new.reference.clone(),
        asked_digest: new.digest,
        digest: None,
        source: new.source,
        node: new.node.clone(),
        force: new.force,
        metadata: new.metadata.clone(),
        failure: None,
        created_at: at,
        updated_at: at,
        deadline: at.plus_seconds(new.timeout_seconds.max(1)),
    }
}

/// What the reference of a scan that succeeded names by now, when that is not the image that was scanned.
async fn moved(tx: &mut Connection, old: &Scan, new: &NewScan) -> Result<Option<Digest>, StoreError> {
    let (Some(before), Some(now), ScanStatus::Succeeded) = (old.digest, new.names_now, old.status) else {
        return Ok(None);
    };
    if old.asked_digest == Some(now) {
        return Ok(None);
    }
    let known = sqlx::query("SELECT digest FROM image_alias WHERE tenant = $1 AND name = $2")
        .bind(old.tenant.as_str())
        .bind(now.to_string())
        .fetch_optional(tx)
        .await?;
    let is_same = known.is_some_and(|row| row.get::<&str, _>(0) == before.to_string());
    Ok((!is_same).then_some(now))
}
