//! Under which ecosystem and name a package is looked up, so that a record finds the packages it speaks of and no other.

use std::borrow::Cow;

use stella_domain::Digest;
use stella_inventory::{Component, Inventory};

/// The key of a package: its ecosystem, and its name as the ecosystem compares names, with a zero byte between.
#[must_use]
pub fn package_key(ecosystem: &str, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(ecosystem.len() + name.len() + 1);
    write_package_key(ecosystem, name, &mut key);
    key
}

/// Writes the key to the end of `key`.
pub(crate) fn write_package_key(ecosystem: &str, name: &str, key: &mut Vec<u8>) {
    key.extend_from_slice(plain_ecosystem(ecosystem).as_bytes());
    key.push(0);
    write_name(ecosystem, name, key);
}

/// Ecosystems that distributions write in more detail than a system tells about itself. What is a channel of its own, such
/// as Ubuntu's `Pro` or Red Hat's `rhel_eus`, stays apart.
fn plain_ecosystem(ecosystem: &str) -> Cow<'_, str> {
    let (name, suffix) = ecosystem.split_once(':').unwrap_or((ecosystem, ""));
    match name {
        "Ubuntu" => Cow::Borrowed(ecosystem.strip_suffix(":LTS").unwrap_or(ecosystem)),
        "Red Hat" => match suffix.strip_prefix("enterprise_linux:") {
            Some(product) => {
                let release = product.split(':').next().unwrap_or_default();
                Cow::Owned(format!("Red Hat:{}", release.split('.').next().unwrap_or_default()))
            }
            None => Cow::Borrowed(ecosystem),
        },
        // The packages of an enterprise server come from its modules.
        "SUSE" => match suffix.strip_prefix("Linux Enterprise Module for ").and_then(service_pack) {
            Some(release) => Cow::Owned(format!("SUSE:Linux Enterprise Server {release}")),
            None => Cow::Borrowed(ecosystem),
        },
        // The suffix is a repository; groups are unique among them.
        "Maven" => Cow::Borrowed(name),
        _ => Cow::Borrowed(ecosystem),
    }
}

/// `Basesystem 15 SP5` → `15 SP5`.
fn service_pack(module: &str) -> Option<&str> {
    let at = module.match_indices(' ').find(|(at, _)| module[at + 1..].starts_with(|c: char| c.is_ascii_digit()))?.0;
    Some(&module[at + 1..])
}

/// PyPI compares by PEP 503, some ecosystems without case, others to the letter.
fn write_name(ecosystem: &str, name: &str, key: &mut Vec<u8>) {
    let lower = |name: &str, key: &mut Vec<u8>| key.extend(name.bytes().map(|c| c.to_ascii_lowercase()));
    match ecosystem {
        "PyPI" => {
            let begin = key.len();
            for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
                if key.len() > begin {
                    key.push(b'-');
                }
                lower(part, key);
            }
        }
        "NuGet" | "Packagist" | "Hex" | "GitHub Actions" | "ConanCenter" => lower(name, key),
        "SwiftURL" => {
            let name = name.split_once("://").map_or(name, |(_, name)| name).trim_end_matches('/');
            lower(name.strip_suffix(".git").unwrap_or(name), key);
        }
        _ => key.extend_from_slice(name.as_bytes()),
    }
}

/// A key as a number, the same on every machine and in every version: the first eight bytes of its SHA-256.
#[must_use]
pub fn key_hash(key: &[u8]) -> u64 {
    let digest = Digest::of(key);
    let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Stands in [`package_hashes`] for archives that a newer table of artifacts may have names for. No ecosystem is called so.
pub const UNNAMED_ARCHIVES: &[u8] = b"\0archives";

/// The [`key_hash`] of everything that is looked up for an inventory, sorted: an index that says the same about all of these
/// gives the same findings.
#[must_use]
pub fn package_hashes(inventory: &Inventory) -> Vec<u64> {
    let mut hashes = Vec::with_capacity(inventory.components.len());
    let mut key = Vec::new();
    for component in &inventory.components {
        let (ecosystem, first, second) = lookups(component);
        for subject in std::iter::once(first).chain(second) {
            key.clear();
            write_package_key(&ecosystem, subject.name, &mut key);
            hashes.push(key_hash(&key));
        }
    }
    if inventory.unnamed_archives() > 0 {
        hashes.push(key_hash(UNNAMED_ARCHIVES));
    }
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// A name and version under which records may speak of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
}

/// Which names a distribution's records use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Source,
    Binary,
    /// Both occur.
    Either,
}

