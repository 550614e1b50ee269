//! Runtime events: what they say about containers, and what has to follow.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;
use stella_api::runtime::{
    EXECUTED, EventBatch, EventKind, GAP, IMAGE_DIGEST, LoadedLibrary, OBSERVED_FROM_START, OBSERVED_OPENINGS,
    RuntimeEvent, WorkloadRef,
};
use stella_domain::{Digest, Tenant, Timestamp};
use stella_store::{Ingested, LoadedFile, NewScan, ObservedContainer, ObservedEvent, ScanSource, StoreError};

use crate::app::App;
use crate::drift;

/// Seconds a scan that nobody asked for may take.
const SCAN_TIMEOUT: i64 = 3600;

/// Keeps a batch, and asks for what follows from it: scans of images that nobody knows, and use worked out anew.
///
/// # Errors
/// When the database does not take it; then none of it is kept.
pub async fn take(app: &App, batch: EventBatch) -> Result<Ingested, StoreError> {
    let drifts: Vec<&RuntimeEvent> =
        batch.events.iter().map(|e| &e.event).filter(|event| event.kind == EventKind::Drift).collect();
    let violations = drift::violations(app, &drifts).await?;
    let observed: Arc<[ObservedEvent]> =
        batch.events.into_iter().map(|e| observed(tenant_of(app, &e.event), e.event)).collect();
    let ingested = app.store.ingest(Arc::clone(&observed)).await?;
    if !violations.is_empty() {
        for violation in &violations {
            tracing::warn!(
                namespace = violation.workload.namespace,
                pod = violation.workload.pod,
                event = violation.event_id,
                "drift violates policy"
            );
        }
        let made = violations.into_iter().map(|violation| made_here(tenant_of(app, &violation), violation));
        app.store.ingest(made.collect::<Arc<[ObservedEvent]>>()).await?;
    }
    let count = |outcome: &str, by: usize| app.metrics.events.with_label_values(&[outcome]).inc_by(by as u64);
    count("accepted", ingested.accepted);
    count("duplicate", ingested.duplicates);
    follow_up(app, &observed).await?;
    Ok(ingested)
}

/// Keeps events that the operator itself makes of a tenant; those that are known already change nothing.
///
/// # Errors
/// When the database does not take them.
pub(crate) async fn keep(app: &App, tenant: &Tenant, events: &[RuntimeEvent]) -> Result<(), StoreError> {
    let made = events.iter().map(|event| made_here(tenant.clone(), event.clone()));
    app.store.ingest(made.collect::<Arc<[ObservedEvent]>>()).await.map(drop)
}

/// An event that the operator makes says nothing about its container that was not observed: a row of its own could outlive the
/// container, whose end was told before.
fn made_here(tenant: Tenant, event: RuntimeEvent) -> ObservedEvent {
    let mut made = observed(tenant, event);
    made.container.id.clear();
    made
}

/// The tenant is the namespace's, whatever the event says: a node reports for all of them.
fn tenant_of(app: &App, event: &RuntimeEvent) -> Tenant {
    if event.workload.namespace.is_empty() {
        event.tenant.parse().unwrap_or_default()
    } else {
        app.namespaces.tenant_of(&event.workload.namespace)
    }
}

fn observed(tenant: Tenant, mut event: RuntimeEvent) -> ObservedEvent {
    let body = json(&event, EVENT_BYTES);
    let is_start = event.kind == EventKind::ContainerStart;
    let executable = event.process.as_ref().filter(|_| is_start).and_then(|process| process.entrypoint.first());
    let entrypoint = first_executable(&event).or(executable).cloned().unwrap_or_default();
    // Of drift the agent tells beside what was loaded; memory is no file.
    let drifted = matches!(event.kind, EventKind::Drift | EventKind::PolicyViolation);
    let files = if drifted { Vec::new() } else { std::mem::take(&mut event.loaded_libs) };
    let (from_start, openings) = (annotated(&event, OBSERVED_FROM_START), annotated(&event, OBSERVED_OPENINGS));
    let image = image_digest(&mut event).unwrap_or_default();
    let RuntimeEvent { event_id, when, kind, node, workload, mut annotations, .. } = event;
    let container = ObservedContainer {
        id: workload.container_id,
        image,
        image_ref: workload.image_ref,
        node,
        namespace: workload.namespace,
        pod: workload.pod,
        name: workload.container,
        entrypoint,
        started_at: when,
        from_start,
        openings,
        gap: annotations.remove(GAP),
        stopped_at: (kind == EventKind::ContainerStop).then_some(when),
    };
    ObservedEvent {
        tenant,
        id: event_id,
        at: when,
        container,
        started: is_start,
        loaded: files.into_iter().map(|library| loaded(library, when)).collect(),
        kind: if drifted { format!("{kind:?}") } else { String::new() },
        body,
    }
}

/// Where a container runs, as events say it.
pub(crate) fn workload(container: &ObservedContainer) -> WorkloadRef {
    WorkloadRef {
        platform: if container.pod.is_empty() { "host" } else { "kubernetes" }.to_owned(),
        namespace: container.namespace.clone(),
        pod: container.pod.clone(),
        container: container.name.clone(),
        container_id: container.id.clone(),
        image_ref: container.image_ref.clone(),
    }
}

fn annotated(event: &RuntimeEvent, name: &str) -> bool {
    event.annotations.get(name).is_some_and(|value| value == "true")
}

/// The executable as the kernel saw it: links in the command line are resolved there.
fn first_executable(event: &RuntimeEvent) -> Option<&String> {
    event.evidence.iter().find(|evidence| evidence.signal == EXECUTED).map(|evidence| &evidence.value)
}

/// Taken out of the event.
fn image_digest(event: &mut RuntimeEvent) -> Option<String> {
    let named = event.annotations.remove(IMAGE_DIGEST);
    named.or_else(|| event.workload.image_ref.split_once('@').map(|(_, digest)| digest.to_owned()))
}

fn loaded(library: LoadedLibrary, first_seen: Timestamp) -> LoadedFile {
    LoadedFile { body: json(&library, LIBRARY_BYTES), path: library.path, first_seen }
}

/// Bytes that an event and a library mostly fit into.
const EVENT_BYTES: usize = 1024;
const LIBRARY_BYTES: usize = 256;

/// `value` as JSON, written into room for so many bytes.
fn json(value: &impl Serialize, bytes: usize) -> String {
    let mut text = Vec::with_capacity(bytes);
    match serde_json::to_writer(&mut text, value) {
        Ok(()) => String::from_utf8(text).unwrap_or_default(),
        Err(_) => String::new(),
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
                if !reference.is_empty() && app.store.resolve_image(tenant, reference).await? != Some(digest) {
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
