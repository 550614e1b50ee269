//! Looks at what runs every two seconds, and says or ends what must not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Resource as _;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use stella_api::admission::ImageDecision;
use stella_api::runtime::{EventKind, Evidence, IMAGE_DIGEST, RuntimeEvent, RuntimeInfo};
use stella_domain::{Digest, Hasher, Tenant};
use stella_store::{ObservedContainer, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Mode;
use super::pace::Pace;
use super::pod::{self, Evicted};
use super::sentence::sentence;
use crate::app::App;
use crate::events;

/// How often it is looked. A verdict that is withdrawn ends evictions within this time: nothing is queued.
const LOOK: Duration = Duration::from_secs(2);

/// How long a container is left alone that no pod has: the kubelet may be about to tell, or it is over.
const WITHOUT_POD: Duration = Duration::from_secs(5);
/// How long one is left alone that cannot be evicted.
const IN_VAIN: Duration = Duration::from_secs(600);

/// How it is enforced.
#[derive(Debug, Clone, Copy)]
pub struct Enforcement {
    /// What is done.
    pub mode: Mode,
    /// Evictions a minute at most, over the whole cluster.
    pub per_minute: usize,
}

struct Enforcer {
    app: App,
    client: kube::Client,
    recorder: Recorder,
    mode: Mode,
    pace: Pace,
    /// What was said of which container, once.
    said: BTreeSet<(String, &'static str)>,
    /// Until when a container is left alone.
    waiting: BTreeMap<String, Instant>,
}

/// Enforces until `token` is cancelled.
///
/// # Errors
/// When the database does not answer.
pub async fn run(
    app: App,
    client: kube::Client,
    enforcement: Enforcement,
    token: CancellationToken,
) -> Result<(), StoreError> {
    let reporter = Reporter { controller: "stella-operator".to_owned(), instance: std::env::var("POD_NAME").ok() };
    let mut enforcer = Enforcer {
        app,
        recorder: Recorder::new(client.clone(), reporter),
        client,
        mode: enforcement.mode,
        pace: Pace::new(enforcement.per_minute),
        said: BTreeSet::new(),
        waiting: BTreeMap::new(),
    };
    loop {
        // While nothing is refused anywhere, nobody has to be looked for.
        if enforcer.app.board.refuses() {
            enforcer.round().await?;
        }
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

impl Enforcer {
    async fn round(&mut self) -> Result<(), StoreError> {
        let (mut running, mut digests) = (BTreeSet::new(), BTreeMap::new());
        for tenant in self.app.store.tenants().await? {
            for container in self.app.store.running_containers(&tenant).await? {
                running.insert(container.id.clone());
                if let Some(decision) = self.sentenced(&tenant, &container, &mut digests).await? {
                    self.carry_out(&tenant, &container, &decision).await?;
                }
            }
        }
        self.said.retain(|(id, _)| running.contains(id));
        self.waiting.retain(|id, _| running.contains(id));
        Ok(())
    }

    async fn sentenced(
        &self,
        tenant: &Tenant,
        container: &ObservedContainer,
        digests: &mut BTreeMap<(Tenant, String), Option<Digest>>,
    ) -> Result<Option<ImageDecision>, StoreError> {
        let app = &self.app;
        let exempt = app.settings.exempt_namespaces.contains(&container.namespace);
        let Some(place) = app.board.namespace(&container.namespace).filter(|place| !exempt && !place.exempt) else {
            return Ok(None);
        };
        let key = (tenant.clone(), container.image.clone());
        let digest = match digests.get(&key) {
            Some(known) => *known,
            None => {
                let digest = app.store.resolve_image(tenant, &container.image).await?;
                digests.insert(key, digest);
                digest
            }
        };
        let Some(digest) = digest else { return Ok(None) };
        let Some(entry) = app.board.image(&place.scope, &digest) else { return Ok(None) };
        let now = app.clock.now();
        // The database is asked only about those that everything else speaks against.
        if sentence(container, &place, &entry, Some(container.started_at), now).is_none() {
            return Ok(None);
        }
        let since = app.store.verdict_since(tenant, &place.scope, &digest).await?;
        let since = since.filter(|turned| turned.verdict == "blocked").map(|turned| turned.since);
        Ok(sentence(container, &place, &entry, since, now).cloned())
    }

    async fn carry_out(
        &mut self,
        tenant: &Tenant,
        container: &ObservedContainer,
        decision: &ImageDecision,
    ) -> Result<(), StoreError> {
        let said = |action| self.said.contains(&(container.id.clone(), action));
        let room = self.pace.has_room(self.app.clock.now());
        // The API server is asked about a pod only when something is to be said of it or done.
        let nothing_new = match self.mode {
            Mode::DryRun => said("WouldEvict"),
            Mode::Evict => !room && said("EvictionWaits"),
        };
        if nothing_new || self.waiting.get(&container.id).is_some_and(|until| Instant::now() < *until) {
            return Ok(());
        }
        let pod = match pod::find(&self.client, container).await {
            Ok(pod) => pod,
            Err(why) => return self.left(tenant, container, decision, None, why).await,
        };
        if self.mode == Mode::DryRun {
            return self.say(tenant, container, decision, Some(&pod), "WouldEvict", "dry run").await;
        }
        if !self.pace.take(self.app.clock.now()) {
            return self.say(tenant, container, decision, Some(&pod), "EvictionWaits", "enough for this minute").await;
        }
        match pod::evict(&self.client, &pod).await {
            Evicted::Yes => self.say(tenant, container, decision, Some(&pod), "Evicted", "").await,
            why => self.left(tenant, container, decision, Some(&pod), why).await,
        }
    }

    async fn left(
        &mut self,
        tenant: &Tenant,
        container: &ObservedContainer,
        decision: &ImageDecision,
        pod: Option<&Pod>,
        why: Evicted,
    ) -> Result<(), StoreError> {
        match why {
            Evicted::Yes => Ok(()),
            Evicted::Gone => {
                self.waiting.insert(container.id.clone(), Instant::now() + WITHOUT_POD);
                Ok(())
            }
            Evicted::Cannot(reason) => {
                self.waiting.insert(container.id.clone(), Instant::now() + IN_VAIN);
                self.say(tenant, container, decision, pod, "CannotEvict", reason).await
            }
            Evicted::Later(wait, reason) => {
                self.waiting.insert(container.id.clone(), Instant::now() + wait);
                self.say(tenant, container, decision, pod, "EvictionWaits", &reason).await
            }
        }
    }

    /// Once of each container and action: an event on the pod, one that the API lists, a count, and a line of log.
    async fn say(
        &mut self,
        tenant: &Tenant,
        container: &ObservedContainer,
        decision: &ImageDecision,
        pod: Option<&Pod>,
        action: &'static str,
        remark: &str,
    ) -> Result<(), StoreError> {
        if !self.said.insert((container.id.clone(), action)) {
            return Ok(());
        }
        let rule = decision.rule.as_deref().unwrap_or("none");
        tracing::warn!(
            namespace = container.namespace,
            pod = container.pod,
            container = container.id,
            image = container.image,
            rule,
            action,
            remark,
            "a container runs whose image is blocked"
        );
        self.app.metrics.enforced.with_label_values(&[action]).inc();
        let event = told(tenant, container, decision, action, remark, self.app.clock.now());
        events::keep(&self.app, tenant, &[event]).await?;
        if let Some(pod) = pod {
            let remark = if remark.is_empty() { String::new() } else { format!(" ({remark})") };
            let event = Event {
                type_: EventType::Warning,
                reason: action.to_owned(),
                note: Some(format!("image {} is blocked by rule {rule}{remark}", container.image_ref)),
                action: "Enforce".to_owned(),
                secondary: None,
            };
            if let Err(error) = self.recorder.publish(&event, &pod.object_ref(&())).await {
                tracing::debug!(%error, "an event could not be written");
            }
        }
        Ok(())
    }
}

fn told(
    tenant: &Tenant,
    container: &ObservedContainer,
    decision: &ImageDecision,
    action: &str,
    remark: &str,
    when: stella_domain::Timestamp,
) -> RuntimeEvent {
    let mut hasher = Hasher::new();
    ["enforcement", &container.id, action].iter().for_each(|part| hasher.field(part));
    let evidence = [
        ("action", action),
        ("policy", decision.policy.as_deref().unwrap_or_default()),
        ("policy.rule", decision.rule.as_deref().unwrap_or_default()),
        ("policy.status", "Blocked"),
        ("remark", remark),
    ];
    let evidence = evidence.into_iter().filter(|(_, value)| !value.is_empty());
    RuntimeEvent {
        event_id: hasher.finish().hex(),
        when,
        kind: EventKind::PolicyViolation,
        tenant: tenant.to_string(),
        node: container.node.clone(),
        runtime: RuntimeInfo::default(),
        workload: events::workload(container),
        process: None,
        loaded_libs: Vec::new(),
        posture: None,
        delta: None,
        evidence: evidence.map(|(s, v)| Evidence { signal: s.to_owned(), value: v.to_owned() }).collect(),
        annotations: BTreeMap::from([(IMAGE_DIGEST.to_owned(), container.image.clone())]),
    }
}
