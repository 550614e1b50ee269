//! A document made ready for many evaluations: globs compiled, rules put into tables by what they accept.

use stella_domain::{Digest, Timestamp};

use crate::action::Action;
use crate::candidates::Candidates;
use crate::document::{Document, DocumentError, Rule};
use crate::glob::{Dialect, GlobError, Patterns};
use crate::input::{Context, FindingInput};
use crate::rego::{Module, RegoError, RegoLimits};
use crate::scoring::Scoring;
use crate::waiver::CompiledWaiver;

/// Why a document cannot be compiled. Documents that parsed without issues always can.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// A glob of a rule.
    #[error("rule '{rule}', field {field}: {error}")]
    RuleGlob {
        /// Name of the rule.
        rule: String,
        /// Field of its `match`.
        field: &'static str,
        /// What is wrong.
        error: GlobError,
    },
    /// A glob of a waiver.
    #[error("waiver '{waiver}': {error}")]
    WaiverGlob {
        /// Id of the waiver.
        waiver: String,
        /// What is wrong.
        error: GlobError,
    },
    /// Its Rego.
    #[error(transparent)]
    Rego(#[from] RegoError),
    /// The digest cannot be computed.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

/// One revision of a policy, ready to be evaluated any number of times and from any number of threads.
#[derive(Debug, Clone)]
pub struct Compiled {
    name: String,
    priority: i32,
    digest: Digest,
    environments: Words,
    pub(crate) scoring: Scoring,
    pub(crate) rules: Vec<CompiledRule>,
    pub(crate) candidates: Candidates,
    pub(crate) rego: Option<Module>,
    pub(crate) waivers: Vec<CompiledWaiver>,
    /// Why it can answer nothing, where it cannot.
    pub(crate) unusable: Option<String>,
}

impl Compiled {
    /// Compiles `document` under `name` (for policies of a cluster `namespace/name`); a higher `priority` is asked earlier.
    ///
    /// # Errors
    /// When a glob cannot be read or Rego cannot be compiled.
    pub fn new(name: impl Into<String>, priority: i32, document: &Document) -> Result<Self, CompileError> {
        Self::within(name, priority, document, RegoLimits::default())
    }

    /// The same with limits for its Rego.
    ///
    /// # Errors
    /// As [`Compiled::new`].
    pub fn within(
        name: impl Into<String>,
        priority: i32,
        document: &Document,
        limits: RegoLimits,
    ) -> Result<Self, CompileError> {
        let rego = document.rego.as_deref().map(|source| Module::compile_within(source, limits)).transpose()?;
        Ok(Self {
            name: name.into(),
            priority,
            digest: document.digest()?,
            environments: Words::new(&document.environments),
            scoring: document.scoring.clone(),
            rules: document.rules.iter().map(CompiledRule::new).collect::<Result<_, _>>()?,
            candidates: Candidates::new(&document.rules)?,
            rego,
            waivers: document.waivers.iter().map(CompiledWaiver::new).collect::<Result<_, _>>()?,
            unusable: None,
        })
    }

    /// Stands for a policy in force whose document cannot be read or compiled any more, for example by a later version: it
    /// gives no answer, which blocks ([`crate::Evaluation::failures`]). Left out, it would let in what it refused.
    #[must_use]
    pub fn unusable(name: impl Into<String>, priority: i32, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self {
            name: name.into(),
            priority,
            digest: Digest::of(&reason),
            environments: Words::new(&[]),
            scoring: Scoring::default(),
            rules: Vec::new(),
            candidates: Candidates::default(),
            rego: None,
            waivers: Vec::new(),
            unusable: Some(reason),
        }
    }

    /// Whether it stands for a policy that cannot be used any more.
    #[must_use]
    pub const fn is_unusable(&self) -> bool {
        self.unusable.is_some()
    }

    /// The name it was compiled under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Higher is asked earlier; equal ones by name.
    #[must_use]
    pub const fn priority(&self) -> i32 {
        self.priority
    }

    /// The digest of its document.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether it has Rego, which may take as long as its limits let it.
    #[must_use]
    pub const fn has_rego(&self) -> bool {
        self.rego.is_some()
    }

    /// Whether it looks at [`Context::entrypoints`]: a rule names them, or Rego may.
    #[must_use]
    pub fn asks_for_entrypoints(&self) -> bool {
        self.rego.is_some() || self.rules.iter().any(|rule| !rule.entrypoints.is_empty())
    }

    pub(crate) fn holds_in(&self, context: &Context) -> bool {
        self.environments.allow(context.environment.as_deref())
    }
}

/// Words compared without regard to ASCII case; none given means any.
#[derive(Debug, Clone)]
struct Words(Vec<String>);

impl Words {
    fn new(words: &[String]) -> Self {
        Self(words.to_vec())
    }

    fn allow<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> bool {
        self.0.is_empty() || words.into_iter().any(|word| self.0.iter().any(|own| own.eq_ignore_ascii_case(word)))
    }
}

/// What of a rule is asked one rule at a time; its conditions on the finding are in [`Candidates`].
#[derive(Debug, Clone)]
pub(crate) struct CompiledRule {
    pub name: String,
    pub end: Option<Timestamp>,
    pub action: Action,
    epss_min: Option<f64>,
    environments: Words,
    images: Patterns,
    repositories: Patterns,
    entrypoints: Patterns,
}

impl CompiledRule {
    fn new(rule: &Rule) -> Result<Self, CompileError> {
        let globs = |field: &'static str, list: &[String], dialect| {
            Patterns::new(list, dialect).map_err(|error| CompileError::RuleGlob {
                rule: rule.name.clone(),
                field,
                error,
            })
        };
        let matches = &rule.matches;
        Ok(Self {
            name: rule.name.clone(),
            end: rule.end(),
            action: rule.action.clone(),
            epss_min: rule.epss_min,
            environments: Words::new(&rule.environments),
            images: globs("images", &matches.images, Dialect::Path)?,
            repositories: globs("repositories", &matches.repositories, Dialect::Path)?,
            entrypoints: globs("usedByEntrypoint", &matches.used_by_entrypoint, Dialect::Path)?,
        })
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.end.is_some_and(|end| now >= end)
    }

    /// Whether the finding is exploited as probably as the rule asks for.
    pub fn epss_holds(&self, finding: &FindingInput) -> bool {
        self.epss_min.is_none_or(|least| finding.epss.is_some_and(|epss| epss >= least))
    }

    /// Whether the conditions on the image and its place hold; they are the same for all findings.
    pub fn holds_in(&self, context: &Context, image_names: &[String]) -> bool {
        let one = |patterns: &Patterns, names: &[String]| {
            patterns.is_empty() || names.iter().any(|name| patterns.matches(name))
        };
        self.environments.allow(context.environment.as_deref())
            && one(&self.images, image_names)
            && one(&self.repositories, context.repository.as_slice())
            && one(&self.entrypoints, &context.entrypoints)
    }
}
