//! Namespaces: whose they are, and how their labels shape admission.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use stella_api::admission::AdmissionMode;
use stella_domain::Tenant;

/// Label that sets the admission mode of a namespace.
const ADMISSION: &str = "stella-ops.org/admission";
/// Label that names the environment of a namespace.
const ENVIRONMENT: &str = "stella-ops.org/environment";

/// A namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Namespace {
    /// The tenant that its label names; the default one without, or with a label that is none.
    #[must_use]
    pub fn tenant(&self) -> Tenant {
        self.labels.get(Tenant::LABEL).and_then(|name| name.parse().ok()).unwrap_or_default()
    }

    /// The admission mode that its label asks for.
    #[must_use]
    pub fn mode(&self) -> Option<AdmissionMode> {
        match self.labels.get(ADMISSION)?.as_str() {
            "audit" => Some(AdmissionMode::Audit),
            "warn" => Some(AdmissionMode::Warn),
            "enforce" => Some(AdmissionMode::Enforce),
            _ => None,
        }
    }

    /// The environment that its label names.
    #[must_use]
    pub fn environment(&self) -> Option<&str> {
        self.labels.get(ENVIRONMENT).map(String::as_str)
    }
}

/// The namespaces known now. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Namespaces(Arc<RwLock<BTreeMap<String, Namespace>>>);

impl Namespaces {
    /// Sets a namespace; tells whether that changed anything.
    pub fn set(&self, name: &str, namespace: Namespace) -> bool {
        let mut known = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.insert(name.to_owned(), namespace.clone()) != Some(namespace)
    }

    /// Puts `all` in place of what is known; tells whether that changed anything.
    pub fn replace(&self, all: BTreeMap<String, Namespace>) -> bool {
        let mut known = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let changed = *known != all;
        *known = all;
        changed
    }

    /// Every namespace by name.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, Namespace> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The tenant of a namespace; the default one for a namespace that is not known.
    #[must_use]
    pub fn tenant_of(&self, name: &str) -> Tenant {
        let known = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.get(name).map(Namespace::tenant).unwrap_or_default()
    }

    /// Whether every namespace belongs to one tenant.
    #[must_use]
    pub fn single_tenant(&self) -> bool {
        let known = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut tenants = known.values().map(Namespace::tenant);
        let first = tenants.next();
        tenants.all(|tenant| Some(&tenant) == first.as_ref())
    }
}

/// Whether `labels` satisfy `selector` (Kubernetes API conventions, label selectors). An unknown operator selects nothing.
#[must_use]
pub fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let by_label = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let by_expression = selector.match_expressions.iter().flatten().all(|rule| {
        let value = labels.get(&rule.key);
        let listed = || value.is_some_and(|value| rule.values.iter().flatten().any(|v| v == value));
        match rule.operator.as_str() {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    });
    by_label && by_expression
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn selectors_follow_the_four_operators() {
        let rule = |operator: &str, values: &[&str]| LabelSelector {
            match_labels: None,
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "team".into(),
                operator: operator.into(),
                values: Some(values.iter().map(|v| (*v).to_owned()).collect()),
            }]),
        };
        let (shop, none) = (labels(&[("team", "shop")]), labels(&[]));
        assert!(selects(&LabelSelector::default(), &none));
        assert!(selects(&rule("In", &["shop"]), &shop) && !selects(&rule("In", &["shop"]), &none));
        assert!(!selects(&rule("NotIn", &["shop"]), &shop) && selects(&rule("NotIn", &["shop"]), &none));
        assert!(selects(&rule("Exists", &[]), &shop) && selects(&rule("DoesNotExist", &[]), &none));
        assert!(!selects(&rule("Near", &["shop"]), &shop));
    }

    #[test]
    fn labels_name_tenant_mode_and_environment() {
        let known = Namespaces::default();
        assert!(known.set("shop", Namespace { labels: labels(&[(Tenant::LABEL, "acme"), (ADMISSION, "warn")]) }));
        assert_eq!(known.tenant_of("shop").as_str(), "acme");
        assert_eq!(known.tenant_of("other"), Tenant::default());
        assert_eq!(known.all()["shop"].mode(), Some(AdmissionMode::Warn));
    }
}
