//! Objects from the cluster: watches, bounded work, status by server-side apply.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace as CoreNamespace;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::watcher;
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stella_crds::{Condition, ExportProfile, ExportProfileStatus, Policy, PolicyStatus, ScanJob, ScanJobStatus};
use tokio_util::sync::CancellationToken;

use super::{Observed, ReconcileError, export_profile, policy, scan_job};
use crate::app::App;
use crate::namespaces::Namespace;

/// Objects of a kind that are worked on at once.
const CONCURRENCY: u16 = 4;
/// How often deleted policies are looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// The longest a question to the API server may take.
const DEADLINE: Duration = Duration::from_secs(20);

type Working<'a, S> = Pin<Box<dyn Future<Output = Result<Observed<S>, ReconcileError>> + Send + 'a>>;

/// A kind that is worked on.
trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    type Status: Serialize + PartialEq + Send + Sync;

    fn status(&self) -> Option<&Self::Status>;
    fn conditions(status: &Self::Status) -> &[Condition];
    fn observe<'a>(app: &'a App, object: &'a Self) -> Working<'a, Self::Status>;
}

macro_rules! kind {
    ($kind:ty, $status:ty, $module:ident) => {
        impl Kind for $kind {
            type Status = $status;

            fn status(&self) -> Option<&$status> {
                self.status.as_ref()
            }

            fn conditions(status: &$status) -> &[Condition] {
                &status.conditions
            }

            fn observe<'a>(app: &'a App, object: &'a Self) -> Working<'a, $status> {
                Box::pin($module::observe(app, object))
            }
        }
    };
}

kind!(ScanJob, ScanJobStatus, scan_job);
kind!(Policy, PolicyStatus, policy);
kind!(ExportProfile, ExportProfileStatus, export_profile);

/// Works on `ScanJob` objects until `token` is cancelled.
///
/// # Errors
/// Never; the signature is that of a supervised task.
pub async fn scan_jobs(
    app: App,
    client: kube::Client,
    token: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    control::<ScanJob>(app, client, token).await
}

/// Works on `Policy` objects until `token` is cancelled.
///
/// # Errors
/// Never; the signature is that of a supervised task.
pub async fn policies(
    app: App,
    client: kube::Client,
    token: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    control::<Policy>(app, client, token).await
}

/// Works on `ExportProfile` objects until `token` is cancelled.
///
/// # Errors
/// Never; the signature is that of a supervised task.
pub async fn export_profiles(
    app: App,
    client: kube::Client,
    token: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    control::<ExportProfile>(app, client, token).await
}

struct Context {
    app: App,
    client: kube::Client,
    recorder: Recorder,
    /// Failures in a row by object, for the delay before the next try.
    failures: Mutex<BTreeMap<String, u32>>,
}

async fn control<K: Kind>(
    app: App,
    client: kube::Client,
    token: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    let api = Api::<DeserializeGuard<K>>::all(client.clone());
    let reporter = Reporter { controller: "stella-operator".to_owned(), instance: std::env::var("POD_NAME").ok() };
    let context =
        Context { app, recorder: Recorder::new(client.clone(), reporter), client, failures: Mutex::default() };
    Controller::new(api, watcher::Config::default())
        .with_config(Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(token.cancelled_owned())
        .run(reconcile::<K>, on_error::<K>, Arc::new(context))
        .for_each(|outcome| async move {
            if let Err(error) = outcome {
                tracing::debug!(%error, kind = %K::kind(&()), "a reconciliation did not finish");
            }
        })
        .await;
    Ok(())
}

async fn reconcile<K: Kind>(object: Arc<DeserializeGuard<K>>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let name = object.name_any();
    let object = match &object.0 {
        Ok(object) => object,
        Err(error) => {
            // It waits for a change; the others go on.
            tracing::warn!(kind = %K::kind(&()), name, %error, "an object cannot be decoded");
            context.app.metrics.reconcile_errors.with_label_values(&[K::kind(&()).as_ref(), "Undecodable"]).inc();
            return Ok(Action::await_change());
        }
    };
    let observed = K::observe(&context.app, object).await?;
    let namespace = object.namespace().ok_or(ReconcileError::Nameless("namespace"))?;
    let api = Api::<K>::namespaced(context.client.clone(), &namespace);
    if observed.delete {
        within(api.delete(&name, &DeleteParams::default())).await?;
        return Ok(Action::await_change());
    }
    if object.status() != Some(&observed.status) {
        write_status(&api, &name, &observed.status).await?;
        announce(&context, object, &observed.status).await;
    }
    context.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&format!("{namespace}/{name}"));
    Ok(Action::requeue(observed.again))
}

