//! `stellopsctl report get|verify|show|attach|keys`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stella_api::client::Client;
use stella_api::report::{AttachRequest, ReportRequest};
use stella_api::scan::{ScanImage, ScanRequest};
use stella_attest::key_file::{self, KeyFileError};
use stella_attest::page::Page;
use stella_attest::{Envelope, Report, ReportError, VerifyingKey, canonical};
use stella_domain::Digest;

use super::CtlError;
use super::args::{KeyArg, PageFormat};
use crate::client::scans::finished;
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
    /// It is longer than any report.
    #[error("'{path}' is longer than 64 MiB")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The file holds no report.
    #[error("'{path}' holds no report")]
    NoReport {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ReportError,
    },
    /// The file holds something else.
    #[error("'{path}' holds neither a signed report nor a DSSE envelope")]
    NoEnvelope {
        /// The file.
        path: PathBuf,
    },
}

/// Longest report file in bytes.
const LONGEST: u64 = 64 << 20;

/// Fetches the signed report of a scan. An image named by its digest is scanned first where it was not.
pub(super) async fn get(client: &Client, subject: &str, output: Option<&Path>) -> Result<Outcome, CtlError> {
    let scan_id = match subject.parse::<Digest>() {
        Ok(digest) => scan_of(client, &digest).await?,
        Err(_) => subject.to_owned(),
    };
    let request = ReportRequest { scan_id: Some(scan_id), ..ReportRequest::default() };
    let report = client.create_report(&request).await?;
    written(&terminal::json(&report)?, output)
}

fn written(text: &[u8], output: Option<&Path>) -> Result<Outcome, CtlError> {
    match output {
        None => terminal::print(text)?,
        Some(path) => {
            std::fs::write(path, text).map_err(|source| CtlError::File { path: path.to_owned(), source })?;
        }
    }
    Ok(Outcome::Passed)
}

/// Shows what a report says, whoever signed it.
pub(super) fn show(file: &Path, format: PageFormat, output: Option<&Path>) -> Result<Outcome, CtlError> {
    let no_report = |source| ReportFileError::NoReport { path: file.to_owned(), source };
    let (_, envelope) = parse(&read(file)?).ok_or_else(|| ReportFileError::NoEnvelope { path: file.to_owned() })?;
    let page = Report::unverified(&envelope).and_then(|report| Page::of(&report)).map_err(no_report)?;
    let text = match format {
        PageFormat::Html => page.html(),
        PageFormat::Markdown => page.markdown(),
    };
    written(text.as_bytes(), output)
}

/// Has the server attach a report to its image.
pub(super) async fn attach(
    client: &Client,
    report: &str,
    image: Option<&str>,
    json: bool,
) -> Result<Outcome, CtlError> {
    let request = AttachRequest { reference: image.map(str::to_owned) };
    let attached = client.attach_report(report, &request).await?;
    if json {
        terminal::print_json(&attached)?;
    } else {
        let text = format!("attached to {}@{} as {}", attached.repository, attached.subject, attached.manifest);
        terminal::print(format!("{}\n", terminal::printable(&text)).as_bytes())?;
    }
    Ok(Outcome::Passed)
}

/// Prints the public keys of the server, the one in use first; one file of them verifies new and old reports.
pub(super) async fn keys(client: &Client, json: bool) -> Result<Outcome, CtlError> {
    let keys = client.report_keys().await?;
    if json {
        terminal::print_json(&keys)?;
        return Ok(Outcome::Passed);
    }
    let mut text = String::new();
    for key in &keys.items {
        let state = if key.active { "in use" } else { "retired" };
        text.push_str(&format!("{} ({}), {state}\n{}", terminal::printable(&key.key_id), key.algorithm, key.pem));
    }
    terminal::print(text.as_bytes())?;
    Ok(Outcome::Passed)
}

/// The same request gives the same scan, so that asking for one is how it is found.
async fn scan_of(client: &Client, digest: &Digest) -> Result<String, CtlError> {
    let image = ScanImage { reference: None, digest: Some(digest.to_string()) };
    let request = ScanRequest { image, ..ScanRequest::default() };
    let accepted = client.enqueue_scan(&request).await?;
    Ok(finished(client, &accepted.location).await?.scan_id)
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

/// Checks a report against keys. One that does not hold is the answer no.
pub(super) fn verify(file: &Path, keys: &[KeyArg], json: bool) -> Result<Outcome, CtlError> {
    let mut known = Vec::new();
    for key in keys {
        let stem = key.path.file_stem().unwrap_or_default().to_string_lossy();
        let id = key.id.as_deref().unwrap_or(stem.strip_suffix(".pub").unwrap_or(&stem));
        known.extend(key_file::load_verifying(&key.path, id).map_err(ReportFileError::from)?);
    }
    let checked = check(&read(file)?, &known);
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
    let failed = |source| ReportFileError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    let length = file.take(LONGEST + 1).read_to_string(&mut text).map_err(failed)?;
    if length as u64 > LONGEST { Err(ReportFileError::TooLong { path: path.to_owned() }) } else { Ok(text) }
}

/// What stands beside the envelope, and the envelope.
fn parse(text: &str) -> Option<(Option<Value>, Envelope)> {
    Some(match serde_json::from_str(text).ok()? {
        ReportFile::Signed { report, dsse } => (Some(report), dsse),
        ReportFile::Envelope(envelope) => (None, envelope),
    })
}

/// The signed report in `text`, or why it cannot be trusted.
fn check(text: &str, keys: &[VerifyingKey]) -> Result<Report, String> {
    let (shown, envelope) =
        parse(text).ok_or_else(|| "the file holds neither a signed report nor a DSSE envelope".to_owned())?;
    let keys: Vec<&VerifyingKey> = keys.iter().collect();
    let report = Report::open(&envelope, &keys).map_err(|error| exit::with_causes(&error))?;
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
