use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use stella_domain::Digest;

use super::*;
use crate::document::{Document, Match};
use crate::glob::Patterns;
use crate::{Format, parse};

/// The contract, read word for word: every condition that is given holds.
fn holds(rule: &Rule, finding: &FindingInput, severity: Severity) -> bool {
    let matches = |globs: &[String], dialect, texts: &[String]| {
        let patterns = Patterns::new(globs, dialect).unwrap();
        globs.is_empty() || texts.iter().any(|text| patterns.matches(text))
    };
    let named = |words: &[String], own: &[String]| {
        words.is_empty() || own.iter().any(|own| words.iter().any(|word| word.eq_ignore_ascii_case(own)))
    };
    let list = |text: &Option<String>| text.iter().cloned().collect::<Vec<_>>();
    let Match { packages, purls, cves, paths, layer_digests, used_by_entrypoint, .. } = &rule.matches;
    (rule.severity.is_empty() || rule.severity.contains(&severity))
        && (rule.reachability.is_empty() || rule.reachability.contains(&finding.reachability))
        && (used_by_entrypoint.is_empty() || finding.reachability.in_use())
        && rule.kev.is_none_or(|kev| kev == finding.kev)
        && rule.fix_available.is_none_or(|available| available == finding.fix_available)
        && named(&rule.sources, &list(&finding.source))
        && named(&rule.vendors, &list(&finding.vendor))
        && named(&rule.licenses, &finding.licenses)
        && named(&rule.tags, &finding.tags)
        && matches(packages, Dialect::Text, std::slice::from_ref(&finding.package))
        && matches(purls, Dialect::Text, &list(&finding.purl))
        && matches(cves, Dialect::Text, &finding.advisory_ids)
        && matches(paths, Dialect::Path, &list(&finding.path))
        && matches(
            layer_digests,
            Dialect::Text,
            &finding.layer.map(|layer| layer.to_string()).into_iter().collect::<Vec<_>>(),
        )
}

fn few(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    // Most rules say nothing of most fields.
    prop_oneof![
        3 => Just(Vec::new()),
        1 => subsequence(of, 0..=of.len()).prop_map(|some| some.into_iter().map(str::to_owned).collect()),
    ]
}

fn flag() -> impl Strategy<Value = Option<bool>> {
    prop_oneof![3 => Just(None), 1 => any::<bool>().prop_map(Some)]
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let words = (few(&["NVD", "debian"]), few(&["Acme"]), few(&["mit", "GPL-3.0-only"]), few(&["eol"]));
    let names = (
        few(&["a", "b*", "*c", "*"]),
        few(&["pkg:npm/*", "pkg:*/b@1", "pkg:npm/a@1"]),
        few(&["CVE-1", "GHSA-*", "*-2"]),
    );
    let places = (few(&["app/*", "app/**", "**", "app/x/y"]), few(&["sha256:*"]), few(&["/bin/sh"]));
    let levels =
        (subsequence(Severity::ALL.to_vec(), 0..=2), subsequence(Reachability::ALL.to_vec(), 0..=3), flag(), flag());
    let rule = (words, names, places, levels).prop_map(|(words, names, places, levels)| {
        let text = "version: '1.0'\nrules: [{name: r, action: block}]";
        let document: Document = parse(text, Format::Yaml).accept().unwrap();
        let mut rule = document.rules[0].clone();
        (rule.sources, rule.vendors, rule.licenses, rule.tags) = words;
        (rule.matches.packages, rule.matches.purls, rule.matches.cves) = names;
        (rule.matches.paths, rule.matches.layer_digests, rule.matches.used_by_entrypoint) = places;
        (rule.severity, rule.reachability, rule.kev, rule.fix_available) = levels;
        rule
    });
    proptest::collection::vec(rule, 0..150)
}

fn findings() -> impl Strategy<Value = FindingInput> {
    let some = |of: &'static [&'static str]| proptest::option::of(select(of).prop_map(str::to_owned));
    let names = (select(&["a", "b", "bb", "cc", "d"]), some(&["pkg:npm/a@1", "pkg:npm/b@1", "pkg:deb/b@1"]));
    let lists = (few(&["CVE-1", "CVE-2", "GHSA-x", "cve-1"]), few(&["MIT", "gpl-3.0-only"]), few(&["EOL", "x"]));
    let places = (some(&["app/x", "app/x/y", "usr/z"]), any::<bool>());
    let others = (some(&["nvd", "Debian", "ghsa"]), some(&["acme", "other"]), any::<bool>(), any::<bool>());
    let levels = (select(&Severity::ALL), select(&Reachability::ALL));
    (names, lists, places, others, levels).prop_map(|(names, lists, places, others, levels)| {
        let mut finding = FindingInput::new("f", levels.0);
        finding.reachability = levels.1;
        (finding.package, finding.purl) = (names.0.to_owned(), names.1);
        (finding.advisory_ids, finding.licenses, finding.tags) = lists;
        (finding.path, finding.layer) = (places.0, places.1.then(|| Digest::of("layer")));
        (finding.source, finding.vendor, finding.kev, finding.fix_available) = others;
        finding
    })
}

proptest! {
    #[test]
    fn the_tables_say_what_each_rule_says(rules in rules(), finding in findings(), severity in select(&Severity::ALL)) {
        let all = RuleSet::of(rules.len(), |_| true);
        let found = Candidates::new(&rules).unwrap().matching(&all, &finding, severity);
        prop_assert_eq!(found, RuleSet::of(rules.len(), |rule| holds(&rules[rule], &finding, severity)));
    }

    #[test]
    fn a_set_gives_its_rules_in_their_order(rules in proptest::collection::btree_set(0_usize..200, 0..40)) {
        let set = RuleSet::of(200, |rule| rules.contains(&rule));
        let next = |at: &mut usize| set.first_from(*at).inspect(|rule| *at = rule + 1);
        let mut at = 0;
        let found: Vec<usize> = std::iter::from_fn(|| next(&mut at)).collect();
        prop_assert_eq!(found, rules.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(set.first_from(1000), None);
    }
}
