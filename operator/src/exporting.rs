//! Export runs: rows of the store to artifacts in a folder.

use std::time::Duration;

use serde::Serialize;
use stella_api::export::{ExportOutput, ExportProblem, ExportProgress, ExportRunState};
use stella_crds::{ExportFormat, ExportProfileSpec, ExportTarget};
use stella_domain::{Tenant, Timestamp};
use stella_export::{
    Artifact, ArtifactError, ArtifactName, FilesystemError, Manifest, RunFolder, RunId, Target, drafts, remove_draft,
    write_json, write_ndjson,
};
use stella_store::{ExportRun, FindingQuery, StoreError};

use crate::app::App;

/// Findings that are read at once.
const PAGE: i64 = 1000;
/// Seconds that a run may take.
const LONGEST: u32 = 6 * 3600;
/// Seconds after that in which the one whose run it was has said how it ended.
const SAID: u32 = 600;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FilesystemError),
    /// An artifact.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// Something cannot be written as JSON.
    #[error("cannot be written as JSON: {0}")]
    Json(String),
    /// This version cannot do it.
    #[error("{0} is not supported yet")]
    Unsupported(&'static str),
    /// It takes longer than anybody waits for it.
    #[error("it was not finished after {} hours", LONGEST / 3600)]
    TooLong,
    /// An artifact cannot be written to the folder.
    #[error("cannot write an artifact: {0}")]
    Io(#[from] std::io::Error),
}

/// What a finished run left.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its id.
    pub run_id: String,
    /// Number of artifacts.
    pub artifacts: usize,
    /// SHA-256 of the manifest, hex.
    pub manifest_sha256: String,
    /// When it started.
    pub started_at: Timestamp,
}

/// What a profile asks for that nothing does yet.
#[must_use]
pub fn unsupported(spec: &ExportProfileSpec) -> Option<&'static str> {
    use stella_crds::DistributionType::{Filesystem, None, ObjectStorage, Oci, S3};
    let target = spec.targets.iter().find_map(|target| match target {
        ExportTarget::Findings | ExportTarget::Reports | ExportTarget::Policy | ExportTarget::Runtime => Option::None,
        ExportTarget::Vex => Some("spec.targets: vex"),
        ExportTarget::Advisory => Some("spec.targets: advisory"),
        ExportTarget::Sbom => Some("spec.targets: sbom"),
        ExportTarget::TrivyDb => Some("spec.targets: trivy-db"),
    });
    let distribution = match spec.distribution.type_ {
        Filesystem | None => Option::None,
        Oci => Some("spec.distribution.type: oci"),
        S3 | ObjectStorage => Some("spec.distribution.type: s3"),
    };
    let place = &spec.distribution;
    let details = [
        (place.reference.is_some(), "spec.distribution.ref"),
        (place.signing.as_ref().is_some_and(|s| s.enabled && s.key_ref.is_some()), "spec.distribution.signing.keyRef"),
        (place.credentials_secret_ref.is_some(), "spec.distribution.credentialsSecretRef"),
        (spec.priority != stella_crds::ExportPriority::Normal, "spec.priority"),
        (spec.deletion_policy == stella_crds::DeletionPolicy::Delete, "spec.deletionPolicy: Delete"),
    ];
    let detail = details.into_iter().find(|(asked, _)| *asked).map(|(_, field)| field);
    let encryption = spec.encryption.as_ref().filter(|encryption| encryption.enabled).map(|_| "spec.encryption");
    target.or(distribution).or(detail).or(encryption)
}

/// Runs an export. The run's folder appears whole, with `manifest.json`, its signature, and `SHA256SUMS`.
///
/// # Errors
/// See [`ExportError`]; then the run is kept as failed, and its folder is not there.
pub async fn run(app: &App, tenant: &Tenant, profile: &str, spec: &ExportProfileSpec) -> Result<Finished, ExportError> {
    let started_at = app.clock.now();
    let day = Timestamp::from_millis(started_at.as_millis() - started_at.as_millis().rem_euclid(86_400_000));
    let make_id = |number| RunId::new(tenant.clone(), started_at, number).to_string();
    let run_id = app.store.start_export(tenant, profile, day, started_at, make_id).await?;
    let limit = Duration::from_secs(LONGEST.into());
    let outcome =
        tokio::time::timeout(limit, write(app, tenant, &run_id, spec)).await.unwrap_or(Err(ExportError::TooLong));
    let (status, body) = match &outcome {
        Ok(done) => ("succeeded", serde_json::json!({"outputs": done.outputs, "errors": []})),
        Err(error) => {
            clear(app, &run_id);
            let problem =
                ExportProblem { code: "ERR_EXPORT_DISTRIBUTION_FAILED".to_owned(), message: error.to_string() };
            ("failed", serde_json::json!({"outputs": [], "errors": [problem]}))
        }
    };
    app.store.finish_export(tenant, &run_id, status, &body.to_string(), app.clock.now()).await?;
    let done = outcome?;
    Ok(Finished { run_id, artifacts: done.outputs.len(), manifest_sha256: done.manifest_sha256, started_at })
}

