//! A scan by the server.

use stella_api::client::{Client, ClientError, Credential, Scanned, Settings};
use stella_api::finding::{FeedStamp, Finding, ScanDocument, SeveritySummary, sort_findings};
use stella_domain::{Digest, Severity, Timestamp};
use stella_judged::status;
use stella_policy::ImageVerdict;

use super::args::Args;
use super::policy_file::{self, PolicyFile, PolicyFileError};
use super::upload::{self, UploadError};
use super::{Scan, gate};
use crate::client::{self, scans::ScanError};
use crate::render::Format;

/// Why a scan by the server has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The server cannot be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The target cannot be sent.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// The scan ended without a result.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The server accepted the scan and does not say where it is.
    #[error("the server accepted the scan without saying where it is")]
    NoLocation,
    /// A finished scan of an image nobody could name.
    #[error("scan {0} is finished and names no digest")]
    NoDigest(String),
    /// The policy cannot be applied.
    #[error(transparent)]
    Policy(#[from] PolicyFileError),
}

/// A finished scan, wherever its end was told.
struct Finished {
    scan_id: String,
    digest: Digest,
    /// Where they are; the usual place when the server did not say it.
    findings: Option<String>,
    policy_status: Option<String>,
}

/// Has `target` scanned by the server.
///
/// # Errors
/// When the server cannot be asked, refuses, or the scan fails.
pub(super) async fn scan(
    args: &Args,
    target: &str,
    policy: Option<&PolicyFile>,
    now: Timestamp,
) -> Result<Scan, RemoteError> {
    let credential = args.token.clone().map_or(Credential::None, Credential::Secret);
    let client = client::connect(Settings { credential, ..client::settings(&args.server) }, args.wait_quota)?;
    let subject = upload::subject(&client, args, target).await?;
    let finished = finish(&client, client.scan(&subject).await?).await?;

    let mut findings = finished.findings(&client).await?;
    let policy_status = match policy {
        Some(policy) => {
            let context = policy_file::context(target, finished.digest, now);
            policy.judge(&mut findings, &context)?.name().to_owned()
        }
        None => of_policy(&finished, &findings, args.threshold.severity()),
    };
    sort_findings(&mut findings);
    let document = ScanDocument {
        digest: finished.digest,
        target: target.to_owned(),
        summary: SeveritySummary::of(findings.iter().map(|finding| finding.severity)),
        policy_status,
        findings,
        feeds: feeds(&client).await,
        engine: engine(&client).await,
    };
    let bom = match args.output() {
        Format::Cyclonedx => Some(client.scan_bom(&finished.scan_id, "cyclonedx-json").await?.into()),
        Format::Spdx => Some(client.scan_bom(&finished.scan_id, "spdx-json").await?.into()),
        Format::Table | Format::Json | Format::Sarif | Format::Html | Format::Markdown => None,
    };
    Ok(Scan { document, bom })
}

impl Finished {
    async fn findings(&self, client: &Client) -> Result<Vec<Finding>, ClientError> {
        match &self.findings {
            Some(location) => client.scan_findings_at(location).await,
            None => client.scan_findings(&self.scan_id).await,
        }
    }
}

/// The result, wherever it is told.
async fn finish(client: &Client, scanned: Scanned) -> Result<Finished, RemoteError> {
    let location = match scanned {
        Scanned::Finished(result) => {
            return Ok(Finished {
                scan_id: result.scan_id,
                digest: result.digest,
                findings: Some(result.findings_url),
                policy_status: Some(result.policy_status),
            });
        }
        Scanned::Accepted { location } => location.ok_or(RemoteError::NoLocation)?,
    };
    let state = client::scans::finished(client, &location).await?;
    let digest = state.image.digest.ok_or_else(|| RemoteError::NoDigest(state.scan_id.clone()))?;
    Ok(Finished { scan_id: state.scan_id, digest, findings: None, policy_status: None })
}

/// What policy says of the image. The server's word speaks of the threshold too; where that alone may have blocked the image,
/// and where there is no word, the verdicts of the findings make it.
fn of_policy(finished: &Finished, findings: &[Finding], threshold: Severity) -> String {
    let by_threshold = || gate::over(findings, threshold) > 0;
    match &finished.policy_status {
        Some(told) if told != ImageVerdict::Blocked.name() || !by_threshold() => told.clone(),
        _ => {
            let verdicts = findings.iter().map(|finding| status(finding).image_verdict());
            verdicts.max().unwrap_or_default().name().to_owned()
        }
    }
}

/// The ages of the feeds are good to know; a token that may not ask for them is no reason to fail.
async fn feeds(client: &Client) -> Vec<FeedStamp> {
    client.feeds().await.unwrap_or_else(|error| {
        tracing::debug!(%error, "no feeds");
        Vec::new()
    })
}

async fn engine(client: &Client) -> String {
    match client.version().await {
        Ok(told) => format!("stella {}", told.version),
        Err(error) => {
            tracing::debug!(%error, "no version");
            "stella".to_owned()
        }
    }
}
