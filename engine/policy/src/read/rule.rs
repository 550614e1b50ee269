//! One rule.

use serde_json::Value;
use stella_domain::{Reachability, Severity};

use super::action::action;
use super::fields::Fields;
use crate::action::ActionKind;
use crate::document::{Match, Rule};
use crate::glob::Dialect;
use crate::issue::{Issue, IssueCode};

const KNOWN: &[&str] = &[
    "name",
    "id",
    "description",
    "severity",
    "sources",
    "vendors",
    "licenses",
    "tags",
    "environments",
    "match",
    "reachability",
    "kev",
    "epssMin",
    "fixAvailable",
    "expires",
    "action",
    "quiet",
    "justification",
    "until",
];

/// Reads a rule; one with an error in it is left out, because half of its conditions would match more than all of them.
pub(super) fn rule(value: &Value, path: &str, issues: &mut Vec<Issue>) -> Option<Rule> {
    let before = issues.len();
    let mut fields = Fields::of(value, path.to_owned(), KNOWN, issues)?;
    let name = fields.text("name").filter(|name| !name.trim().is_empty());
    if name.is_none() {
        let path = fields.path_of("name");
        fields.note(IssueCode::RuleNameMissing, path, "A rule needs a name");
    }
    let rule = conditions(&mut fields, name.unwrap_or_default());
    let action = action(&mut fields);
    let broken = issues[before..].iter().any(|issue| issue.severity == crate::IssueSeverity::Error);
    let rule = Rule { action: action.filter(|_| !broken)?, ..rule };
    advise(&rule, path, issues);
    Some(rule)
}

fn conditions(fields: &mut Fields<'_, '_>, name: String) -> Rule {
    Rule {
        name,
        id: fields.text("id"),
        description: fields.text("description"),
        severity: fields.levels("severity", IssueCode::RuleSeverityInvalid, str::parse::<Severity>),
        sources: fields.texts("sources"),
        vendors: fields.texts("vendors"),
        licenses: fields.texts("licenses"),
        tags: fields.texts("tags"),
        environments: fields.texts("environments"),
        matches: matches(fields),
        reachability: fields.levels("reachability", IssueCode::RuleReachabilityInvalid, str::parse::<Reachability>),
        kev: fields.flag("kev"),
        epss_min: fields.epss("epssMin"),
        fix_available: fields.flag("fixAvailable"),
        expires: fields.instant("expires", IssueCode::RuleInstantInvalid),
        action: crate::Action::plain(ActionKind::Block),
    }
}

fn matches(rule: &mut Fields<'_, '_>) -> Match {
    const KNOWN: &[&str] =
        &["images", "repositories", "packages", "purls", "cves", "paths", "layerDigests", "usedByEntrypoint"];
    let path = rule.path_of("match");
    let Some(value) = rule.get("match") else { return Match::default() };
    let Some(mut fields) = Fields::of(value, path, KNOWN, rule.issues()) else { return Match::default() };
    let mut globs = |name, dialect| fields.globs(name, dialect, IssueCode::RuleGlobInvalid);
    Match {
        images: globs("images", Dialect::Path),
        repositories: globs("repositories", Dialect::Path),
        packages: globs("packages", Dialect::Text),
        purls: globs("purls", Dialect::Text),
        cves: globs("cves", Dialect::Text),
        paths: globs("paths", Dialect::Path),
        layer_digests: globs("layerDigests", Dialect::Text),
        used_by_entrypoint: globs("usedByEntrypoint", Dialect::Path),
    }
}

fn advise(rule: &Rule, path: &str, issues: &mut Vec<Issue>) {
    if rule.action.quiet && !rule.action.quiets() {
        let message = "Quiet is ignored: the action has no requireVex with justifications";
        issues.push(Issue::new(IssueCode::RuleQuietMissingVex, format!("{path}.action.quiet"), message));
    }
    if rule.action.kind == ActionKind::Ignore && rule.action.justification.is_none() {
        let message = format!("Rule '{}' ignores findings without a justification", rule.name);
        issues.push(Issue::new(IssueCode::RuleIgnoreUnjustified, format!("{path}.action"), message));
    }
}
