//! A scan by the server.

use reqwest::header::LOCATION;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use stella_api::finding::{FeedStamp, Finding, ScanDocument, SeveritySummary, sort_findings};
use stella_api::scan::ScanResult;
use stella_domain::{Digest, Severity, Timestamp};
use stella_judged::status;
use stella_policy::ImageVerdict;

use super::args::Args;
use super::policy_file::{self, PolicyFile, PolicyFileError};
use super::upload::{self, UploadError};
use super::{Scan, gate};
use crate::client::scans::ScanError;
use crate::client::{Call, Client, ClientError, Settings};
use crate::render::Format;

/// Most findings of a page.
const PAGE_SIZE: &str = "200";

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
    findings: String,
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
    let client = Client::new(Settings {
        server: args.server.clone(),
        token: args.token.clone(),
        tenant: None,
        wait_quota: args.wait_quota,
    })?;
    let call = upload::call(&client, args, target).await?;
    let answer = client.send(&call).await?;
    let finished = finish(&client, &call, answer).await?;

    let mut findings: Vec<Finding> =
        client.pages(&Call::get(finished.findings.as_str()).query("pageSize", PAGE_SIZE)).await?;
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
        Format::Cyclonedx => Some(bill_of_materials(&client, &finished.scan_id, "cyclonedx-json").await?),
        Format::Spdx => Some(bill_of_materials(&client, &finished.scan_id, "spdx-json").await?),
        Format::Table | Format::Json | Format::Sarif | Format::Html | Format::Markdown => None,
    };
    Ok(Scan { document, bom })
}

/// 200 tells the result, 202 where it will be.
async fn finish(client: &Client, call: &Call, answer: Response) -> Result<Finished, RemoteError> {
    if answer.status() != StatusCode::ACCEPTED {
        let result: ScanResult = client.read_json(call, answer).await?;
        return Ok(Finished {
            scan_id: result.scan_id,
            digest: result.digest,
            findings: result.findings_url,
            policy_status: Some(result.policy_status),
        });
    }
    let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or(RemoteError::NoLocation)?.to_owned();
    let state = client.finished(&location).await?;
    let digest = state.image.digest.ok_or_else(|| RemoteError::NoDigest(state.scan_id.clone()))?;
    let findings = format!("/api/v1/scans/{}/findings", state.scan_id);
    Ok(Finished { scan_id: state.scan_id, digest, findings, policy_status: None })
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
    client.pages(&Call::get("/api/v1/feeds")).await.unwrap_or_else(|error| {
        tracing::debug!(%error, "no feeds");
        Vec::new()
    })
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

async fn engine(client: &Client) -> String {
    match client.json::<Version>(&Call::get("/version")).await {
        Ok(Version { version }) => format!("stella {version}"),
        Err(error) => {
            tracing::debug!(%error, "no version");
            "stella".to_owned()
        }
    }
}

async fn bill_of_materials(client: &Client, scan_id: &str, format: &str) -> Result<Vec<u8>, ClientError> {
    let call = Call::get(format!("/api/v1/scans/{scan_id}/sbom")).query("format", format);
    Ok(client.bytes(&call).await?.to_vec())
}
