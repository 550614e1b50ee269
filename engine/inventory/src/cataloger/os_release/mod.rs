//! `os-release(5)`, and the files that older distributions have instead.

mod older;

use super::{Cataloger, Findings, ParseError, SourceFile};
use crate::OsRelease;
use crate::identity::release_of_codename;

pub(super) use self::older::OLDER;

/// `etc/os-release`, `usr/lib/os-release` and the files Fedora links the latter to.
pub(super) const OS_RELEASE: Cataloger =
    Cataloger { name: "os-release", wants: is_os_release, parse: parse_os_release, is_database: true };

/// The lesser, the more a file is to be believed where several tell of a distribution.
pub(crate) fn rank(path: &str) -> usize {
    match path {
        "etc/os-release" => 0,
        "usr/lib/os-release" => 1,
        _ if is_os_release(path) => 2,
        _ => 3 + older::rank(path),
    }
}

fn is_os_release(path: &str) -> bool {
    matches!(path, "etc/os-release" | "usr/lib/os-release") || path.starts_with("usr/lib/os.release.d/os-release-")
}

fn parse_os_release(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let text = file.text();
    let mut os = OsRelease::default();
    let mut codename = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = unquote(value.trim());
        match key.trim() {
            "ID" => os.id = value.to_ascii_lowercase(),
            "VERSION_ID" => os.version = value,
            "ID_LIKE" => os.like = value.split_ascii_whitespace().map(str::to_ascii_lowercase).collect(),
            "PRETTY_NAME" => os.name = value,
            "VERSION_CODENAME" => codename = value,
            _ => {}
        }
    }
    if os.id.is_empty() {
        return Err(ParseError("it has no ID".into()));
    }
    if os.version.is_empty() {
        os.version = release_to_come(&os, &codename).unwrap_or_default().to_owned();
    }
    findings.os = Some(os);
    Ok(())
}

/// Debian's testing and unstable have no `VERSION_ID`; they are named after the release they become.
fn release_to_come<'a>(os: &'a OsRelease, codename: &'a str) -> Option<&'a str> {
    let named = os.name.strip_suffix("/sid").and_then(|name| name.rsplit(' ').next());
    if os.id == "debian" { release_of_codename(codename).or_else(|| release_of_codename(named?)) } else { None }
}

/// Shell quoting as far as the format allows it: one pair of quotes, backslash escapes.
fn unquote(value: &str) -> String {
    let quoted = ['"', '\''].into_iter().find_map(|q| value.strip_prefix(q)?.strip_suffix(q));
    let mut text = String::with_capacity(value.len());
    let mut characters = quoted.unwrap_or(value).chars();
    while let Some(character) = characters.next() {
        text.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;
    use super::*;

    #[test]
    fn reads_id_version_and_likes() {
        let found = parse(
            &OS_RELEASE,
            "etc/os-release",
            "PRETTY_NAME=\"Ubuntu 22.04.3 LTS\"\nVERSION_ID='22.04'\n# no\nID=ubuntu\nID_LIKE=\"debian other\"\n",
        );
        let os = found.os.unwrap();
        assert_eq!((os.id.as_str(), os.version.as_str()), ("ubuntu", "22.04"));
        assert_eq!(os.like, ["debian", "other"]);
        assert_eq!(os.name, "Ubuntu 22.04.3 LTS");
    }

    fn os(text: &str) -> String {
        let os = parse(&OS_RELEASE, "usr/lib/os-release", text).os.unwrap();
        format!("{} {}", os.id, os.version)
    }

    /// The lines of the real files that count here.
    #[test]
    fn the_odd_ones() {
        for (text, expected) in [
            ("PRETTY_NAME=\"Distroless\"\nNAME=\"Debian GNU/Linux\"\nID=\"debian\"\nVERSION_ID=\"12\"\n", "debian 12"),
            ("PRETTY_NAME=\"Debian GNU/Linux forky/sid\"\nVERSION_CODENAME=forky\nID=debian\n", "debian 14"),
            ("PRETTY_NAME=\"Debian GNU/Linux buster/sid\"\nNAME=\"Debian GNU/Linux\"\nID=debian\n", "debian 10"),
            ("PRETTY_NAME=\"Debian GNU/Linux sid\"\nID=debian\n", "debian "),
            ("ID=wolfi\nPRETTY_NAME=\"Wolfi\"\nVERSION_ID=\"20230201\"\n", "wolfi 20230201"),
            ("ID=chainguard\nNAME=\"Chainguard\"\nVERSION_ID=\"20230214\"\n", "chainguard 20230214"),
            (
                "ID=alpine\nVERSION_ID=3.23.0_alpha20250612\nPRETTY_NAME=\"Alpine Linux edge\"\n",
                "alpine 3.23.0_alpha20250612",
            ),
            (
                "NAME=\"Amazon Linux AMI\"\nID=\"amzn\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"2018.03\"\n",
                "amzn 2018.03",
            ),
            ("NAME=\"CentOS Stream\"\nVERSION=\"9\"\nID=\"centos\"\nVERSION_ID=\"9\"\n", "centos 9"),
            ("NAME=\"Oracle Linux Server\"\nID=\"ol\"\nVARIANT=\"Server\"\nVERSION_ID=\"8.9\"\n", "ol 8.9"),
            (
                "NAME='openSUSE Tumbleweed'\n# VERSION=\"20240101\"\nID=\"opensuse-tumbleweed\"\nVERSION_ID='20240101'\n",
                "opensuse-tumbleweed 20240101",
            ),
            ("NAME=\"Common Base Linux Mariner\"\nID=mariner\nVERSION_ID=\"2.0\"\n", "mariner 2.0"),
        ] {
            assert_eq!(os(text), expected);
        }
    }

    #[test]
    fn os_release_is_believed_before_older_files() {
        let mut paths = ["etc/redhat-release", "etc/alpine-release", "usr/lib/os-release", "etc/os-release"];
        paths.sort_by_key(|path| rank(path));
        assert_eq!(paths, ["etc/os-release", "usr/lib/os-release", "etc/alpine-release", "etc/redhat-release"]);
    }

    #[test]
    fn an_id_is_needed() {
        let file = SourceFile { path: "etc/os-release", bytes: b"NAME=x" };
        assert!(parse_os_release(&file, &mut Findings::default()).is_err());
    }
}
