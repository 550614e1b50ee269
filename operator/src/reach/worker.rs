//! Works out use anew when something was observed, and when time alone may have settled it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use stella_domain::{Digest, Reachability, Tenant};
use stella_store::{FindingRow, ImageRecord, ReachUpdate, StoreError};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::compute::{Observation, uses};
use super::unowned::tell_unowned;
use crate::app::App;

/// Observations of one image come in bursts; this long they are gathered.
const GATHER: Duration = Duration::from_millis(500);
/// How often images that may have settled are looked at.
const SETTLE_LOOK: Duration = Duration::from_secs(5);

/// Runs until `token` is cancelled.
///
/// # Errors
/// Never: images for which the database did not answer are looked at again.
pub async fn run(
    app: App,
    mut observed: Receiver<(Tenant, Digest)>,
    token: CancellationToken,
) -> Result<(), Infallible> {
    let mut left = BTreeSet::new();
    let mut settling = tokio::time::interval(SETTLE_LOOK);
    settling.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let images = tokio::select! {
            () = token.cancelled() => return Ok(()),
            Some(first) = observed.recv() => gather(first, &mut observed).await,
            _ = settling.tick() => match unsettled(&app).await {
                Ok(images) => images.into_iter().chain(std::mem::take(&mut left)).collect(),
                Err(error) => {
                    tracing::warn!(%error, "images that may have settled cannot be found");
                    continue;
                }
            },
        };
        for (tenant, image) in images {
            if let Err(error) = refresh(&app, &tenant, &image).await {
                tracing::warn!(%tenant, %image, %error, "use cannot be worked out");
                left.insert((tenant, image));
            }
        }
    }
}

async fn gather(first: (Tenant, Digest), observed: &mut Receiver<(Tenant, Digest)>) -> BTreeSet<(Tenant, Digest)> {
    let mut images = BTreeSet::from([first]);
    tokio::time::sleep(GATHER).await;
    while let Ok(next) = observed.try_recv() {
        images.insert(next);
    }
    images
}

/// Images of running containers with findings that time may settle.
async fn unsettled(app: &App) -> Result<BTreeSet<(Tenant, Digest)>, StoreError> {
    let mut images = BTreeSet::new();
    for tenant in app.store.tenants().await? {
        for container in app.store.running_containers(&tenant).await? {
            let Some(image) = app.store.resolve_image(&tenant, &container.image).await? else { continue };
            images.insert((tenant.clone(), image));
        }
    }
    let mut waiting = BTreeSet::new();
    for (tenant, image) in images {
        let findings = app.store.image_findings(&tenant, &image).await?;
        if findings.iter().any(|f| f.reach == Reachability::Unknown && f.reach_reason.starts_with("settling")) {
            waiting.insert((tenant, image));
        }
    }
    Ok(waiting)
}

/// Works out the use of an image's components and keeps it; verdicts follow when a level changed.
///
/// # Errors
/// When the database does not answer.
pub async fn refresh(app: &App, tenant: &Tenant, image: &Digest) -> Result<(), StoreError> {
    let Some(record) = app.store.image(tenant, image).await? else { return Ok(()) };
    let observations = observations(app, tenant, image).await?;
    set_use(app, tenant, image, &record, &observations).await?;
    tell_unowned(app, tenant, &record, &observations).await
}

async fn set_use(
    app: &App,
    tenant: &Tenant,
    image: &Digest,
    record: &ImageRecord,
    observations: &[Observation],
) -> Result<(), StoreError> {
    let findings = app.store.image_findings(tenant, image).await?;
    if findings.is_empty() {
        return Ok(());
    }
    let wanted: BTreeSet<i64> = findings.iter().map(|finding| finding.component).collect();
    let all = uses(&record.inventory, observations, app.settings.settle_seconds, app.clock.now());
    let updates: Vec<ReachUpdate> = all
        .into_iter()
        .filter_map(|found| {
            let component = i64::try_from(found.component).ok().filter(|component| wanted.contains(component))?;
            let evidence = serde_json::to_string(&found.evidence).ok()?;
            Some(ReachUpdate { component, reach: found.reach, reason: found.reason, evidence })
        })
        .collect();
    let changed = findings.iter().any(|finding| {
        updates.iter().any(|update| update.component == finding.component && update.reach != finding.reach)
    });
    // A write costs a sync, and most of what is observed is nothing new.
    let news: Vec<ReachUpdate> =
        updates.into_iter().filter(|update| findings.iter().any(|f| differs(f, update))).collect();
    if !news.is_empty() {
        app.store.set_reach(tenant, image, &news).await?;
    }
    if changed {
        super::heirs::refresh_heirs(app, tenant, image).await?;
        app.unjudged.add(tenant, image);
    }
    Ok(())
}

fn differs(finding: &FindingRow, update: &ReachUpdate) -> bool {
    finding.component == update.component
        && (finding.reach != update.reach
            || finding.reach_reason != update.reason
            || finding.evidence != update.evidence)
}

/// What was observed of the containers of an image.
pub(super) async fn observations(app: &App, tenant: &Tenant, image: &Digest) -> Result<Vec<Observation>, StoreError> {
    observations_of(app, tenant, &app.store.image_names(tenant, image).await?).await
}

/// What was observed of containers whose image goes by one of `names`.
pub(super) async fn observations_of(
    app: &App,
    tenant: &Tenant,
    names: &[String],
) -> Result<Vec<Observation>, StoreError> {
    let mut observations = Vec::new();
    for container in app.store.containers_of(tenant, names).await? {
        let loaded = app.store.loaded_by(tenant, &container.id).await?;
        observations.push(Observation { container, loaded });
    }
    Ok(observations)
}
