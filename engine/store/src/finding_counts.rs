//! How many findings there are of each kind, kept beside the findings. A kind is a severity, a badge and a level of use.

use std::collections::BTreeMap;

use sqlx::Row as _;
use stella_domain::{Digest, Tenant};

use crate::database::Connection;
use crate::finding_query::{counts, kinds};
use crate::sql::Batch;
use crate::{Facets, FindingQuery, FindingRow, Store, StoreError};

/// A kind of findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind {
    pub severity: String,
    pub badge: String,
    pub reach: String,
}

impl Store {
    /// Counts over everything that `query` asks for, whatever page it is on. They are there already unless it searches or names
    /// products; then rows are counted.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn facets(&self, tenant: &Tenant, query: &FindingQuery) -> Result<Facets, StoreError> {
        let mut facets = Facets::default();
        for row in counts(self.sql(""), tenant, query).build().fetch_all(self.reader()).await? {
            let count: i64 = row.get(3);
            *facets.severity.entry(row.get(0)).or_default() += count;
            *facets.badge.entry(row.get(1)).or_default() += count;
            *facets.reach.entry(row.get(2)).or_default() += count;
        }
        Ok(facets)
    }

    /// The kinds that `query` asks for and that there are.
    pub(crate) async fn kinds(&self, tenant: &Tenant, query: &FindingQuery) -> Result<Vec<Kind>, StoreError> {
        let rows = kinds(self.sql(""), tenant, query).build().fetch_all(self.reader()).await?;
        let kind = |row: &crate::database::Row| Kind { severity: row.get(0), badge: row.get(1), reach: row.get(2) };
        Ok(rows.iter().map(kind).collect())
    }
}

/// Counts the findings of an image again, after some of them changed.
pub(crate) async fn recount(tx: &mut Connection, tenant: &Tenant, image: &Digest) -> Result<(), StoreError> {
    let image = image.to_string();
    let mut before = Batch::on(tx);
    forget_counts(&mut before, tenant, &image);
    before.run(tx).await?;
    sqlx::query(COUNT).bind(tenant.as_str()).bind(&image).execute(&mut *tx).await?;
    let mut after = Batch::on(tx);
    add_to_total(&mut after, tenant, &image, 1);
    after.run(tx).await
}

/// Counts the findings of an image, which are all of `findings` from now on.
pub(crate) fn push_counts(batch: &mut Batch, tenant: &Tenant, image: &Digest, findings: &[&FindingRow]) {
    let mut kinds: BTreeMap<[&str; 3], i64> = BTreeMap::new();
    for finding in findings {
        *kinds.entry([finding.severity.name(), &finding.badge, finding.reach.name()]).or_default() += 1;
    }
    let image = image.to_string();
    forget_counts(batch, tenant, &image);
    if kinds.is_empty() {
        return;
    }
    let insert = batch.next("INSERT INTO finding_count (tenant, digest, severity, badge, reach, findings) ");
    insert.push_values(kinds, |mut row, ([severity, badge, reach], findings)| {
        row.push_bind(tenant.as_str()).push_bind(image.as_str());
        row.push_bind(severity).push_bind(badge).push_bind(reach).push_bind(findings);
    });
    add_to_total(batch, tenant, &image, 1);
}

/// Of the image first, and grouped then: asked for both at once SQLite takes the index that groups, and reads it all.
const COUNT: &str = "
    INSERT INTO finding_count (tenant, digest, severity, badge, reach, findings)
    WITH of_image AS MATERIALIZED (SELECT severity, badge, reach FROM finding WHERE tenant = $1 AND digest = $2)
    SELECT $1, $2, severity, badge, reach, count(*) FROM of_image GROUP BY severity, badge, reach";

/// Takes what is counted of an image out of its tenant's sum, and forgets it.
pub(crate) fn forget_counts(batch: &mut Batch, tenant: &Tenant, image: &str) {
    add_to_total(batch, tenant, image, -1);
    let sql = batch.next("DELETE FROM finding_count WHERE tenant = ").push_bind(tenant.as_str());
    sql.push(" AND digest = ").push_bind(image);
}

/// Adds what is counted of an image, so many times, to what is counted of its tenant.
fn add_to_total(batch: &mut Batch, tenant: &Tenant, image: &str, times: i64) {
    let sql = batch.next(
        "INSERT INTO finding_total (tenant, severity, badge, reach, findings) SELECT tenant, severity, badge, reach, findings * ",
    );
    sql.push_bind(times).push(" FROM finding_count WHERE tenant = ").push_bind(tenant.as_str());
    sql.push(" AND digest = ").push_bind(image);
    sql.push(
        " ON CONFLICT (tenant, severity, badge, reach) DO UPDATE SET findings = finding_total.findings + excluded.findings",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_image_is_counted_without_a_look_at_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let explain = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {COUNT}"))).bind("a").bind("b");
        let rows = explain.fetch_all(store.writer()).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(3)).collect();
        assert!(plan.iter().any(|step| step.contains("finding_image (tenant=? AND digest=?)")), "{plan:#?}");
        assert!(!plan.iter().any(|step| step.contains("(tenant=?)")), "{plan:#?}");
    }
}
