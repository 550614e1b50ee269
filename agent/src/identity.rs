//! Whose a container is and which image it runs: from the runtime, a file, or the command line.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde::Deserialize;
use stella_api::runtime::RuntimeInfo;
use stella_domain::Digest;

use crate::cgroup::Membership;
use crate::cri::{Cri, Found};

/// A container's owner and image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workload {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Name of the container.
    pub container: String,
    /// The image as the pod names it.
    pub image_ref: String,
    /// The manifest's digest, where the runtime knows it.
    pub manifest: Option<Digest>,
    /// The configuration's digest, where the runtime knows it.
    pub config: Option<Digest>,
}

/// How far the question is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Nobody was asked yet, or the last answer was "not yet".
    Wanted,
    /// The question is under way.
    Asked,
    /// It is known, or will not be known better.
    Known(Workload),
    /// The container is not to be reported: a pod's sandbox, or an image that is filtered out.
    Ignored,
}

/// The answer to the question whose a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is known.
    Known(Workload),
    /// It is not to be reported.
    Ignored,
    /// Nobody knows it yet; ask again.
    NotYet,
}

/// A file of identities that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityFileError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a JSON object of container ids.
    #[error("{path}: expected {{\"<container id>\": {{\"imageRef\": ..., \"digest\": ...}}}}: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    image_ref: String,
    #[serde(default)]
    digest: Option<Digest>,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    pod: String,
    #[serde(default)]
    container: String,
}

/// Answers whose a container is.
pub struct Resolver {
    cri: Option<Cri>,
    listed: HashMap<String, Workload>,
    filter: Option<Regex>,
}

impl Resolver {
    /// Asks `listed` first, then the runtime; containers whose image matches `filter` are ignored.
    #[must_use]
    pub fn new(cri: Option<Cri>, listed: HashMap<String, Workload>, filter: Option<Regex>) -> Self {
        Self { cri, listed, filter }
    }

    /// Name and version of the runtime, where there is one to ask.
    #[must_use]
    pub fn runtime(&self) -> Option<&RuntimeInfo> {
        self.cri.as_ref().map(Cri::runtime)
    }

    /// Whose the container is.
    pub async fn ask(&self, membership: &Membership) -> Answer {
        if let Some(workload) = self.listed.get(&membership.id) {
            return self.filtered(workload.clone());
        }
        let Some(cri) = &self.cri else { return self.filtered(Workload::default()) };
        match cri.find(&membership.id).await {
            Ok(Found::Container(workload)) => self.filtered(workload),
            Ok(Found::Sandbox) => Answer::Ignored,
            Ok(Found::Nothing) => Answer::NotYet,
            Err(error) => {
                tracing::warn!(%error, container = membership.id, "the runtime did not answer");
                Answer::NotYet
            }
        }
    }

    fn filtered(&self, workload: Workload) -> Answer {
        match &self.filter {
            Some(filter) if filter.is_match(&workload.image_ref) => Answer::Ignored,
            _ => Answer::Known(workload),
        }
    }
}

/// Reads identities from a JSON file: container id to `imageRef`, `digest`, `namespace`, `pod`, `container`.
///
/// # Errors
/// When the file cannot be read or has another shape.
pub fn read_file(path: &Path) -> Result<HashMap<String, Workload>, IdentityFileError> {
    let text = std::fs::read(path).map_err(|source| IdentityFileError::Read { path: path.to_owned(), source })?;
    let entries: HashMap<String, Entry> =
        serde_json::from_slice(&text).map_err(|source| IdentityFileError::Parse { path: path.to_owned(), source })?;
    let workload = |entry: Entry| Workload {
        namespace: entry.namespace,
        pod: entry.pod,
        container: entry.container,
        manifest: entry.digest.or_else(|| digest_in(&entry.image_ref)),
        config: None,
        image_ref: entry.image_ref,
    };
    Ok(entries.into_iter().map(|(id, entry)| (id, workload(entry))).collect())
}

/// The digest after the `@` of a reference.
#[must_use]
pub fn digest_in(reference: &str) -> Option<Digest> {
    reference.rsplit_once('@')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Engine;

    fn membership() -> Membership {
        Membership { engine: Engine::Unnamed, id: "ab".repeat(32), pod_uid: None }
    }

    fn listed(text: &str) -> HashMap<String, Workload> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_file(file.path()).unwrap()
    }

    #[tokio::test]
    async fn a_file_gives_identities_and_the_filter_ignores_images() {
        let digest = Digest::of("x");
        let text = format!(r#"{{"{}": {{"imageRef": "r.example/app:1@{digest}", "pod": "p"}}}}"#, membership().id);
        let resolver = Resolver::new(None, listed(&text), None);
        let Answer::Known(workload) = resolver.ask(&membership()).await else { panic!("not known") };
        assert_eq!((workload.pod.as_str(), workload.manifest), ("p", Some(digest)));
        let filtered = Resolver::new(None, listed(&text), Some(Regex::new("^r\\.example/").unwrap()));
        assert_eq!(filtered.ask(&membership()).await, Answer::Ignored);
    }

    #[tokio::test]
    async fn without_a_runtime_a_container_is_reported_without_owner() {
        let resolver = Resolver::new(None, HashMap::new(), None);
        assert_eq!(resolver.ask(&membership()).await, Answer::Known(Workload::default()));
    }

    #[test]
    fn a_file_of_another_shape_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[1]").unwrap();
        assert!(read_file(file.path()).unwrap_err().to_string().contains("imageRef"));
    }
}
