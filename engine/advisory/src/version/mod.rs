//! The order of versions, one scheme a file.
//!
//! Each scheme turns a version into a key: a byte string, so that versions stand to each other as their keys do. So every
//! order is total by its making, whatever text it is given, and an index can keep the keys.

mod apk;
mod deb;
mod ecosystem;
mod go;
mod key;
mod maven;
mod numbers;
mod packagist;
mod pep440;
mod rpm;
mod rubygems;
mod semver;

use std::cmp::Ordering;

use semver::Dialect;
use serde::{Deserialize, Serialize};

/// How an ecosystem orders its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scheme {
    /// Debian policy manual, section 5.6.12.
    Deb,
    /// apk-tools, `src/version.c`.
    Apk,
    /// RPM's `rpmvercmp` with epoch, tilde and caret.
    Rpm,
    /// PEP 440.
    Pep440,
    /// Semantic Versioning 2.0.0, read leniently: a leading `v`, missing and additional numbers are taken.
    Semver,
    /// Go modules and toolchains.
    Go,
    /// Maven's version order specification.
    Maven,
    /// `Gem::Version`.
    RubyGems,
    /// NuGet: four numbers, pre-releases without case.
    NuGet,
    /// PHP's `version_compare`, as Composer uses it.
    Packagist,
    /// Semantic Versioning, where build metadata orders, too (Pub).
    SemverBuild,
    /// Lists of numbers (CRAN, Bioconductor, Hackage).
    Numbers,
    /// Debian's order of one part, without epoch and revision (opam).
    Opam,
    /// Semantic Versioning, where build metadata orders, and letters may follow a number, as in OpenSSL's `1.1.1w` (Conan).
    Conan,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Self; 14] = [
        Self::Deb,
        Self::Apk,
        Self::Rpm,
        Self::Pep440,
        Self::Semver,
        Self::Go,
        Self::Maven,
        Self::RubyGems,
        Self::NuGet,
        Self::Packagist,
        Self::SemverBuild,
        Self::Numbers,
        Self::Opam,
        Self::Conan,
    ];

    /// Writes the key of `version` to the end of `key`.
    pub fn write_key(self, version: &str, key: &mut Vec<u8>) {
        match self {
            Self::Deb => deb::write_key(version, key),
            Self::Apk => apk::write_key(version, key),
            Self::Rpm => rpm::write_key(version, key),
            Self::Pep440 => pep440::write_key(version, key),
            Self::Semver => semver::write_key(version, Dialect::default(), key),
            Self::Go => go::write_key(version, key),
            Self::Maven => maven::write_key(version, key),
            Self::RubyGems => rubygems::write_key(version, key),
            Self::NuGet => semver::write_key(version, Dialect { ignore_case: true, ..Dialect::default() }, key),
            Self::Packagist => packagist::write_key(version, key),
            Self::SemverBuild => semver::write_key(version, Dialect { ordered_build: true, ..Dialect::default() }, key),
            Self::Conan => {
                let dialect = Dialect { ordered_build: true, lettered: true, ..Dialect::default() };
                semver::write_key(version, dialect, key);
            }
            Self::Numbers => numbers::write_key(version, key),
            Self::Opam => deb::write_part(version.trim().as_bytes(), key),
        }
    }

    /// The key of `version`: versions stand to each other as their keys do.
    #[must_use]
    pub fn key(self, version: &str) -> Vec<u8> {
        let mut key = Vec::with_capacity(version.len() * 2 + 8);
        self.write_key(version, &mut key);
        key
    }

    /// Compares two versions; total for any text, so that a hostile version can at worst match wrongly.
    #[must_use]
    pub fn compare(self, a: &str, b: &str) -> Ordering {
        self.key(a).cmp(&self.key(b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Versions in ascending order.
    fn ascends(scheme: Scheme, versions: &[&str]) {
        for pair in versions.windows(2) {
            assert_eq!(scheme.compare(pair[0], pair[1]), Ordering::Less, "{scheme:?}: {} < {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn go_modules_and_toolchains() {
        ascends(
            Scheme::Go,
            &[
                "v0.0.0-20190101000000-abcdefabcdef",
                "v0.0.0-20200101000000-0123456789ab",
                "v0.0.1",
                "v1.2.3",
                "v1.2.4-0.20210101000000-aaaaaaaaaaaa",
                "v1.2.4",
                "v2.0.0+incompatible",
                "v2.0.1",
            ],
        );
        ascends(Scheme::Go, &["go1.20.14", "1.21.0-0", "go1.21rc2", "go1.21rc3", "go1.21", "go1.21.1"]);
        assert_eq!(Scheme::Go.compare("v2.0.0+incompatible", "2.0.0"), Ordering::Equal);
    }

    #[test]
    fn build_metadata_orders_where_it_does() {
        for scheme in [Scheme::SemverBuild, Scheme::Conan] {
            ascends(scheme, &["1.0.0-dev", "1.0.0", "1.0.0+1", "1.0.0+2", "1.0.1"]);
        }
        assert_eq!(Scheme::Semver.compare("1.0.0+1", "1.0.0+2"), Ordering::Equal);
    }

    #[test]
    fn lists_of_numbers_are_longer_after_shorter() {
        ascends(Scheme::Numbers, &["0.9-12", "1.0", "1.0.0", "1.0-1", "1.2", "1.10"]);
    }

    #[test]
    fn letters_after_a_number_lie_between_it_and_the_next() {
        ascends(Scheme::Conan, &["1.1", "1.1.1", "1.1.1a", "1.1.1w", "1.1.2", "1.1.10"]);
    }

    #[test]
    fn opam_orders_as_debian_does_within_one_part() {
        ascends(Scheme::Opam, &["1.0~beta1", "1.0", "1.0-1", "1.0.1", "v0.9"]);
    }
}
