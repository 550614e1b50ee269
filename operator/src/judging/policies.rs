//! Policies as they are stored, compiled.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use stella_api::admission::{AdmissionMode, FailurePolicy, UnscannedAction};
use stella_crds::{self as crds, PolicyFormat, PolicyMode, PolicySpec, Unscanned};
use stella_domain::{Digest, Hasher, Tenant};
use stella_policy::{CompileError, Compiled, Document, Parsed, Waiver, parse_value};
use stella_store::{PolicyRevision, StoreError};

use crate::app::App;
use crate::signatures::Demand;

/// The name under which imported rules are kept; that of an object has a slash.
pub const IMPORT: &str = "import";
/// The name under which the API's waivers are evaluated.
pub const WAIVERS: &str = "waivers";

/// A policy in force.
#[derive(Debug, Clone)]
pub struct LoadedPolicy {
    /// Its revision.
    pub revision: PolicyRevision,
    /// The object's spec; of imported rules the defaults.
    pub spec: PolicySpec,
    /// Its document.
    pub document: Arc<Document>,
    /// Its rules and waivers, ready to be evaluated.
    pub compiled: Arc<Compiled>,
    /// What it demands of signatures, where it does.
    pub demand: Option<Arc<Demand>>,
}

impl LoadedPolicy {
    /// The namespace of its object.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.revision.name.split('/').next().unwrap_or_default()
    }

    /// Whether it came in through the API.
    #[must_use]
    pub fn is_import(&self) -> bool {
        self.revision.name == IMPORT
    }

    /// What admission does with an image it blocks. Imported rules name no mode: `default` is theirs.
    #[must_use]
    pub fn mode(&self, default: AdmissionMode) -> AdmissionMode {
        if self.is_import() {
            return default;
        }
        match self.spec.admission.mode {
            PolicyMode::Audit => AdmissionMode::Audit,
            PolicyMode::Warn => AdmissionMode::Warn,
            PolicyMode::Enforce => AdmissionMode::Enforce,
        }
    }

    /// What admission does with an image that was never scanned.
    #[must_use]
    pub fn unscanned(&self) -> UnscannedAction {
        unscanned(&self.spec)
    }

    /// What admission does while there is nothing to judge by.
    #[must_use]
    pub const fn failure_policy(&self) -> FailurePolicy {
        match self.spec.admission.failure_policy {
            crds::FailurePolicy::Ignore => FailurePolicy::Ignore,
            crds::FailurePolicy::Fail => FailurePolicy::Fail,
        }
    }
}

/// Every policy in force, by tenant, in the order in which they are asked.
#[derive(Debug, Clone, Default)]
pub struct PolicySet {
    /// By tenant.
    pub by_tenant: BTreeMap<Tenant, Vec<LoadedPolicy>>,
    /// Waivers of the API, by tenant. They stand before every policy.
    pub waivers: BTreeMap<Tenant, Vec<Waiver>>,
    /// Names this state of all policies together.
    pub revision: String,
}

impl PolicySet {
    /// The same with `candidate` in place of the policies of its tenant named `replaced`.
    #[must_use]
    pub fn with(&self, candidate: LoadedPolicy, replaced: &[String]) -> Self {
        let mut set = self.clone();
        let policies = set.by_tenant.entry(candidate.revision.tenant.clone()).or_default();
        policies.retain(|policy| !replaced.contains(&policy.revision.name));
        policies.push(candidate);
        policies.sort_by(|a, b| {
            b.revision.priority.cmp(&a.revision.priority).then_with(|| a.revision.name.cmp(&b.revision.name))
        });
        set
    }
}

/// A document with what it was compiled to.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The document.
    pub document: Arc<Document>,
    /// The same, ready to be evaluated.
    pub compiled: Arc<Compiled>,
}

/// Policies as they were compiled: what is asked every few seconds need not be compiled each time, and a Rego policy that lost
/// a thread stays known for it.
#[derive(Debug, Default)]
pub struct Compilations(Mutex<BTreeMap<Digest, Ready>>);

