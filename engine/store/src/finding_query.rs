//! Which findings are asked for, as SQL.

use stella_domain::Tenant;

use crate::FindingQuery;
use crate::finding_counts::Kind;
use crate::sql::{Sql, like};

/// Columns of a finding, as they are read.
pub(crate) const COLUMNS: &str = "f.id, f.digest, f.rank, f.severity, f.advisory_id, f.names, f.component, f.purl, f.kev, f.fixed, \
                       f.reach, f.reach_reason, f.evidence, f.inherited_reach, f.inherited, f.badge, f.verdict, f.body, \
                       f.first_seen";
/// Where they come from; the tenant follows.
pub(crate) const FROM: &str = " FROM finding f WHERE f.tenant = ";

/// What follows in `sql` is a page of the findings of images.
pub(crate) fn page_of_images(mut sql: Sql, tenant: &Tenant, query: &FindingQuery) -> Sql {
    sql.push("SELECT ").push(COLUMNS).push(FROM).push_bind(tenant.as_str().to_owned());
    of_kinds(&mut sql, query);
    of_images(&mut sql, query);
    matching(&mut sql, query);
    after(&mut sql, query);
    sql.push(" ORDER BY f.rank, f.id LIMIT ").push_bind(query.limit);
    sql
}

/// What follows in `sql` is a page of all findings of `kinds`: the worst of each kind, and of those the worst. However few there
/// are of what is asked for, no other rows are looked at.
pub(crate) fn page_of_kinds(mut sql: Sql, tenant: &Tenant, query: &FindingQuery, kinds: &[Kind]) -> Sql {
    sql.push("SELECT ").push(COLUMNS).push(" FROM (");
    if kinds.is_empty() {
        sql.push("SELECT f.rank, f.id FROM finding f WHERE 1 = 0");
    }
    for (number, kind) in kinds.iter().enumerate() {
        sql.push(if number == 0 { "SELECT * FROM (" } else { " UNION ALL SELECT * FROM (" });
        sql.push("SELECT f.rank, f.id FROM finding f WHERE f.tenant = ").push_bind(tenant.as_str().to_owned());
        sql.push(" AND f.severity = ").push_bind(kind.severity.clone());
        sql.push(" AND f.badge = ").push_bind(kind.badge.clone());
        sql.push(" AND f.reach = ").push_bind(kind.reach.clone());
        matching(&mut sql, query);
        after(&mut sql, query);
        sql.push(" ORDER BY f.rank, f.id LIMIT ").push_bind(query.limit).push(") AS kind");
    }
    // SQLite takes a cross join in the order it is written; by itself it would look at every finding for the page.
    sql.push(" ORDER BY 1, 2 LIMIT ").push_bind(query.limit);
    sql.push(") AS page CROSS JOIN finding f WHERE f.id = page.id AND f.tenant = ");
    sql.push_bind(tenant.as_str().to_owned());
    sql.push(" ORDER BY f.rank, f.id");
    sql
}

/// What follows in `sql` are counts by severity, badge and use, over everything.
pub(crate) fn counts(mut sql: Sql, tenant: &Tenant, query: &FindingQuery) -> Sql {
    let rows = !query.product.is_empty() || query.search.is_some();
    let (count, from) = match (rows, &query.images) {
        (true, _) => ("count(*)", "finding"),
        (false, Some(_)) => (SUM, "finding_count"),
        (false, None) => (SUM, "finding_total"),
    };
    sql.push("SELECT f.severity, f.badge, f.reach, ")
        .push(count)
        .push(" FROM ")
        .push(from)
        .push(" f WHERE f.tenant = ");
    sql.push_bind(tenant.as_str().to_owned());
    of_kinds(&mut sql, query);
    of_images(&mut sql, query);
    matching(&mut sql, query);
    sql.push(" GROUP BY f.severity, f.badge, f.reach HAVING ").push(count).push(" > 0");
    sql
}

/// PostgreSQL's sum of integers is no integer.
const SUM: &str = "CAST(sum(f.findings) AS BIGINT)";

/// What follows in `sql` are the kinds that there are.
pub(crate) fn kinds(mut sql: Sql, tenant: &Tenant, query: &FindingQuery) -> Sql {
    sql.push("SELECT f.severity, f.badge, f.reach FROM finding_total f WHERE f.findings > 0 AND f.tenant = ");
    sql.push_bind(tenant.as_str().to_owned());
    of_kinds(&mut sql, query);
    sql.push(" ORDER BY f.severity, f.badge, f.reach");
    sql
}

fn of_kinds(sql: &mut Sql, query: &FindingQuery) {
    among(sql, "f.severity", query.severity.iter().map(|s| s.name().to_owned()));
    among(sql, "f.badge", query.badge.iter().cloned());
    among(sql, "f.reach", query.reach.iter().map(|r| r.name().to_owned()));
}

fn of_images(sql: &mut Sql, query: &FindingQuery) {
    if let Some(images) = &query.images {
        if images.is_empty() {
            sql.push(" AND 1 = 0");
        }
        among(sql, "f.digest", images.iter().map(ToString::to_string));
    }
}

fn matching(sql: &mut Sql, query: &FindingQuery) {
    if !query.product.is_empty() {
        sql.push(" AND (1 = 0");
        for product in &query.product {
            sql.push(" OR f.purl = ").push_bind(product.clone()).push(" OR f.digest = ").push_bind(product.clone());
        }
        sql.push(")");
    }
    if let Some(search) = &query.search {
        // PostgreSQL takes no NUL in text; names hold none.
        let pattern = format!("%{}%", like(&search.to_uppercase().replace('\0', "\u{fffd}")));
        sql.push(" AND f.names LIKE ").push_bind(pattern).push(" ESCAPE '\\'");
    }
}

fn after(sql: &mut Sql, query: &FindingQuery) {
    if let Some((rank, id)) = &query.after {
        sql.push(" AND (f.rank, f.id) > (").push_bind(*rank).push(", ").push_bind(id.clone()).push(")");
    }
}

/// What follows asks for a column to be one of `values`, if there are any.
pub(crate) fn among(sql: &mut Sql, column: &'static str, values: impl ExactSizeIterator<Item = String>) {
    if values.len() == 0 {
        return;
    }
    sql.push(" AND ").push(column).push(" IN (");
    let mut list = sql.separated(", ");
    values.for_each(|value| {
        list.push_bind(value);
    });
    sql.push(")");
}