async fn write_status<K: Kind>(api: &Api<K>, name: &str, status: &K::Status) -> Result<(), ReconcileError> {
    let patch = serde_json::json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name},
        "status": status,
    });
    let manager = format!("stella-{}-controller", K::kind(&()).to_lowercase());
    within(api.patch_status(name, &PatchParams::apply(&manager).force(), &Patch::Apply(&patch))).await?;
    Ok(())
}

/// An event for every condition that turned.
async fn announce<K: Kind>(context: &Context, object: &K, status: &K::Status) {
    let before = object.status().map(K::conditions).unwrap_or_default();
    for condition in K::conditions(status) {
        let same = |old: &&Condition| {
            old.type_ == condition.type_ && old.status == condition.status && old.reason == condition.reason
        };
        let tells = ["Ready", "PolicyViolated"].contains(&condition.type_.as_str()) && condition.reason != "Scanning";
        if before.iter().any(|old| same(&old)) || !tells {
            continue;
        }
        let good = (condition.type_ == "Ready") == (condition.status == stella_crds::ConditionStatus::True);
        let event = Event {
            type_: if good { EventType::Normal } else { EventType::Warning },
            reason: condition.reason.clone(),
            note: Some(condition.message.clone()),
            action: condition.type_.clone(),
            secondary: None,
        };
        if let Err(error) = context.recorder.publish(&event, &object.object_ref(&())).await {
            tracing::debug!(%error, "an event could not be written");
        }
    }
}

/// Doubles from 2 s to 5 min, by the object's failures in a row.
fn on_error<K: Kind>(object: Arc<DeserializeGuard<K>>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let key = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    let mut failures = context.failures.lock().unwrap_or_else(PoisonError::into_inner);
    let count = failures.entry(key.clone()).or_default();
    *count = count.saturating_add(1);
    let delay = Duration::from_secs(2_u64.saturating_pow((*count).min(8)).min(300));
    tracing::warn!(object = key, %error, ?delay, "an object could not be worked on; it is tried again");
    context.app.metrics.reconcile_errors.with_label_values(&[K::kind(&()).as_ref(), error.reason()]).inc();
    Action::requeue(delay)
}

async fn within<T>(question: impl Future<Output = kube::Result<T>>) -> Result<T, ReconcileError> {
    match tokio::time::timeout(DEADLINE, question).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(ReconcileError::Cluster(kube::Error::Service("the API server did not answer in time".into()))),
    }
}

/// Keeps the map of namespaces until `token` is cancelled.
///
/// # Errors
/// Never; the signature is that of a supervised task.
pub async fn namespaces(
    app: App,
    client: kube::Client,
    token: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    let mut stream = watcher(Api::<CoreNamespace>::all(client), watcher::Config::default()).boxed();
    let mut known: BTreeMap<String, Namespace> = BTreeMap::new();
    let mut listing: BTreeMap<String, Namespace> = BTreeMap::new();
    let entry = |namespace: CoreNamespace| {
        let labels = namespace.metadata.labels.clone().unwrap_or_default();
        (namespace.name_any(), Namespace { labels })
    };
    loop {
        let event = tokio::select! {
            () = token.cancelled() => return Ok(()),
            event = stream.next() => event,
        };
        match event {
            Some(Ok(watcher::Event::Init)) => listing.clear(),
            Some(Ok(watcher::Event::InitApply(namespace))) => listing.extend([entry(namespace)]),
            Some(Ok(watcher::Event::InitDone)) => known = std::mem::take(&mut listing),
            Some(Ok(watcher::Event::Apply(namespace))) => known.extend([entry(namespace)]),
            Some(Ok(watcher::Event::Delete(namespace))) => drop(known.remove(&namespace.name_any())),
            Some(Err(error)) => {
                tracing::warn!(%error, "namespaces cannot be watched");
                tokio::time::sleep(Duration::from_secs(2)).await;
                continue;
            }
            None => return Ok(()),
        }
        if listing.is_empty() && app.namespaces.replace(known.clone()) {
            app.judge.notify_one();
        }
    }
}

/// Notices policies that were deleted, also while the operator was away, until `token` is cancelled.
///
/// # Errors
/// When the database does not answer.
pub async fn deletions(app: App, client: kube::Client, token: CancellationToken) -> Result<(), ReconcileError> {
    let api = Api::<Policy>::all(client);
    loop {
        // A list that failed tells nothing about what is gone.
        match within(api.list_metadata(&ListParams::default().match_any())).await {
            Ok(list) => {
                let present: BTreeSet<String> =
                    list.items.iter().filter_map(|object| object.metadata.uid.clone()).collect();
                policy::sweep(&app, &present).await?;
            }
            Err(error) => tracing::warn!(%error, "policies cannot be listed"),
        }
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = tokio::time::sleep(SWEEP) => {}
        }
    }
}