fn names(ecosystem: &str) -> Names {
    match ecosystem.split(':').next().unwrap_or_default() {
        "AlmaLinux" | "Red Hat" | "Oracle Linux" | "CentOS" | "Amazon Linux" => Names::Binary,
        "Rocky Linux" | "Azure Linux" | "Photon OS" | "Fedora" | "openEuler" | "SUSE" | "openSUSE" => Names::Either,
        _ => Names::Source,
    }
}

/// What to look up for a component: its ecosystem, and one or two subjects.
pub(crate) fn lookups(component: &Component) -> (Cow<'_, str>, Subject<'_>, Option<Subject<'_>>) {
    let package = &component.package;
    let ecosystem = component.ecosystem.as_str();
    let binary = Subject { name: &package.name, version: source_version(ecosystem, &package.version) };
    let source = package
        .source
        .as_ref()
        .map(|source| Subject { name: &source.name, version: source_version(ecosystem, &source.version) });
    let (first, second) = match (names(ecosystem), source) {
        (Names::Source, Some(source)) => (source, None),
        (Names::Either, Some(source)) if source.name != binary.name => (binary, Some(source)),
        _ => (binary, None),
    };
    (channel(ecosystem, first.version), first, second)
}

/// A version that Ubuntu built for Pro is compared with what the records of that channel say.
fn channel<'a>(ecosystem: &'a str, version: &str) -> Cow<'a, str> {
    let release = ecosystem.strip_prefix("Ubuntu:").filter(|release| !release.starts_with("Pro"));
    match release.zip(pro_channel(version)) {
        Some((release, channel)) => Cow::Owned(format!("Ubuntu:{channel}:{release}")),
        None => Cow::Borrowed(ecosystem),
    }
}

/// The channel of Ubuntu Pro that a version was built for: `1.1.1-1ubuntu2.1+esm3`, `1.1.1f-1ubuntu2.fips.13`,
/// `3.0.2-0ubuntu1.10+Fips1`. A validated package and its update for FIPS are built alike; compared with the updates, the
/// first is affected by what they mend, and so it is.
fn pro_channel(version: &str) -> Option<&'static str> {
    let marked = |marks: &[u8], word: &str| {
        version
            .as_bytes()
            .windows(1 + word.len())
            .any(|part| marks.contains(&part[0]) && part[1..].eq_ignore_ascii_case(word.as_bytes()))
    };
    if marked(b"+~.", "fips") {
        Some("Pro:FIPS-updates")
    } else if marked(b"+~", "esm") {
        Some("Pro")
    } else {
        None
    }
}