struct Written {
    outputs: Vec<ExportOutput>,
    manifest_sha256: String,
}

async fn write(app: &App, tenant: &Tenant, run_id: &str, spec: &ExportProfileSpec) -> Result<Written, ExportError> {
    if let Some(what) = unsupported(spec) {
        return Err(ExportError::Unsupported(what));
    }
    let id: RunId = run_id.parse().map_err(|e: stella_export::RunIdError| ExportError::Json(e.to_string()))?;
    let folder = RunFolder::open(&app.settings.exports, &id)?;
    let mut artifacts = Vec::new();
    for target in &spec.targets {
        let rows = rows(app, tenant, *target).await?;
        for format in &spec.formats {
            artifacts.push(artifact(&folder, *target, *format, &rows)?);
        }
    }
    let manifest = Manifest::new(id, artifacts);
    let json = |error: stella_attest::CanonicalError| ExportError::Json(error.to_string());
    let bytes = manifest.to_bytes().map_err(json)?;
    let signature = manifest.sign(&app.key).map_err(json)?;
    let signature = serde_json::to_vec(&signature).map_err(|e| ExportError::Json(e.to_string()))?;
    put(&folder, "manifest.json", &bytes)?;
    put(&folder, "manifest.json.dsse", &signature)?;
    put(&folder, "SHA256SUMS", manifest.checksums().map_err(json)?.as_bytes())?;
    let outputs = manifest.artifacts().iter().map(|artifact| output(artifact, run_id, spec, app.clock.now())).collect();
    let place = folder.commit()?;
    tracing::info!(run = run_id, folder = %place.display(), "export finished");
    Ok(Written { outputs, manifest_sha256: stella_domain::Digest::of(&bytes).hex() })
}

fn put(folder: &RunFolder, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
    let name: ArtifactName = name.parse().map_err(|e: stella_export::NameError| ExportError::Json(e.to_string()))?;
    folder.put(&name, |out| -> Result<(), ExportError> { Ok(std::io::Write::write_all(out, bytes)?) })
}

fn artifact(
    folder: &RunFolder,
    target: ExportTarget,
    format: ExportFormat,
    rows: &[serde_json::Value],
) -> Result<Artifact, ExportError> {
    let kind = kind(target);
    let extension = if format == ExportFormat::Json { "json" } else { "ndjson" };
    let name: ArtifactName = format!("{}.{extension}", word(target))
        .parse()
        .map_err(|e: stella_export::NameError| ExportError::Json(e.to_string()))?;
    folder.put(&name.clone(), |out| -> Result<Artifact, ExportError> {
        let written = match format {
            ExportFormat::Json => write_json(name, kind, rows, out)?,
            ExportFormat::Ndjson => write_ndjson(name, kind, rows, out)?,
        };
        Ok(written)
    })
}

const fn kind(target: ExportTarget) -> Target {
    match target {
        ExportTarget::Vex => Target::Vex,
        ExportTarget::Advisory => Target::Advisory,
        ExportTarget::Policy => Target::Policy,
        ExportTarget::Findings => Target::Findings,
        ExportTarget::Sbom => Target::Sbom,
        ExportTarget::Reports => Target::Reports,
        ExportTarget::Runtime => Target::Runtime,
        ExportTarget::TrivyDb => Target::TrivyDb,
    }
}

