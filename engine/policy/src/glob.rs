//! Lists of globs, compiled once.
//!
//! Globs are case-sensitive and match the whole text. `?` stands for one character, `[ab]` and `[!ab]` for one of a set,
//! `{a,b}` for either, `\` takes the meaning off the next character. What `*` stands for depends on the dialect of the field:
//!
//! | dialect | fields | `*` | `**` |
//! |---|---|---|---|
//! | [`Dialect::Path`] | images, repositories, paths, usedByEntrypoint | anything without `/` | anything; alone, or as a whole segment |
//! | [`Dialect::Text`] | packages, purls, cves, layerDigests | anything | anything |

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Longest glob in bytes.
pub(crate) const MAX_GLOB_BYTES: usize = 512;

/// What the `*` of a field's globs stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `*` stays within a segment between slashes, `**` crosses them.
    Path,
    /// `*` matches anything.
    Text,
}

/// Why a glob cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("glob '{glob}' cannot be read: {reason}")]
pub struct GlobError {
    /// The glob, cut to 100 characters.
    pub glob: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A list of globs, of which one has to match.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    given: bool,
    any: bool,
    exact: Vec<String>,
    prefixes: Vec<String>,
    set: Option<GlobSet>,
}

impl Patterns {
    /// Compiles `globs`.
    ///
    /// # Errors
    /// Names the first glob that is empty, longer than 512 bytes or cannot be read.
    pub fn new(globs: &[String], dialect: Dialect) -> Result<Self, GlobError> {
        let mut patterns = Self { given: !globs.is_empty(), ..Self::default() };
        let mut rest = GlobSetBuilder::new();
        let mut complex = false;
        for glob in globs {
            // The whole syntax is checked first, so that the short cuts below never accept what globset refuses.
            let compiled = compile(glob, dialect)?;
            match plain_form(glob, dialect) {
                Plain::Any => patterns.any = true,
                Plain::Exact => patterns.exact.push(glob.clone()),
                Plain::Prefix(prefix) => patterns.prefixes.push(prefix.to_owned()),
                Plain::No => {
                    rest.add(compiled);
                    complex = true;
                }
            }
        }
        patterns.exact.sort_unstable();
        if complex {
            patterns.set = Some(rest.build().map_err(|error| together(&error))?);
        }
        Ok(patterns)
    }

    /// Whether no glob was given, which a condition takes for "everything".
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        !self.given
    }

    /// Whether a glob matches `text`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.any
            || self.exact.binary_search_by(|exact| exact.as_str().cmp(text)).is_ok()
            || self.prefixes.iter().any(|prefix| text.starts_with(prefix.as_str()))
            || self.set.as_ref().is_some_and(|set| set.is_match(text))
    }
}

/// The form of a glob that needs no automaton.
pub(crate) enum Plain<'a> {
    Any,
    Exact,
    Prefix(&'a str),
    No,
}

/// Most globs of real policies are names or `name*`: those need no automaton.
pub(crate) fn plain_form(glob: &str, dialect: Dialect) -> Plain<'_> {
    let stem = glob.trim_end_matches('*');
    let stars = glob.len() - stem.len();
    if stem.contains(['*', '?', '[', ']', '{', '}', '\\']) {
        return Plain::No;
    }
    match (dialect, stem.is_empty(), stars) {
        (_, _, 0) => Plain::Exact,
        (Dialect::Text, true, _) | (Dialect::Path, true, 2) => Plain::Any,
        (Dialect::Text, false, _) => Plain::Prefix(stem),
        (Dialect::Path, ..) => Plain::No,
    }
}

pub(crate) fn compile(glob: &str, dialect: Dialect) -> Result<globset::Glob, GlobError> {
    if glob.is_empty() {
        return Err(refusal(glob, &"it is empty"));
    }
    if glob.len() > MAX_GLOB_BYTES {
        return Err(refusal(glob, &format!("it is longer than {MAX_GLOB_BYTES} bytes")));
    }
    GlobBuilder::new(glob)
        .literal_separator(dialect == Dialect::Path)
        .backslash_escape(true)
        .build()
        .map_err(|error| refusal(glob, error.kind()))
}

/// Globs that are good one by one and too much together.
pub(crate) fn together(error: &globset::Error) -> GlobError {
    refusal(error.glob().unwrap_or_default(), error)
}

fn refusal(glob: &str, reason: &dyn std::fmt::Display) -> GlobError {
    GlobError { glob: glob.chars().take(100).collect(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(glob: &str, dialect: Dialect, text: &str) -> bool {
        Patterns::new(&[glob.to_owned()], dialect).unwrap().matches(text)
    }

    #[test]
    fn a_star_stays_within_a_segment_of_a_path() {
        assert!(matches("registry.local/*/app:*", Dialect::Path, "registry.local/team/app:1"));
        assert!(!matches("registry.local/*", Dialect::Path, "registry.local/team/app"));
        assert!(matches("registry.local/**", Dialect::Path, "registry.local/team/app"));
        assert!(matches("**", Dialect::Path, "a/b/c"));
        assert!(matches("**/lib/*.so", Dialect::Path, "usr/lib/libc.so"));
    }

    #[test]
    fn a_star_crosses_everything_in_a_text() {
        assert!(matches("pkg:npm/*", Dialect::Text, "pkg:npm/%40scope/name@1"));
        assert!(matches("*/name@*", Dialect::Text, "pkg:npm/%40scope/name@1"));
        assert!(matches("CVE-2024-*", Dialect::Text, "CVE-2024-1"));
        assert!(!matches("cve-2024-*", Dialect::Text, "CVE-2024-1"));
        assert!(!matches("CVE-2024-1", Dialect::Text, "CVE-2024-10"));
    }

    #[test]
    fn unreadable_globs_are_refused() {
        for glob in ["", "[a", "{a", "a\\", &"a".repeat(513)] {
            assert!(Patterns::new(&[glob.to_owned()], Dialect::Text).is_err(), "{glob}");
        }
        assert!(Patterns::new(&["a".repeat(512)], Dialect::Text).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_compiles_or_is_refused(glob in ".{0,60}", text in ".{0,60}") {
            for dialect in [Dialect::Path, Dialect::Text] {
                if let Ok(patterns) = Patterns::new(std::slice::from_ref(&glob), dialect) {
                    let _ = patterns.matches(&text);
                }
            }
        }

        #[test]
        fn a_text_without_signs_matches_itself_alone(text in "[a-zA-Z0-9:@./_-]{1,40}", other in "[a-zA-Z0-9:@./_-]{1,40}") {
            for dialect in [Dialect::Path, Dialect::Text] {
                prop_assert!(matches(&text, dialect, &text));
                prop_assert_eq!(matches(&text, dialect, &other), text == other);
            }
        }
    }
}
