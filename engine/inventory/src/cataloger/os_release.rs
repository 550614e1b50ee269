//! `os-release(5)`.

use super::{Cataloger, Findings, ParseError, SourceFile};
use crate::OsRelease;

/// `etc/os-release`, `usr/lib/os-release` and the files Fedora links the latter to.
pub(super) const OS_RELEASE: Cataloger =
    Cataloger { name: "os-release", wants: is_os_release, parse: parse_os_release, is_database: true };

fn is_os_release(path: &str) -> bool {
    matches!(path, "etc/os-release" | "usr/lib/os-release") || path.starts_with("usr/lib/os.release.d/os-release-")
}

fn parse_os_release(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let text = file.text();
    let mut os = OsRelease::default();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = unquote(value.trim());
        match key.trim() {
            "ID" => os.id = value.to_ascii_lowercase(),
            "VERSION_ID" => os.version = value,
            "ID_LIKE" => os.like = value.split_ascii_whitespace().map(str::to_ascii_lowercase).collect(),
            "PRETTY_NAME" => os.name = value,
            _ => {}
        }
    }
    if os.id.is_empty() {
        return Err(ParseError("it has no ID".into()));
    }
    findings.os = Some(os);
    Ok(())
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

    #[test]
    fn an_id_is_needed() {
        let file = SourceFile { path: "etc/os-release", bytes: b"NAME=x" };
        assert!(parse_os_release(&file, &mut Findings::default()).is_err());
    }
}