fn word(target: ExportTarget) -> String {
    serde_json::to_value(target).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The rows of a target, in the documented order.
async fn rows(app: &App, tenant: &Tenant, target: ExportTarget) -> Result<Vec<serde_json::Value>, ExportError> {
    let json = |e: serde_json::Error| ExportError::Json(e.to_string());
    match target {
        ExportTarget::Findings => findings(app, tenant).await,
        ExportTarget::Reports => {
            let reports = app.store.reports(tenant).await?;
            reports.iter().map(|report| serde_json::from_str(&report.body).map_err(json)).collect()
        }
        ExportTarget::Policy => {
            let all = app.store.active_policies().await?;
            let own = all.iter().filter(|policy| policy.tenant == *tenant);
            own.map(|policy| {
                let body: serde_json::Value = serde_json::from_str(&policy.body).map_err(json)?;
                Ok(serde_json::json!({"name": policy.name, "digest": policy.digest, "revision": policy.number, "spec": body}))
            })
            .collect()
        }
        ExportTarget::Runtime => {
            let events = app.store.events(tenant, i64::MAX).await?;
            events.iter().map(|(_, body)| serde_json::from_str(body).map_err(json)).collect()
        }
        _ => Err(ExportError::Unsupported("this target")),
    }
}

async fn findings(app: &App, tenant: &Tenant) -> Result<Vec<serde_json::Value>, ExportError> {
    let mut query = FindingQuery { limit: PAGE, ..FindingQuery::default() };
    let mut all = Vec::new();
    loop {
        let rows = app.store.findings(tenant, &query).await?;
        for (row, finding) in rows.iter().zip(crate::judging::explained(app, tenant, &rows).await?) {
            let Some(finding) = finding else { continue };
            let mut value = to_value(&finding)?;
            value["imageDigest"] = row.digest.to_string().into();
            all.push(value);
        }
        let Some(last) = rows.last().filter(|_| rows.len() == usize::try_from(PAGE).unwrap_or_default()) else {
            return Ok(all);
        };
        query.after = Some((last.rank, last.id.clone()));
    }
}

fn to_value(value: &impl Serialize) -> Result<serde_json::Value, ExportError> {
    serde_json::to_value(value).map_err(|e| ExportError::Json(e.to_string()))
}

fn output(artifact: &Artifact, run_id: &str, spec: &ExportProfileSpec, now: Timestamp) -> ExportOutput {
    let value = serde_json::to_value(artifact).unwrap_or_default();
    let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let name = text("name");
    ExportOutput {
        kind: text("type"),
        format: text("format"),
        url: format!("/export-center/runs/{run_id}/artifacts/{name}"),
        sha256: text("sha256"),
        size: value["size"].as_u64().unwrap_or_default(),
        expires_at: Some(now.plus_seconds(i64::from(spec.retention_days) * 86_400)),
    }
}

/// The file of an artifact of a finished run; `None` when there is no such artifact.
#[must_use]
pub fn artifact_file(app: &App, run_id: &str, name: &str) -> Option<std::path::PathBuf> {
    let id: RunId = run_id.parse().ok()?;
    let name: ArtifactName = name.parse().ok()?;
    let path = app.settings.exports.join(id.tenant().as_str()).join(id.folder_name()).join(name.as_str());
    path.is_file().then_some(path)
}

/// A stored run as the API shows it.
///
/// # Errors
/// When the stored run is damaged.
pub fn state(run: &ExportRun) -> serde_json::Result<ExportRunState> {
    let body: serde_json::Value = serde_json::from_str(&run.body)?;
    let part = |name: &str| body.get(name).cloned().unwrap_or_else(|| serde_json::json!([]));
    let outputs: Vec<ExportOutput> = serde_json::from_value(part("outputs"))?;
    let done = outputs.len() as u64;
    Ok(ExportRunState {
        run_id: run.id.clone(),
        status: run.status.clone(),
        profile_id: run.profile.clone(),
        started_at: run.started_at,
        completed_at: run.completed_at,
        progress: ExportProgress {
            percent: if run.status == "succeeded" { 100 } else { 0 },
            items_completed: done,
            items_total: done,
        },
        outputs,
        errors: serde_json::from_value(part("errors"))?,
    })
}

/// Ends runs that a restart left behind: what they had written was never shown, so they failed, and it is removed. Unless this
/// process is `alone`, a run may be another replica's until it is older than any lasts.
///
/// # Errors
/// When the database does not answer.
pub async fn end_orphans(app: &App, alone: bool) -> Result<(), StoreError> {
    let now = app.clock.now();
    for (tenant, run) in app.store.unfinished_exports().await? {
        if !alone && now.seconds_since(run.started_at) < i64::from(LONGEST + SAID) {
            continue;
        }
        let problem = ExportProblem {
            code: "ERR_EXPORT_DISTRIBUTION_FAILED".to_owned(),
            message: "the operator was stopped during the run; the next run starts anew".to_owned(),
        };
        let body = serde_json::json!({"outputs": [], "errors": [problem]}).to_string();
        app.store.finish_export(&tenant, &run.id, "failed", &body, now).await?;
        tracing::warn!(run = run.id, folder = %app.settings.exports.display(), "an export run was left behind");
    }
    remove_orphans(app).await
}

/// Removes the drafts of runs that have ended. One of a run that the database does not know may be another installation's.
async fn remove_orphans(app: &App) -> Result<(), StoreError> {
    let found = match drafts(&app.settings.exports) {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "what export runs have left cannot be looked for");
            return Ok(());
        }
    };
    for id in found {
        let run = app.store.export_run(id.tenant(), &id.to_string()).await?;
        if run.is_some_and(|run| !matches!(run.status.as_str(), "queued" | "running")) {
            clear(app, &id.to_string());
        }
    }
    Ok(())
}

/// Removes what a run wrote that did not come to its end.
fn clear(app: &App, run_id: &str) {
    let Ok(id) = run_id.parse::<RunId>() else { return };
    match remove_draft(&app.settings.exports, &id) {
        Ok(()) => tracing::debug!(run = run_id, "what the export run had written is removed"),
        Err(error) => tracing::warn!(run = run_id, %error, "what the export run had written cannot be removed"),
    }
}
