//! Findings as they are listed.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::Row as _;
use stella_domain::{Digest, Reachability, Severity, Tenant, Timestamp};

use crate::codec::{Columns, digest};
use crate::filing::{pieces, put_findings, put_generation};
use crate::finding_counts::recount;
use crate::finding_query::{COLUMNS, FROM, counts, page_of_images, page_of_kinds};
use crate::sql::Sql;
use crate::{Store, StoreError};

/// A finding with what is asked of it in lists. `body`, `evidence` and `verdict` are JSON documents of the layer above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingRow {
    /// Its id.
    pub id: String,
    /// The image.
    pub digest: Digest,
    /// Ascending is worst first.
    pub rank: i64,
    /// How bad.
    pub severity: Severity,
    /// What people call the vulnerability.
    pub advisory_id: String,
    /// Every id of it, in capitals: they are searched.
    pub names: Vec<String>,
    /// Index of the component in the image's inventory.
    pub component: i64,
    /// The package.
    pub purl: String,
    /// Known to be exploited.
    pub kev: bool,
    /// Some version fixes it.
    pub fixed: bool,
    /// How close to running.
    pub reach: Reachability,
    /// Why it is not known better; empty when it is.
    pub reach_reason: String,
    /// Evidence for `reach`, a JSON array.
    pub evidence: String,
    /// How close to running the package was in other images of the repository; counts while `reach` is unknown.
    pub inherited_reach: Reachability,
    /// Evidence for `inherited_reach`, a JSON array.
    pub inherited: String,
    /// The console's word for the verdict.
    pub badge: String,
    /// The verdict, a JSON object.
    pub verdict: String,
    /// The facts, a JSON object.
    pub body: String,
    /// When the finding first appeared; filled in when read.
    pub first_seen: Timestamp,
}

/// New use of a component's findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachUpdate {
    /// Index of the component.
    pub component: i64,
    /// How close to running.
    pub reach: Reachability,
    /// Why it is not known better.
    pub reason: String,
    /// Evidence, a JSON array.
    pub evidence: String,
}

/// Use that a component's findings take over from other images of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InheritedUpdate {
    /// Index of the component.
    pub component: i64,
    /// How close to running it was there; unknown when nothing was seen.
    pub reach: Reachability,
    /// Evidence, a JSON array.
    pub evidence: String,
}

/// A new verdict of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictUpdate {
    /// The finding.
    pub id: String,
    /// The console's word.
    pub badge: String,
    /// The verdict, a JSON object.
    pub verdict: String,
}

/// Which findings are wanted. Empty lists ask for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FindingQuery {
    /// Levels.
    pub severity: Vec<Severity>,
    /// purls or image digests.
    pub product: Vec<String>,
    /// The console's words.
    pub badge: Vec<String>,
    /// Levels of use.
    pub reach: Vec<Reachability>,
    /// Part of an id, any case.
    pub search: Option<String>,
    /// Images.
    pub images: Option<Vec<Digest>>,
    /// Rank and id after which to go on.
    pub after: Option<(i64, String)>,
    /// How many at most.
    pub limit: i64,
}

/// Counts of findings by value, over everything that a query asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facets {
    /// By severity level.
    pub severity: BTreeMap<String, i64>,
    /// By the console's word for the verdict.
    pub badge: BTreeMap<String, i64>,
    /// By level of use.
    pub reach: BTreeMap<String, i64>,
}

impl Store {
    /// Puts `findings` in place of those of the image, and notes the generation of the index they come from. Use and verdict
    /// of findings that stay are taken from `findings`; their first appearance is kept.
    ///
    /// # Errors
    /// When the database does not take them; then the old ones stay.
    pub async fn replace_findings(
        &self,
        tenant: &Tenant,
        image: &Digest,
        generation: &str,
        findings: &[FindingRow],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let (owner, image, generation) = (tenant.clone(), *image, generation.to_owned());
        let findings: Arc<[FindingRow]> = findings.into();
        self.write(
            &[&["findings", tenant.as_str()]],
            || Ok(()),
            move |writing, ()| {
                Box::pin(async move {
                    put_findings(writing, &owner, &image, &findings, at).await?;
                    let mut batch = writing.batch();
                    put_generation(&mut batch, &owner, &image, &generation, at);
                    writing.run(batch).await
                })
            },
        )
        .await
    }

    /// Every finding of an image, worst first.
    ///
    /// # Errors
    /// When the database does not answer or a row is damaged.
    pub async fn image_findings(&self, tenant: &Tenant, image: &Digest) -> Result<Vec<FindingRow>, StoreError> {
        let query = FindingQuery { images: Some(vec![*image]), limit: i64::MAX, ..FindingQuery::default() };
        self.look_up_many(page_of_images(self.sql(""), tenant, &query), |row| finding(row)).await
    }

    /// The findings a query asks for, worst first.
    ///
    /// # Errors
    /// When the database does not answer or a row is damaged.
    pub async fn findings(&self, tenant: &Tenant, query: &FindingQuery) -> Result<Vec<FindingRow>, StoreError> {
        let mut page = self.page("", tenant, query).await?;
        let rows = page.build().fetch_all(self.reader()).await?;
        rows.iter().map(finding).collect()
    }

