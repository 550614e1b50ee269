//! The order of versions, one scheme a file.

mod apk;
mod deb;
mod pep440;
mod rpm;
mod semver;

use std::cmp::Ordering;

/// How an ecosystem orders its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
}

impl Scheme {
    /// The scheme of an OSV ecosystem, with or without release suffix; `None` where the order is not known here.
    #[must_use]
    pub fn of_ecosystem(ecosystem: &str) -> Option<Self> {
        match ecosystem.split(':').next().unwrap_or_default() {
            "Debian" | "Ubuntu" => Some(Self::Deb),
            "Alpine" | "Wolfi" | "Chainguard" => Some(Self::Apk),
            "AlmaLinux" | "Rocky Linux" | "Red Hat" | "SUSE" | "openSUSE" | "Azure Linux" | "Photon OS" => {
                Some(Self::Rpm)
            }
            "PyPI" => Some(Self::Pep440),
            "npm" | "Go" | "crates.io" => Some(Self::Semver),
            _ => None,
        }
    }

    /// Compares two versions; total for any text, so that a hostile version can at worst match wrongly.
    #[must_use]
    pub fn compare(self, a: &str, b: &str) -> Ordering {
        match self {
            Self::Deb => deb::compare(a, b),
            Self::Apk => apk::compare(a, b),
            Self::Rpm => rpm::compare(a, b),
            Self::Pep440 => pep440::compare(a, b),
            Self::Semver => semver::compare(a, b),
        }
    }
}

/// Compares two runs of ASCII digits by value, whatever their length.
fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| digits.iter().position(|d| *d != b'0').unwrap_or(digits.len());
    let (a, b) = (&a[significant(a)..], &b[significant(b)..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Splits `bytes` after its leading run of bytes for which `inside` holds.
fn split_run(bytes: &[u8], inside: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|b| !inside(*b)).unwrap_or(bytes.len()))
}
