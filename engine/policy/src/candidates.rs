//! Which rules match a finding, without asking each of them.
//!
//! ```text
//!   severity    {Critical: 0110, High: 0100, ..}  ─┐
//!   purl        {"pkg:npm/*": 0010, ..}, open 0100 ─┼─ and ─► 0100 ─► the first rule of the set decides
//!   ..                                             ─┘
//! ```
//!
//! Every field has a table from values to the set of rules that accept them; a rule without a condition on the field is `open`
//! there and accepts everything. A table is asked only while a rule is left that has a condition on its field.

use std::collections::HashMap;

use globset::{GlobSet, GlobSetBuilder};
use stella_domain::{Reachability, Severity};

use crate::compile::CompileError;
use crate::document::Rule;
use crate::glob::{Dialect, GlobError, Plain, compile, plain_form, together};
use crate::input::FindingInput;

/// Rules by their position in the policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RuleSet(Vec<u64>);

impl RuleSet {
    pub(crate) fn of(count: usize, accepts: impl Fn(usize) -> bool) -> Self {
        let mut set = Self(vec![0; count.div_ceil(64)]);
        (0..count).filter(|rule| accepts(*rule)).for_each(|rule| set.insert(rule));
        set
    }

    fn insert(&mut self, rule: usize) {
        self.0[rule / 64] |= 1 << (rule % 64);
    }

    fn unite(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own |= other);
    }

    fn intersect(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own &= other);
    }

    fn is_within(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(own, other)| own & !other == 0)
    }

    /// The first rule at or after `position`.
    pub(crate) fn first_from(&self, position: usize) -> Option<usize> {
        let mut word = position / 64;
        let mut bits = self.0.get(word)? & (u64::MAX << (position % 64));
        while bits == 0 {
            word += 1;
            bits = *self.0.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }
}

/// The tables of one policy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Candidates {
    severities: [RuleSet; Severity::ALL.len()],
    reachability: [RuleSet; Reachability::ALL.len()],
    kev: [RuleSet; 2],
    fix_available: [RuleSet; 2],
    sources: WordTable,
    vendors: WordTable,
    licenses: WordTable,
    tags: WordTable,
    packages: GlobTable,
    purls: GlobTable,
    cves: GlobTable,
    paths: GlobTable,
    layers: GlobTable,
}

impl Candidates {
    /// The tables of `rules`.
    pub(crate) fn new(rules: &[Rule]) -> Result<Self, CompileError> {
        let set = |accepts: &dyn Fn(&Rule) -> bool| RuleSet::of(rules.len(), |rule| accepts(&rules[rule]));
        let of_flag =
            |flag: &dyn Fn(&Rule) -> Option<bool>| [false, true].map(|value| set(&|rule| flag(rule) != Some(!value)));
        let words = |list: &dyn Fn(&Rule) -> &[String]| WordTable::new(&rules.iter().map(list).collect::<Vec<_>>());
        let globs = |field, dialect, list: &dyn Fn(&Rule) -> &[String]| {
            let failed = |(rule, error): (usize, GlobError)| {
                let rule = rules.get(rule).map_or_else(String::new, |rule| rule.name.clone());
                CompileError::RuleGlob { rule, field, error }
            };
            GlobTable::new(&rules.iter().map(list).collect::<Vec<_>>(), dialect).map_err(failed)
        };
        Ok(Self {
            severities: by_number(Severity::ALL, |level| level as usize)
                .map(|level| set(&|rule| rule.severity.is_empty() || rule.severity.contains(&level))),
            // What an entrypoint uses is in use.
            reachability: by_number(Reachability::ALL, |level| level as usize).map(|level| {
                set(&|rule| {
                    (rule.reachability.is_empty() || rule.reachability.contains(&level))
                        && (rule.matches.used_by_entrypoint.is_empty() || level.in_use())
                })
            }),
            kev: of_flag(&|rule| rule.kev),
            fix_available: of_flag(&|rule| rule.fix_available),
            sources: words(&|rule| &rule.sources),
            vendors: words(&|rule| &rule.vendors),
            licenses: words(&|rule| &rule.licenses),
            tags: words(&|rule| &rule.tags),
            packages: globs("packages", Dialect::Text, &|rule| &rule.matches.packages)?,
            purls: globs("purls", Dialect::Text, &|rule| &rule.matches.purls)?,
            cves: globs("cves", Dialect::Text, &|rule| &rule.matches.cves)?,
            paths: globs("paths", Dialect::Path, &|rule| &rule.matches.paths)?,
            layers: globs("layerDigests", Dialect::Text, &|rule| &rule.matches.layer_digests)?,
        })
    }

