//! When findings first appeared: kept with each, and remembered of those that are gone in case they come back.

use std::collections::BTreeMap;

use stella_domain::{Digest, Tenant};

use crate::filing::pieces;
use crate::finding_query::among;
use crate::sql::Value;
use crate::writing::Writing;
use crate::{FindingRow, StoreError};

/// First appearances by id.
pub(crate) type FirstSeen = BTreeMap<String, i64>;

/// When each of `findings` first appeared; those without an entry appear now. The findings of the image that are not among them
/// are remembered as gone. `findings` have an order by id, each once.
pub(crate) async fn first_seen(
    writing: &mut Writing<'_>,
    tenant: &Tenant,
    image: &Digest,
    findings: &[&FindingRow],
) -> Result<FirstSeen, StoreError> {
    let (mut seen, remembered) = known(writing, tenant, image, findings).await?;
    let is_there = |id: &String| findings.binary_search_by(|finding| finding.id.cmp(id)).is_ok();
    let gone: Vec<(&String, &i64)> = seen.iter().filter(|(id, _)| !is_there(id)).collect();
    remember(writing, tenant, &gone).await?;
    let new = |id: &String| !seen.contains_key(id) && is_there(id);
    let back: FirstSeen = remembered.into_iter().filter(|(id, _)| new(id)).collect();
    forget(writing, tenant, &back).await?;
    seen.extend(back);
    Ok(seen)
}

/// The first appearances of the findings that are kept of an image, and what is remembered between the first and the last of
/// `findings`: ids of an image begin alike.
async fn known(
    writing: &mut Writing<'_>,
    tenant: &Tenant,
    image: &Digest,
    findings: &[&FindingRow],
) -> Result<(FirstSeen, FirstSeen), StoreError> {
    let id = |finding: Option<&&FindingRow>| finding.map(|finding| finding.id.clone()).unwrap_or_default();
    let mut sql = writing.sql("SELECT id, first_seen, CAST(1 AS BIGINT) FROM finding WHERE tenant = ");
    sql.push_bind(tenant.as_str()).push(" AND digest = ").push_bind(image.to_string());
    sql.push(" UNION ALL SELECT id, first_seen, CAST(0 AS BIGINT) FROM finding_gone WHERE tenant = ");
    sql.push_bind(tenant.as_str()).push(" AND id >= ").push_bind(id(findings.first()));
    sql.push(" AND id <= ").push_bind(id(findings.last()));
    let rows = writing.rows(sql, |row| Ok((row.text(0)?.to_owned(), row.number(1)?, row.number(2)? == 1))).await?;
    let (mut kept, mut gone) = (FirstSeen::new(), FirstSeen::new());
    for (id, first_seen, is_kept) in rows {
        let place = if is_kept { &mut kept } else { &mut gone };
        place.insert(id, first_seen);
    }
    Ok((kept, gone))
}

async fn remember(writing: &mut Writing<'_>, tenant: &Tenant, gone: &[(&String, &i64)]) -> Result<(), StoreError> {
    let mut rows: Vec<[Value<'_>; 3]> = Vec::with_capacity(gone.len());
    for (id, first_seen) in gone {
        rows.push([tenant.as_str().into(), id.as_str().into(), (**first_seen).into()]);
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
