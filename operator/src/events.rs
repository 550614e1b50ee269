//! Runtime events: what they say about containers, and what has to follow.

use std::collections::BTreeSet;

use stella_api::runtime::{
    EXECUTED, EventBatch, EventKind, GAP, IMAGE_DIGEST, LoadedLibrary, OBSERVED_FROM_START, OBSERVED_OPENINGS,
    RuntimeEvent,
};
use stella_domain::{Digest, Tenant};
use stella_store::{Ingested, LoadedFile, NewScan, ObservedContainer, ObservedEvent, ScanSource, StoreError};

use crate::app::App;
use crate::drift;

/// Seconds a scan that nobody asked for may take.
const SCAN_TIMEOUT: i64 = 3600;

/// Keeps a batch, and asks for what follows from it: scans of images that nobody knows, and use worked out anew.
///
/// # Errors
/// When the database does not take it; then none of it is kept.
pub async fn take(app: &App, batch: &EventBatch) -> Result<Ingested, StoreError> {
    let observed: Vec<ObservedEvent> = batch.events.iter().map(|e| observed(app, &e.event)).collect();
    let drifts: Vec<&RuntimeEvent> =
        batch.events.iter().map(|e| &e.event).filter(|event| event.kind == EventKind::Drift).collect();
    let violations = drift::violations(app, &drifts).await?;
    let ingested = app.store.ingest(&observed).await?;
    if !violations.is_empty() {
        for violation in &violations {
            tracing::warn!(
                namespace = violation.workload.namespace,
                pod = violation.workload.pod,
                event = violation.event_id,
                "drift violates policy"
            );
        }
        keep(app, &violations).await?;
    }
    let count = |outcome: &str, by: usize| app.metrics.events.with_label_values(&[outcome]).inc_by(by as u64);
    count("accepted", ingested.accepted);
    count("duplicate", ingested.duplicates);
    follow_up(app, &observed).await?;
    Ok(ingested)
}

/// Keeps events that the operator itself makes; those that are known already change nothing.
///
/// # Errors
/// When the database does not take them.
pub(crate) async fn keep(app: &App, events: &[RuntimeEvent]) -> Result<(), StoreError> {
    let observed: Vec<ObservedEvent> = events.iter().map(|event| observed(app, event)).collect();
    app.store.ingest(&observed).await.map(drop)
}

/// The tenant is the namespace's, whatever the event says: a node reports for all of them.
fn observed(app: &App, event: &RuntimeEvent) -> ObservedEvent {
    let tenant = if event.workload.namespace.is_empty() {
        event.tenant.parse().unwrap_or_default()
    } else {
        app.namespaces.tenant_of(&event.workload.namespace)
    };
    let started = event.process.as_ref().filter(|_| event.kind == EventKind::ContainerStart);
    let executable = started.and_then(|process| process.entrypoint.first()).cloned();
    let container = ObservedContainer {
        id: event.workload.container_id.clone(),
        image: image_digest(event).unwrap_or_default(),
        image_ref: event.workload.image_ref.clone(),
        node: event.node.clone(),
        namespace: event.workload.namespace.clone(),
        pod: event.workload.pod.clone(),
        name: event.workload.container.clone(),
        entrypoint: first_executable(event).or(executable).unwrap_or_default(),
        started_at: event.when,
        from_start: annotated(event, OBSERVED_FROM_START),
        openings: annotated(event, OBSERVED_OPENINGS),
        gap: event.annotations.get(GAP).cloned(),
        stopped_at: (event.kind == EventKind::ContainerStop).then_some(event.when),
    };
    // Of drift the agent tells beside what was loaded; memory is no file.
    let drifted = matches!(event.kind, EventKind::Drift | EventKind::PolicyViolation);
    let files: &[LoadedLibrary] = if drifted { &[] } else { &event.loaded_libs };
    let loaded = files.iter().map(|library| loaded(library, event));
    ObservedEvent {
        tenant,
        id: event.event_id.clone(),
        at: event.when,
        container,
        started: event.kind == EventKind::ContainerStart,
        loaded: loaded.collect(),
        kind: if drifted { format!("{:?}", event.kind) } else { String::new() },
        body: serde_json::to_string(event).unwrap_or_default(),
    }
}

fn annotated(event: &RuntimeEvent, name: &str) -> bool {
    event.annotations.get(name).is_some_and(|value| value == "true")
}

/// The executable as the kernel saw it: links in the command line are resolved there.
fn first_executable(event: &RuntimeEvent) -> Option<String> {
    event.evidence.iter().find(|evidence| evidence.signal == EXECUTED).map(|evidence| evidence.value.clone())
}

fn image_digest(event: &RuntimeEvent) -> Option<String> {
    let named = event.annotations.get(IMAGE_DIGEST).cloned();
    named.or_else(|| event.workload.image_ref.split_once('@').map(|(_, digest)| digest.to_owned()))
}

fn loaded(library: &LoadedLibrary, event: &RuntimeEvent) -> LoadedFile {
    LoadedFile {
        path: library.path.clone(),
        first_seen: event.when,
        body: serde_json::to_string(library).unwrap_or_default(),
    }
}

async fn follow_up(app: &App, events: &[ObservedEvent]) -> Result<(), StoreError> {
    let mut images: BTreeSet<(&Tenant, String, &str, &str)> = BTreeSet::new();
    // Events may leave out what an earlier one of the container said.
    let mut unnamed: BTreeSet<(&Tenant, &str, &str, &str)> = BTreeSet::new();
    for ObservedEvent { tenant, container, .. } in events {
        let (reference, node) = (container.image_ref.as_str(), container.node.as_str());
        if container.image.is_empty() {
            unnamed.insert((tenant, &container.id, reference, node));
        } else {
            images.insert((tenant, container.image.clone(), reference, node));
        }
    }
    for (tenant, id, reference, node) in unnamed {
        let known = app.store.container(tenant, id).await?;
        if let Some(image) = known.map(|known| known.image).filter(|image| !image.is_empty()) {
            images.insert((tenant, image, reference, node));
        }
    }
    for (tenant, image, reference, node) in images {
        match app.store.resolve_image(tenant, &image).await? {
            Some(digest) => {
                // Asked first: a name is told with every event, and a write costs a sync.
                let known = app.store.resolve_image(tenant, reference).await? == Some(digest);
                if !reference.is_empty() && !known {
                    app.store.put_name(tenant, reference, &digest, app.clock.now()).await?;
                }
                // A full queue means that the worker is busy with all of them anyway; it looks at the settling ones by itself.
                let _ = app.observed.try_send((tenant.clone(), digest));
            }
            None if app.settings.coverage => ask_for_scan(app, tenant, &image, reference, node).await?,
            None => {}
        }
    }
    Ok(())
}

/// Every running image is scanned once, without anybody asking.
async fn ask_for_scan(app: &App, tenant: &Tenant, image: &str, reference: &str, node: &str) -> Result<(), StoreError> {
    let Ok(digest) = image.parse::<Digest>() else { return Ok(()) };
    let new = NewScan {
        reference: Some(reference.to_owned()).filter(|name| !name.is_empty()),
        digest: Some(digest),
        source: ScanSource::Node,
        node: Some(node.to_owned()),
        timeout_seconds: SCAN_TIMEOUT,
        ..NewScan::default()
    };
    // One that failed is not asked for again with every event; a ScanJob or the API may.
    if app.store.scan(tenant, &new.id(tenant)).await?.is_none() {
        app.store.submit_scan(tenant, &new, app.clock.now()).await?;
        app.scans_changed.notify_one();
    }
    Ok(())
}
