//! Which policies hold where.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stella_api::admission::{AdmissionMode, NamespaceAdmission, UnscannedAction};
use stella_domain::{Hasher, Tenant};
use stella_policy::{Compiled, Document, Waiver};

use super::policies::{LoadedPolicy, PolicySet, WAIVERS};
use crate::namespaces::{Namespace, selects};
use crate::signatures::Demand;

/// A set of policies that hold in the same namespaces; verdicts are worked out once a scope.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Its name: from the tenant, the names of its policies and the environment.
    pub id: String,
    /// The tenant.
    pub tenant: Tenant,
    /// The environment, for rules that ask for one.
    pub environment: Option<String>,
    /// The policies, in the order in which they are asked.
    pub policies: Vec<LoadedPolicy>,
    /// Waivers of the API, as a policy that is asked before the others.
    pub waivers: Option<Arc<Compiled>>,
}

impl Scope {
    /// What is evaluated here.
    #[must_use]
    pub fn compiled(&self) -> Vec<&Compiled> {
        let policies = self.policies.iter().map(|policy| policy.compiled.as_ref());
        self.waivers.as_deref().into_iter().chain(policies).collect()
    }

    /// Whether an image is judged by the use of its repository until it has been observed itself: when one of the policies asks.
    #[must_use]
    pub fn inherits(&self) -> bool {
        self.policies.iter().any(|policy| policy.spec.admission.inherit_evidence)
    }

    /// What its policies demand of signatures.
    pub fn demands(&self) -> impl Iterator<Item = &Demand> {
        self.policies.iter().filter_map(|policy| policy.demand.as_deref())
    }

    /// What is done with what nobody has looked at yet: the strictest of the policies'.
    #[must_use]
    pub fn unscanned(&self) -> UnscannedAction {
        self.policies.iter().map(LoadedPolicy::unscanned).max().unwrap_or(UnscannedAction::Allow)
    }

    /// Seconds after which a verdict that was not confirmed since counts as stale: the least of the policies'.
    #[must_use]
    pub fn stale_after_seconds(&self) -> Option<i64> {
        self.policies.iter().filter_map(|policy| policy.spec.admission.stale_after_seconds).min()
    }

    /// Seconds for which an image that ran when its verdict turned is only warned about: the least of the policies'.
    #[must_use]
    pub fn grace_seconds(&self) -> i64 {
        self.policies.iter().map(|policy| policy.spec.admission.grace_period_seconds).min().unwrap_or_default()
    }
}

/// What shapes admission beside the policies.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// The namespace whose policies act on the whole tenant.
    pub policy_namespace: &'a str,
    /// Namespaces that are always let through.
    pub exempt: &'a [String],
    /// The mode where neither a label nor a policy names one.
    pub default_mode: AdmissionMode,
}

/// Where which policies hold.
#[derive(Debug, Clone, Default)]
pub struct Scopes {
    /// Every scope by its id.
    pub by_id: BTreeMap<String, Scope>,
    /// For each tenant the scope of what acts on the whole of it; lists show its verdicts.
    pub widest: BTreeMap<Tenant, String>,
    /// How admission works in each namespace. The entry `*` stands for namespaces that are not known.
    pub namespaces: Vec<NamespaceAdmission>,
}

/// The scopes of all namespaces and tenants.
#[must_use]
pub fn scopes(set: &PolicySet, namespaces: &BTreeMap<String, Namespace>, ground: Ground<'_>) -> Scopes {
    let mut found = Scopes::default();
    let tenants = namespaces.values().map(Namespace::tenant).chain(set.by_tenant.keys().cloned());
    for tenant in tenants.chain([Tenant::default()]).collect::<BTreeSet<_>>() {
        let labels = BTreeMap::from([(Tenant::LABEL.to_owned(), tenant.to_string())]);
        let (scope, _) = of_namespace(set, "", &Namespace { labels }, ground);
        found.widest.insert(tenant, scope.id.clone());
        found.by_id.insert(scope.id.clone(), scope);
    }
    let unknown = Namespace::default();
    for (name, namespace) in namespaces.iter().map(|(n, s)| (n.as_str(), s)).chain([("*", &unknown)]) {
        let (scope, entry) = of_namespace(set, name, namespace, ground);
        found.by_id.insert(scope.id.clone(), scope);
        found.namespaces.push(entry);
    }
    found
}

fn of_namespace(set: &PolicySet, name: &str, namespace: &Namespace, ground: Ground<'_>) -> (Scope, NamespaceAdmission) {
    let tenant = namespace.tenant();
    let none = Vec::new();
    let all = set.by_tenant.get(&tenant).unwrap_or(&none);
    let holding: Vec<&LoadedPolicy> = all.iter().filter(|policy| holds(policy, name, namespace, ground)).collect();
    let strictest = holding.iter().map(|policy| policy.mode(ground.default_mode)).max().unwrap_or_default();
    let label = namespace.mode();
    // A policy that only audits must not refuse because another one enforces; a label speaks for all of them.
    let counts = |policy: &&LoadedPolicy| label.is_some() || policy.mode(ground.default_mode) == strictest;
    let policies: Vec<LoadedPolicy> = holding.into_iter().filter(counts).cloned().collect();
    let environment = namespace.environment().map(str::to_owned);
    let waivers = set.waivers.get(&tenant).and_then(|waivers| compile(waivers, &policies, environment.as_deref()));
    let scope = Scope {
        // Without the waivers: a new one must not let the grace of what is blocked begin anew.
        id: id(&tenant, &policies, environment.as_deref()),
        tenant: tenant.clone(),
        environment,
        policies,
        waivers,
    };
    let entry = NamespaceAdmission {
        namespace: name.to_owned(),
        tenant,
        scope: scope.id.clone(),
        mode: label.unwrap_or(if scope.policies.is_empty() { ground.default_mode } else { strictest }),
        unscanned: scope.unscanned(),
        stale_after_seconds: scope.stale_after_seconds(),
        failure_policy: scope.policies.iter().map(LoadedPolicy::failure_policy).max().unwrap_or_default(),
        exempt: ground.exempt.iter().any(|exempt| exempt == name),
    };
    (scope, entry)
}

