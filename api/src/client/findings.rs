//! Findings as the console lists them.

use stella_domain::{Severity, Tenant};

use super::call::Call;
use super::operation::Operation;
use super::scans::PAGE_SIZE;
use super::{Client, ClientError, TENANT};
use crate::console::ConsoleFinding;

/// Which findings are wanted; all of them by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FindingQuery {
    /// Of any of these; of every severity when there is none.
    pub severity: Vec<Severity>,
    /// Only of packages that are in use.
    pub in_use: bool,
    /// Of images that run in this namespace.
    pub namespace: Option<String>,
    /// Of this image: a reference or digest.
    pub image: Option<String>,
}

impl Client {
    /// `GET /console/vuln/findings`, every page.
    ///
    /// # Errors
    /// When the server cannot be asked, refuses, or answers otherwise.
    pub async fn findings(&self, wanted: &FindingQuery) -> Result<Vec<ConsoleFinding>, ClientError> {
        let mut call = Call::of(Operation::ConsoleFindings, &[]).query("pageSize", PAGE_SIZE);
        if self.settings.tenant.is_none() {
            // The console does not fall back to the token's tenant (http.md, "Tenant").
            call = call.header(TENANT, Tenant::default().as_str());
        }
        for level in &wanted.severity {
            call = call.query("severity", console_word(*level));
        }
        if wanted.in_use {
            call = call.query("reachability", "reachable");
        }
        let call = call.query_given("namespace", wanted.namespace.as_deref());
        self.pages(&call.query_given("image", wanted.image.as_deref())).await
    }
}

fn console_word(level: Severity) -> String {
    match level {
        Severity::Informational => "info".to_owned(),
        level => level.name().to_ascii_lowercase(),
    }
}