/// The most that are kept; there are far fewer policies in force.
const MOST: usize = 512;

impl Compilations {
    /// What `spec`, the text of an object's spec, was compiled to under this name and priority; `compile` does it where it was not.
    pub(crate) fn get<E>(
        &self,
        name: &str,
        priority: i32,
        spec: &str,
        compile: impl FnOnce() -> Result<(Document, Compiled), E>,
    ) -> Result<Ready, E> {
        let mut hasher = Hasher::new();
        hasher.field(name);
        hasher.field(priority.to_be_bytes());
        hasher.field(spec);
        let key = hasher.finish();
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept().get(&key) {
            return Ok(known.clone());
        }
        let (document, compiled) = compile()?;
        let ready = Ready { document: Arc::new(document), compiled: Arc::new(compiled) };
        let mut kept = kept();
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(key, ready.clone());
        Ok(ready)
    }
}

/// Reads the policies in force.
///
/// # Errors
/// When the database does not answer. A stored policy that cannot be compiled any more blocks, and is said.
pub async fn load(app: &App) -> Result<PolicySet, StoreError> {
    let mut set = PolicySet::default();
    let mut hasher = Hasher::new();
    for revision in app.store.active_policies().await? {
        hasher.field(revision.tenant.as_str());
        hasher.field(&revision.name);
        hasher.field(&revision.body);
        let policy = compile(&app.compilations, &revision).unwrap_or_else(|error| {
            tracing::error!(policy = revision.name, error, "a stored policy cannot be used, so it blocks");
            LoadedPolicy::unusable(&revision, error)
        });
        set.by_tenant.entry(revision.tenant.clone()).or_default().push(policy);
    }
    for (tenant, row) in app.store.standing_waivers().await? {
        hasher.field(tenant.as_str());
        hasher.field(&row.body);
        match waiver(&row.body) {
            Some(waiver) => set.waivers.entry(tenant).or_default().push(waiver),
            None => tracing::error!(waiver = row.id, "a stored waiver cannot be used"),
        }
    }
    set.revision = if set.by_tenant.is_empty() && set.waivers.is_empty() {
        "none".to_owned()
    } else {
        hasher.finish().hex()[..16].to_owned()
    };
    Ok(set)
}

fn compile(compilations: &Compilations, revision: &PolicyRevision) -> Result<LoadedPolicy, String> {
    let priority = i32::try_from(revision.priority).unwrap_or_default();
    let ready = compilations.get(&revision.name, priority, &revision.body, || {
        let (_, parsed) = read(revision).map_err(|e| e.to_string())?;
        let document = parsed.accept().map_err(|issues| format!("{} issues", issues.len()))?;
        let compiled = Compiled::new(&revision.name, priority, &document).map_err(|error| error.to_string())?;
        Ok::<_, String>((document, compiled))
    })?;
    let spec = spec(revision).map_err(|e| e.to_string())?;
    let demand = demand(&revision.name, &spec);
    Ok(LoadedPolicy { revision: revision.clone(), spec, document: ready.document, compiled: ready.compiled, demand })
}

/// What admission does with an image that was never scanned, as a spec says.
pub(super) const fn unscanned(spec: &PolicySpec) -> UnscannedAction {
    match spec.admission.unscanned {
        Unscanned::Allow => UnscannedAction::Allow,
        Unscanned::Warn => UnscannedAction::Warn,
        Unscanned::Deny => UnscannedAction::Deny,
    }
}

fn demand(name: &str, spec: &PolicySpec) -> Option<Arc<Demand>> {
    Demand::of(name, spec).map(Arc::new)
}

/// The spec of a revision; imported rules have none but the defaults.
fn spec(revision: &PolicyRevision) -> serde_json::Result<PolicySpec> {
    if revision.name == IMPORT { Ok(PolicySpec::default()) } else { serde_json::from_str(&revision.body) }
}

