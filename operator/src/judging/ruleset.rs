//! The policies that hold somewhere, as one document.

use stella_policy::{Document, Rule};

use super::policies::LoadedPolicy;

/// The policies as one document: their rules one after the other, in the order in which they are asked. A name that occurs
/// twice gets that of its policy before it. Of a policy for certain environments the rules ask for these, and the waivers,
/// which cannot, are left out. `None` when there is Rego among several of them, as no document holds both, or one that cannot be
/// used any more.
#[must_use]
pub fn ruleset(policies: &[LoadedPolicy]) -> Option<Document> {
    if policies.iter().any(LoadedPolicy::is_unusable) {
        return None;
    }
    if let [only] = policies {
        return Some(Document::clone(&only.document));
    }
    if policies.iter().any(|policy| policy.document.rego.is_some()) {
        return None;
    }
    let mut merged = Document::default();
    if let Some(first) = policies.first() {
        merged.scoring = first.document.scoring.clone();
    }
    for policy in policies {
        let (name, document) = (&policy.revision.name, &policy.document);
        for rule in document.rules.iter().filter_map(|rule| within(rule, &document.environments)) {
            let taken = merged.rules.iter().any(|earlier| earlier.name == rule.name);
            let unique = if taken { format!("{name}: {}", rule.name) } else { rule.name.clone() };
            merged.rules.push(Rule { name: unique, ..rule });
        }
        if document.environments.is_empty() {
            for waiver in &document.waivers {
                let taken = merged.waivers.iter().any(|earlier| earlier.id == waiver.id);
                let id = if taken { format!("{name}: {}", waiver.id) } else { waiver.id.clone() };
                merged.waivers.push(stella_policy::Waiver { id, ..waiver.clone() });
            }
        }
    }
    Some(merged)
}

/// The rule, asking for `environments` too; `None` when it then holds nowhere.
fn within(rule: &Rule, environments: &[String]) -> Option<Rule> {
    if environments.is_empty() {
        return Some(rule.clone());
    }
    let own = |name: &&String| {
        rule.environments.is_empty() || rule.environments.iter().any(|own| own.eq_ignore_ascii_case(name))
    };
    let both: Vec<String> = environments.iter().filter(own).cloned().collect();
    (!both.is_empty()).then(|| Rule { environments: both, ..rule.clone() })
}
