//! What is suspicious about a document that can be read.

use stella_domain::Timestamp;

use crate::action::ActionKind;
use crate::document::Document;
use crate::issue::{Issue, IssueCode};

/// Looks at `document` as it stands at `now`: rules and waivers whose time is over, rules that can never be reached. Paths
/// count the document's own entries. None of these issues blocks.
#[must_use]
pub fn lint(document: &Document, now: Timestamp) -> Vec<Issue> {
    let mut issues = Vec::new();
    let over = |end: Option<Timestamp>| end.filter(|end| now >= *end);
    let mut decides_all: Option<&str> = None;
    for (index, rule) in document.rules.iter().enumerate() {
        let path = format!("$.rules[{index}]");
        if let Some(end) = over(rule.end()) {
            let message = format!("Rule '{}' has been skipped since {end}", rule.name);
            issues.push(Issue::new(IssueCode::RuleExpired, path, message));
            continue;
        }
        if let Some(earlier) = decides_all {
            let message = format!("Rule '{}' is never reached: '{earlier}' decides every finding", rule.name);
            issues.push(Issue::new(IssueCode::RuleShadowed, path, message));
        } else if rule.is_unconditional()
            && rule.end().is_none()
            && !matches!(rule.action.kind, ActionKind::Escalate(_))
        {
            decides_all = Some(&rule.name);
        }
    }
    for (index, waiver) in document.waivers.iter().enumerate() {
        if let Some(end) = over(waiver.expires) {
            let message = format!("Waiver '{}' expired at {end}", waiver.id);
            issues.push(Issue::new(IssueCode::WaiverExpired, format!("$.waivers[{index}]"), message));
        }
    }
    issues
}
