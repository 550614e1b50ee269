//! Which Secrets a scan may pull its image with: their names, never what is in them.

use sqlx::Row as _;
use stella_domain::Tenant;

use crate::codec::{from_text, text};
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
    /// Notes the Secrets that a scan may use. Those that another namespace of the tenant noted stay.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn put_pull_secrets(&self, tenant: &Tenant, scan: &str, named: &PullSecrets) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
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
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

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
        let read = |row: &crate::database::Row| -> Result<PullSecrets, StoreError> {
            Ok(PullSecrets {
                namespace: row.get(0),
                secrets: from_text("pull secrets", row.get(1))?,
                service_account: row.get(2),
            })
        };
        rows.iter().map(read).collect()
    }
}
