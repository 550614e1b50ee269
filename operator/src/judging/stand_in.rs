//! A policy that stands in for those in force, to answer one question.

use std::collections::BTreeMap;

use stella_crds::PolicySpec;
use stella_domain::{Tenant, Timestamp};
use stella_policy::{CompileError, Document};
use stella_store::{PolicyRevision, StoreError};

use super::policies::{IMPORT, LoadedPolicy, PolicySet, digest_of, load};
use super::scopes::{Scope, scopes};
use crate::app::App;

impl LoadedPolicy {
    /// `document` as a policy of the whole tenant that is no revision and is kept nowhere.
    ///
    /// # Errors
    /// When a glob or a Rego source cannot be read.
    pub fn stand_in(tenant: &Tenant, actor: &str, document: Document, at: Timestamp) -> Result<Self, CompileError> {
        let revision = PolicyRevision {
            tenant: tenant.clone(),
            number: 0,
            name: IMPORT.to_owned(),
            digest: digest_of(&document),
            source: "preview".to_owned(),
            actor: actor.to_owned(),
            at,
            priority: 0,
            body: String::new(),
            active: false,
            description: String::new(),
        };
        Self::new(revision, PolicySpec::default(), document)
    }
}

impl PolicySet {
    /// Names of the policies of `tenant` that act on the whole of it.
    #[must_use]
    pub fn everywhere(&self, app: &App, tenant: &Tenant) -> Vec<String> {
        let own = self.by_tenant.get(tenant).map(Vec::as_slice).unwrap_or_default();
        let everywhere =
            |policy: &&LoadedPolicy| policy.is_import() || policy.namespace() == app.settings.policy_namespace;
        own.iter().filter(everywhere).map(|policy| policy.revision.name.clone()).collect()
    }

    /// The policies that act on the whole of `tenant`.
    #[must_use]
    pub fn widest(&self, app: &App, tenant: &Tenant) -> Option<Scope> {
        let mut found = scopes(self, &BTreeMap::new(), app.settings.ground());
        found.widest.get(tenant).and_then(|id| found.by_id.remove(id))
    }
}

/// The scope of the whole tenant as it would be with `policy` in place of everything that acts on it.
///
/// # Errors
/// When the database does not answer.
pub async fn scope_with(app: &App, policy: LoadedPolicy) -> Result<Option<Scope>, StoreError> {
    let set = load(app).await?;
    let tenant = policy.revision.tenant.clone();
    let replaced = set.everywhere(app, &tenant);
    Ok(set.with(policy, &replaced).widest(app, &tenant))
}
