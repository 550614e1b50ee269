//! What a statement is about, and whether something is that.

use stella_domain::Digest;
use stella_inventory::purl::Purl;

use super::vers::{Vers, scheme};

/// What a statement is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Product {
    /// All of this.
    Whole(Selector),
    /// A part, only within this product.
    Part {
        /// The product.
        of: Selector,
        /// The part of it.
        part: Selector,
    },
}

/// Tells packages or images from others.
#[derive(Debug, Clone, PartialEq)]
pub enum Selector {
    /// Packages with this URL.
    Package {
        /// Its version counts only as [`versions`](Self::Package::versions) say.
        purl: Purl,
        /// In these versions.
        versions: Versions,
    },
    /// The image with this digest, or of an index with it.
    Image(Digest),
    /// The image with this digest of its own: one platform is named beside it, and an index has several.
    OnePlatform(Digest),
    /// Every image of this repository.
    Repository(String),
}

/// Which versions of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versions {
    /// Every one.
    All,
    /// This one.
    One(String),
    /// Those of a range.
    Range(Vers),
}

impl Selector {
    /// What a package URL with these hashes tells; `None` when nothing here can be compared with it.
    pub(super) fn of(purl: Option<&str>, sha256: Option<&str>) -> Option<Self> {
        let digest = |hex: &str| format!("sha256:{}", hex.to_ascii_lowercase()).parse::<Digest>().ok();
        let Some(purl) = purl else {
            return sha256.and_then(digest).map(Self::Image);
        };
        let purl: Purl = purl.parse().ok()?;
        if !matches!(purl.kind.as_str(), "oci" | "docker") {
            // A package's hash cannot be told from an inventory.
            let version = purl.version.clone();
            let versions = version.map_or(Versions::All, Versions::One);
            return sha256.is_none().then_some(Self::Package { purl, versions });
        }
        let is_plain = purl.qualifiers.keys().all(|key| matches!(key.as_str(), "repository_url" | "tag"));
        if purl.subpath.is_some() {
            return None;
        }
        let by_version = match &purl.version {
            Some(version) => Some(version.parse::<Digest>().ok()?),
            None => None,
        };
        let by_hash = match sha256 {
            Some(hex) => Some(digest(hex)?),
            None => None,
        };
        match (by_version, by_hash) {
            (Some(a), Some(b)) if a != b => None,
            (Some(digest), _) | (_, Some(digest)) if is_plain => Some(Self::Image(digest)),
            (Some(digest), _) | (_, Some(digest)) => Some(Self::OnePlatform(digest)),
            (None, None) if is_plain && purl.kind == "oci" && !purl.qualifiers.contains_key("tag") => {
                purl.qualifiers.get("repository_url").cloned().map(Self::Repository)
            }
            (None, None) => None,
        }
    }

    /// The same with a range of versions; `None` for what is no package.
    pub(super) fn in_range(self, range: Vers) -> Option<Self> {
        match self {
            Self::Package { purl, .. } => Some(Self::Package { purl, versions: Versions::Range(range) }),
            Self::Image(_) | Self::OnePlatform(_) | Self::Repository(_) => None,
        }
    }

    /// The same in one version; `None` for what is no package.
    pub(super) fn in_version(self, version: &str) -> Option<Self> {
        match self {
            Self::Package { purl, .. } => Some(Self::Package { purl, versions: Versions::One(version.to_owned()) }),
            Self::Image(_) | Self::OnePlatform(_) | Self::Repository(_) => None,
        }
    }

    /// Whether `package` is what this tells: the same package, in a version that is meant, with every qualifier that is
    /// named.
    #[must_use]
    pub fn selects(&self, package: &Purl) -> bool {
        let Self::Package { purl, versions } = self else { return false };
        let same = purl.kind == package.kind
            && purl.namespace == package.namespace
            && purl.name == package.name
            && purl.subpath.as_ref().is_none_or(|subpath| package.subpath.as_ref() == Some(subpath));
        let told = |(key, value): (&String, &String)| {
            // Where a package is had from makes it no other.
            matches!(key.as_str(), "repository_url" | "download_url" | "vcs_url")
                || package.qualifiers.get(key) == Some(value)
        };
        same && purl.qualifiers.iter().all(told) && in_versions(versions, package, purl)
    }
}

fn in_versions(versions: &Versions, package: &Purl, named: &Purl) -> bool {
    let Some(version) = &package.version else { return *versions == Versions::All };
    // The epoch of an RPM is a qualifier of its URL.
    let full = |purl: &Purl, version: &str| match purl.qualifiers.get("epoch").filter(|_| purl.kind == "rpm") {
        Some(epoch) if !version.contains(':') => format!("{epoch}:{version}"),
        _ => version.to_owned(),
    };
    let version = full(package, version);
    match versions {
        Versions::All => true,
        Versions::Range(range) => range.contains(&version),
        Versions::One(one) => {
            let one = full(named, one);
            one == version || scheme(&package.kind).is_some_and(|scheme| scheme.compare(&one, &version).is_eq())
        }
    }
}
