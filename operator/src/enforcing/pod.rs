//! The pod of a container, and its eviction (Kubernetes, "API-initiated Eviction").

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{DeleteParams, EvictParams, PostParams, Preconditions};
use kube::{Api, ResourceExt as _};
use stella_store::ObservedContainer;

/// The longest a question to the API server may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long to wait where the API server does not say.
const WAIT: Duration = Duration::from_secs(10);
/// How long to wait after anything else that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// The kubelet's mark on the mirror of a static pod, which no eviction ends.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What became of an eviction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evicted {
    /// It was accepted.
    Yes,
    /// The pod is gone, is another one, or goes already.
    Gone,
    /// It cannot be evicted: why.
    Cannot(&'static str),
    /// Not now: a disruption budget, or an overloaded server.
    Later(Duration, String),
}

/// The pod that the container runs in now; `Err` says why there is nothing to evict.
///
/// # Errors
/// See [`Evicted`].
pub async fn find(client: &kube::Client, container: &ObservedContainer) -> Result<Pod, Evicted> {
    let api = Api::<Pod>::namespaced(client.clone(), &container.namespace);
    let pod = match within(api.get_opt(&container.pod)).await {
        Ok(pod) => pod.ok_or(Evicted::Gone)?,
        Err(error) => return Err(refused(&error)),
    };
    if pod.metadata.deletion_timestamp.is_some() || !runs(&pod, &container.id) {
        return Err(Evicted::Gone);
    }
    if pod.annotations().contains_key(MIRROR) {
        return Err(Evicted::Cannot("a static pod; only its node can end it"));
    }
    Ok(pod)
}

/// Evicts that very pod, and no other one of its name.
pub async fn evict(client: &kube::Client, pod: &Pod) -> Evicted {
    let (Some(namespace), Some(uid)) = (pod.namespace(), pod.uid()) else { return Evicted::Gone };
    let preconditions = Some(Preconditions { uid: Some(uid), resource_version: None });
    let delete = DeleteParams { preconditions, ..DeleteParams::default() };
    let params = EvictParams { delete_options: Some(delete), post_options: PostParams::default() };
    let api = Api::<Pod>::namespaced(client.clone(), &namespace);
    match within(api.evict(&pod.name_any(), &params)).await {
        Ok(_) => Evicted::Yes,
        Err(error) => refused(&error),
    }
}

/// Whether one of the pod's containers has that id; the scheme depends on who tells it.
fn runs(pod: &Pod, id: &str) -> bool {
    let bare = |id: &str| id.rsplit_once("://").map_or(id, |(_, bare)| bare).to_owned();
    let Some(status) = &pod.status else { return false };
    let lists = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    let mut all = lists.into_iter().flatten().flatten();
    let same = |status: &ContainerStatus| status.container_id.as_deref().is_some_and(|own| bare(own) == bare(id));
    all.any(same)
}

fn refused(error: &kube::Error) -> Evicted {
    match error {
        kube::Error::Api(status) if status.code == 404 || status.code == 409 => Evicted::Gone,
        kube::Error::Api(status) if status.code == 429 => {
            let asked = status.details.as_ref().map_or(0, |details| u64::from(details.retry_after_seconds));
            Evicted::Later(WAIT.max(Duration::from_secs(asked)), status.message.clone())
        }
        other => Evicted::Later(AFTER_FAILURE, other.to_string()),
    }
}

async fn within<T>(question: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    match tokio::time::timeout(DEADLINE, question).await {
        Ok(answer) => answer,
        Err(_) => Err(kube::Error::Service("the API server did not answer in time".into())),
    }
}
