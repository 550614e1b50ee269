//! What a caller of `POST /scan` wants beside the scan: flags, headers, and a policy for this call alone.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use stella_domain::Severity;
use stella_inventory::sbom::SbomFormat;
use stella_policy::Document;

use super::caller::Caller;
use super::error::ApiError;
use super::policies::unreadable;
use crate::app::App;
use crate::gate::Terms;
use crate::judging::{LoadedPolicy, document_of, load};
use crate::scanning::Takes;

const SBOM_TYPE: &str = "x-stella-sbom-type";
/// How long an answer waits for the scan.
const WAIT: Duration = Duration::from_secs(5);
/// The longest that a caller may have it wait.
const LONGEST_WAIT: u64 = 60;

/// Parameters of `POST /scan`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ScanQuery {
    #[serde(rename = "sbom-only", default)]
    sbom_only: bool,
    #[serde(default)]
    threshold: Option<String>,
    #[serde(default)]
    policy: Option<String>,
}

impl ScanQuery {
    /// The severity from which on the image is blocked.
    pub(super) fn threshold(&self) -> Result<Severity, ApiError> {
        match self.threshold.as_deref() {
            None | Some("critical") => Ok(Severity::Critical),
            Some("high") => Ok(Severity::High),
            Some("medium") => Ok(Severity::Medium),
            Some("low") => Ok(Severity::Low),
            Some(other) => Err(ApiError::field("$.threshold", format!("Invalid level '{other}'"))),
        }
    }

    /// What is taken of a body that is an SBOM or an image.
    pub(super) fn takes(&self, headers: &HeaderMap) -> Result<Takes, ApiError> {
        Ok(Takes { sbom_only: self.sbom_only, sbom_type: sbom_type(headers)? })
    }

    /// The policy that is named, of the caller's tenant.
    pub(super) async fn policy(&self, app: &App, caller: &Caller) -> Result<Option<Document>, ApiError> {
        match &self.policy {
            Some(name) => named(app, caller, name).await.map(Some),
            None => Ok(None),
        }
    }
}

fn sbom_type(headers: &HeaderMap) -> Result<Option<SbomFormat>, ApiError> {
    let Some(value) = headers.get(SBOM_TYPE) else { return Ok(None) };
    let name = value.to_str().unwrap_or_default().trim();
    let format = SbomFormat::from_name(name).ok_or_else(|| {
        let known = SbomFormat::ALL.map(SbomFormat::name).join(", ");
        ApiError::invalid(format!("X-Stella-Sbom-Type '{name}' is not known; these are: {known}"))
    });
    format.map(Some)
}

/// How long an answer waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    pub(super) time: Duration,
    /// What the caller asked for and gets.
    applied: Option<u64>,
}

impl Wait {
    /// By the preference `wait` (RFC 7240), in seconds.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        let preferences = values.flat_map(|value| value.split(',')).map(str::trim);
        let asked = preferences.filter_map(|one| one.strip_prefix("wait=")?.parse::<u64>().ok()).next();
        let applied = asked.map(|seconds| seconds.min(LONGEST_WAIT));
        Self { time: applied.map_or(WAIT, Duration::from_secs), applied }
    }

    /// Says in the answer what was done of what the caller prefers.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        let told = self.applied.and_then(|seconds| HeaderValue::from_str(&format!("wait={seconds}")).ok());
        if let Some(value) = told {
            headers.insert("preference-applied", value);
        }
    }
}

/// By what the answer judges: the threshold, and the policy that is named or was sent, if any.
pub(super) fn terms(
    app: &App,
    caller: &Caller,
    threshold: Severity,
    policies: (Option<Document>, Option<Document>),
) -> Result<Terms, ApiError> {
    let document = match policies {
        (Some(_), Some(_)) => return Err(ApiError::field("$.policy", "name a policy or send one, not both")),
        (named, sent) => named.or(sent),
    };
    let stand_in = |document| LoadedPolicy::stand_in(&caller.tenant, &caller.subject, document, app.clock.now());
    let policy = document.map(stand_in).transpose().map_err(|e| ApiError::field("$.policy", e.to_string()))?;
    Ok(Terms { threshold, policy })
}

/// The document of a revision (`rev-3`), in force or not, or that of the policy in force which goes by the name.
async fn named(app: &App, caller: &Caller, name: &str) -> Result<Document, ApiError> {
    let revision = match name.strip_prefix("rev-").and_then(|number| number.parse().ok()) {
        Some(number) => {
            let revision = app.store.policy_revision(&caller.tenant, number).await?;
            revision.ok_or_else(|| ApiError::not_found(format!("there is no revision {name}")))?
        }
        None => {
            let own = load(app).await?.by_tenant.remove(&caller.tenant).unwrap_or_default();
            let found = own.into_iter().find(|policy| policy.revision.name == name);
            found.ok_or_else(|| ApiError::not_found(format!("no policy {name} is in force")))?.revision
        }
    };
    document_of(&revision).ok_or_else(|| unreadable(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(values: &[&'static str]) -> (u64, Option<u64>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("prefer", HeaderValue::from_static(value));
        }
        let wait = Wait::of(&headers);
        (wait.time.as_secs(), wait.applied)
    }

    #[test]
    fn a_caller_may_say_how_long_the_answer_waits() {
        assert_eq!(wait(&[]), (5, None));
        assert_eq!(wait(&["respond-async, wait=20"]), (20, Some(20)));
        assert_eq!(wait(&["respond-async", "wait=0"]), (0, Some(0)));
        assert_eq!(wait(&["wait=4000"]), (60, Some(60)));
        assert_eq!(wait(&["wait=soon"]), (5, None));
    }
}
