//! Version ranges as `vers:npm/>=1.2|<2.0` (VERS, ECMA-427 companion, "Version range specifier").

use std::str::FromStr;

use crate::version::Scheme;

/// The most constraints of one range.
const MAX_CONSTRAINTS: usize = 10_000;

/// A range of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vers {
    scheme: Scheme,
    /// Every version.
    all: bool,
    /// Constraints by version, ascending.
    constraints: Vec<(Vec<u8>, Comparator)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Why a text is no version range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a version range: {reason}")]
pub struct VersError {
    /// What was given, cut to 200 characters.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Vers {
    /// Whether `version` lies in the range.
    #[must_use]
    pub fn contains(&self, version: &str) -> bool {
        use Comparator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        let key = self.scheme.key(version);
        if self.all {
            return true;
        }
        if let Some((_, comparator)) =
            self.constraints.iter().find(|(at, c)| *at == key && matches!(c, Equal | NotEqual))
        {
            return *comparator == Equal;
        }
        let bounds: Vec<_> = self.constraints.iter().filter(|(_, c)| !matches!(c, Equal | NotEqual)).collect();
        if bounds.is_empty() {
            // Nothing but exclusions leaves everything else.
            return self.constraints.iter().any(|(_, c)| *c == NotEqual)
                && !self.constraints.iter().any(|(_, c)| *c == Equal);
        }
        let below = |(at, c): &(Vec<u8>, Comparator)| match c {
            Less => key < *at,
            LessOrEqual => key <= *at,
            _ => false,
        };
        let above = |(at, c): &(Vec<u8>, Comparator)| match c {
            Greater => key > *at,
            GreaterOrEqual => key >= *at,
            _ => false,
        };
        bounds.first().is_some_and(|first| below(first))
            || bounds.last().is_some_and(|last| above(last))
            || bounds.windows(2).any(|pair| above(pair[0]) && below(pair[1]))
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let rest = text.strip_prefix("vers:").ok_or("it does not begin with vers:")?;
        let (kind, constraints) = rest.split_once('/').ok_or("it has no constraints")?;
        let scheme = scheme(kind).ok_or("the order of its versions is not known")?;
        let constraints = constraints.trim().trim_matches('|');
        if constraints == "*" {
            return Ok(Self { scheme, all: true, constraints: Vec::new() });
        }
        let mut read = Vec::new();
        for constraint in constraints.split('|') {
            if read.len() == MAX_CONSTRAINTS {
                return Err("it has more than 10000 constraints");
            }
            let (comparator, version) = comparator(constraint.trim());
            let version = decode(version.trim())?;
            if version.is_empty() || version == "*" {
                return Err("a constraint has no version");
            }
            read.push((scheme.key(&version), comparator));
        }
        read.sort_by(|a, b| a.0.cmp(&b.0));
        if read.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err("a version occurs twice");
        }
        Ok(Self { scheme, all: false, constraints: read })
    }
}

impl FromStr for Vers {
    type Err = VersError;

    fn from_str(text: &str) -> Result<Self, VersError> {
        Self::parse(text).map_err(|reason| VersError { text: text.chars().take(200).collect(), reason })
    }
}

fn comparator(constraint: &str) -> (Comparator, &str) {
    let signs = [
        (">=", Comparator::GreaterOrEqual),
        ("<=", Comparator::LessOrEqual),
        ("!=", Comparator::NotEqual),
        (">", Comparator::Greater),
        ("<", Comparator::Less),
        ("=", Comparator::Equal),
    ];
    let found = signs.into_iter().find_map(|(sign, c)| constraint.strip_prefix(sign).map(|rest| (c, rest)));
    found.unwrap_or((Comparator::Equal, constraint))
}

fn decode(version: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(version.len());
    let mut rest = version.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or("a percent sign lacks its digits")?;
        let mut byte = [0];
        hex::decode_to_slice(digits, &mut byte).map_err(|_| "a percent sign lacks its digits")?;
        bytes.push(byte[0]);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| "a version is not UTF-8")
}

/// The order of a type of package URLs.
pub(super) fn scheme(kind: &str) -> Option<Scheme> {
    Some(match kind {
        "deb" => Scheme::Deb,
        "rpm" => Scheme::Rpm,
        "apk" | "alpine" => Scheme::Apk,
        "pypi" => Scheme::Pep440,
        "npm" | "cargo" | "semver" | "hex" | "swift" | "github" => Scheme::Semver,
        "golang" => Scheme::Go,
        "maven" => Scheme::Maven,
        "gem" => Scheme::RubyGems,
        "nuget" => Scheme::NuGet,
        "composer" => Scheme::Packagist,
        "pub" => Scheme::SemverBuild,
        "conan" => Scheme::Conan,
        "cran" | "hackage" => Scheme::Numbers,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(range: &str, version: &str) -> bool {
        range.parse::<Vers>().unwrap().contains(version)
    }

    #[test]
    fn pairs_points_and_exclusions() {
        let range = "vers:npm/1.2.3|>=2.0.0|!=2.1.0|<5.0.0|>7";
        for (version, is) in [
            ("1.2.3", true),
            ("1.2.4", false),
            ("2.0.0", true),
            ("2.1.0", false),
            ("4.9", true),
            ("5.0.0", false),
            ("7", false),
            ("8", true),
        ] {
            assert_eq!(contains(range, version), is, "{version}");
        }
        assert!(contains("vers:pypi/<1.0", "0.1") && !contains("vers:pypi/<1.0", "1"));
        assert!(contains("vers:deb/*", "1:2-3") && contains("vers:deb/!=1", "2") && !contains("vers:deb/!=1", "1"));
        assert!(contains("vers:rpm/<=1%3A2-3", "1:2-3"));
        assert!(contains("vers:golang/>=v1.0.0|<v1.2.0", "v1.1.0"));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in
            ["", "npm/1", "vers:npm", "vers:npm/", "vers:nosuch/1", "vers:npm/>=1|<", "vers:npm/1|>1.0", "vers:npm/%4"]
        {
            assert!(text.parse::<Vers>().is_err(), "{text}");
        }
    }
}
