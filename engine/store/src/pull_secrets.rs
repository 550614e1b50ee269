//! Which Secrets a scan may pull its image with: their names, never what is in them.

use sqlx::Row as _;
use stella_domain::{Digest, Tenant};

use crate::codec::{from_text, text};
use crate::database::{Connection, Row};
use crate::{Store, StoreError};

/// Names of Secrets of one namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullSecrets {
    /// The namespace of whoever asked for the scan.
    pub namespace: String,
    /// Secrets in it.
    pub secrets: Vec<String>,
    /// A service account in it, whose own pull secrets count too.
    pub service_account: Option<String>,
}

impl Store {
    /// The Secrets that a scan may use, by namespace.
    ///
    /// # Errors
    /// When the database does not answer or a row is damaged.
    pub async fn pull_secrets(&self, tenant: &Tenant, scan: &str) -> Result<Vec<PullSecrets>, StoreError> {
        let rows = sqlx::query(
            "SELECT namespace, secrets, service_account FROM scan_pull_secrets WHERE tenant = $1 AND scan = $2
             ORDER BY namespace",
        )
        .bind(tenant.as_str())
        .bind(scan)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read).collect()
    }

    /// The Secrets that scans of an image may use, by namespace.
    ///
    /// # Errors
    /// When the database does not answer or a row is damaged.
    pub async fn image_pull_secrets(&self, tenant: &Tenant, image: &Digest) -> Result<Vec<PullSecrets>, StoreError> {
        let rows = sqlx::query(
            "SELECT DISTINCT p.namespace, p.secrets, p.service_account FROM scan_pull_secrets p
             JOIN scan s ON s.tenant = p.tenant AND s.id = p.scan
             WHERE s.tenant = $1 AND s.digest = $2 ORDER BY p.namespace, p.secrets LIMIT 16",
        )
        .bind(tenant.as_str())
        .bind(image.to_string())
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &Row) -> Result<PullSecrets, StoreError> {
    Ok(PullSecrets {
        namespace: row.get(0),
        secrets: from_text("pull secrets", row.get(1))?,
        service_account: row.get(2),
    })
}

/// Notes the Secrets of a namespace in place of those it noted before; none is a note, too.
pub(crate) async fn put_pull_secrets(
    tx: &mut Connection,
    tenant: &Tenant,
    scan: &str,
    named: &PullSecrets,
) -> Result<(), StoreError> {
    if named.secrets.is_empty() && named.service_account.is_none() {
        sqlx::query("DELETE FROM scan_pull_secrets WHERE tenant = $1 AND scan = $2 AND namespace = $3")
            .bind(tenant.as_str())
            .bind(scan)
            .bind(&named.namespace)
            .execute(tx)
            .await?;
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO scan_pull_secrets (tenant, scan, namespace, secrets, service_account)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (tenant, scan, namespace) DO UPDATE SET secrets = excluded.secrets,
           service_account = excluded.service_account",
    )
    .bind(tenant.as_str())
    .bind(scan)
    .bind(&named.namespace)
    .bind(text("pull secrets", &named.secrets)?)
    .bind(&named.service_account)
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets those of earlier attempts: nobody who asks now named them.
pub(crate) async fn forget_pull_secrets(tx: &mut Connection, tenant: &Tenant, scan: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM scan_pull_secrets WHERE tenant = $1 AND scan = $2")
        .bind(tenant.as_str())
        .bind(scan)
        .execute(tx)
        .await?;
    Ok(())
}
