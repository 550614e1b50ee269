//! What is known of the use of packages, put into findings before they are written: so they are written once.

use std::collections::{BTreeMap, BTreeSet};

use stella_domain::{Digest, Reachability, Tenant};
use stella_store::{FindingRow, ImageRecord, StoreError};

use super::compute::uses;
use super::heirs::{ancestors, inherit, is_of_repository, refresh_heirs};
use super::inherit::inherited;
use super::worker::{observations_of, refresh};
use crate::app::App;

/// Fills in what was observed of the packages of `rows`, and what they inherit. Says whether a level changed.
///
/// # Errors
/// When the database does not answer.
pub async fn fill_in(
    app: &App,
    tenant: &Tenant,
    record: &ImageRecord,
    names: &[String],
    rows: &mut [FindingRow],
) -> Result<bool, StoreError> {
    if rows.is_empty() {
        return Ok(false);
    }
    let observations = observations_of(app, tenant, names).await?;
    let wanted: BTreeSet<usize> = rows.iter().filter_map(component).collect();
    let mut known = BTreeMap::new();
    for found in uses(&record.inventory, &observations, app.settings.settle_seconds, app.clock.now()) {
        if wanted.contains(&found.component) {
            let evidence = serde_json::to_string(&found.evidence).unwrap_or_else(|_| "[]".to_owned());
            known.insert(found.component, (found.reach, found.reason, evidence));
        }
    }
    let mut changed = false;
    for row in rows.iter_mut() {
        let Some((reach, reason, evidence)) = component(row).and_then(|at| known.get(&at)) else { continue };
        changed |= row.reach != *reach;
        row.reach = *reach;
        row.reach_reason.clone_from(reason);
        row.evidence.clone_from(evidence);
    }
    let legacy = inherited(&record.inventory, &ancestors(app, tenant, &record.digest, names).await?);
    let open = rows.iter().any(|row| row.reach == Reachability::Unknown || row.inherited_reach.in_use());
    for row in rows.iter_mut().filter(|_| open) {
        (row.inherited_reach, row.inherited) = match component(row).and_then(|at| legacy.get(&at)) {
            Some(found) => (found.reach, serde_json::to_string(&found.evidence).unwrap_or_default()),
            None => (Reachability::Unknown, "[]".to_owned()),
        };
    }
    Ok(changed)
}

/// Looks again at what may have been observed while the findings of an image were written, and tells its heirs when a level
/// `changed`.
///
/// # Errors
/// When the database does not answer.
pub async fn catch_up(
    app: &App,
    tenant: &Tenant,
    image: &Digest,
    names: &[String],
    changed: bool,
) -> Result<(), StoreError> {
    if changed {
        refresh_heirs(app, tenant, image).await?;
    }
    if app.store.has_containers(tenant, names).await? {
        refresh(app, tenant, image).await?;
    }
    if names.iter().any(|name| is_of_repository(name)) {
        inherit(app, tenant, image).await?;
    }
    Ok(())
}

fn component(row: &FindingRow) -> Option<usize> {
    usize::try_from(row.component).ok()
}
