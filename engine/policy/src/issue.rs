//! What is wrong with a policy document, with codes that never change their meaning.

use serde::{Serialize, Serializer};

/// How serious an [`Issue`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum IssueSeverity {
    /// Worth knowing.
    Info,
    /// Probably not what was meant.
    Warning,
    /// The document cannot be used.
    Error,
}

macro_rules! issue_codes {
    ($($variant:ident $code:literal $severity:ident $blocking:literal $doc:literal;)*) => {
        /// The closed set of issues. [`IssueCode::name`] is stable: it is part of the wire (policy.md, "Endpoints").
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum IssueCode {
            $(#[doc = $doc] $variant,)*
        }

        impl IssueCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// How serious an issue of this code is.
            #[must_use]
            pub const fn severity(self) -> IssueSeverity {
                match self { $(Self::$variant => IssueSeverity::$severity),* }
            }

            /// Whether a document with such an issue is kept from becoming active.
            #[must_use]
            pub const fn blocking(self) -> bool {
                match self { $(Self::$variant => $blocking),* }
            }

            /// One sentence for the documentation.
            #[must_use]
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$variant => $doc),* }
            }
        }
    };
}

issue_codes! {
    YamlSyntax "policy.yaml.syntax" Error true "The text is not YAML within the limits on size, depth and aliases.";
    JsonSyntax "policy.json.syntax" Error true "The text is not JSON.";
    TooLarge "policy.document.too_large" Error true "The text is longer than a policy document may be.";
    RegoSyntax "policy.rego.syntax" Error true "The text is not Rego v1, or cannot be compiled.";
    RegoPackageWrong "policy.rego.package.wrong" Error true "The package of a Rego policy is not stella.policy.";
    RegoEntrypointMissing "policy.rego.entrypoint.missing" Error true "A Rego policy defines neither verdict nor image.";
    RegoBuiltinRefused "policy.rego.builtin.refused" Error true "A Rego policy calls a function that has no meaning here, or whose work has no bound.";
    RegoWithRules "policy.rego.with_rules" Error true "A document has both rules and Rego.";
    LimitExceeded "policy.limit.exceeded" Error true "A list or a text is longer than allowed.";
    FieldUnknown "policy.field.unknown" Error true "No field has this name here; a misspelt condition would widen its rule.";
    FieldType "policy.field.type" Error true "The value has another type than the field.";
    VersionMissing "policy.version.missing" Warning false "The document names no version; 1.0 is assumed.";
    VersionUnsupported "policy.version.unsupported" Error true "The document has a version this release does not read.";
    RulesEmpty "policy.rules.empty" Warning false "There is no rule, so that every finding passes.";
    RuleNameMissing "policy.rule.name.missing" Error true "A rule has no name.";
    RuleNameDuplicate "policy.rule.name.duplicate" Error true "Two rules have the same name.";
    RuleSeverityInvalid "policy.rule.severity.invalid" Error true "A severity level does not exist.";
    RuleReachabilityInvalid "policy.rule.reachability.invalid" Error true "A reachability level does not exist.";
    RuleActionMissing "policy.rule.action.missing" Error true "A rule has no action.";
    RuleActionInvalid "policy.rule.action.invalid" Error true "The action, or one of its parameters, does not exist.";
    RuleEpssInvalid "policy.rule.epss.invalid" Error true "An EPSS probability is not between 0 and 1.";
    RuleInstantInvalid "policy.rule.instant.invalid" Error true "A point in time is not an RFC 3339 timestamp.";
    RuleGlobInvalid "policy.rule.glob.invalid" Error true "A glob cannot be read.";
    RuleQuietMissingVex "policy.rule.quiet.missing_vex" Warning true "A quiet without requireVex justifications is ignored.";
    RuleExpired "policy.rule.expired" Warning false "The rule's time is over; it is skipped.";
    RuleShadowed "policy.rule.shadowed" Warning false "An earlier rule without conditions decides every finding.";
    RuleIgnoreUnjustified "policy.rule.ignore.unjustified" Info false "A rule ignores findings without saying why.";
    ScoringInvalid "policy.scoring.invalid" Error true "A weight, penalty or confidence is unknown or out of range.";
    WaiverIdMissing "policy.waiver.id.missing" Error true "A waiver has no id.";
    WaiverIdDuplicate "policy.waiver.id.duplicate" Error true "Two waivers have the same id.";
    WaiverAdvisoryInvalid "policy.waiver.advisory.invalid" Error true "A waiver names not exactly one of cve and advisory.";
    WaiverJustificationMissing "policy.waiver.justification.missing" Error true "A waiver does not say why the risk is accepted.";
    WaiverOwnerMissing "policy.waiver.owner.missing" Error true "A waiver does not say who answers for it.";
    WaiverTicketMissing "policy.waiver.ticket.missing" Error true "A waiver does not say where it was decided.";
    WaiverExpiresMissing "policy.waiver.expires.missing" Error true "A waiver has no end.";
    WaiverUnscoped "policy.waiver.unscoped" Warning false "A waiver names no image, digest or package: it hides the advisory everywhere.";
    WaiverDigestInvalid "policy.waiver.digest.invalid" Error true "A waiver names something that is not an image digest.";
    WaiverGlobInvalid "policy.waiver.glob.invalid" Error true "A glob of a waiver cannot be read.";
    WaiverInstantInvalid "policy.waiver.instant.invalid" Error true "A waiver's expiry is not an RFC 3339 timestamp.";
    WaiverExpired "policy.waiver.expired" Warning false "The waiver's time is over; it hides nothing any more.";
}

