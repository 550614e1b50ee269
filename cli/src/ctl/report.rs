//! `stellopsctl report get|verify`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stella_api::report::{ReportRequest, SignedReport};
use stella_api::scan::{ScanAccepted, ScanImage, ScanRequest};
use stella_attest::{Envelope, KeyError, PublicKey, Report, canonical};
use stella_domain::Digest;

use super::CtlError;
use crate::client::{Call, Client};
use crate::exit::{self, Outcome};
use crate::terminal;

/// Why there is nothing to verify.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportFileError {
    /// A file cannot be read.
    #[error("cannot read '{path}'")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key is none.
    #[error("cannot use the key in '{path}'")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
}

/// Fetches the signed report of a scan. An image named by its digest is scanned first where it was not.
pub(super) async fn get(client: &Client, subject: &str, output: Option<&Path>) -> Result<Outcome, CtlError> {
    let scan_id = match subject.parse::<Digest>() {
        Ok(digest) => scan_of(client, &digest).await?,
        Err(_) => subject.to_owned(),
    };
    let request = ReportRequest { scan_id: Some(scan_id), ..ReportRequest::default() };
    let report: SignedReport = client.json(&Call::post_json("/api/v1/reports", &request)?).await?;
    let text = terminal::json(&report)?;
    match output {
        None => terminal::print(&text)?,
        Some(path) => {
            std::fs::write(path, text).map_err(|source| CtlError::File { path: path.to_owned(), source })?;
        }
    }
    Ok(Outcome::Passed)
}

/// The same request gives the same scan, so that asking for one is how it is found.
async fn scan_of(client: &Client, digest: &Digest) -> Result<String, CtlError> {
    let image = ScanImage { reference: None, digest: Some(digest.to_string()) };
    let request = ScanRequest { image, ..ScanRequest::default() };
    let accepted: ScanAccepted = client.json(&Call::post_json("/api/v1/scans", &request)?).await?;
    Ok(client.finished(&accepted.location).await?.scan_id)
}

/// A report with its signature, or the signature's envelope alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum ReportFile {
    Signed { report: Value, dsse: Envelope },
    Envelope(Envelope),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verification {
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    report_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Checks a report against a public key. One that does not hold is the answer no.
pub(super) fn verify(file: &Path, key: &Path, json: bool) -> Result<Outcome, CtlError> {
    let pem = read(key)?;
    let key_id = key.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let public =
        PublicKey::from_pem(key_id, &pem).map_err(|source| ReportFileError::Key { path: key.to_owned(), source })?;
    let checked = check(&read(file)?, &public);
    let verification = match &checked {
        Ok(report) => Verification { verified: true, report_id: Some(report.id().to_owned()), reason: None },
        Err(reason) => Verification { verified: false, report_id: None, reason: Some(reason.clone()) },
    };
    if json {
        terminal::print_json(&verification)?;
    } else {
        let line = match &checked {
            Ok(report) => told(report),
            Err(reason) => format!("not verified: {}\n", terminal::printable(reason)),
        };
        terminal::print(line.as_bytes())?;
    }
    Ok(Outcome::of(verification.verified))
}

fn read(path: &Path) -> Result<String, ReportFileError> {
    std::fs::read_to_string(path).map_err(|source| ReportFileError::Read { path: path.to_owned(), source })
}

/// The signed report in `text`, or why it cannot be trusted.
fn check(text: &str, key: &PublicKey) -> Result<Report, String> {
    let file: ReportFile = serde_json::from_str(text)
        .map_err(|_| "the file holds neither a signed report nor a DSSE envelope".to_owned())?;
    let (shown, envelope) = match file {
        ReportFile::Signed { report, dsse } => (Some(report), dsse),
        ReportFile::Envelope(envelope) => (None, envelope),
    };
    let report = Report::open(&envelope, &[key]).map_err(|error| exit::with_causes(&error))?;
    // The signature covers the envelope's payload only; the copy beside it is what people read.
    if let Some(shown) = shown {
        let signed = report.canonical_bytes().map_err(|error| exit::with_causes(&error))?;
        if canonical::to_vec(&shown).map_err(|error| exit::with_causes(&error))? != signed {
            return Err("the report in the file is not the one that was signed".to_owned());
        }
    }
    Ok(report)
}

fn told(report: &Report) -> String {
    let field = |name: &str| report.value().get(name).and_then(Value::as_str).unwrap_or("unknown");
    let (image, verdict) = (field("imageDigest"), field("verdict"));
    format!("verified: {} of {image}, verdict {verdict}\n", report.id())
}
