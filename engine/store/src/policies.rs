//! Revisions of policies.

use sqlx::Row as _;
use stella_domain::{Tenant, Timestamp};

use crate::codec::{Columns, damaged};
use crate::database::Connection;
use crate::{Store, StoreError};

/// One revision of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRevision {
    /// Its tenant.
    pub tenant: Tenant,
    /// Counts the tenant's revisions from 1.
    pub number: i64,
    /// `namespace/name` of the object it comes from.
    pub name: String,
    /// Digest of the document, hex.
    pub digest: String,
    /// Where it comes from.
    pub source: String,
    /// Who changed it.
    pub actor: String,
    /// When.
    pub at: Timestamp,
    /// Higher is asked first.
    pub priority: i64,
    /// The object's spec, JSON.
    pub body: String,
    /// Whether it takes part in decisions.
    pub active: bool,
    /// What its author says of the change.
    pub description: String,
}

/// What came of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// The revision is in force; it may be the one that was.
    InForce(PolicyRevision),
    /// The active revision has another digest than was expected: this one, or none.
    Changed(Option<String>),
    /// Policies of other names are in force.
    Owned(Vec<String>),
}

const REVISION: &str = "tenant, number, name, digest, source, actor, at, priority, body, active, description";

impl Store {
    /// Makes `revision` the active one of its name; its number is given here. Nothing changes when the active one has the
    /// same digest and body. Returns the active revision.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn activate_policy(&self, revision: &PolicyRevision) -> Result<PolicyRevision, StoreError> {
        let mut tx = self.begin_alone(&["policy", revision.tenant.as_str()]).await?;
        let active = activate(&mut tx, revision).await?;
        tx.commit().await?;
        Ok(active)
    }

    /// Makes `revision` the active one of its name, if no policy of another name is in force in the tenant and, where `expected`
    /// is given, the active one of its name has one of these digests (`None` stands for no active one).
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn import_policy(
        &self,
        revision: &PolicyRevision,
        expected: Option<&[Option<String>]>,
    ) -> Result<Imported, StoreError> {
        let mut tx = self.begin_alone(&["policy", revision.tenant.as_str()]).await?;
        let rows = sqlx::query("SELECT name, digest FROM policy_rev WHERE tenant = $1 AND active = 1 ORDER BY name")
            .bind(revision.tenant.as_str())
            .fetch_all(&mut *tx)
            .await?;
        let (own, others): (Vec<_>, Vec<_>) = rows
            .iter()
            .map(|row| (row.get::<String, _>(0), row.get::<String, _>(1)))
            .partition(|(name, _)| *name == revision.name);
        if !others.is_empty() {
            return Ok(Imported::Owned(others.into_iter().map(|(name, _)| name).collect()));
        }
        let present = own.into_iter().next().map(|(_, digest)| digest);
        if expected.is_some_and(|expected| !expected.contains(&present)) {
            return Ok(Imported::Changed(present));
        }
        let active = activate(&mut tx, revision).await?;
        tx.commit().await?;
        Ok(Imported::InForce(active))
    }

    /// Takes the policy `name` out of every decision. `false` when it was not there.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn retire_policy(&self, tenant: &Tenant, name: &str) -> Result<bool, StoreError> {
        let mut tx = self.begin_alone(&["policy", tenant.as_str()]).await?;
        let changed = deactivate(&mut tx, tenant, name).await?;
        tx.commit().await?;
        Ok(changed > 0)
    }

    /// Every active policy, by tenant, then priority (higher first), then name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn active_policies(&self) -> Result<Vec<PolicyRevision>, StoreError> {
        let sql = self
            .sql(format!("SELECT {REVISION} FROM policy_rev WHERE active = 1 ORDER BY tenant, priority DESC, name"));
        self.look_up(sql, |row| read(row)).await
    }

    /// At most `limit` revisions of a tenant with a number below `before`, newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn policy_history(
        &self,
        tenant: &Tenant,
        before: i64,
        limit: i64,
    ) -> Result<Vec<PolicyRevision>, StoreError> {
        let sql = format!(
            "SELECT {REVISION} FROM policy_rev WHERE tenant = $1 AND number < $2 ORDER BY number DESC LIMIT $3"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(tenant.as_str())
            .bind(before)
            .bind(limit)
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read).collect()
    }

    /// One revision of a tenant.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn policy_revision(&self, tenant: &Tenant, number: i64) -> Result<Option<PolicyRevision>, StoreError> {
        let sql = format!("SELECT {REVISION} FROM policy_rev WHERE tenant = $1 AND number = $2");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(tenant.as_str())
            .bind(number)
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The revision of the same policy before `number`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn policy_before(
        &self,
        tenant: &Tenant,
        name: &str,
        number: i64,
    ) -> Result<Option<PolicyRevision>, StoreError> {
        let sql = format!(
            "SELECT {REVISION} FROM policy_rev WHERE tenant = $1 AND name = $2 AND number < $3
             ORDER BY number DESC LIMIT 1"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(tenant.as_str())
            .bind(name)
            .bind(number)
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(read).transpose()
    }
}

async fn activate(tx: &mut Connection, revision: &PolicyRevision) -> Result<PolicyRevision, StoreError> {
    let sql = format!("SELECT {REVISION} FROM policy_rev WHERE tenant = $1 AND name = $2 AND active = 1");
    let old = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(revision.tenant.as_str())
        .bind(&revision.name)
        .fetch_optional(&mut *tx)
        .await?;
    if let Some(old) = old.as_ref().map(read).transpose()?
        && old.digest == revision.digest
        && old.body == revision.body
    {
        return Ok(old);
    }
    deactivate(tx, &revision.tenant, &revision.name).await?;
    let number: i64 = sqlx::query("SELECT coalesce(max(number), 0) + 1 FROM policy_rev WHERE tenant = $1")
        .bind(revision.tenant.as_str())
        .fetch_one(&mut *tx)
        .await?
        .get(0);
    sqlx::query(
        "INSERT INTO policy_rev (tenant, number, name, digest, source, actor, at, priority, body, active, description)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10)",
    )
    .bind(revision.tenant.as_str())
    .bind(number)
    .bind(&revision.name)
    .bind(&revision.digest)
    .bind(&revision.source)
    .bind(&revision.actor)
    .bind(revision.at.as_millis())
    .bind(revision.priority)
    .bind(&revision.body)
    .bind(&revision.description)
    .execute(&mut *tx)
    .await?;
    Ok(PolicyRevision { number, active: true, ..revision.clone() })
}

async fn deactivate(tx: &mut Connection, tenant: &Tenant, name: &str) -> Result<u64, StoreError> {
    let done = sqlx::query("UPDATE policy_rev SET active = 0 WHERE tenant = $1 AND name = $2 AND active = 1")
        .bind(tenant.as_str())
        .bind(name)
        .execute(tx)
        .await?;
    Ok(done.rows_affected())
}

fn read(row: &(impl Columns + ?Sized)) -> Result<PolicyRevision, StoreError> {
    let text = |at: usize| row.text(at).map(str::to_owned);
    Ok(PolicyRevision {
        tenant: row.text(0)?.parse().map_err(|e: stella_domain::TenantError| damaged("policy", e))?,
        number: row.number(1)?,
        name: text(2)?,
        digest: text(3)?,
        source: text(4)?,
        actor: text(5)?,
        at: Timestamp::from_millis(row.number(6)?),
        priority: row.number(7)?,
        body: text(8)?,
        active: row.number(9)? != 0,
        description: text(10)?,
    })
}
