//! How a package is named to the world: its package URL, and its ecosystem in OSV's spelling.

use crate::purl::Purl;
use crate::{OsRelease, Package, PackageKind, SourcePackage};

/// The package URL of a package of this distribution.
pub(crate) fn purl_of(package: &Package, os: Option<&OsRelease>) -> String {
    build(package, os).map_or_else(|_| String::new(), |purl| purl.to_string())
}

fn build(package: &Package, os: Option<&OsRelease>) -> Result<Purl, &'static str> {
    let kind = package.kind.purl_type();
    let last =
        |separator| package.name.rsplit_once(separator).map_or((None, &*package.name), |(n, name)| (Some(n), name));
    let (namespace, name) = match package.kind {
        PackageKind::Deb | PackageKind::Apk | PackageKind::Rpm => (os_namespace(package.kind, os), &*package.name),
        PackageKind::Npm | PackageKind::Golang | PackageKind::Composer | PackageKind::Generic => last('/'),
        PackageKind::Maven => last(':'),
        _ => (None, &*package.name),
    };
    if !package.kind.is_os() {
        return Purl::new(kind, namespace, name, Some(&package.version));
    }
    let (epoch, version) = match package.version.split_once(':') {
        Some((epoch, version)) if package.kind == PackageKind::Rpm => (epoch, version),
        _ => ("", &*package.version),
    };
    Purl::new(kind, namespace, name, Some(version))?
        .with("arch", package.arch.as_deref().unwrap_or(""))?
        .with("distro", &os.map(distro).unwrap_or_default())?
        .with("epoch", epoch)
}

fn os_namespace(kind: PackageKind, os: Option<&OsRelease>) -> Option<&str> {
    match os.map(|os| os.id.as_str()) {
        Some("rhel") => Some("redhat"),
        Some(id) if id.starts_with("opensuse") => Some("opensuse"),
        Some(id) => Some(id),
        None => match kind {
            PackageKind::Deb => Some("debian"),
            PackageKind::Apk => Some("alpine"),
            _ => None,
        },
    }
}

/// Value of the `distro` qualifier.
fn distro(os: &OsRelease) -> String {
    if os.version.is_empty() { os.id.clone() } else { format!("{}-{}", os.id, os.version) }
}

/// The ecosystem in the spelling of the OSV schema ("Defined ecosystems"), with the release of a distribution.
/// A distribution that the schema does not define keeps the id of its os-release.
pub(crate) fn ecosystem_of(kind: PackageKind, os: Option<&OsRelease>) -> String {
    let name = match kind {
        PackageKind::Pypi => "PyPI",
        PackageKind::Npm => "npm",
        PackageKind::Golang => "Go",
        PackageKind::Cargo => "crates.io",
        PackageKind::Gem => "RubyGems",
        PackageKind::Composer => "Packagist",
        PackageKind::Maven => "Maven",
        PackageKind::Nuget => "NuGet",
        PackageKind::Conda => "conda",
        PackageKind::Generic => "generic",
        PackageKind::Deb | PackageKind::Apk | PackageKind::Rpm => return os_ecosystem(kind, os),
    };
    name.to_owned()
}

fn os_ecosystem(kind: PackageKind, os: Option<&OsRelease>) -> String {
    let Some(os) = os else {
        let name = match kind {
            PackageKind::Deb => "Debian",
            PackageKind::Apk => "Alpine",
            _ => "rpm",
        };
        return name.to_owned();
    };
    let version = os.version.as_str();
    let parts = |count: usize| version.split('.').take(count).collect::<Vec<_>>().join(".");
    let (name, release) = match os.id.as_str() {
        "debian" => ("Debian", parts(1)),
        "ubuntu" => ("Ubuntu", parts(2)),
        "alpine" if version.contains("alpha") || version == "edge" => ("Alpine", "edge".into()),
        "alpine" if version.is_empty() => ("Alpine", String::new()),
        "alpine" => ("Alpine", format!("v{}", parts(2))),
        "wolfi" => ("Wolfi", String::new()),
        "chainguard" => ("Chainguard", String::new()),
        "minimos" => ("MinimOS", String::new()),
        "almalinux" => ("AlmaLinux", parts(1)),
        "rocky" => ("Rocky Linux", parts(1)),
        "rhel" | "redhat" => ("Red Hat", parts(1)),
        "centos" => ("CentOS", parts(1)),
        "ol" | "oracle" => ("Oracle Linux", parts(1)),
        "amzn" | "amazon" => ("Amazon Linux", parts(1)),
        "fedora" => ("Fedora", parts(1)),
        "azurelinux" | "mariner" => ("Azure Linux", parts(1)),
        "photon" => ("Photon OS", parts(2)),
        "mageia" => ("Mageia", parts(1)),
        "openEuler" | "openeuler" => ("openEuler", version.to_owned()),
        "opensuse-tumbleweed" => ("openSUSE", "Tumbleweed".into()),
        "opensuse-leap" | "opensuse" => ("openSUSE", format!("Leap {}", parts(2))),
        "sles" | "sled" | "sles_sap" | "sle_hpc" | "suse" => ("SUSE", suse_release(version)),
        other => (other, version.to_owned()),
    };
    if release.is_empty() { name.to_owned() } else { format!("{name}:{release}") }
}