/// The API's waivers as a policy. What no policy decides is scored by the first one, and stays so.
fn compile(waivers: &[Waiver], policies: &[LoadedPolicy], environment: Option<&str>) -> Option<Arc<Compiled>> {
    let holds = |policy: &&LoadedPolicy| {
        let own = &policy.document.environments;
        own.is_empty() || environment.is_some_and(|name| own.iter().any(|own| own.eq_ignore_ascii_case(name)))
    };
    let scoring = policies.iter().find(holds).map(|policy| policy.document.scoring.clone());
    let document = Document { waivers: waivers.to_vec(), scoring: scoring.unwrap_or_default(), ..Document::default() };
    Compiled::new(WAIVERS, i32::MAX, &document).ok().map(Arc::new)
}

fn holds(policy: &LoadedPolicy, name: &str, namespace: &Namespace, ground: Ground<'_>) -> bool {
    if policy.is_import() {
        return true;
    }
    if policy.namespace() != ground.policy_namespace {
        return policy.namespace() == name;
    }
    policy.spec.admission.namespace_selector.as_ref().is_none_or(|selector| selects(selector, &namespace.labels))
}

fn id(tenant: &Tenant, policies: &[LoadedPolicy], environment: Option<&str>) -> String {
    let mut hasher = Hasher::new();
    hasher.field(tenant.as_str());
    hasher.field(environment.unwrap_or_default());
    policies.iter().for_each(|policy| hasher.field(&policy.revision.name));
    hasher.finish().hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use stella_api::admission::FailurePolicy;
    use stella_domain::Timestamp;
    use stella_store::PolicyRevision;

    use super::*;

    fn policy(name: &str, admission: serde_json::Value) -> LoadedPolicy {
        let revision = PolicyRevision {
            tenant: Tenant::default(),
            number: 1,
            name: name.to_owned(),
            digest: String::new(),
            source: String::new(),
            actor: String::new(),
            at: Timestamp::from_millis(0),
            priority: 0,
            body: String::new(),
            active: true,
            description: String::new(),
        };
        let spec = serde_json::from_value(serde_json::json!({"admission": admission})).unwrap();
        LoadedPolicy::new(revision, spec, Document::default()).unwrap()
    }

    /// How admission works in namespace `shop` with these policies of it, where `label` names the mode.
    fn shop(policies: &[serde_json::Value], label: Option<&str>) -> NamespaceAdmission {
        let named = policies.iter().enumerate().map(|(n, admission)| policy(&format!("shop/{n}"), admission.clone()));
        let set = PolicySet { by_tenant: [(Tenant::default(), named.collect())].into(), ..PolicySet::default() };
        let labels = label.map(|mode| ("stella-ops.org/admission".to_owned(), mode.to_owned()));
        let namespaces = [("shop".to_owned(), Namespace { labels: labels.into_iter().collect() })].into();
        let ground = Ground { policy_namespace: "stella", exempt: &[], default_mode: AdmissionMode::Audit };
        let found = scopes(&set, &namespaces, ground);
        found.namespaces.into_iter().find(|entry| entry.namespace == "shop").unwrap()
    }

    #[test]
    fn the_least_time_after_which_verdicts_are_stale_holds() {
        let after = |seconds: &[Option<i64>]| {
            let policy = |seconds: &Option<i64>| serde_json::json!({"mode": "enforce", "staleAfterSeconds": seconds});
            shop(&seconds.iter().map(policy).collect::<Vec<_>>(), None).stale_after_seconds
        };
        assert_eq!(after(&[]), None);
        assert_eq!(after(&[None]), None);
        assert_eq!(after(&[Some(7200), None, Some(3600)]), Some(3600));
    }

    #[test]
    fn of_several_policies_the_strictest_failure_policy_holds_and_only_of_those_that_count() {
        use serde_json::json;
        let (open, strict) = (json!({"mode": "enforce"}), json!({"mode": "enforce", "failurePolicy": "Fail"}));
        assert_eq!(shop(&[], None).failure_policy, FailurePolicy::Ignore);
        assert_eq!(shop(std::slice::from_ref(&open), None).failure_policy, FailurePolicy::Ignore);
        for policies in [[open.clone(), strict.clone()], [strict, open.clone()]] {
            assert_eq!(shop(&policies, None).failure_policy, FailurePolicy::Fail);
        }
        let policies = [open, json!({"mode": "audit", "failurePolicy": "Fail"})];
        assert_eq!(shop(&policies, None).failure_policy, FailurePolicy::Ignore, "it only audits");
        assert_eq!(shop(&policies, Some("enforce")).failure_policy, FailurePolicy::Fail, "the label speaks for all");
    }
}
