//! When findings first appeared: kept with each, and remembered of those that are gone in case they come back.

use std::collections::BTreeMap;

use sqlx::Row as _;
use stella_domain::{Digest, Tenant};

use crate::database::{Connection, Row};
use crate::filing::pieces;
use crate::finding_query::among;
use crate::sql::Sql;
use crate::{FindingRow, StoreError};

/// First appearances by id.
pub(crate) type FirstSeen = BTreeMap<String, i64>;

/// When each of `findings` first appeared; those without an entry appear now. The findings of the image that are not among them
/// are remembered as gone. `findings` have an order by id, each once.
pub(crate) async fn first_seen(
    tx: &mut Connection,
    tenant: &Tenant,
    image: &Digest,
    findings: &[&FindingRow],
) -> Result<FirstSeen, StoreError> {
    let (mut seen, remembered) = known(tx, tenant, image, findings).await?;
    let is_there = |id: &String| findings.binary_search_by(|finding| finding.id.cmp(id)).is_ok();
    let gone: Vec<(&String, &i64)> = seen.iter().filter(|(id, _)| !is_there(id)).collect();
    remember(tx, tenant, &gone).await?;
    let new = |id: &String| !seen.contains_key(id) && is_there(id);
    let back: FirstSeen = remembered.into_iter().filter(|(id, _)| new(id)).collect();
    forget(tx, tenant, &back).await?;
    seen.extend(back);
    Ok(seen)
}

/// The first appearances of the findings that are kept of an image, and what is remembered between the first and the last of
/// `findings`: ids of an image begin alike.
async fn known(
    tx: &mut Connection,
    tenant: &Tenant,
    image: &Digest,
    findings: &[&FindingRow],
) -> Result<(FirstSeen, FirstSeen), StoreError> {
    let id = |finding: Option<&&FindingRow>| finding.map(|finding| finding.id.clone()).unwrap_or_default();
    let rows = sqlx::query(
        "SELECT id, first_seen, CAST(1 AS BIGINT) FROM finding WHERE tenant = $1 AND digest = $2
         UNION ALL SELECT id, first_seen, CAST(0 AS BIGINT) FROM finding_gone WHERE tenant = $1 AND id >= $3 AND id <= $4",
    )
    .bind(tenant.as_str())
    .bind(image.to_string())
    .bind(id(findings.first()))
    .bind(id(findings.last()))
    .fetch_all(tx)
    .await?;
    let (kept, gone): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.get::<i64, _>(2) == 1);
    let seen = |rows: Vec<&Row>| rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    Ok((seen(kept), seen(gone)))
}

async fn remember(tx: &mut Connection, tenant: &Tenant, gone: &[(&String, &i64)]) -> Result<(), StoreError> {
    for rows in pieces(gone) {
        let mut sql = Sql::on(tx, "INSERT INTO finding_gone (tenant, id, first_seen) ");
        sql.push_values(rows, |mut row, (id, first_seen)| {
            row.push_bind(tenant.as_str()).push_bind(id.as_str()).push_bind(**first_seen);
        });
        sql.push(" ON CONFLICT (tenant, id) DO NOTHING");
        sql.build().execute(&mut *tx).await?;
    }
    Ok(())
}

async fn forget(tx: &mut Connection, tenant: &Tenant, back: &FirstSeen) -> Result<(), StoreError> {
    let ids: Vec<&String> = back.keys().collect();
    for ids in pieces(&ids) {
        let mut sql = Sql::on(tx, "DELETE FROM finding_gone WHERE tenant = ");
        sql.push_bind(tenant.as_str());
        among(&mut sql, "id", ids.iter().map(|id| (*id).clone()));
        sql.build().execute(&mut *tx).await?;
    }
    Ok(())
}
