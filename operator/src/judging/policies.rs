//! Policies as they are stored, compiled.

use std::collections::BTreeMap;
use std::sync::Arc;

use stella_api::admission::{AdmissionMode, UnscannedAction};
use stella_crds::{PolicyFormat, PolicyMode, PolicySpec, Unscanned};
use stella_domain::{Hasher, Tenant};
use stella_policy::{Compiled, Document, Parsed, parse_value};
use stella_store::{PolicyRevision, Store, StoreError};

/// A policy in force.
#[derive(Debug, Clone)]
pub struct LoadedPolicy {
    /// Its revision.
    pub revision: PolicyRevision,
    /// The object's spec.
    pub spec: PolicySpec,
    /// Its rules and waivers, ready to be evaluated.
    pub compiled: Arc<Compiled>,
}

impl LoadedPolicy {
    /// The namespace of its object.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.revision.name.split('/').next().unwrap_or_default()
    }

    /// What admission does with an image it blocks.
    #[must_use]
    pub fn mode(&self) -> AdmissionMode {
        match self.spec.admission.mode {
            PolicyMode::Audit => AdmissionMode::Audit,
            PolicyMode::Warn => AdmissionMode::Warn,
            PolicyMode::Enforce => AdmissionMode::Enforce,
        }
    }

    /// What admission does with an image that was never scanned.
    #[must_use]
    pub fn unscanned(&self) -> UnscannedAction {
        match self.spec.admission.unscanned {
            Unscanned::Allow => UnscannedAction::Allow,
            Unscanned::Warn => UnscannedAction::Warn,
            Unscanned::Deny => UnscannedAction::Deny,
        }
    }
}

/// Every policy in force, by tenant, in the order in which they are asked.
#[derive(Debug, Clone, Default)]
pub struct PolicySet {
    /// By tenant.
    pub by_tenant: BTreeMap<Tenant, Vec<LoadedPolicy>>,
    /// Names this state of all policies together.
    pub revision: String,
}

/// Reads the policies in force.
///
/// # Errors
/// When the database does not answer. A stored policy that cannot be compiled any more is left out, and said.
pub async fn load(store: &Store) -> Result<PolicySet, StoreError> {
    let mut set = PolicySet::default();
    let mut hasher = Hasher::new();
    for revision in store.active_policies().await? {
        hasher.field(revision.tenant.as_str());
        hasher.field(&revision.name);
        hasher.field(&revision.body);
        match compile(&revision) {
            Ok(policy) => set.by_tenant.entry(revision.tenant.clone()).or_default().push(policy),
            Err(error) => tracing::error!(policy = revision.name, error, "a stored policy cannot be used"),
        }
    }
    set.revision = if set.by_tenant.is_empty() { "none".to_owned() } else { hasher.finish().hex()[..16].to_owned() };
    Ok(set)
}

fn compile(revision: &PolicyRevision) -> Result<LoadedPolicy, String> {
    let spec: PolicySpec = serde_json::from_str(&revision.body).map_err(|e| e.to_string())?;
    let document = document(&spec).accept().map_err(|issues| format!("{} issues", issues.len()))?;
    let priority = i32::try_from(revision.priority).unwrap_or_default();
    let compiled = Compiled::new(&revision.name, priority, &document).map_err(|e| e.to_string())?;
    Ok(LoadedPolicy { revision: revision.clone(), spec, compiled: Arc::new(compiled) })
}

/// The policy document that an object's spec holds, with what is wrong in it.
#[must_use]
pub fn document(spec: &PolicySpec) -> Parsed {
    let mut value = serde_json::to_value(spec).unwrap_or_default();
    let mut document = serde_json::json!({"version": "1.0"});
    for (field, place) in [
        ("rules", "rules"),
        ("content", "rego"),
        ("environments", "environments"),
        ("scoring", "scoring"),
        ("waivers", "waivers"),
    ] {
        let taken = value[field].take();
        if !taken.is_null() && !(spec.format == PolicyFormat::Rego && field == "rules") {
            document[place] = taken;
        }
    }
    parse_value(&document)
}

/// Bare hex digest of a document; empty when it has none.
#[must_use]
pub fn digest_of(document: &Document) -> String {
    document.digest().map(|digest| digest.hex()).unwrap_or_default()
}