/// `15.5` is the fifth service pack.
fn suse_release(version: &str) -> String {
    match version.split_once('.') {
        Some((major, pack)) if pack != "0" => format!("Linux Enterprise Server {major} SP{pack}"),
        Some((major, _)) => format!("Linux Enterprise Server {major}"),
        None => format!("Linux Enterprise Server {version}"),
    }
}

/// The package that a URL names, as far as it tells; `None` for types without advisories.
pub(crate) fn package_of(purl: &Purl) -> Option<Package> {
    let kind = PackageKind::ALL.into_iter().find(|kind| kind.purl_type() == purl.kind)?;
    let namespaced = |separator: &str| match &purl.namespace {
        Some(namespace) => format!("{namespace}{separator}{}", purl.name),
        None => purl.name.clone(),
    };
    let name = match kind {
        PackageKind::Npm | PackageKind::Golang | PackageKind::Composer | PackageKind::Generic => namespaced("/"),
        PackageKind::Maven => namespaced(":"),
        PackageKind::Pypi => crate::cataloger::normalise_python_name(&purl.name),
        _ => purl.name.clone(),
    };
    let version = purl.version.clone().unwrap_or_default();
    let qualifier = |key: &str| purl.qualifiers.get(key).filter(|_| kind.is_os());
    let version = match qualifier("epoch") {
        Some(epoch) if epoch != "0" && !version.contains(':') => format!("{epoch}:{version}"),
        _ => version,
    };
    let source = qualifier("upstream").map(|upstream| source_of(upstream, &version));
    let arch = qualifier("arch").cloned();
    Some(Package { kind, name, version, arch, source, path: String::new(), licences: Vec::new(), files: Vec::new() })
}

/// The `upstream` qualifier: a name, `name@version`, or the file name of a source RPM.
fn source_of(upstream: &str, version: &str) -> SourcePackage {
    if let Some(stem) = upstream.strip_suffix(".src.rpm") {
        let mut parts = stem.rsplitn(3, '-');
        if let (Some(release), Some(version), Some(name)) = (parts.next(), parts.next(), parts.next()) {
            return SourcePackage { name: name.to_owned(), version: format!("{version}-{release}") };
        }
    }
    let (name, version) = upstream.split_once('@').unwrap_or((upstream, version));
    SourcePackage { name: name.to_owned(), version: version.to_owned() }
}

/// The distribution that the URL of an operating system's package tells of.
pub(crate) fn distribution_of(purl: &Purl) -> Option<OsRelease> {
    if !matches!(purl.kind.as_str(), "deb" | "apk" | "rpm") {
        return None;
    }
    let namespace = purl.namespace.as_deref()?;
    let id = match namespace {
        "redhat" => "rhel",
        "amazon" => "amzn",
        "oracle" | "oraclelinux" => "ol",
        "suse" => "sles",
        "opensuse" => "opensuse-leap",
        other => other,
    };
    let release = match purl.qualifiers.get("distro") {
        Some(distro) => distro.rsplit_once('-').map_or(distro.as_str(), |(_, release)| release),
        None => purl.version.as_deref().and_then(release_in_version).unwrap_or(""),
    };
    let id = match purl.qualifiers.get("distro").and_then(|distro| distro.rsplit_once('-')) {
        Some((named, _)) if named.starts_with("opensuse") || namespace == named => named,
        _ => id,
    };
    let version = if release == namespace { "" } else { codename(release).unwrap_or(release) };
    Some(OsRelease { id: id.to_owned(), version: version.to_owned(), ..OsRelease::default() })
}

/// `3.5-1.el9_2` was built for release 9, `1.0-1.fc38` for 38.
fn release_in_version(version: &str) -> Option<&str> {
    let tail = [".el", ".fc", ".amzn"].iter().find_map(|mark| version.rsplit_once(mark)).map(|(_, tail)| tail)?;
    let digits = tail.bytes().take_while(u8::is_ascii_digit).count();
    Some(&tail[..digits]).filter(|release| !release.is_empty())
}

/// Releases by the names that package URLs use for them.
fn codename(name: &str) -> Option<&'static str> {
    Some(match name {
        "jessie" => "8",
        "stretch" => "9",
        "buster" => "10",
        "bullseye" => "11",
        "bookworm" => "12",
        "trixie" => "13",
        "forky" => "14",
        "trusty" => "14.04",
        "xenial" => "16.04",
        "bionic" => "18.04",
        "focal" => "20.04",
        "jammy" => "22.04",
        "noble" => "24.04",
        _ => return None,
    })
}