/// Debian rebuilds a package without a new source version by `+b` and a number.
fn source_version<'a>(ecosystem: &str, version: &'a str) -> &'a str {
    let is_debian = ecosystem == "Debian" || ecosystem.starts_with("Debian:");
    let rebuilt = version
        .rsplit_once("+b")
        .filter(|(_, number)| is_debian && !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()));
    rebuilt.map_or(version, |(source, _)| source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_and_a_system_name_one_release_alike() {
        for (record, system) in [
            ("Ubuntu:22.04:LTS", "Ubuntu:22.04"),
            ("Red Hat:enterprise_linux:9::baseos", "Red Hat:9"),
            ("Red Hat:enterprise_linux:8.4::appstream", "Red Hat:8"),
            ("SUSE:Linux Enterprise Module for Basesystem 15 SP5", "SUSE:Linux Enterprise Server 15 SP5"),
            ("Maven:https://maven.example/", "Maven"),
        ] {
            assert_eq!(package_key(record, "x"), package_key(system, "x"), "{record}");
        }
    }

    #[test]
    fn channels_and_releases_stay_apart() {
        for (record, system) in [
            ("Ubuntu:Pro:22.04:LTS", "Ubuntu:22.04"),
            ("Ubuntu:Pro:FIPS:22.04:LTS", "Ubuntu:Pro:22.04"),
            ("Red Hat:rhel_eus:9.2::baseos", "Red Hat:9"),
            ("Red Hat:openshift:4.12::el9", "Red Hat:9"),
            ("Debian:11", "Debian:12"),
            ("Alpine:v3.18", "Alpine:v3.19"),
            ("SUSE:Linux Enterprise Server 15 SP4", "SUSE:Linux Enterprise Server 15 SP5"),
        ] {
            assert_ne!(package_key(record, "x"), package_key(system, "x"), "{record}");
        }
    }

    #[test]
    fn names_compare_as_the_ecosystem_does() {
        assert_eq!(package_key("PyPI", "Zope.Interface__x"), b"PyPI\0zope-interface-x");
        assert_eq!(package_key("NuGet", "Newtonsoft.Json"), b"NuGet\0newtonsoft.json");
        assert_eq!(package_key("SwiftURL", "https://example.org/A/b.git"), b"SwiftURL\0example.org/a/b");
        assert_ne!(package_key("Go", "example.org/a/v2"), package_key("Go", "example.org/a"));
        assert_ne!(package_key("npm", "A"), package_key("npm", "a"));
    }

    #[test]
    fn versions_of_ubuntu_tell_their_channel() {
        for (version, ecosystem) in [
            ("1.1.1-1ubuntu2.1~18.04.23+esm3", "Ubuntu:Pro:18.04:LTS"),
            ("2.27.1-1ubuntu0~esm1", "Ubuntu:Pro:18.04:LTS"),
            ("1.1.1-1ubuntu2.fips.2.1~18.04.9.1", "Ubuntu:Pro:FIPS-updates:18.04:LTS"),
            ("3.0.2-0ubuntu1.10+Fips1", "Ubuntu:Pro:FIPS-updates:18.04:LTS"),
            ("5.15.0-73.80+fips1", "Ubuntu:Pro:FIPS-updates:18.04:LTS"),
            ("1.1.1-1ubuntu2.1~18.04.23", "Ubuntu:18.04:LTS"),
            ("2.0~besm1-1", "Ubuntu:18.04:LTS"),
            ("1.0+wesm-2", "Ubuntu:18.04:LTS"),
            ("0.3.esm20-1", "Ubuntu:18.04:LTS"),
            ("1.0fips-1", "Ubuntu:18.04:LTS"),
            ("esm", "Ubuntu:18.04:LTS"),
            ("é+", "Ubuntu:18.04:LTS"),
            ("", "Ubuntu:18.04:LTS"),
        ] {
            assert_eq!(channel("Ubuntu:18.04:LTS", version), ecosystem, "{version}");
        }
        assert_eq!(channel("Debian:12", "1.0+esm1"), "Debian:12");
        assert_eq!(channel("Ubuntu:Pro:18.04:LTS", "1.0+esm1"), "Ubuntu:Pro:18.04:LTS");
    }

    #[test]
    fn rebuilds_of_debian_have_the_version_of_their_source() {
        assert_eq!(source_version("Debian:12", "1.2-3+b11"), "1.2-3");
        assert_eq!(source_version("Debian:12", "1.2-3+deb12u1"), "1.2-3+deb12u1");
        assert_eq!(source_version("Ubuntu:22.04", "1.2-3+b1"), "1.2-3+b1");
    }
}
