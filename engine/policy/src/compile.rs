//! A document made ready for many evaluations: globs compiled, lists turned into masks.

use stella_domain::{Digest, Reachability, Severity, Timestamp};

use crate::action::Action;
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
    pub(crate) rego: Option<Module>,
    pub(crate) waivers: Vec<CompiledWaiver>,
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
            rego,
            waivers: document.waivers.iter().map(CompiledWaiver::new).collect::<Result<_, _>>()?,
        })
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

#[derive(Debug, Clone)]
pub(crate) struct CompiledRule {
    pub name: String,
    pub end: Option<Timestamp>,
    pub action: Action,
    severities: u8,
    reachability: u8,
    kev: Option<bool>,
    fix_available: Option<bool>,
    epss_min: Option<f64>,
    sources: Words,
    vendors: Words,
    licenses: Words,
    tags: Words,
    environments: Words,
    images: Patterns,
    repositories: Patterns,
    packages: Patterns,
    purls: Patterns,
    cves: Patterns,
    paths: Patterns,
    layers: Patterns,
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
            severities: mask(rule.severity.iter().map(|level| severity_bit(*level))),
            reachability: mask(rule.reachability.iter().map(|level| reachability_bit(*level))),
            kev: rule.kev,
            fix_available: rule.fix_available,
            epss_min: rule.epss_min,
            sources: Words::new(&rule.sources),
            vendors: Words::new(&rule.vendors),
            licenses: Words::new(&rule.licenses),
            tags: Words::new(&rule.tags),
            environments: Words::new(&rule.environments),
            images: globs("images", &matches.images, Dialect::Path)?,
            repositories: globs("repositories", &matches.repositories, Dialect::Path)?,
            packages: globs("packages", &matches.packages, Dialect::Text)?,
            purls: globs("purls", &matches.purls, Dialect::Text)?,
            cves: globs("cves", &matches.cves, Dialect::Text)?,
            paths: globs("paths", &matches.paths, Dialect::Path)?,
            layers: globs("layerDigests", &matches.layer_digests, Dialect::Text)?,
            entrypoints: globs("usedByEntrypoint", &matches.used_by_entrypoint, Dialect::Path)?,
        })
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.end.is_some_and(|end| now >= end)
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

    /// Whether the conditions on the finding hold, seen with `severity`. Cheap ones come first.
    pub fn matches(&self, finding: &FindingInput, severity: Severity) -> bool {
        self.severities & severity_bit(severity) != 0
            && self.reachability & reachability_bit(finding.reachability) != 0
            && self.kev.is_none_or(|kev| kev == finding.kev)
            && self.fix_available.is_none_or(|available| available == finding.fix_available)
            && self.epss_min.is_none_or(|least| finding.epss.is_some_and(|epss| epss >= least))
            && (self.entrypoints.is_empty() || finding.reachability.in_use())
            && self.matches_words(finding)
            && self.matches_globs(finding)
    }

    fn matches_words(&self, finding: &FindingInput) -> bool {
        self.sources.allow(finding.source.as_deref())
            && self.vendors.allow(finding.vendor.as_deref())
            && self.licenses.allow(finding.licenses.iter().map(String::as_str))
            && self.tags.allow(finding.tags.iter().map(String::as_str))
    }

    fn matches_globs(&self, finding: &FindingInput) -> bool {
        let text = |patterns: &Patterns, text: Option<&str>| {
            patterns.is_empty() || text.is_some_and(|text| patterns.matches(text))
        };
        text(&self.packages, Some(&finding.package))
            && (self.cves.is_empty() || finding.advisory_ids.iter().any(|id| self.cves.matches(id)))
            && text(&self.purls, finding.purl.as_deref())
            && text(&self.paths, finding.path.as_deref())
            && (self.layers.is_empty() || finding.layer.is_some_and(|layer| self.layers.matches(&layer.to_string())))
    }
}

fn mask(bits: impl Iterator<Item = u8>) -> u8 {
    match bits.fold(0, |mask, bit| mask | bit) {
        0 => u8::MAX,
        mask => mask,
    }
}

const fn severity_bit(level: Severity) -> u8 {
    1 << level as u8
}

const fn reachability_bit(level: Reachability) -> u8 {
    1 << level as u8
}
