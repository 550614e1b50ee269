//! The container runtime, asked for containers: whose a process is, and which ones run.

use stella_api::runtime::RuntimeInfo;
use stella_cri::messages::{
    ContainerFilter, ContainerState, ContainerStatus, ContainerStatusRequest, ContainerStatusResponse,
    ListContainersRequest, ListContainersResponse, ListPodSandboxRequest, ListPodSandboxResponse, ListedContainer,
    PodSandboxFilter, VersionRequest, VersionResponse,
};
use stella_cri::{Connection, CriError};
use stella_domain::Digest;

use crate::identity::{Workload, digest_in};

const RUNNING: i32 = 1;

/// A container runtime that answered.
pub struct Cri {
    connection: Connection,
    runtime: RuntimeInfo,
}

/// What the runtime knows under an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A container.
    Container(Workload),
    /// The sandbox of a pod, which runs no image of anybody's.
    Sandbox,
    /// Nothing.
    Nothing,
}

impl Cri {
    /// The runtime at `endpoint`, once it has told its version.
    ///
    /// # Errors
    /// When the endpoint is misspelt or nobody answers there.
    pub async fn connect(endpoint: &str) -> Result<Self, CriError> {
        let connection = Connection::new(endpoint)?;
        let version: VersionResponse = connection.call("/runtime.v1.RuntimeService/Version", VersionRequest {}).await?;
        let runtime = RuntimeInfo { engine: version.runtime_name, version: version.runtime_version };
        Ok(Self { connection, runtime })
    }

    /// Name and version.
    #[must_use]
    pub fn runtime(&self) -> &RuntimeInfo {
        &self.runtime
    }

    /// What stands under that id.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub async fn find(&self, id: &str) -> Result<Found, CriError> {
        match status(&self.connection, id, false).await {
            Ok(answer) => return self.described(id, answer).await,
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        self.sandbox(id).await
    }

    async fn described(&self, id: &str, answer: ContainerStatusResponse) -> Result<Found, CriError> {
        let Some(status) = answer.status else { return Ok(Found::Nothing) };
        let mut workload = workload(status);
        if workload.config.is_none() {
            // containerd before 2.0 names the configuration in lists only.
            let listed = list(&self.connection, ContainerFilter { id: id.to_owned(), state: None }).await?;
            workload.config = listed.iter().find_map(|container| bare_digest(&container.image_ref));
        }
        Ok(Found::Container(workload))
    }

    async fn sandbox(&self, id: &str) -> Result<Found, CriError> {
        let question = ListPodSandboxRequest { filter: Some(PodSandboxFilter { id: id.to_owned() }) };
        let sandboxes: ListPodSandboxResponse =
            self.connection.call("/runtime.v1.RuntimeService/ListPodSandbox", question).await?;
        Ok(if sandboxes.items.iter().any(|sandbox| sandbox.id == id) { Found::Sandbox } else { Found::Nothing })
    }
}

/// The containers that run at this moment.
///
/// # Errors
/// When the runtime does not answer.
pub async fn running(connection: &Connection) -> Result<Vec<ListedContainer>, CriError> {
    list(connection, ContainerFilter { id: String::new(), state: Some(ContainerState { state: RUNNING }) }).await
}

async fn list(connection: &Connection, filter: ContainerFilter) -> Result<Vec<ListedContainer>, CriError> {
    let answer: ListContainersResponse = connection
        .call("/runtime.v1.RuntimeService/ListContainers", ListContainersRequest { filter: Some(filter) })
        .await?;
    Ok(answer.containers)
}

/// The process id of a container's first process, from the verbose status.
///
/// # Errors
/// When the runtime does not answer.
pub async fn first_pid(connection: &Connection, id: &str) -> Result<Option<u32>, CriError> {
    let answer = status(connection, id, true).await?;
    let info = answer.info.get("info").and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    Ok(info.and_then(|info| info.get("pid")?.as_u64()).and_then(|pid| u32::try_from(pid).ok()))
}

async fn status(connection: &Connection, id: &str, verbose: bool) -> Result<ContainerStatusResponse, CriError> {
    let question = ContainerStatusRequest { container_id: id.to_owned(), verbose };
    connection.call("/runtime.v1.RuntimeService/ContainerStatus", question).await
}

fn workload(status: ContainerStatus) -> Workload {
    let label = |name: &str| status.labels.get(name).cloned().unwrap_or_default();
    let spec = status.image.unwrap_or_default();
    let named = [spec.user_specified_image, spec.image, status.image_ref.clone()];
    Workload {
        namespace: label("io.kubernetes.pod.namespace"),
        pod: label("io.kubernetes.pod.name"),
        container: match status.labels.get("io.kubernetes.container.name") {
            Some(name) => name.clone(),
            None => status.metadata.map(|metadata| metadata.name).unwrap_or_default(),
        },
        image_ref: named.into_iter().find(|name| !name.is_empty()).unwrap_or_default(),
        manifest: digest_in(&status.image_ref),
        config: bare_digest(&status.image_id).or_else(|| bare_digest(&status.image_ref)),
    }
}

/// A digest that stands alone, with or without its algorithm.
fn bare_digest(text: &str) -> Option<Digest> {
    text.parse().ok().or_else(|| format!("sha256:{text}").parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use stella_cri::messages::ImageSpec;

    fn from(image: &str, image_ref: &str, image_id: &str) -> Workload {
        workload(ContainerStatus {
            image: Some(ImageSpec { image: image.to_owned(), user_specified_image: String::new() }),
            image_ref: image_ref.to_owned(),
            image_id: image_id.to_owned(),
            ..ContainerStatus::default()
        })
    }

    #[test]
    fn tells_manifest_and_configuration_apart() {
        let (manifest, config) = (Digest::of("m"), Digest::of("c"));
        let pulled = from("r.example/a:1", &format!("r.example/a@{manifest}"), &config.hex());
        assert_eq!((pulled.manifest, pulled.config), (Some(manifest), Some(config)));
        let imported = from("localhost/a:1", &config.to_string(), "");
        assert_eq!((imported.manifest, imported.config), (None, Some(config)));
        assert_eq!(imported.image_ref, "localhost/a:1");
    }

    #[test]
    fn an_image_without_a_name_is_named_by_its_reference() {
        let config = Digest::of("c").to_string();
        assert_eq!(from("", &config, "").image_ref, config);
    }
}
