//! The scan queue.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use sqlx::Row as _;
use stella_domain::{Digest, Hasher, Tenant, Timestamp};

use crate::codec::{Columns, damaged, digest, from_text, text};
use crate::database::{Connection, Row};
use crate::pull_secrets::PullSecrets;
use crate::sql::Batch;
use crate::{ScanSource, Store, StoreError};

/// Where a scan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the contract's and say it")]
pub enum ScanStatus {
    Pending,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl ScanStatus {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    fn read(name: &str) -> Result<Self, StoreError> {
        [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|status| status.name() == name)
            .ok_or_else(|| damaged("scan", format!("unknown status '{name}'")))
    }
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewScan {
    /// The image as pods name it.
    pub reference: Option<String>,
    /// A digest of it.
    pub digest: Option<Digest>,
    /// Where it comes from; of a URL the reference is the URL.
    pub source: ScanSource,
    /// Of an upload that is read while nobody waits: the digest of what was sent, which stands for its name.
    pub sent: Option<Digest>,
    /// A node known to have it.
    pub node: Option<String>,
    /// The namespace that asks, and with which of its Secrets the image is pulled; no part of the identity.
    pub pull_secrets: Option<PullSecrets>,
    /// Scan again although it was done.
    pub force: bool,
    /// Scan again although it was done, by what is stored of the image; no part of the identity.
    pub again: bool,
    /// Notes; no part of the identity.
    pub metadata: BTreeMap<String, String>,
    /// Seconds after which it fails.
    pub timeout_seconds: i64,
    /// The digest that the reference names at its registry, where that was looked up; no part of the identity.
    pub names_now: Option<Digest>,
}

impl NewScan {
    /// The id: 32 hex digits from tenant and what identifies the work.
    #[must_use]
    pub fn id(&self, tenant: &Tenant) -> String {
        let mut hasher = Hasher::new();
        hasher.field(tenant.as_str());
        hasher.field(self.reference.as_deref().unwrap_or_default());
        hasher.field(self.digest.map(|d| d.to_string()).unwrap_or_default());
        if self.source == ScanSource::Url {
            hasher.field("url");
        }
        if let Some(sent) = self.sent {
            hasher.field("sent");
            hasher.field(sent.to_string());
        }
        hasher.finish().hex()[..32].to_owned()
    }
}

/// A scan in the queue, or done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Its tenant.
    pub tenant: Tenant,
    /// Its id.
    pub id: String,
    /// Which attempt it is, from 1.
    pub attempt: i64,
    /// Where it stands.
    pub status: ScanStatus,
    /// The image as asked.
    pub reference: Option<String>,
    /// The digest as asked; of a reference that names another image than before, the digest it names by now.
    pub asked_digest: Option<Digest>,
    /// The digest the image is filed under, once known.
    pub digest: Option<Digest>,
    /// Where it comes from.
    pub source: ScanSource,
    /// A node known to have it.
    pub node: Option<String>,
    /// Whether to read the image again although it is stored.
    pub force: bool,
    /// Notes.
    pub metadata: BTreeMap<String, String>,
    /// Why it failed.
    pub failure: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it fails if it has not finished.
    pub deadline: Timestamp,
}

impl Scan {
    /// The image as asked, to be shown: the query of a URL may be a signature that lets everybody in.
    #[must_use]
    pub fn shown(&self) -> Option<&str> {
        let reference = self.reference.as_deref()?;
        let is_url = reference.contains("://");
        Some(if is_url { reference.split(['?', '#']).next().unwrap_or_default() } else { reference })
    }
}

/// One step of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanEvent {
    /// From 1.
    pub sequence: i64,
    /// The state.
    pub state: String,
    /// One sentence.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// Details.
    pub data: BTreeMap<String, String>,
}

