//! `POST /scan`: an SBOM, an archive, a reference, or a URL.

use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use stella_api::finding::SeveritySummary;
use stella_api::scan::{Quota, ScanAccepted, ScanForm, ScanReference, ScanResult};
use stella_registry::DownloadError;
use stella_service::spans::carried;
use stella_store::{NewScan, Scan, ScanSource, ScanStatus, Submitted};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::caller::Caller;
use super::error::ApiError;
use super::reports::failed;
use super::scan_body::Sent;
use super::scan_terms::{ScanQuery, Wait, terms};
use super::scans::{accepted, check_reference, findings_of};
use crate::app::App;
use crate::gate::{Scanned, Terms, status};
use crate::reports::environment_of;
use crate::scanning::{self, Body, Reading, Takes, UploadError, read_on, scan_body};

/// Bytes a JSON body that names an image may have.
const MAX_REFERENCE: usize = 16 * 1024;
/// How often a scan is looked at meanwhile, should it not have been heard that it moved.
const LOOK: Duration = Duration::from_secs(1);

/// Scans an SBOM, an image archive, an image by its reference, or what lies at a URL of an allowed host. As `multipart/form-data`
/// it may come with a policy, in a part named `policy`, which stands in for those in force in this answer alone.
#[utoipa::path(post, path = "/scan", tag = "scanning",
    params(("sbom-only" = Option<bool>, Query), ("threshold" = Option<String>, Query, pattern = "^(low|medium|high|critical)$"),
        ("policy" = Option<String>, Query, description = "a revision, or the name of a policy in force, in place of those in force"),
        ("X-Stella-Sbom-Type" = Option<String>, Header, pattern = "^(trivy-json-v2|spdx-json|cyclonedx-json|cyclonedx-xml|spdx-tag-value|spdx3-json|syft-json)$"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: seconds to wait for the end, at most 60")),
    request_body(content((Vec<u8> = "application/octet-stream"), (ScanForm = "multipart/form-data"))),
    responses((status = 200, body = ScanResult), (status = 202, body = ScanAccepted),
        (status = 400, body = stella_api::problem::Problem), (status = 404, body = stella_api::problem::Problem),
        (status = 409, description = "the policy that is named cannot be read any more", body = stella_api::problem::Problem),
        (status = 413, body = stella_api::problem::Problem)))]
pub(super) async fn scan(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ScanQuery>,
    quota: Option<Extension<Quota>>,
    request: Request,
) -> Result<Response, ApiError> {
    // What is wrong with these is told before a large body is taken in.
    let (threshold, named) = (query.threshold()?, query.policy(&app, &caller).await?);
    let (takes, wait) = (query.takes(request.headers())?, Wait::of(request.headers()));
    let mut sent = Sent::take(&app, request).await?;
    let terms = terms(&app, &caller, threshold, (named, sent.policy.take()))?;
    let call = Call { app, caller, terms, wait, quota: quota.map(|Extension(left)| left) };
    let mut response = match call.asked(&sent).await? {
        Some(_) if takes.sbom_only || takes.sbom_type.is_some() => {
            let message = "sbom-only and X-Stella-Sbom-Type are for what is sent, and an image is named";
            return Err(ApiError::invalid(message));
        }
        Some(new) => call.queue(new).await?,
        None => call.upload(sent, takes).await?,
    };
    wait.tell(response.headers_mut());
    Ok(response)
}

/// Who asks, and for what beside the scan.
struct Call {
    app: App,
    caller: Caller,
    terms: Terms,
    wait: Wait,
    quota: Option<Quota>,
}

impl Call {
    /// The scan that a small JSON body asks for; `None` when the body is something else.
    async fn asked(&self, sent: &Sent) -> Result<Option<NewScan>, ApiError> {
        match &sent.body {
            _ if sent.size > MAX_REFERENCE as u64 => Ok(None),
            Body::Held(bytes) => asked(&self.app, bytes),
            Body::File(path) => asked(&self.app, &tokio::fs::read(path).await.map_err(ApiError::failed)?),
        }
    }

