//! When findings first appeared: kept with each, and remembered of those that are gone in case they come back.

use std::collections::BTreeMap;

use sqlx::Row as _;
use stella_domain::{Digest, Tenant};

use crate::database::Connection;
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
    let mut seen = of_image(tx, tenant, image).await?;
    let is_there = |id: &String| findings.binary_search_by(|finding| finding.id.cmp(id)).is_ok();
    let gone: Vec<(&String, &i64)> = seen.iter().filter(|(id, _)| !is_there(id)).collect();
    remember(tx, tenant, &gone).await?;
    let new: Vec<&String> = findings.iter().map(|finding| &finding.id).filter(|id| !seen.contains_key(*id)).collect();
    let back = recall(tx, tenant, &new).await?;
    forget(tx, tenant, &back).await?;
    seen.extend(back);
    Ok(seen)
}

async fn of_image(tx: &mut Connection, tenant: &Tenant, image: &Digest) -> Result<FirstSeen, StoreError> {
    let rows = sqlx::query("SELECT id, first_seen FROM finding WHERE tenant = $1 AND digest = $2")
        .bind(tenant.as_str())
        .bind(image.to_string())
        .fetch_all(tx)
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
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

async fn recall(tx: &mut Connection, tenant: &Tenant, ids: &[&String]) -> Result<FirstSeen, StoreError> {
    let mut found = FirstSeen::new();
    for ids in pieces(ids) {
        let mut sql = Sql::on(tx, "SELECT id, first_seen FROM finding_gone WHERE tenant = ");
        sql.push_bind(tenant.as_str());
        among(&mut sql, "id", ids.iter().map(|id| (*id).clone()));
        let rows = sql.build().fetch_all(&mut *tx).await?;
        found.extend(rows.iter().map(|row| (row.get(0), row.get(1))));
    }
    Ok(found)
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
