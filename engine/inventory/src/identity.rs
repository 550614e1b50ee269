//! How a package is named to the world: its package URL, and its ecosystem in OSV's spelling.

use crate::purl::Purl;
use crate::{OsRelease, Package, PackageKind, SourcePackage};

/// How a SHA-1 begins in the qualifier `checksum`.
const SHA1: &str = "sha1:";

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
        PackageKind::Maven => last(':'),
        kind if has_namespace(kind) => last('/'),
        _ => (None, &*package.name),
    };
    if !package.kind.is_os() {
        let checksum = package.sha1.as_ref().map(|sha1| format!("{SHA1}{sha1}"));
        return Purl::new(kind, namespace, name, Some(&package.version))?
            .with("checksum", checksum.as_deref().unwrap_or(""));
    }
    let (epoch, version) = match package.version.split_once(':') {
        Some((epoch, version)) if package.kind == PackageKind::Rpm => (epoch, version),
        _ => ("", &*package.version),
    };
    Purl::new(kind, namespace, name, Some(version))?
        .with("arch", package.arch.as_deref().unwrap_or(""))?
        .with("distro", &os.map(distro).unwrap_or_default())?
        .with("epoch", epoch)?
        .with("rpmmod", package.source.as_ref().and_then(|source| source.module.as_deref()).unwrap_or(""))
}

fn os_namespace(kind: PackageKind, os: Option<&OsRelease>) -> Option<&str> {
    match os.map(|os| os.id.as_str()) {
        Some("rhel") => Some("redhat"),
        Some("sles" | "sled" | "sles_sap" | "sle_hpc" | "sle-micro" | "sl-micro") => Some("suse"),
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
        PackageKind::Swift => "SwiftURL",
        PackageKind::Pub => "Pub",
        PackageKind::Hex => "Hex",
        PackageKind::Conan => "ConanCenter",
        PackageKind::Cran => "CRAN",
        PackageKind::Hackage => "Hackage",
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
        "ubuntu" => ("Ubuntu", ubuntu_release(&parts(2))),
        "alpine" if version.contains("alpha") || version == "edge" => ("Alpine", "edge".into()),
        "alpine" if version.is_empty() => ("Alpine", String::new()),
        "alpine" => ("Alpine", format!("v{}", parts(2))),
        "wolfi" => ("Wolfi", String::new()),
        "chainguard" => ("Chainguard", String::new()),
        "minimos" => ("MinimOS", String::new()),
        "almalinux" => ("AlmaLinux", parts(1)),
        "rocky" => ("Rocky Linux", parts(1)),
        "rhel" | "redhat" if version.is_empty() => ("Red Hat", String::new()),
        // The name of the product in CPEs; advisories add the repository to it, such as `::baseos`.
        "rhel" | "redhat" => ("Red Hat", format!("enterprise_linux:{}", parts(1))),
        "centos" => ("CentOS", parts(1)),
        "ol" | "oracle" => ("Oracle Linux", parts(1)),
        "amzn" | "amazon" => ("Amazon Linux", amazon_release(&parts(1))),
        "fedora" => ("Fedora", parts(1)),
        "azurelinux" | "mariner" => ("Azure Linux", parts(1)),
        "photon" => ("Photon OS", parts(2)),
        "mageia" => ("Mageia", parts(1)),
        "openEuler" | "openeuler" => ("openEuler", openeuler_release(os)),
        "opensuse-tumbleweed" | "opensuse-microos" => ("openSUSE", "Tumbleweed".into()),
        "opensuse-leap-micro" => ("openSUSE", format!("Leap Micro {}", parts(2))),
        "opensuse-leap" | "opensuse" => ("openSUSE", format!("Leap {}", parts(2))),
        "sles" | "suse" => ("SUSE", suse_release("Enterprise Server", "", version)),
        "sles_sap" => ("SUSE", suse_release("Enterprise Server", " for SAP Applications", version)),
        "sled" => ("SUSE", suse_release("Enterprise Desktop", "", version)),
        "sle_hpc" => ("SUSE", suse_release("Enterprise High Performance Computing", "", version)),
        "sle-micro" => ("SUSE", format!("Linux Enterprise Micro {}", parts(2))),
        "sl-micro" => ("SUSE", format!("Linux Micro {}", parts(2))),
        other => (other, version.to_owned()),
    };
    if release.is_empty() { name.to_owned() } else { format!("{name}:{release}") }
}