    /// Reads what was sent, and answers with what came of it. When that takes longer than the caller waits, it goes on as a scan
    /// that the caller may follow.
    async fn upload(&self, sent: Sent, takes: Takes) -> Result<Response, ApiError> {
        let Sent { body, folder, .. } = sent;
        let original = body.original().map_err(ApiError::failed)?;
        let (app, tenant) = (self.app.clone(), self.caller.tenant.clone());
        let mut reading: Reading = AbortOnDropHandle::new(tokio::spawn(carried(async move {
            let read = scan_body(&app, &tenant, body, takes).await;
            drop(folder);
            read
        })));
        let read = match self.wait.time {
            Duration::ZERO => None,
            time => tokio::time::timeout(time, &mut reading).await.ok(),
        };
        let Some(read) = read else {
            let going_on = read_on(self.app.clone(), self.caller.tenant.clone(), original, reading);
            // Begun, it is not to be left in the middle by a caller who goes away.
            let submitted = tokio::spawn(going_on).await.map_err(ApiError::internal)?;
            return accepted(submitted.map_err(refused)?);
        };
        drop(original);
        let upload = read.map_err(ApiError::internal)?.map_err(refused)?;
        let scanned = Scanned {
            digest: &upload.digest,
            findings: &upload.findings,
            environment: None,
            verdict: Some(upload.verdict),
        };
        self.result(&upload.scan_id, scanned).await
    }

    /// Puts a scan into the queue and waits a little for its end.
    async fn queue(&self, new: NewScan) -> Result<Response, ApiError> {
        let submitted = scanning::submit(&self.app, &self.caller.tenant, new).await?;
        let ended = self.end_of(submitted.scan).await?;
        match (ended.status, ended.digest) {
            (ScanStatus::Succeeded, Some(digest)) => {
                let findings = findings_of(&self.app, &self.caller.tenant, &digest).await?;
                let environment = environment_of(&ended);
                let scanned = Scanned { digest: &digest, findings: &findings, environment, verdict: None };
                self.result(&ended.id, scanned).await
            }
            (ScanStatus::Failed, _) => Err(ApiError::invalid(ended.failure.unwrap_or_default())),
            _ => accepted(Submitted { scan: ended, created: submitted.created }),
        }
    }

    async fn end_of(&self, scan: Scan) -> Result<Scan, ApiError> {
        let until = Instant::now() + self.wait.time;
        let mut following = self.app.progress.follow(&scan.id);
        loop {
            let present = self.app.store.scan(&scan.tenant, &scan.id).await?;
            let present = present.ok_or_else(|| ApiError::not_found("the scan is gone"))?;
            if present.status.is_final() || Instant::now() >= until {
                return Ok(present);
            }
            tokio::select! {
                () = following.moved() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn result(&self, scan_id: &str, scanned: Scanned<'_>) -> Result<Response, ApiError> {
        let verdict = status(&self.app, &self.caller.tenant, scanned, &self.terms).await.map_err(failed)?;
        let is_by_own_policy = self.terms.policy.is_some();
        let body = ScanResult {
            scan_id: scan_id.to_owned(),
            digest: *scanned.digest,
            summary: SeveritySummary::of(scanned.findings.iter().map(|finding| finding.severity)),
            policy_status: verdict.name().to_owned(),
            quota: self.quota,
            // Reports are by the policies in force.
            report_url: (!is_by_own_policy).then(|| format!("/api/v1/reports/of-scan/{scan_id}")),
            findings_url: format!("/api/v1/scans/{scan_id}/findings"),
        };
        Ok(Json(body).into_response())
    }
}

/// The scan that a small JSON body asks for; `None` when the body is something else.
fn asked(app: &App, bytes: &[u8]) -> Result<Option<NewScan>, ApiError> {
    let Ok(asked) = serde_json::from_slice::<ScanReference>(bytes) else { return Ok(None) };
    let scan = |reference, source, force| NewScan {
        reference: Some(reference),
        source,
        timeout_seconds: 600,
        force,
        ..NewScan::default()
    };
    match (asked.reference, asked.image_url) {
        (Some(_), Some(_)) => Err(ApiError::field("$.imageUrl", "name a reference or a URL, not both")),
        (Some(reference), None) => {
            check_reference(&reference, "$.reference")?;
            Ok(Some(scan(reference, ScanSource::Auto, false)))
        }
        // What lies there may have changed since.
        (None, Some(url)) => {
            let refused = |error: DownloadError| ApiError::field("$.imageUrl", error.to_string());
            app.registries.may_download(&url, &app.settings.url_hosts).map_err(refused)?;
            Ok(Some(scan(url, ScanSource::Url, true)))
        }
        (None, None) => Ok(None),
    }
}

fn refused(error: UploadError) -> ApiError {
    match error {
        UploadError::TooLarge { .. } => ApiError::too_large(error.to_string()),
        UploadError::Image(_)
        | UploadError::Sbom(_)
        | UploadError::SbomOnly
        | UploadError::Type { .. }
        | UploadError::Missing(_) => ApiError::invalid(error.to_string()),
        UploadError::Match(crate::scanning::MatchError::NoIndex) => ApiError::unavailable(error.to_string()),
        other => ApiError::failed(other),
    }
}
