//! What a rule does with the findings it matches.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use stella_domain::{Severity, Timestamp};

use crate::vex::{VexRequirement, VexStatement};

/// The action of a rule (policy.md, "Rule model").
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// What it does.
    pub kind: ActionKind,
    /// Whether findings whose VEX requirement is met are quieted. Without requirement and justifications it has no effect.
    pub quiet: bool,
    /// The requirement of a `quiet` on an action other than `requireVex`.
    pub require_vex: Option<VexRequirement>,
    /// Why.
    pub justification: Option<String>,
    /// From this instant on the rule is skipped, like one that expired.
    pub until: Option<Timestamp>,
}

/// The kinds of actions and their own parameters.
#[derive(Debug, Clone, PartialEq)]
pub enum ActionKind {
    /// Refuse.
    Block,
    /// Let pass; it does not count.
    Ignore,
    /// Let pass with a warning.
    Warn,
    /// Decide later; counts as a warning.
    Defer,
    /// Raise the severity and ask the remaining rules.
    Escalate(Escalation),
    /// Refuse until a statement says that the product is not affected.
    RequireVex(VexRequirement),
}

/// When and how far a finding is escalated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Escalation {
    /// The least severity it has afterwards.
    pub minimum_severity: Severity,
    /// Only findings listed by CISA as exploited.
    pub require_kev: bool,
    /// Only findings of at least this EPSS probability, 0 to 1.
    pub epss_min: Option<f64>,
}

impl ActionKind {
    /// The names on the wire.
    pub const NAMES: [&'static str; 6] = ["block", "ignore", "warn", "defer", "escalate", "requireVex"];

    /// The name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Ignore => "ignore",
            Self::Warn => "warn",
            Self::Defer => "defer",
            Self::Escalate(_) => "escalate",
            Self::RequireVex(_) => "requireVex",
        }
    }
}

impl Action {
    /// An action without justification or end.
    #[must_use]
    pub const fn plain(kind: ActionKind) -> Self {
        Self { kind, quiet: false, require_vex: None, justification: None, until: None }
    }

    /// The statements it asks for, if any.
    #[must_use]
    pub const fn vex_requirement(&self) -> Option<&VexRequirement> {
        match &self.kind {
            ActionKind::RequireVex(requirement) => Some(requirement),
            _ => self.require_vex.as_ref(),
        }
    }

    /// Whether its `quiet` counts: only where justifications say which statements may quiet a finding.
    #[must_use]
    pub fn quiets(&self) -> bool {
        self.quiet && self.vex_requirement().is_some_and(|requirement| !requirement.justifications.is_empty())
    }

    pub(crate) fn vex_is_met(&self, statements: &[VexStatement]) -> bool {
        self.vex_requirement().is_some_and(|requirement| requirement.is_met(statements))
    }
}

impl Serialize for Action {
    /// Always the object form, so that both spellings of an action have one digest.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.kind.name())?;
        match &self.kind {
            ActionKind::Escalate(escalation) => {
                map.serialize_entry("minimumSeverity", &escalation.minimum_severity)?;
                if escalation.require_kev {
                    map.serialize_entry("requireKev", &true)?;
                }
                if let Some(least) = escalation.epss_min {
                    map.serialize_entry("epssMin", &least)?;
                }
            }
            ActionKind::RequireVex(requirement) => {
                if !requirement.vendors.is_empty() {
                    map.serialize_entry("vendors", &requirement.vendors)?;
                }
                if !requirement.justifications.is_empty() {
                    map.serialize_entry("justifications", &requirement.justifications)?;
                }
            }
            ActionKind::Block | ActionKind::Ignore | ActionKind::Warn | ActionKind::Defer => {}
        }
        if self.quiet {
            map.serialize_entry("quiet", &true)?;
        }
        if let Some(requirement) = &self.require_vex {
            map.serialize_entry("requireVex", requirement)?;
        }
        if let Some(justification) = &self.justification {
            map.serialize_entry("justification", justification)?;
        }
        if let Some(until) = &self.until {
            map.serialize_entry("until", until)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_is_written_as_far_as_it_asks_for_something() {
        let written = |vendors: &[&str], justifications: &[&str]| {
            let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            let requirement = VexRequirement { vendors: own(vendors), justifications: own(justifications) };
            serde_json::to_string(&Action::plain(ActionKind::RequireVex(requirement))).unwrap()
        };
        assert_eq!(written(&[], &[]), r#"{"type":"requireVex"}"#);
        assert_eq!(written(&["Acme"], &[]), r#"{"type":"requireVex","vendors":["Acme"]}"#);
        assert_eq!(written(&[], &["fixed"]), r#"{"type":"requireVex","justifications":["fixed"]}"#);
    }
}