impl Store {
    /// A scan by its id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn scan(&self, tenant: &Tenant, id: &str) -> Result<Option<Scan>, StoreError> {
        if let Some(local) = self.local() {
            return local.read(|connection| {
                let mut sql = connection.prepare_cached(&BY_ID)?;
                let mut rows = sql.query([tenant.as_str(), id])?;
                rows.next()?.map(scan).transpose()
            });
        }
        let row = sqlx::query(sqlx::AssertSqlSafe(BY_ID.as_str()))
            .bind(tenant.as_str())
            .bind(id)
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(scan).transpose()
    }

    /// Scans that are not finished, oldest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn open_scans(&self) -> Result<Vec<Scan>, StoreError> {
        let sql = format!("SELECT {SCAN} FROM scan WHERE status IN ('Pending', 'Running') ORDER BY created_at, id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(self.reader()).await?;
        rows.iter().map(scan).collect()
    }

    /// Moves a scan that is not finished to `status`, with the event that says so. `false` when it was finished already.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn advance_scan(
        &self,
        scan: &Scan,
        status: ScanStatus,
        image: Option<&Digest>,
        message: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let changed = sqlx::query(
            "UPDATE scan SET status = $4, digest = coalesce($5, digest), failure = $6, updated_at = $7
             WHERE tenant = $1 AND id = $2 AND attempt = $3 AND status IN ('Pending', 'Running')",
        )
        .bind(scan.tenant.as_str())
        .bind(&scan.id)
        .bind(scan.attempt)
        .bind(status.name())
        .bind(image.map(ToString::to_string))
        .bind((status == ScanStatus::Failed).then_some(message))
        .bind(at.as_millis())
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if changed > 0 {
            add_event(&mut tx, &scan.tenant, &scan.id, status.name(), message, at, &BTreeMap::new()).await?;
        }
        tx.commit().await?;
        if changed > 0 {
            self.hint(&scan.id);
        }
        Ok(changed > 0)
    }

    /// Events of a scan after `sequence`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn scan_events(&self, tenant: &Tenant, id: &str, after: i64) -> Result<Vec<ScanEvent>, StoreError> {
        let rows = sqlx::query(
            "SELECT sequence, state, message, at, data FROM scan_event
             WHERE tenant = $1 AND scan = $2 AND sequence > $3 ORDER BY sequence",
        )
        .bind(tenant.as_str())
        .bind(id)
        .bind(after)
        .fetch_all(self.reader())
        .await?;
        let event = |row: &Row| -> Result<ScanEvent, StoreError> {
            Ok(ScanEvent {
                sequence: row.get(0),
                state: row.get(1),
                message: row.get(2),
                at: Timestamp::from_millis(row.get(3)),
                data: from_text("scan event", row.get(4))?,
            })
        };
        rows.iter().map(event).collect()
    }
}

/// Columns of a scan, as [`scan`] reads them.
pub(crate) const SCAN: &str = "tenant, id, attempt, status, reference, asked_digest, digest, source, node, metadata, failure, \
                    created_at, updated_at, deadline, force";

/// One scan.
static BY_ID: LazyLock<String> = LazyLock::new(|| format!("SELECT {SCAN} FROM scan WHERE tenant = $1 AND id = $2"));

pub(crate) fn scan(row: &impl Columns) -> Result<Scan, StoreError> {
    let optional = |at: usize| row.optional(at)?.map(|text| digest("scan", text)).transpose();
    let owned = |at: usize| Ok::<_, StoreError>(row.optional(at)?.map(str::to_owned));
    let time = |at: usize| row.number(at).map(Timestamp::from_millis);
    Ok(Scan {
        tenant: row.text(0)?.parse().map_err(|e: stella_domain::TenantError| damaged("scan", e))?,
        id: row.text(1)?.to_owned(),
        attempt: row.number(2)?,
        status: ScanStatus::read(row.text(3)?)?,
        reference: owned(4)?,
        asked_digest: optional(5)?,
        digest: optional(6)?,
        source: ScanSource::read(row.text(7)?)?,
        node: owned(8)?,
        metadata: from_text("scan", row.text(9)?)?,
        failure: owned(10)?,
        created_at: time(11)?,
        updated_at: time(12)?,
        deadline: time(13)?,
        force: row.number(14)? != 0,
    })
}

pub(crate) async fn add_event(
    tx: &mut Connection,
    tenant: &Tenant,
    id: &str,
    state: &str,
    message: &str,
    at: Timestamp,
    data: &BTreeMap<String, String>,
) -> Result<(), StoreError> {
    let mut batch = Batch::on(tx);
    push_event(&mut batch, tenant, id, (state, message, at), data)?;
    batch.run(tx).await
}

/// Adds the next event of a scan.
pub(crate) fn push_event(
    batch: &mut Batch,
    tenant: &Tenant,
    id: &str,
    (state, message, at): (&str, &str, Timestamp),
    data: &BTreeMap<String, String>,
) -> Result<(), StoreError> {
    let sql = batch.next("INSERT INTO scan_event (tenant, scan, sequence, state, message, at, data) SELECT ");
    let mut row = sql.separated(", ");
    row.push_bind(tenant.as_str()).push_bind(id);
    row.push("coalesce(max(sequence), 0) + 1");
    row.push_bind(state).push_bind(message).push_bind(at.as_millis()).push_bind(text("scan event", data)?);
    sql.push(" FROM scan_event WHERE tenant = ").push_bind(tenant.as_str()).push(" AND scan = ").push_bind(id);
    Ok(())
}
