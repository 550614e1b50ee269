//! Scans, and the layers they need.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::LOCATION;
use stella_domain::{Digest, Severity};

use super::call::{Body, Call};
use super::operation::Operation;
use super::{Client, ClientError};
use crate::finding::Finding;
use crate::node::{LayersMissing, LayersQuery};
use crate::scan::{ScanAccepted, ScanReference, ScanRequest, ScanResult, ScanState};

/// Most findings of a page.
pub(super) const PAGE_SIZE: &str = "200";
/// How long the answer about layers may take.
const LAYERS_WITHIN: Duration = Duration::from_secs(60);
/// Bytes an SBOM may have.
const LONGEST_BOM: usize = 1 << 30;

/// What is sent to `POST /scan`.
#[derive(Clone)]
pub struct ScanSubject {
    body: Body,
    sbom_type: Option<&'static str>,
    threshold: Option<Severity>,
}

/// How `POST /scan` was answered.
#[derive(Debug)]
pub enum Scanned {
    /// It finished within the wait.
    Finished(ScanResult),
    /// It goes on, at this address.
    Accepted {
        /// `Location`; absent when the server does not say it.
        location: Option<String>,
    },
}

impl ScanSubject {
    /// A file of a media type, sent as it is read.
    #[must_use]
    pub fn file(media_type: &'static str, path: impl Into<PathBuf>) -> Self {
        Self::of(Body::File(media_type, path.into()))
    }

    /// An SBOM in JSON.
    #[must_use]
    pub fn document(document: impl Into<Bytes>) -> Self {
        Self::of(Body::json(document))
    }

    /// An image that the server fetches.
    ///
    /// # Errors
    /// When the reference has no JSON form.
    pub fn reference(reference: &ScanReference) -> Result<Self, ClientError> {
        let call = Call::of(Operation::Scan, &[]).json(reference)?;
        Ok(Self::of(call.body))
    }

    const fn of(body: Body) -> Self {
        Self { body, sbom_type: None, threshold: None }
    }

    /// The format of the SBOM; the server tells by its content without it.
    #[must_use]
    pub fn sbom_type(self, name: &'static str) -> Self {
        Self { sbom_type: Some(name), ..self }
    }

    /// The severity from which on findings fail the scan.
    #[must_use]
    pub fn threshold(self, threshold: Severity) -> Self {
        Self { threshold: Some(threshold), ..self }
    }
}

impl Client {
    /// `POST /scan`, for as long as that takes.
    ///
    /// # Errors
    /// When the file cannot be read, or the server cannot be asked, refuses, or answers otherwise.
    pub async fn scan(&self, subject: &ScanSubject) -> Result<Scanned, ClientError> {
        let mut call = Call::of(Operation::Scan, &[]).body(subject.body.clone());
        if let Some(name) = subject.sbom_type {
            call = call.header("X-Stella-Sbom-Type", name);
        }
        if let Some(threshold) = subject.threshold {
            call = call.query("threshold", threshold.name().to_ascii_lowercase());
        }
        let answer = self.send(&call).await?;
        if answer.status() == StatusCode::ACCEPTED {
            let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
            return Ok(Scanned::Accepted { location });
        }
        Ok(Scanned::Finished(self.read_json(&call, answer).await?))
    }

    /// `POST /api/v1/scans`. The same request gives the same scan.
    ///
    /// # Errors
    /// When the server cannot be asked, refuses, or answers otherwise.
    pub async fn enqueue_scan(&self, request: &ScanRequest) -> Result<ScanAccepted, ClientError> {
        self.json(&Call::of(Operation::EnqueueScan, &[]).json(request)?).await
    }

    /// The scan at a `location` that the server gave.
    ///
    /// # Errors
    /// As [`Self::enqueue_scan`], and when the location is of another server.
    pub async fn scan_at(&self, location: &str) -> Result<ScanState, ClientError> {
        self.json(&Call::at(Operation::ScanState, location)).await
    }

    /// `GET /api/v1/scans/{id}/findings`, every page.
    ///
    /// # Errors
    /// As [`Self::enqueue_scan`].
    pub async fn scan_findings(&self, scan_id: &str) -> Result<Vec<Finding>, ClientError> {
        self.scan_findings_at(&Operation::ScanFindings.at(&[scan_id])).await
    }

    /// The findings at an address that the server gave, every page.
    ///
    /// # Errors
    /// As [`Self::scan_at`].
    pub async fn scan_findings_at(&self, location: &str) -> Result<Vec<Finding>, ClientError> {
        self.pages(&Call::at(Operation::ScanFindings, location).query("pageSize", PAGE_SIZE)).await
    }

    /// `GET /api/v1/scans/{id}/sbom`: at most 1 GiB in `format`, as it comes.
    ///
    /// # Errors
    /// As [`Self::enqueue_scan`].
    pub async fn scan_bom(&self, scan_id: &str, format: &str) -> Result<Bytes, ClientError> {
        self.bytes(&Call::of(Operation::ScanBom, &[scan_id]).query("format", format).up_to(LONGEST_BOM)).await
    }

    /// `POST /layers/missing`: those of the layers (1 to 4096) that the server has no inventory of.
    ///
    /// # Errors
    /// As [`Self::enqueue_scan`], and when there is no answer within a minute.
    pub async fn missing_layers(&self, query: &LayersQuery) -> Result<Vec<Digest>, ClientError> {
        let call = Call::of(Operation::MissingLayers, &[]).json(query)?.within(LAYERS_WITHIN);
        Ok(self.json::<LayersMissing>(&call).await?.missing)
    }
}