    /// Those of `rules` whose conditions on the finding hold, seen with `severity`; EPSS is left to the caller.
    pub(crate) fn matching(&self, rules: &RuleSet, finding: &FindingInput, severity: Severity) -> RuleSet {
        let mut left = rules.clone();
        left.intersect(&self.severities[severity as usize]);
        left.intersect(&self.reachability[finding.reachability as usize]);
        left.intersect(&self.kev[usize::from(finding.kev)]);
        left.intersect(&self.fix_available[usize::from(finding.fix_available)]);
        self.sources.narrow(&mut left, finding.source.as_deref());
        self.vendors.narrow(&mut left, finding.vendor.as_deref());
        self.licenses.narrow(&mut left, finding.licenses.iter().map(String::as_str));
        self.tags.narrow(&mut left, finding.tags.iter().map(String::as_str));
        self.packages.narrow(&mut left, [finding.package.as_str()]);
        self.cves.narrow(&mut left, finding.advisory_ids.iter().map(String::as_str));
        self.purls.narrow(&mut left, finding.purl.as_deref());
        self.paths.narrow(&mut left, finding.path.as_deref());
        if !left.is_within(&self.layers.open) {
            let layer = finding.layer.map(|layer| layer.to_string());
            self.layers.narrow(&mut left, layer.as_deref());
        }
        left
    }
}

/// Levels in the order of their numbers, so that a number is a position.
fn by_number<T: Copy, const N: usize>(mut levels: [T; N], number: impl Fn(T) -> usize) -> [T; N] {
    levels.sort_unstable_by_key(|level| number(*level));
    levels
}

/// Lists of words, compared without regard to ASCII case.
#[derive(Debug, Clone, Default)]
struct WordTable {
    open: RuleSet,
    /// By the word in lower case.
    accepting: HashMap<String, RuleSet>,
}

impl WordTable {
    fn new(lists: &[&[String]]) -> Self {
        let mut accepting: HashMap<String, RuleSet> = HashMap::new();
        for (rule, words) in lists.iter().enumerate() {
            for word in *words {
                let none = || RuleSet::of(lists.len(), |_| false);
                accepting.entry(word.to_ascii_lowercase()).or_insert_with(none).insert(rule);
            }
        }
        Self { open: RuleSet::of(lists.len(), |rule| lists[rule].is_empty()), accepting }
    }

    fn narrow<'w>(&self, left: &mut RuleSet, words: impl IntoIterator<Item = &'w str>) {
        if left.is_within(&self.open) {
            return;
        }
        let mut accepted = self.open.clone();
        for word in words {
            let found = if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
                self.accepting.get(&word.to_ascii_lowercase())
            } else {
                self.accepting.get(word)
            };
            found.into_iter().for_each(|rules| accepted.unite(rules));
        }
        left.intersect(&accepted);
    }
}

/// Lists of globs.
#[derive(Debug, Clone, Default)]
struct GlobTable {
    open: RuleSet,
    /// Those with a glob that matches everything.
    any: RuleSet,
    exact: HashMap<String, RuleSet>,
    prefixes: Vec<(String, RuleSet)>,
    set: GlobSet,
    /// Of each glob of `set`, its rule.
    owners: Vec<usize>,
}

impl GlobTable {
    /// The tables of one list a rule; an error says whose.
    fn new(lists: &[&[String]], dialect: Dialect) -> Result<Self, (usize, GlobError)> {
        let none = || RuleSet::of(lists.len(), |_| false);
        let (mut any, mut exact, mut prefixes) = (none(), HashMap::new(), HashMap::new());
        let (mut set, mut owners) = (GlobSetBuilder::new(), Vec::new());
        for (rule, globs) in lists.iter().enumerate() {
            for glob in *globs {
                let compiled = compile(glob, dialect).map_err(|error| (rule, error))?;
                match plain_form(glob, dialect) {
                    Plain::Any => any.insert(rule),
                    Plain::Exact => exact.entry(glob.clone()).or_insert_with(none).insert(rule),
                    Plain::Prefix(prefix) => prefixes.entry(prefix.to_owned()).or_insert_with(none).insert(rule),
                    Plain::No => {
                        set.add(compiled);
                        owners.push(rule);
                    }
                }
            }
        }
        let open = RuleSet::of(lists.len(), |rule| lists[rule].is_empty());
        let set = set.build().map_err(|error| (lists.len(), together(&error)))?;
        Ok(Self { open, any, exact, prefixes: prefixes.into_iter().collect(), set, owners })
    }

    fn narrow<'t>(&self, left: &mut RuleSet, texts: impl IntoIterator<Item = &'t str>) {
        if left.is_within(&self.open) {
            return;
        }
        let mut accepted = self.open.clone();
        for text in texts {
            accepted.unite(&self.any);
            self.exact.get(text).into_iter().for_each(|rules| accepted.unite(rules));
            let prefixes = self.prefixes.iter().filter(|(prefix, _)| text.starts_with(prefix.as_str()));
            prefixes.for_each(|(_, rules)| accepted.unite(rules));
            if !self.owners.is_empty() {
                self.set.matches(text).into_iter().for_each(|glob| accepted.insert(self.owners[glob]));
            }
        }
        left.intersect(&accepted);
    }
}

#[cfg(test)]
mod tests;
