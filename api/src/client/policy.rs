//! Policies: those in force, and what others would do.

use bytes::Bytes;

use super::call::{Body, Call};
use super::operation::Operation;
use super::{Client, ClientError};
use crate::policy::{Impact, PolicyInForce, RevisionEntry, RollbackRequest};

/// Bytes that the verdicts on everything may have.
const LONGEST_VERDICTS: usize = 1 << 30;

impl Client {
    /// `GET /policy/export`: the rules in force, or those of one policy, as the server writes them.
    ///
    /// # Errors
    /// When the server cannot be asked or refuses.
    pub async fn export_policy(&self, name: Option<&str>) -> Result<Bytes, ClientError> {
        self.bytes(&Call::of(Operation::ExportPolicy, &[]).query_given("name", name)).await
    }

    /// `GET /policy/history`, every page, the newest revision first.
    ///
    /// # Errors
    /// When the server cannot be asked, refuses, or answers otherwise.
    pub async fn policy_history(&self) -> Result<Vec<RevisionEntry>, ClientError> {
        self.pages(&Call::of(Operation::PolicyHistory, &[])).await
    }

    /// `POST /policy/import`: puts rules into force, in place of those whose digest is `if_match` alone where that is given.
    ///
    /// # Errors
    /// As [`Self::policy_history`].
    pub async fn import_policy(
        &self,
        rules: Body,
        if_match: Option<&str>,
        description: Option<&str>,
    ) -> Result<PolicyInForce, ClientError> {
        let mut call = Call::of(Operation::ImportPolicy, &[]).body(rules).query_given("description", description);
        if let Some(digest) = if_match {
            call = call.header("If-Match", format!("\"{digest}\""));
        }
        self.json(&call).await
    }

    /// `POST /policy/rollback`: puts an earlier revision into force again.
    ///
    /// # Errors
    /// As [`Self::policy_history`].
    pub async fn roll_back_policy(&self, request: &RollbackRequest) -> Result<PolicyInForce, ClientError> {
        self.json(&Call::of(Operation::RollBackPolicy, &[]).json(request)?).await
    }

    /// `POST /api/v1/policy/impact`: what rules would change over everything the server knows, in place of the policy `replaces`.
    ///
    /// # Errors
    /// As [`Self::policy_history`].
    pub async fn policy_impact(&self, rules: Body, replaces: Option<&str>) -> Result<Impact, ClientError> {
        self.json(&Call::of(Operation::PolicyImpact, &[]).body(rules).query_given("replaces", replaces)).await
    }

    /// `POST /api/v1/policy/verdicts`: the verdicts that rules would give, as a webhook keeps them in a file, at most 1 GiB.
    ///
    /// # Errors
    /// When the server cannot be asked or refuses.
    pub async fn policy_verdicts(&self, rules: Body, replaces: Option<&str>) -> Result<Bytes, ClientError> {
        let call = Call::of(Operation::PolicyVerdicts, &[]).body(rules).query_given("replaces", replaces);
        self.bytes(&call.up_to(LONGEST_VERDICTS)).await
    }
}