impl Serialize for IssueCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One thing that is wrong with a document; on the wire `{code,message,severity,path}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Issue {
    /// What kind of thing.
    pub code: IssueCode,
    /// One sentence for the author of the document.
    pub message: String,
    /// How serious.
    pub severity: IssueSeverity,
    /// JSONPath of the place, such as `$.rules[0].severity`.
    pub path: String,
    /// Whether it keeps the document from becoming active; a warning can.
    #[serde(skip)]
    pub blocking: bool,
    /// Where in the text, when it was read from one. Not on the wire, which names four fields.
    #[serde(skip)]
    pub position: Option<Position>,
}

/// A place in a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Counted from 1.
    pub line: u32,
    /// In characters, counted from 1.
    pub column: u32,
}

impl Issue {
    /// An issue with the severity that its code has.
    #[must_use]
    pub fn new(code: IssueCode, path: impl Into<String>, message: impl Into<String>) -> Self {
        let (severity, blocking) = (code.severity(), code.blocking());
        Self { code, message: message.into(), severity, path: path.into(), blocking, position: None }
    }

    /// The same issue with its place in the text.
    #[must_use]
    pub fn at(self, position: Position) -> Self {
        Self { position: Some(position), ..self }
    }

    /// The path, with line and column where they are known: `$.rules[0].severity (line 4, column 7)`.
    #[must_use]
    pub fn place(&self) -> String {
        match self.position {
            Some(Position { line, column }) => format!("{} (line {line}, column {column})", self.path),
            None => self.path.clone(),
        }
    }

    /// The issue as an entry of a problem's `errors` (http.md, "Errors").
    #[must_use]
    pub fn problem(&self) -> FieldProblem {
        FieldProblem { path: self.path.clone(), msg: self.message.clone() }
    }
}

/// An entry of the `errors` of a problem document: `{"path":"$.rules[0].severity","msg":"Invalid level 'Foo'"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// JSONPath.
    pub path: String,
    /// What is wrong there.
    pub msg: String,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_errors_block() {
        let names: BTreeSet<_> = IssueCode::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), IssueCode::ALL.len());
        for code in IssueCode::ALL {
            assert!(code.name().starts_with("policy."), "{}", code.name());
            assert!(code.severity() != IssueSeverity::Error || code.blocking(), "{}", code.name());
        }
    }

    #[test]
    fn the_wire_shows_four_fields() {
        let issue = Issue::new(IssueCode::RuleQuietMissingVex, "$.rules[0]", "m");
        let shown = serde_json::to_string(&issue).unwrap();
        assert_eq!(
            shown,
            r#"{"code":"policy.rule.quiet.missing_vex","message":"m","severity":"Warning","path":"$.rules[0]"}"#
        );
        assert!(issue.blocking);
    }
}
