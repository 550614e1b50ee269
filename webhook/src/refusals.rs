//! Shows refusals where people look for them: as events on the workload that wanted the pod.

use std::convert::Infallible;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::decision::{Decision, Outcome};
use crate::metrics::Metrics;
use crate::review::{Review, text};

const QUEUE: usize = 256;
const ANSWER: Duration = Duration::from_secs(10);
/// The API takes notes of up to 1 KiB.
const NOTE_CHARS: usize = 900;

/// A refusal to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    object: ObjectReference,
    note: String,
}

/// The reviews' side of the queue.
#[derive(Debug, Clone)]
pub struct Refusals {
    queue: mpsc::Sender<Refusal>,
    metrics: Metrics,
}

/// The side that publishes.
pub struct RefusalEvents {
    queue: mpsc::Receiver<Refusal>,
    recorder: Recorder,
    metrics: Metrics,
}

/// A queue of events that `client` publishes in the name of `instance`.
#[must_use]
pub fn queue(client: Client, instance: Option<String>, metrics: Metrics) -> (Refusals, RefusalEvents) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let recorder = Recorder::new(client, Reporter { controller: "stella-webhook".to_owned(), instance });
    let refusals = Refusals { queue: sender, metrics: metrics.clone() };
    (refusals, RefusalEvents { queue: receiver, recorder, metrics })
}

impl Refusals {
    /// Queues an event for a refusal, and for a static pod that could not be refused.
    pub fn show(&self, review: &Review, decision: &Decision) {
        let Some(refusal) = refusal(review, decision) else { return };
        if self.queue.try_send(refusal).is_err() {
            self.metrics.events.with_label_values(&["dropped"]).inc();
        }
    }
}

fn refusal(review: &Review, decision: &Decision) -> Option<Refusal> {
    let static_pod = decision.record.as_ref().is_some_and(|record| record.inputs.static_pod);
    let note = match decision.outcome {
        Outcome::Denied => decision.message.clone()?,
        Outcome::Warned if static_pod => decision.warnings.join(" "),
        _ => return None,
    };
    let note = note.chars().take(NOTE_CHARS).collect();
    Some(Refusal { object: owner(review, static_pod).or_else(|| itself(review))?, note })
}

/// The controller that made the object. Whoever makes a pod may write any owner into it: an event on a node is published for
/// its static pods only, and all others stay in the pod's namespace.
fn owner(review: &Review, static_pod: bool) -> Option<ObjectReference> {
    let owners = review.object.pointer("/metadata/ownerReferences")?.as_array()?;
    let controller = |owner: &&Value| owner.get("controller").and_then(Value::as_bool) == Some(true);
    let owner = owners.iter().find(controller)?;
    let field = |name: &str| owner.get(name).and_then(Value::as_str).map(str::to_owned);
    let kind = field("kind");
    // A node has no namespace, and its static pods are its own.
    let node = kind.as_deref() == Some("Node");
    if node && !static_pod {
        return None;
    }
    let namespace = (!node).then(|| review.namespace.clone());
    Some(ObjectReference {
        api_version: field("apiVersion"),
        name: Some(field("name")?),
        uid: field("uid"),
        kind,
        namespace,
        ..ObjectReference::default()
    })
}

/// The object, if it is there already: an update.
fn itself(review: &Review) -> Option<ObjectReference> {
    let field = |pointer: &str| text(&review.old_object, pointer).map(str::to_owned);
    Some(ObjectReference {
        api_version: field("/apiVersion"),
        kind: field("/kind"),
        name: Some(field("/metadata/name")?),
        uid: field("/metadata/uid"),
        namespace: Some(review.namespace.clone()),
        ..ObjectReference::default()
    })
}

impl RefusalEvents {
    /// Publishes until `token` is cancelled. What fails is counted and dropped.
    ///
    /// # Errors
    /// Never; the type is what a supervisor takes.
    pub async fn run(mut self, token: CancellationToken) -> Result<(), Infallible> {
        while let Some(Some(refusal)) = token.run_until_cancelled(self.queue.recv()).await {
            let result = self.publish(refusal).await;
            self.metrics.events.with_label_values(&[result]).inc();
        }
        token.cancelled().await;
        Ok(())
    }

    async fn publish(&self, refusal: Refusal) -> &'static str {
        let event = Event {
            type_: EventType::Warning,
            reason: "ImageRefused".to_owned(),
            note: Some(refusal.note),
            action: "Admission".to_owned(),
            secondary: None,
        };
        match tokio::time::timeout(ANSWER, self.recorder.publish(&event, &refusal.object)).await {
            Ok(Ok(())) => "published",
            Ok(Err(error)) => {
                tracing::warn!(%error, "an event was not published");
                "failed"
            }
            Err(_) => "failed",
        }
    }
}
