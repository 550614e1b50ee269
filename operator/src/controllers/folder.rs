//! A folder of manifests in place of a cluster: the same objects, read again when they change, their status written beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use stella_crds::{ExportProfile, Policy, ScanJob};
use tokio_util::sync::CancellationToken;

use super::{Observed, ReconcileError, export_profile, policy, scan_job};
use crate::app::App;
use crate::namespaces::Namespace;

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The largest manifest that is read, in bytes.
const MAX_MANIFEST: u64 = 4 * 1024 * 1024;

/// Works on the manifests of `folder` until `token` is cancelled.
///
/// # Errors
/// When the database does not answer. A manifest that cannot be read is said and left out.
pub async fn run(app: App, folder: PathBuf, token: CancellationToken) -> Result<(), ReconcileError> {
    let mut complained = BTreeSet::new();
    loop {
        let (objects, problems) = read(&folder);
        for problem in problems {
            if complained.insert(problem.clone()) {
                tracing::warn!(problem, "a manifest is left out");
            }
        }
        look(&app, &folder, &objects).await?;
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn look(app: &App, folder: &Path, objects: &[serde_json::Value]) -> Result<(), ReconcileError> {
    if app.namespaces.replace(namespaces(objects)) {
        app.judge.notify_one();
    }
    let mut policies = BTreeSet::new();
    for object in objects {
        match object["kind"].as_str() {
            Some("Policy") => {
                let Some(policy) = typed::<Policy>(folder, object) else { continue };
                policies.extend(policy.metadata.uid.clone());
                keep(folder, object, policy.status.as_ref(), &policy::observe(app, &policy).await?);
            }
            Some("ScanJob") => {
                let Some(job) = typed::<ScanJob>(folder, object) else { continue };
                keep(folder, object, job.status.as_ref(), &scan_job::observe(app, &job).await?);
            }
            Some("ExportProfile") => {
                let Some(profile) = typed::<ExportProfile>(folder, object) else { continue };
                keep(folder, object, profile.status.as_ref(), &export_profile::observe(app, &profile).await?);
            }
            _ => {}
        }
    }
    policy::sweep(app, &policies).await
}

/// Every document of every manifest, and what could not be read.
fn read(folder: &Path) -> (Vec<serde_json::Value>, Vec<String>) {
    let (mut objects, mut problems) = (Vec::new(), Vec::new());
    let mut files: Vec<PathBuf> = match std::fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) => return (objects, vec![format!("{}: {error}", folder.display())]),
    };
    files.sort();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".status.yaml") || !(name.ends_with(".yaml") || name.ends_with(".yml")) {
            continue;
        }
        if path.metadata().is_ok_and(|meta| meta.len() > MAX_MANIFEST) {
            problems.push(format!("{}: larger than {MAX_MANIFEST} bytes", path.display()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        match serde_saphyr::from_multiple::<serde_json::Value>(&text) {
            Ok(documents) => objects.extend(documents.into_iter().filter(serde_json::Value::is_object)),
            Err(error) => problems.push(format!("{}: {error}", path.display())),
        }
    }
    (objects, problems)
}

fn namespaces(objects: &[serde_json::Value]) -> BTreeMap<String, Namespace> {
    let mut found: BTreeMap<String, Namespace> = BTreeMap::new();
    for object in objects {
        if object["kind"] == "Namespace" {
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let labels = serde_json::from_value(object["metadata"]["labels"].clone()).unwrap_or_default();
            found.insert(name, Namespace { labels });
        } else {
            found.entry(namespace(object).to_owned()).or_default();
        }
    }
    found
}

fn namespace(object: &serde_json::Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or("default")
}

fn status_file(folder: &Path, object: &serde_json::Value) -> PathBuf {
    let part = |value: &serde_json::Value| value.as_str().unwrap_or_default().replace(['/', '\\'], "_");
    let name = format!(
        "{}.{}.{}",
        part(&object["kind"]).to_lowercase(),
        namespace(object).replace('/', "_"),
        part(&object["metadata"]["name"])
    );
    folder.join(format!("{name}.status.yaml"))
}

/// The object with the status that was written last, and what the API server would have filled in.
fn typed<K: DeserializeOwned>(folder: &Path, object: &serde_json::Value) -> Option<K> {
    let mut object = object.clone();
    let spec = object["spec"].to_string();
    let uid = format!("{}/{}/{}", object["kind"], namespace(&object), object["metadata"]["name"]);
    object["metadata"]["namespace"] = namespace(&object).into();
    object["metadata"]["uid"] = uid.into();
    // A generation from the content changes with it and only with it.
    let digest = stella_domain::Digest::of(&spec);
    let number = digest.as_bytes()[..6].iter().fold(0_i64, |number, byte| (number << 8) | i64::from(*byte));
    object["metadata"]["generation"] = number.into();
    let kept = std::fs::read_to_string(status_file(folder, &object)).unwrap_or_default();
    if let Ok(status) = serde_saphyr::from_str::<serde_json::Value>(&kept)
        && status.is_object()
    {
        object["status"] = status;
    }
    match serde_json::from_value(object.clone()) {
        Ok(typed) => Some(typed),
        Err(error) => {
            tracing::warn!(kind = %object["kind"], name = %object["metadata"]["name"], %error, "an object cannot be decoded");
            None
        }
    }
}

/// Writes the status where it differs.
fn keep<S: Serialize + PartialEq>(folder: &Path, object: &serde_json::Value, old: Option<&S>, new: &Observed<S>) {
    if old == Some(&new.status) {
        return;
    }
    let path = status_file(folder, object);
    let written = serde_saphyr::to_string(&serde_json::to_value(&new.status).unwrap_or_default())
        .map_err(|e| e.to_string())
        .and_then(|text| {
            let partial = path.with_extension("partial");
            std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, &path)).map_err(|e| e.to_string())
        });
    if let Err(error) = written {
        tracing::warn!(path = %path.display(), error, "a status cannot be written");
    }
}