    /// One finding.
    ///
    /// # Errors
    /// When the database does not answer or the row is damaged.
    pub async fn finding(&self, tenant: &Tenant, id: &str) -> Result<Option<FindingRow>, StoreError> {
        let mut sql = self.sql("SELECT ");
        sql.push(COLUMNS)
            .push(FROM)
            .push_bind(tenant.as_str().to_owned())
            .push(" AND f.id = ")
            .push_bind(id.to_owned());
        let row = sql.build().fetch_optional(self.reader()).await?;
        row.as_ref().map(finding).transpose()
    }

    /// How the database finds what [`Self::findings`] and [`Self::facets`] ask for, in its own words.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn finding_plans(&self, tenant: &Tenant, query: &FindingQuery) -> Result<[String; 2], StoreError> {
        let (explain, column) = if self.is_sqlite() { ("EXPLAIN QUERY PLAN ", 3) } else { ("EXPLAIN ANALYZE ", 0) };
        let plan = async |mut sql: Sql| {
            let rows = sql.build().fetch_all(self.reader()).await?;
            let lines: Vec<String> = rows.iter().map(|row| row.get(column)).collect();
            Ok::<_, StoreError>(lines.join("\n"))
        };
        let page = plan(self.page(explain, tenant, query).await?).await?;
        Ok([page, plan(counts(self.sql(explain), tenant, query)).await?])
    }

    /// The statement behind [`Self::findings`], after `explain`.
    async fn page(&self, explain: &'static str, tenant: &Tenant, query: &FindingQuery) -> Result<Sql, StoreError> {
        Ok(match query.images {
            Some(_) => page_of_images(self.sql(explain), tenant, query),
            None => page_of_kinds(self.sql(explain), tenant, query, &self.kinds(tenant, query).await?),
        })
    }

    /// Sets the use of the findings of an image's components.
    ///
    /// # Errors
    /// When the database does not take it; then nothing is changed.
    pub async fn set_reach(&self, tenant: &Tenant, image: &Digest, updates: &[ReachUpdate]) -> Result<(), StoreError> {
        let mut tx = self.begin_alone(&["findings", tenant.as_str()]).await?;
        for update in updates {
            sqlx::query(
                "UPDATE finding SET reach = $4, reach_reason = $5, evidence = $6
                 WHERE tenant = $1 AND digest = $2 AND component = $3",
            )
            .bind(tenant.as_str())
            .bind(image.to_string())
            .bind(update.component)
            .bind(update.reach.name())
            .bind(&update.reason)
            .bind(&update.evidence)
            .execute(&mut *tx)
            .await?;
        }
        recount(&mut tx, tenant, image).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Sets what the findings of an image's components inherit.
    ///
    /// # Errors
    /// When the database does not take it; then nothing is changed.
    pub async fn set_inherited(
        &self,
        tenant: &Tenant,
        image: &Digest,
        updates: &[InheritedUpdate],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_alone(&["findings", tenant.as_str()]).await?;
        for update in updates {
            sqlx::query(
                "UPDATE finding SET inherited_reach = $4, inherited = $5 WHERE tenant = $1 AND digest = $2 AND component = $3",
            )
            .bind(tenant.as_str())
            .bind(image.to_string())
            .bind(update.component)
            .bind(update.reach.name())
            .bind(&update.evidence)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Sets the verdicts of findings of an image; those of others stay.
    ///
    /// # Errors
    /// When the database does not take them; then nothing is changed.
    pub async fn set_verdicts(
        &self,
        tenant: &Tenant,
        image: &Digest,
        updates: &[VerdictUpdate],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_alone(&["findings", tenant.as_str()]).await?;
        for rows in pieces(updates) {
            let mut sql = self.sql("UPDATE finding SET badge = changed.column2, verdict = changed.column3 FROM (");
            sql.push_values(rows, |mut row, update| {
                row.push_bind(&update.id).push_bind(&update.badge).push_bind(&update.verdict);
            });
            sql.push(") AS changed WHERE finding.id = changed.column1 AND finding.tenant = ");
            sql.push_bind(tenant.as_str()).push(" AND finding.digest = ").push_bind(image.to_string());
            sql.build().execute(&mut *tx).await?;
        }
        recount(&mut tx, tenant, image).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// A finding as its row has it.
pub(crate) fn finding(row: &(impl Columns + ?Sized)) -> Result<FindingRow, StoreError> {
    let damaged = |reason: String| crate::codec::damaged("finding", reason);
    let text = |at: usize| row.text(at).map(str::to_owned);
    Ok(FindingRow {
        id: text(0)?,
        digest: digest("finding", row.text(1)?)?,
        rank: row.number(2)?,
        severity: row.text(3)?.parse().map_err(|e: stella_domain::SeverityError| damaged(e.to_string()))?,
        advisory_id: text(4)?,
        names: row.text(5)?.split('\n').map(str::to_owned).collect(),
        component: row.number(6)?,
        purl: text(7)?,
        kev: row.number(8)? != 0,
        fixed: row.number(9)? != 0,
        reach: row.text(10)?.parse().map_err(damaged)?,
        reach_reason: text(11)?,
        evidence: text(12)?,
        inherited_reach: row.text(13)?.parse().map_err(damaged)?,
        inherited: text(14)?,
        badge: text(15)?,
        verdict: text(16)?,
        body: text(17)?,
        first_seen: Timestamp::from_millis(row.number(18)?),
    })
}