/// What a revision's body holds.
fn read(revision: &PolicyRevision) -> serde_json::Result<(PolicySpec, Parsed)> {
    let spec = spec(revision)?;
    let parsed =
        if revision.name == IMPORT { parse_value(&serde_json::from_str(&revision.body)?) } else { document(&spec) };
    Ok((spec, parsed))
}

/// The document of a revision, whether or not it is in force; `None` when it cannot be read any more.
#[must_use]
pub fn document_of(revision: &PolicyRevision) -> Option<Document> {
    read(revision).ok()?.1.accept().ok()
}

impl LoadedPolicy {
    /// Compiles a policy.
    ///
    /// # Errors
    /// When a glob or a Rego source cannot be read.
    pub fn new(revision: PolicyRevision, spec: PolicySpec, document: Document) -> Result<Self, CompileError> {
        let priority = i32::try_from(revision.priority).unwrap_or_default();
        let compiled = Arc::new(Compiled::new(&revision.name, priority, &document)?);
        let demand = demand(&revision.name, &spec);
        Ok(Self { revision, spec, document: Arc::new(document), compiled, demand })
    }

    /// Whether it stands for one that cannot be compiled any more; then its document is empty and says nothing of it.
    #[must_use]
    pub fn is_unusable(&self) -> bool {
        self.compiled.is_unusable()
    }

    /// Stands for a revision in force that cannot be compiled any more. It holds where it held, as strictly as it did.
    fn unusable(revision: &PolicyRevision, reason: String) -> Self {
        let priority = i32::try_from(revision.priority).unwrap_or_default();
        let admission = || {
            let mut body: serde_json::Value = serde_json::from_str(&revision.body).ok()?;
            serde_json::from_value(body["admission"].take()).ok()
        };
        let spec = spec(revision)
            .unwrap_or_else(|_| PolicySpec { admission: admission().unwrap_or_default(), ..PolicySpec::default() });
        let compiled = Compiled::unusable(&revision.name, priority, reason);
        let demand = demand(&revision.name, &spec);
        Self { revision: revision.clone(), spec, document: Arc::default(), compiled: Arc::new(compiled), demand }
    }
}

/// A waiver as the API keeps it.
#[must_use]
pub fn waiver(body: &str) -> Option<Waiver> {
    let value: serde_json::Value = serde_json::from_str(body).ok()?;
    let document = serde_json::json!({"version": "1.0", "rules": [], "waivers": [value]});
    parse_value(&document).accept().ok()?.waivers.pop()
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

#[cfg(test)]
mod tests {
    use stella_domain::Severity;
    use stella_policy::{Context, FindingInput, ImageVerdict, evaluate};

    use super::*;

    fn revision(body: &str) -> PolicyRevision {
        PolicyRevision {
            tenant: Tenant::default(),
            number: 1,
            name: "shop/strict".to_owned(),
            digest: String::new(),
            source: String::new(),
            actor: String::new(),
            at: stella_domain::Timestamp::from_millis(0),
            priority: 0,
            body: body.to_owned(),
            active: true,
            description: String::new(),
        }
    }

    #[test]
    fn what_cannot_be_compiled_any_more_blocks_in_its_mode() {
        for body in [
            r#"{"rules":[{"name":"a","severity":["Dire"],"action":{"type":"block"}}],"admission":{"mode":"enforce"}}"#,
            r#"{"rules":[{"name":"a","action":{"type":"block"},"kev":3}],"admission":{"mode":"enforce"}}"#,
        ] {
            let revision = revision(body);
            let reason = compile(&Compilations::default(), &revision).unwrap_err();
            let policy = LoadedPolicy::unusable(&revision, reason);
            assert_eq!(policy.mode(AdmissionMode::Audit), AdmissionMode::Enforce, "{body}");
            let findings = [FindingInput::new("f", Severity::Low)];
            let evaluation = evaluate(&[&*policy.compiled], &findings, &Context::default());
            assert_eq!(evaluation.image, ImageVerdict::Blocked, "{body}");
        }
    }
}
