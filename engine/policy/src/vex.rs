//! Statements of others about whether a product is affected, and rules that ask for one.

use serde::{Deserialize, Serialize};

/// What a statement says (OpenVEX specification v0.2.0, "Status Labels").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VexState {
    /// The vulnerability does not touch the product.
    NotAffected,
    /// It does.
    Affected,
    /// The product contains the fix.
    Fixed,
    /// Nobody knows yet.
    UnderInvestigation,
}

/// One statement that applies to a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VexStatement {
    /// What it says.
    pub state: VexState,
    /// Who says it.
    #[serde(default)]
    pub vendor: String,
    /// Why the product is not affected, in OpenVEX's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
}

/// Which statements satisfy a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VexRequirement {
    /// Who may say it, without regard to ASCII case; empty means anybody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vendors: Vec<String>,
    /// Accepted justifications, and `fixed` for statements that say so; empty means any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub justifications: Vec<String>,
}

/// Who clears a finding: the authors that say it is not affected or fixed, sorted, where nobody says that it is affected.
pub(crate) fn cleared_by(statements: &[VexStatement]) -> Option<String> {
    if statements.iter().any(|statement| statement.state == VexState::Affected) {
        return None;
    }
    let clears = |state| matches!(state, VexState::NotAffected | VexState::Fixed);
    let clearing = statements.iter().filter(|statement| clears(statement.state));
    let authors: std::collections::BTreeSet<&str> = clearing.map(|statement| statement.vendor.as_str()).collect();
    (!authors.is_empty()).then(|| format!("vex: {}", authors.into_iter().collect::<Vec<_>>().join(", ")))
}

impl VexRequirement {
    /// Whether `statements` satisfy it: an accepted vendor says that the product is not affected (or fixed) for an accepted
    /// reason, and no accepted vendor says that it is affected.
    #[must_use]
    pub fn is_met(&self, statements: &[VexStatement]) -> bool {
        let mut met = false;
        for statement in statements.iter().filter(|statement| self.trusts(&statement.vendor)) {
            if statement.state == VexState::Affected {
                return false;
            }
            met |= self.accepts(statement);
        }
        met
    }

    fn trusts(&self, vendor: &str) -> bool {
        self.vendors.is_empty() || self.vendors.iter().any(|name| name.eq_ignore_ascii_case(vendor))
    }

    fn accepts(&self, statement: &VexStatement) -> bool {
        let reason = match statement.state {
            VexState::NotAffected => statement.justification.as_deref(),
            VexState::Fixed => Some("fixed"),
            VexState::Affected | VexState::UnderInvestigation => return false,
        };
        self.justifications.is_empty()
            || reason.is_some_and(|reason| self.justifications.iter().any(|name| name.eq_ignore_ascii_case(reason)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(state: VexState, vendor: &str, justification: Option<&str>) -> VexStatement {
        VexStatement { state, vendor: vendor.to_owned(), justification: justification.map(str::to_owned) }
    }

    #[test]
    fn only_the_named_vendor_and_reason_satisfy_it() {
        let asked =
            VexRequirement { vendors: vec!["Acme".into()], justifications: vec!["component_not_present".into()] };
        let good = statement(VexState::NotAffected, "acme", Some("component_not_present"));
        assert!(asked.is_met(std::slice::from_ref(&good)));
        assert!(!asked.is_met(&[statement(VexState::NotAffected, "other", Some("component_not_present"))]));
        assert!(!asked.is_met(&[statement(VexState::NotAffected, "acme", None)]));
        assert!(!asked.is_met(&[statement(VexState::Fixed, "acme", None)]));
        assert!(!asked.is_met(&[]));
        assert!(!asked.is_met(&[good, statement(VexState::Affected, "acme", None)]));
    }

    #[test]
    fn an_open_question_satisfies_nothing() {
        assert!(!VexRequirement::default().is_met(&[statement(VexState::UnderInvestigation, "acme", None)]));
        assert!(VexRequirement::default().is_met(&[statement(VexState::Fixed, "acme", None)]));
    }

    #[test]
    fn authors_clear_what_nobody_says_is_affected() {
        let fixed = statement(VexState::Fixed, "beta", None);
        let absent = statement(VexState::NotAffected, "acme", None);
        let open = statement(VexState::UnderInvestigation, "other", None);
        let affected = statement(VexState::Affected, "other", None);
        assert_eq!(cleared_by(&[fixed.clone(), open.clone(), absent]).as_deref(), Some("vex: acme, beta"));
        assert_eq!(cleared_by(&[fixed, affected]), None);
        assert_eq!(cleared_by(&[open]), None);
    }
}