/// `15.5` is the fifth service pack; from 16 on there are none.
fn suse_release(product: &str, purpose: &str, version: &str) -> String {
    let release = match version.split_once('.') {
        Some((major, minor)) if major.parse().is_ok_and(|major: u32| major >= 16) => format!("{major}.{minor}"),
        Some((major, pack)) if pack != "0" => format!("{major} SP{pack}"),
        Some((major, _)) => major.to_owned(),
        None => version.to_owned(),
    };
    format!("Linux {product}{purpose} {release}")
}

/// April's releases of even years are kept for long.
fn ubuntu_release(version: &str) -> String {
    let is_long = version
        .split_once('.')
        .is_some_and(|(year, month)| month == "04" && year.parse().is_ok_and(|year: u32| year.is_multiple_of(2)));
    if is_long { format!("{version}:LTS") } else { version.to_owned() }
}

/// The first Amazon Linux counted by date, until 2018.03.
fn amazon_release(major: &str) -> String {
    let is_first = major.parse().is_ok_and(|year: u32| (2010..=2018).contains(&year));
    if is_first { "1".to_owned() } else { major.to_owned() }
}

/// `openEuler 22.03 (LTS-SP3)` says more than its `VERSION_ID`.
fn openeuler_release(os: &OsRelease) -> String {
    let channel = os.name.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(channel, _)| channel);
    match channel {
        Some(channel) => format!("{}-{channel}", os.version),
        None => os.version.clone(),
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
        PackageKind::Maven => namespaced(":"),
        kind if has_namespace(kind) => namespaced("/"),
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
    let sha1 = purl.qualifiers.get("checksum").filter(|_| kind == PackageKind::Generic).and_then(|sums| sha1_of(sums));
    Some(Package { arch, source, sha1, ..Package::new(kind, name, version, "") })
}