/// The URL, complete with the `distro` qualifier.
pub(crate) fn with_distribution(mut purl: Purl, os: Option<&OsRelease>) -> Purl {
    if let Some(os) = os.filter(|os| !os.id.is_empty()) {
        purl.qualifiers.entry("distro".into()).or_insert_with(|| distro(os));
    }
    purl
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(id: &str, version: &str) -> OsRelease {
        OsRelease { id: id.into(), version: version.into(), ..OsRelease::default() }
    }

    fn package(kind: PackageKind, name: &str, version: &str, arch: Option<&str>) -> Package {
        Package {
            kind,
            name: name.into(),
            version: version.into(),
            arch: arch.map(Into::into),
            source: None,
            path: String::new(),
            licences: Vec::new(),
            files: Vec::new(),
        }
    }

    #[test]
    fn package_urls() {
        let debian = os("debian", "12");
        for (package, os, purl) in [
            (
                package(PackageKind::Deb, "openssl", "3.0.11-1", Some("amd64")),
                Some(&debian),
                "pkg:deb/debian/openssl@3.0.11-1?arch=amd64&distro=debian-12",
            ),
            (
                package(PackageKind::Deb, "libstdc++6", "1:12.2+b1", None),
                None,
                "pkg:deb/debian/libstdc%2B%2B6@1:12.2%2Bb1",
            ),
            (package(PackageKind::Pypi, "django", "3.2.10", None), Some(&debian), "pkg:pypi/django@3.2.10"),
            (package(PackageKind::Npm, "@babel/core", "7.0.0", None), None, "pkg:npm/%40babel/core@7.0.0"),
            (package(PackageKind::Maven, "org.x:y", "1", None), None, "pkg:maven/org.x/y@1"),
            (
                package(PackageKind::Golang, "golang.org/x/net", "v0.7.0", None),
                None,
                "pkg:golang/golang.org/x/net@v0.7.0",
            ),
            (package(PackageKind::Golang, "stdlib", "1.21.0", None), None, "pkg:golang/stdlib@1.21.0"),
            (
                package(PackageKind::Rpm, "curl", "1:7.0-1", Some("x86_64")),
                Some(&os("rhel", "9.2")),
                "pkg:rpm/redhat/curl@7.0-1?arch=x86_64&distro=rhel-9.2&epoch=1",
            ),
        ] {
            assert_eq!(purl_of(&package, os), purl);
        }
    }

    #[test]
    fn urls_name_distributions() {
        for (purl, id, version) in [
            ("pkg:deb/debian/x@1?distro=debian-12.4", "debian", "12.4"),
            ("pkg:deb/debian/x@1?distro=jessie", "debian", "8"),
            ("pkg:deb/ubuntu/x@1", "ubuntu", ""),
            ("pkg:apk/alpine/x@1?distro=3.18.4", "alpine", "3.18.4"),
            ("pkg:rpm/redhat/x@3.5-1.el9_2", "rhel", "9"),
            ("pkg:rpm/fedora/x@1-1.fc38?distro=fedora-38", "fedora", "38"),
            ("pkg:rpm/opensuse/x@1?distro=opensuse-leap-15.5", "opensuse-leap", "15.5"),
        ] {
            let found = distribution_of(&purl.parse().unwrap()).unwrap();
            assert_eq!((found.id.as_str(), found.version.as_str()), (id, version), "{purl}");
        }
        assert_eq!(distribution_of(&"pkg:npm/x@1".parse().unwrap()), None);
    }

    #[test]
    fn urls_become_packages() {
        let package = |purl: &str| package_of(&purl.parse().unwrap()).unwrap();
        assert_eq!(package("pkg:maven/org.x/y@1").name, "org.x:y");
        assert_eq!(package("pkg:npm/%40babel/core@7").name, "@babel/core");
        assert_eq!(package("pkg:rpm/redhat/x@1-2?epoch=3&arch=noarch").version, "3:1-2");
        let source = package("pkg:rpm/redhat/libx@1-2?upstream=x-1-2.src.rpm").source.unwrap();
        assert_eq!((source.name.as_str(), source.version.as_str()), ("x", "1-2"));
        assert!(package_of(&"pkg:oci/x@1".parse().unwrap()).is_none());
    }

    #[test]
    fn ecosystems() {
        for (id, version, name) in [
            ("debian", "12", "Debian:12"),
            ("debian", "12.4", "Debian:12"),
            ("debian", "", "Debian"),
            ("ubuntu", "22.04", "Ubuntu:22.04"),
            ("alpine", "3.18.4", "Alpine:v3.18"),
            ("alpine", "3.20_alpha20240329", "Alpine:edge"),
            ("almalinux", "9.3", "AlmaLinux:9"),
            ("rocky", "8.9", "Rocky Linux:8"),
            ("wolfi", "20230201", "Wolfi"),
            ("sles", "15.5", "SUSE:Linux Enterprise Server 15 SP5"),
            ("opensuse-leap", "15.5", "openSUSE:Leap 15.5"),
            ("void", "1", "void:1"),
        ] {
            assert_eq!(ecosystem_of(PackageKind::Deb, Some(&os(id, version))), name);
        }
        assert_eq!(ecosystem_of(PackageKind::Cargo, None), "crates.io");
    }
}
