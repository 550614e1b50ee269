//! When findings first appeared: kept with each, and remembered of those that are gone in case they come back.

use std::collections::BTreeMap;

use stella_domain::Tenant;

use crate::filing::pieces;
use crate::finding_query::among;
use crate::sql::Value;
use crate::writing::Writing;
use crate::{FindingRow, StoreError};

/// First appearances by id.
pub(crate) type FirstSeen = BTreeMap<String, i64>;

/// When those of `findings` first appeared that are not among the `kept` ones of their image and were there before; others appear now.
/// Those kept that are not among `findings` are remembered as gone. `findings` have an order by id, each once.
pub(crate) async fn first_seen(
    writing: &mut Writing<'_>,
    tenant: &Tenant,
    kept: &BTreeMap<String, FindingRow>,
    findings: &[&FindingRow],
) -> Result<FirstSeen, StoreError> {
    let is_there = |id: &String| findings.binary_search_by(|finding| finding.id.cmp(id)).is_ok();
    let mut back = remembered(writing, tenant, findings).await?;
    back.retain(|id, _| !kept.contains_key(id) && is_there(id));
    forget(writing, tenant, &back).await?;
    let gone: Vec<&FindingRow> = kept.values().filter(|finding| !is_there(&finding.id)).collect();
    remember(writing, tenant, &gone).await?;
    Ok(back)
}

/// What is remembered between the first and the last of `findings`: ids of an image begin alike.
async fn remembered(
    writing: &mut Writing<'_>,
    tenant: &Tenant,
    findings: &[&FindingRow],
) -> Result<FirstSeen, StoreError> {
    let (Some(first), Some(last)) = (findings.first(), findings.last()) else { return Ok(FirstSeen::new()) };
    let mut sql = writing.sql("SELECT id, first_seen FROM finding_gone WHERE tenant = ");
    sql.push_bind(tenant.as_str()).push(" AND id >= ").push_bind(&first.id);
    sql.push(" AND id <= ").push_bind(&last.id);
    let rows = writing.rows(sql, |row| Ok((row.text(0)?.to_owned(), row.number(1)?))).await?;
    Ok(rows.into_iter().collect())
}

async fn remember(writing: &mut Writing<'_>, tenant: &Tenant, gone: &[&FindingRow]) -> Result<(), StoreError> {
    let mut rows: Vec<[Value<'_>; 3]> = Vec::with_capacity(gone.len());
    for finding in gone {
        rows.push([tenant.as_str().into(), (&finding.id).into(), finding.first_seen.as_millis().into()]);
    }
    let into = "INSERT INTO finding_gone (tenant, id, first_seen)";
    writing.insert(into, &rows, "ON CONFLICT (tenant, id) DO NOTHING").await
}

async fn forget(writing: &mut Writing<'_>, tenant: &Tenant, back: &FirstSeen) -> Result<(), StoreError> {
    let ids: Vec<&String> = back.keys().collect();
    for ids in pieces(&ids) {
        let mut sql = writing.sql("DELETE FROM finding_gone WHERE tenant = ");
        sql.push_bind(tenant.as_str());
        among(&mut sql, "id", ids.iter().map(|id| (*id).clone()));
        writing.execute(sql).await?;
    }
    Ok(())
}