/// The SHA-1 among the sums of a `checksum` qualifier.
fn sha1_of(sums: &str) -> Option<String> {
    let sha1 = sums.split(',').find_map(|sum| sum.strip_prefix(SHA1))?.to_ascii_lowercase();
    (sha1.len() == 40 && sha1.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(sha1)
}

/// Whether the namespace is a part of the name, with a slash between. A package of an organisation of Hex and one that a
/// user of Conan made are others than the public ones of that name.
const fn has_namespace(kind: PackageKind) -> bool {
    use PackageKind::{Composer, Conan, Generic, Golang, Hex, Npm, Swift};
    matches!(kind, Npm | Golang | Composer | Generic | Swift | Hex | Conan)
}

/// The `upstream` qualifier: a name, `name@version`, or the file name of a source RPM.
fn source_of(upstream: &str, version: &str) -> SourcePackage {
    source_rpm(upstream).unwrap_or_else(|| {
        let (name, version) = upstream.split_once('@').unwrap_or((upstream, version));
        SourcePackage::new(name, version)
    })
}

/// The source package by the file name of its RPM, `name-version-release.src.rpm`.
pub(crate) fn source_rpm(file: &str) -> Option<SourcePackage> {
    let stem = [".src.rpm", ".nosrc.rpm"].iter().find_map(|end| file.strip_suffix(end))?;
    let mut parts = stem.rsplitn(3, '-');
    let (release, version, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some(SourcePackage::new(name, format!("{version}-{release}")))
}

/// The module that the URL of an RPM package tells of.
pub(crate) fn module_of(purl: &Purl) -> Option<String> {
    purl.qualifiers.get("rpmmod").filter(|_| purl.kind == "rpm").cloned()
}

/// The distribution that the URL of an operating system's package tells of.
pub(crate) fn distribution_of(purl: &Purl) -> Option<OsRelease> {
    if !matches!(purl.kind.as_str(), "deb" | "apk" | "rpm") {
        return None;
    }
    let namespace = purl.namespace.as_deref()?;
    let distro = purl.qualifiers.get("distro").map(String::as_str);
    let (named, release) = match distro.and_then(|distro| distro.rsplit_once('-')) {
        Some((named, release)) => (Some(named), release),
        None => (None, distro.or_else(|| purl.version.as_deref().and_then(release_in_version)).unwrap_or("")),
    };
    let is_family = |named: &&str| named.starts_with("opensuse") || namespace == *named || namespace == "suse";
    let id = canonical_id(named.filter(is_family).unwrap_or(namespace));
    let version = if release == namespace { "" } else { release_of_codename(release).unwrap_or(release) };
    Some(OsRelease { id: id.to_owned(), version: version.to_owned(), ..OsRelease::default() })
}

/// The `ID` that os-release has for a distribution which package URLs name otherwise.
fn canonical_id(name: &str) -> &str {
    match name {
        "redhat" => "rhel",
        "amazon" => "amzn",
        "oracle" | "oraclelinux" => "ol",
        "suse" => "sles",
        "opensuse" => "opensuse-leap",
        "rocky-linux" | "rockylinux" => "rocky",
        "alma" => "almalinux",
        "cbl-mariner" => "mariner",
        "azure-linux" => "azurelinux",
        other => other,
    }
}

/// `3.5-1.el9_2` was built for release 9, `1.0-1.fc38` for 38.
fn release_in_version(version: &str) -> Option<&str> {
    let tail = [".el", ".fc", ".amzn"].iter().find_map(|mark| version.rsplit_once(mark)).map(|(_, tail)| tail)?;
    let digits = tail.bytes().take_while(u8::is_ascii_digit).count();
    Some(&tail[..digits]).filter(|release| !release.is_empty())
}

/// Releases of Debian and Ubuntu by their names.
pub(crate) fn release_of_codename(name: &str) -> Option<&'static str> {
    Some(match name {
        "wheezy" => "7",
        "jessie" => "8",
        "stretch" => "9",
        "buster" => "10",
        "bullseye" => "11",
        "bookworm" => "12",
        "trixie" => "13",
        "forky" => "14",
        "duke" => "15",
        "precise" => "12.04",
        "trusty" => "14.04",
        "xenial" => "16.04",
        "bionic" => "18.04",
        "focal" => "20.04",
        "jammy" => "22.04",
        "lunar" => "23.04",
        "mantic" => "23.10",
        "noble" => "24.04",
        "oracular" => "24.10",
        "plucky" => "25.04",
        "questing" => "25.10",
        "resolute" => "26.04",
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
        Package { arch: arch.map(Into::into), ..Package::new(kind, name, version, "") }
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
                package(PackageKind::Swift, "github.com/Alamofire/Alamofire", "5.4.3", None),
                None,
                "pkg:swift/github.com/Alamofire/Alamofire@5.4.3",
            ),
            (package(PackageKind::Hex, "acme/foo", "2.3.0", None), None, "pkg:hex/acme/foo@2.3.0"),
            (package(PackageKind::Cran, "rJava", "1.0-4", None), None, "pkg:cran/rJava@1.0-4"),
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
            ("pkg:rpm/suse/x@1?distro=sles-15.5", "sles", "15.5"),
            ("pkg:rpm/cbl-mariner/x@1?distro=cbl-mariner-2.0", "mariner", "2.0"),
            ("pkg:rpm/rocky-linux/x@1-1.el9", "rocky", "9"),
            ("pkg:rpm/suse/x@1?distro=sl-micro-6.0", "sl-micro", "6.0"),
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
        assert_eq!(package("pkg:swift/github.com/apple/swift-nio@2.41.0").name, "github.com/apple/swift-nio");
        assert_eq!(package("pkg:conan/bincrafters/cctz@2.3?channel=stable").name, "bincrafters/cctz");
        assert_eq!(package("pkg:conan/cctz@2.3?arch=x86_64").arch, None, "a setting of its build");
        assert_eq!(package("pkg:rpm/redhat/x@1-2?epoch=3&arch=noarch").version, "3:1-2");
        let source = package("pkg:rpm/redhat/libx@1-2?upstream=x-1-2.src.rpm").source.unwrap();
        assert_eq!((source.name.as_str(), source.version.as_str()), ("x", "1-2"));
        assert_eq!(source_rpm("java-1.8.0-openjdk-1.8.0.372.b07-1.el7_9.src.rpm").unwrap().name, "java-1.8.0-openjdk");
        assert_eq!(source_rpm("a-1-2.nosrc.rpm").unwrap().version, "1-2");
        assert!(["", "(none)", "a-1.src.rpm", "a-1-2.rpm"].into_iter().all(|file| source_rpm(file).is_none()));
        assert!(package_of(&"pkg:oci/x@1".parse().unwrap()).is_none());
        let mut modular = package("pkg:rpm/redhat/x@1-2?upstream=x-1-2.src.rpm");
        modular.source.as_mut().unwrap().module = Some("x:1:2:3".into());
        let purl = purl_of(&modular, Some(&os("rhel", "8.9")));
        assert_eq!(purl, "pkg:rpm/redhat/x@1-2?distro=rhel-8.9&rpmmod=x:1:2:3");
        assert_eq!(module_of(&purl.parse().unwrap()).as_deref(), Some("x:1:2:3"));
    }

    #[test]
    fn ecosystems() {
        for (id, version, name) in [
            ("debian", "12", "Debian:12"),
            ("debian", "12.4", "Debian:12"),
            ("debian", "", "Debian"),
            ("ubuntu", "22.04", "Ubuntu:22.04:LTS"),
            ("ubuntu", "23.10", "Ubuntu:23.10"),
            ("ubuntu", "25.04", "Ubuntu:25.04"),
            ("alpine", "3.18.4", "Alpine:v3.18"),
            ("alpine", "3.20_alpha20240329", "Alpine:edge"),
            ("almalinux", "9.3", "AlmaLinux:9"),
            ("rocky", "8.9", "Rocky Linux:8"),
            ("wolfi", "20230201", "Wolfi"),
            ("sles", "15.5", "SUSE:Linux Enterprise Server 15 SP5"),
            ("sles", "15", "SUSE:Linux Enterprise Server 15"),
            ("sles", "16.0", "SUSE:Linux Enterprise Server 16.0"),
            ("sles_sap", "12.5", "SUSE:Linux Enterprise Server for SAP Applications 12 SP5"),
            ("sl-micro", "6.0", "SUSE:Linux Micro 6.0"),
            ("opensuse-leap", "15.5", "openSUSE:Leap 15.5"),
            ("opensuse-tumbleweed", "20240101", "openSUSE:Tumbleweed"),
            ("rhel", "9.3", "Red Hat:enterprise_linux:9"),
            ("rhel", "", "Red Hat"),
            ("centos", "9", "CentOS:9"),
            ("ol", "8.9", "Oracle Linux:8"),
            ("amzn", "2018.03", "Amazon Linux:1"),
            ("amzn", "2", "Amazon Linux:2"),
            ("amzn", "2023", "Amazon Linux:2023"),
            ("fedora", "40", "Fedora:40"),
            ("photon", "4.0", "Photon OS:4.0"),
            ("mariner", "2.0", "Azure Linux:2"),
            ("azurelinux", "3.0", "Azure Linux:3"),
            ("mageia", "9", "Mageia:9"),
            ("void", "1", "void:1"),
        ] {
            assert_eq!(ecosystem_of(PackageKind::Deb, Some(&os(id, version))), name);
        }
        let euler = OsRelease { name: "openEuler 22.03 (LTS-SP3)".into(), ..os("openEuler", "22.03") };
        assert_eq!(ecosystem_of(PackageKind::Rpm, Some(&euler)), "openEuler:22.03-LTS-SP3");
        for (kind, name) in [
            (PackageKind::Cargo, "crates.io"),
            (PackageKind::Swift, "SwiftURL"),
            (PackageKind::Pub, "Pub"),
            (PackageKind::Hex, "Hex"),
            (PackageKind::Conan, "ConanCenter"),
            (PackageKind::Cran, "CRAN"),
            (PackageKind::Hackage, "Hackage"),
        ] {
            assert_eq!(ecosystem_of(kind, None), name);
        }
    }
}
