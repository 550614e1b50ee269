//! Policies as they are stored, compiled.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use stella_api::admission::{AdmissionMode, UnscannedAction};
use stella_crds::{PolicyFormat, PolicyMode, PolicySpec, Unscanned};
use stella_domain::{Digest, Hasher, Tenant};
use stella_policy::{Compiled, Document, Parsed, parse_value};
use stella_store::{PolicyRevision, StoreError};

use crate::app::App;

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

/// Policies as they were compiled: what is asked every few seconds need not be compiled each time, and a Rego policy that lost
/// a thread stays known for it.
#[derive(Debug, Default)]
pub struct Compilations(Mutex<BTreeMap<Digest, Arc<Compiled>>>);

/// The most that are kept; there are far fewer policies in force.
const MOST: usize = 512;

impl Compilations {
    /// What `spec`, the text of an object's spec, was compiled to under this name and priority; `compile` does it where it was not.
    pub(crate) fn get<E>(
        &self,
        name: &str,
        priority: i32,
        spec: &str,
        compile: impl FnOnce() -> Result<Compiled, E>,
    ) -> Result<Arc<Compiled>, E> {
        let mut hasher = Hasher::new();
        hasher.field(name);
        hasher.field(priority.to_be_bytes());
        hasher.field(spec);
        let key = hasher.finish();
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept().get(&key) {
            return Ok(Arc::clone(known));
        }
        let compiled = Arc::new(compile()?);
        let mut kept = kept();
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(key, Arc::clone(&compiled));
        Ok(compiled)
    }
}

/// Reads the policies in force.
///
/// # Errors
/// When the database does not answer. A stored policy that cannot be compiled any more is left out, and said.
pub async fn load(app: &App) -> Result<PolicySet, StoreError> {
    let mut set = PolicySet::default();
    let mut hasher = Hasher::new();
    for revision in app.store.active_policies().await? {
        hasher.field(revision.tenant.as_str());
        hasher.field(&revision.name);
        hasher.field(&revision.body);
        match compile(&app.compilations, &revision) {
            Ok(policy) => set.by_tenant.entry(revision.tenant.clone()).or_default().push(policy),
            Err(error) => tracing::error!(policy = revision.name, error, "a stored policy cannot be used"),
        }
    }
    set.revision = if set.by_tenant.is_empty() { "none".to_owned() } else { hasher.finish().hex()[..16].to_owned() };
    Ok(set)
}

fn compile(compilations: &Compilations, revision: &PolicyRevision) -> Result<LoadedPolicy, String> {
    let spec: PolicySpec = serde_json::from_str(&revision.body).map_err(|e| e.to_string())?;
    let priority = i32::try_from(revision.priority).unwrap_or_default();
    let compiled = compilations.get(&revision.name, priority, &revision.body, || {
        let document = document(&spec).accept().map_err(|issues| format!("{} issues", issues.len()))?;
        Compiled::new(&revision.name, priority, &document).map_err(|error| error.to_string())
    })?;
    Ok(LoadedPolicy { revision: revision.clone(), spec, compiled })
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
        // No rules at all are no contradiction to Rego.
        let none = spec.format == PolicyFormat::Rego && taken.as_array().is_some_and(Vec::is_empty);
        if !taken.is_null() && !none {
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
