//! Which images inherit from which: those that go by a name of the same repository.

use std::collections::BTreeSet;

use stella_domain::{Digest, Reachability, Tenant};
use stella_store::{InheritedUpdate, StoreError};

use super::inherit::{Ancestor, inherited};
use super::worker::observations;
use crate::app::App;
use crate::judging::repository;

/// Images of a repository that may inherit from each other, those that were read last.
const SIBLINGS: i64 = 16;
/// Of these the ones whose use is taken over, those that ran last; what ran long ago says little about what is new.
const ANCESTORS: usize = 4;

/// Works out what an image inherits and keeps it; verdicts follow when it changed.
///
/// # Errors
/// When the database does not answer.
pub async fn inherit(app: &App, tenant: &Tenant, image: &Digest) -> Result<(), StoreError> {
    let findings = app.store.image_findings(tenant, image).await?;
    let open = findings.iter().any(|f| f.reach == Reachability::Unknown || f.inherited_reach.in_use());
    if !open {
        return Ok(());
    }
    let Some(record) = app.store.image(tenant, image).await? else { return Ok(()) };
    let names = names(app, tenant, image).await?;
    let ancestors = ancestors(app, tenant, image, &names).await?;
    let found = inherited(&record.inventory, &ancestors);
    let mut updates = Vec::new();
    let mut changed = false;
    for component in findings.iter().map(|finding| finding.component).collect::<BTreeSet<_>>() {
        let known = usize::try_from(component).ok().and_then(|at| found.get(&at));
        let (reach, evidence) = match known {
            Some(known) => (known.reach, serde_json::to_string(&known.evidence).unwrap_or_default()),
            None => (Reachability::Unknown, "[]".to_owned()),
        };
        let of_it = || findings.iter().filter(|finding| finding.component == component);
        changed |= of_it().any(|finding| finding.inherited_reach != reach);
        if of_it().any(|finding| finding.inherited_reach != reach || finding.inherited != evidence) {
            updates.push(InheritedUpdate { component, reach, evidence });
        }
    }
    if !updates.is_empty() {
        app.store.set_inherited(tenant, image, &updates).await?;
    }
    if changed {
        app.unjudged.add(tenant, image);
    }
    Ok(())
}

/// Lets the other images of the repository inherit what was just observed of `image`.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn refresh_heirs(app: &App, tenant: &Tenant, image: &Digest) -> Result<(), StoreError> {
    let names = names(app, tenant, image).await?;
    for heir in siblings(app, tenant, image, &names).await? {
        inherit(app, tenant, &heir).await?;
    }
    Ok(())
}

/// Every name that an image is stored under.
async fn names(app: &App, tenant: &Tenant, image: &Digest) -> Result<Vec<String>, StoreError> {
    let mut names = app.store.image_names(tenant, image).await?;
    names.extend(app.store.image_summary(tenant, image).await?.and_then(|summary| summary.reference));
    Ok(names)
}

/// Whether a name is a reference, and no digest.
pub(super) fn is_of_repository(name: &str) -> bool {
    name.parse::<Digest>().is_err()
}

/// The other images of the repositories that an image goes by.
async fn siblings(
    app: &App,
    tenant: &Tenant,
    image: &Digest,
    names: &[String],
) -> Result<BTreeSet<Digest>, StoreError> {
    let references = names.iter().filter(|name| is_of_repository(name));
    let repositories: BTreeSet<String> = references.map(|name| repository(name)).collect();
    let mut all = BTreeSet::new();
    for repository in repositories {
        all.extend(app.store.images_of_repository(tenant, &repository, SIBLINGS).await?);
    }
    all.remove(image);
    Ok(all)
}

/// Siblings that ran, those that started last first.
pub(super) async fn ancestors(
    app: &App,
    tenant: &Tenant,
    image: &Digest,
    names: &[String],
) -> Result<Vec<Ancestor>, StoreError> {
    let mut ran = Vec::new();
    for sibling in siblings(app, tenant, image, names).await? {
        let observations = observations(app, tenant, &sibling).await?;
        if let Some(last) = observations.iter().map(|o| o.container.started_at).max() {
            ran.push((std::cmp::Reverse(last), sibling, observations));
        }
    }
    ran.sort_by_key(|(last, sibling, _)| (*last, *sibling));
    let mut all = Vec::new();
    for (_, image, observations) in ran.into_iter().take(ANCESTORS) {
        let Some(record) = app.store.image(tenant, &image).await? else { continue };
        all.push(Ancestor { image, inventory: record.inventory, observations });
    }
    Ok(all)
}
