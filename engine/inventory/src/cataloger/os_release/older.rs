//! What distributions of before `os-release` (2012) tell of themselves, each in a file of its own.

use super::super::{Cataloger, Findings, ParseError, SourceFile};
use crate::OsRelease;

/// `etc/alpine-release`, `etc/redhat-release` and those like it, `etc/SuSE-release`.
pub(crate) const OLDER: Cataloger =
    Cataloger { name: "release-file", wants: is_release_file, parse: parse_release_file, is_database: true };

/// Those that tell more exactly first: what is made from Red Hat's sources often keeps its file.
const FILES: [&str; 7] = [
    "etc/alpine-release",
    "etc/oracle-release",
    "etc/centos-release",
    "etc/fedora-release",
    "etc/system-release",
    "etc/redhat-release",
    "etc/SuSE-release",
];

/// What the first line begins with, and the `ID` that os-release has for it.
const NAMES: [(&str, &str); 13] = [
    ("Red Hat Enterprise Linux", "rhel"),
    ("CentOS", "centos"),
    ("Fedora", "fedora"),
    ("Oracle Linux", "ol"),
    ("Enterprise Linux Enterprise Linux", "ol"),
    ("Rocky Linux", "rocky"),
    ("AlmaLinux", "almalinux"),
    ("Amazon Linux", "amzn"),
    ("Mageia", "mageia"),
    ("SUSE Linux Enterprise Server", "sles"),
    ("SUSE Linux Enterprise Desktop", "sled"),
    ("openSUSE", "opensuse"),
    ("VMware Photon", "photon"),
];

/// The lesser, the more it is to be believed.
pub(super) fn rank(path: &str) -> usize {
    FILES.iter().position(|file| *file == path).unwrap_or(FILES.len())
}

fn is_release_file(path: &str) -> bool {
    FILES.contains(&path)
}

fn parse_release_file(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let text = file.text();
    let first = text.lines().next().unwrap_or_default().trim();
    let (id, version) = match file.path {
        "etc/alpine-release" => (Some("alpine"), first.to_owned()),
        _ => (id_of(first), suse_version(&text).or_else(|| first_number(first)).unwrap_or_default()),
    };
    // A distribution that is not known here has an os-release, or nothing could be said of it anyway.
    if let Some(id) = id.filter(|_| !version.is_empty()) {
        let name = if id == "alpine" { format!("Alpine Linux {first}") } else { first.to_owned() };
        findings.os = Some(OsRelease { id: id.to_owned(), version, name, ..OsRelease::default() });
    }
    Ok(())
}

fn id_of(line: &str) -> Option<&'static str> {
    NAMES.iter().find(|(name, _)| line.starts_with(name)).map(|(_, id)| *id)
}

/// `CentOS release 6.10 (Final)`.
fn first_number(line: &str) -> Option<String> {
    line.split_ascii_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned)
}

/// `VERSION = 11` and `PATCHLEVEL = 4` on lines of their own.
fn suse_version(text: &str) -> Option<String> {
    let field = |name: &str| {
        let values = text.lines().filter_map(|line| line.split_once('='));
        values.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim()).next()
    };
    let version = field("VERSION")?;
    Some(match field("PATCHLEVEL") {
        Some(level) if level != "0" => format!("{version}.{level}"),
        _ => version.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::parse;
    use super::*;

    #[test]
    fn files_of_before_os_release() {
        for (path, text, expected) in [
            ("etc/alpine-release", "3.4.6\n", "alpine 3.4.6"),
            ("etc/redhat-release", "Red Hat Enterprise Linux Server release 6.9 (Santiago)\n", "rhel 6.9"),
            ("etc/redhat-release", "CentOS release 5.11 (Final)\n", "centos 5.11"),
            ("etc/centos-release", "CentOS Stream release 8\n", "centos 8"),
            ("etc/oracle-release", "Oracle Linux Server release 6.10\n", "ol 6.10"),
            ("etc/system-release", "Amazon Linux AMI release 2011.09\n", "amzn 2011.09"),
            ("etc/fedora-release", "Fedora release 17 (Beefy Miracle)\n", "fedora 17"),
            (
                "etc/SuSE-release",
                "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n",
                "sles 11.4",
            ),
            ("etc/SuSE-release", "openSUSE 13.2 (x86_64)\nVERSION = 13.2\nCODENAME = Harlequin\n", "opensuse 13.2"),
        ] {
            let os = parse(&OLDER, path, text).os.unwrap();
            assert_eq!(format!("{} {}", os.id, os.version), expected);
        }
    }

    #[test]
    fn nothing_is_made_up() {
        for text in ["", "Some Linux release 3\n", "CentOS\n"] {
            assert_eq!(parse(&OLDER, "etc/redhat-release", text), Findings::default());
        }
    }
}
