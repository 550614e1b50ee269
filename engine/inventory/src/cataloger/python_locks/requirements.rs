//! `requirements.txt` (pip, "Requirements File Format"): only what is pinned by `==` or `===`.

use super::super::{Cataloger, Findings, ParseError, SourceFile};
use super::{file_name, found, sort};

/// `requirements.txt`, `requirements-prod.txt` and the like, but not those for development.
pub(in crate::cataloger) const REQUIREMENTS: Cataloger =
    Cataloger { name: "requirements", wants: is_requirements, parse, is_database: true };

fn is_requirements(path: &str) -> bool {
    let name = file_name(path);
    let Some(kind) = name.strip_prefix("requirements").and_then(|rest| rest.strip_suffix(".txt")) else { return false };
    let other = ["dev", "test", "doc", "lint", "ci"];
    kind.is_empty() || (kind.starts_with(['-', '_', '.']) && !other.iter().any(|word| kind.contains(word)))
}

fn parse(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let text = file.text().replace("\\\r\n", " ").replace("\\\n", " ");
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', '-'])) {
        let line = line.split(" #").next().unwrap_or(line);
        let line = line.split(';').next().unwrap_or(line);
        let line = line.split(" --").next().unwrap_or(line);
        let Some((name, version)) = line.split_once("===").or_else(|| line.split_once("==")) else { continue };
        let name = name.split('[').next().unwrap_or(name).trim();
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if is_name {
            found(file, findings, name, version);
        }
    }
    sort(findings);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{parse as read, shown};
    use super::*;

    #[test]
    fn only_pins_count() {
        let text = "# x==1\n-r other.txt\n--index-url https://x/==\nDjango==3.2.10  # why\nrequests[security] == 2.26.0 ; python_version>='3'\n\
            numpy>=1.20\nflask==2.*\nzope.interface===5.0 \\\n    --hash=sha256:aa\na==1.0,<2\nurl @ https://x/y==1\n";
        assert_eq!(
            shown(&read(&REQUIREMENTS, "app/requirements.txt", text)),
            ["django@3.2.10", "requests@2.26.0", "zope-interface@5.0"]
        );
    }

    #[test]
    fn names_of_the_file() {
        for (path, wanted) in [
            ("requirements.txt", true),
            ("a/requirements-prod.txt", true),
            ("a/requirements-dev.txt", false),
            ("a/requirements_test.txt", false),
            ("a/requirements.txt.bak", false),
            ("a/my-requirements.txt", false),
        ] {
            assert_eq!(is_requirements(path), wanted, "{path}");
        }
    }
}
