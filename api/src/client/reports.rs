//! Signed reports.

use super::call::Call;
use super::operation::Operation;
use super::{Client, ClientError};
use crate::report::{AttachRequest, AttachedReport, ReportKeys, ReportRequest, SignedReport};

impl Client {
    /// `POST /api/v1/reports`.
    ///
    /// # Errors
    /// When the server cannot be asked, refuses, or answers otherwise.
    pub async fn create_report(&self, request: &ReportRequest) -> Result<SignedReport, ClientError> {
        self.json(&Call::of(Operation::CreateReport, &[]).json(request)?).await
    }

    /// `POST /api/v1/reports/{id}/referrers`.
    ///
    /// # Errors
    /// As [`Self::create_report`].
    pub async fn attach_report(&self, id: &str, request: &AttachRequest) -> Result<AttachedReport, ClientError> {
        self.json(&Call::of(Operation::AttachReport, &[id]).json(request)?).await
    }

    /// `GET /api/v1/reports/keys`.
    ///
    /// # Errors
    /// As [`Self::create_report`].
    pub async fn report_keys(&self) -> Result<ReportKeys, ClientError> {
        self.json(&Call::of(Operation::ReportKeys, &[])).await
    }
}
