//! What differs between two documents, by the names of their parts.

use stella_api::policy::{NameDiff, PolicyDiff};
use stella_policy::Document;

/// What of `new` differs from `old`.
#[must_use]
pub fn difference(old: &Document, new: &Document) -> PolicyDiff {
    let named = |document: &Document| -> (Vec<_>, Vec<_>) {
        let rules = document.rules.iter().map(|rule| (rule.name.clone(), serde_json::to_value(rule).ok()));
        let waivers = document.waivers.iter().map(|waiver| (waiver.id.clone(), serde_json::to_value(waiver).ok()));
        (rules.collect(), waivers.collect())
    };
    let ((old_rules, old_waivers), (new_rules, new_waivers)) = (named(old), named(new));
    let fields = [
        ("description", old.description != new.description),
        ("environments", old.environments != new.environments),
        ("rego", old.rego != new.rego),
        ("scoring", old.scoring != new.scoring),
    ];
    PolicyDiff {
        rules: names(&old_rules, &new_rules),
        waivers: names(&old_waivers, &new_waivers),
        fields: fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect(),
    }
}

type Named = (String, Option<serde_json::Value>);

fn names(old: &[Named], new: &[Named]) -> NameDiff {
    let find = |list: &'_ [Named], name: &str| list.iter().find(|(own, _)| own == name).map(|(_, body)| body.clone());
    let only = |list: &[Named], other: &[Named]| -> Vec<String> {
        list.iter().filter(|(name, _)| find(other, name).is_none()).map(|(name, _)| name.clone()).collect()
    };
    let changed = new.iter().filter(|(name, body)| find(old, name).is_some_and(|before| before != *body));
    let staying = |list: &[Named], other: &[Named]| -> Vec<String> {
        list.iter().filter(|(name, _)| find(other, name).is_some()).map(|(name, _)| name.clone()).collect()
    };
    NameDiff {
        added: only(new, old),
        removed: only(old, new),
        changed: changed.map(|(name, _)| name.clone()).collect(),
        reordered: staying(old, new) != staying(new, old),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stella_policy::{Format, parse};

    fn document(text: &str) -> Document {
        parse(&format!("version: \"1.0\"\n{text}"), Format::Yaml).accept().unwrap()
    }

    #[test]
    fn rules_are_told_by_name() {
        let old = document("rules:\n- {name: a, action: warn}\n- {name: b, action: warn}\n- {name: c, action: warn}\n");
        let new =
            document("rules:\n- {name: d, action: warn}\n- {name: b, action: block}\n- {name: a, action: warn}\n");
        let told = difference(&old, &new);
        assert_eq!((told.rules.added, told.rules.removed), (vec!["d".to_owned()], vec!["c".to_owned()]));
        assert_eq!((told.rules.changed, told.rules.reordered), (vec!["b".to_owned()], true));
        assert_eq!(difference(&old, &old), PolicyDiff::default());
        let renamed = document("description: x\nenvironments: [dev]\nrules: []\n");
        assert_eq!(difference(&old, &renamed).fields, ["description", "environments"]);
    }
}
