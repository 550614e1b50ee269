//! Licences of Debian's packages: `usr/share/doc/PACKAGE/copyright`, machine-readable (DEP-5, "copyright-format 1.0") or
//! in prose that names the licences every system keeps (Debian policy 12.5).

use super::{Cataloger, Findings, ParseError, SourceFile};
use crate::Package;

/// `usr/share/doc/PACKAGE/copyright`.
pub(super) const COPYRIGHT: Cataloger = Cataloger { name: "copyright", wants: is_copyright, parse, is_database: false };

const FOLDER: &str = "usr/share/doc/";
const NAME: &str = "/copyright";
/// Where the texts of licences lie that packages have in common.
const COMMON: &str = "/usr/share/common-licenses/";
/// Licences of one package that are told, and bytes of the name of one; a package of many authors has some 30.
const MOST: usize = 200;
const LONGEST: usize = 200;

fn is_copyright(path: &str) -> bool {
    let package = path.strip_prefix(FOLDER).and_then(|rest| rest.strip_suffix(NAME));
    package.is_some_and(|package| !package.is_empty() && !package.contains('/'))
}

/// Where the licences of a Debian package are told.
pub(super) fn place_of(package: &Package) -> String {
    format!("{FOLDER}{}{NAME}", package.name)
}

fn parse(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let text = file.text();
    let is_machine_readable = text.lines().find(|line| !line.trim().is_empty()).is_some_and(|first| {
        let first = first.to_ascii_lowercase();
        first.starts_with("format") && (first.contains("copyright-format") || first.contains("dep5"))
    });
    let mut licences = if is_machine_readable { declared(&text) } else { referred_to(&text) };
    licences.retain(|name| name.len() <= LONGEST);
    licences.sort_unstable();
    licences.dedup();
    licences.truncate(MOST);
    findings.licences = licences;
    Ok(())
}

/// The names in every field `License`, alternatives and additions taken apart.
fn declared(text: &str) -> Vec<String> {
    let fields = text.lines().filter_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case("License").then_some(value)
    });
    fields.flat_map(names).collect()
}

fn names(expression: &str) -> Vec<String> {
    let mut names = vec![Vec::new()];
    for word in expression.split([' ', '\t', ',', '(', ')']).filter(|word| !word.is_empty()) {
        if word.eq_ignore_ascii_case("and") || word.eq_ignore_ascii_case("or") || word == "and/or" {
            names.push(Vec::new());
        } else if let Some(name) = names.last_mut() {
            name.push(word);
        }
    }
    let known = |name: Vec<&str>| match name[..] {
        [one] => spdx_of(one),
        _ => name.join(" "),
    };
    names.into_iter().filter(|name| !name.is_empty()).map(known).collect()
}

/// Names of the common licences that prose sends its reader to. It does not tell whether later versions may be taken.
fn referred_to(text: &str) -> Vec<String> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '+');
    let rest_of = |at: usize| &text[at + COMMON.len()..];
    let names = memchr::memmem::find_iter(text.as_bytes(), COMMON).map(|at| {
        let rest = rest_of(at);
        let name = &rest[..rest.find(|character| !is_name(character)).unwrap_or(rest.len())];
        name.trim_end_matches(['.', '-']).to_owned()
    });
    names.filter(|name| !name.is_empty()).collect()
}

/// The identifier of the SPDX licence list for a short name of Debian; other names stay.
fn spdx_of(name: &str) -> String {
    let known = match name {
        "Expat" => "MIT",
        "BSD-2-clause" => "BSD-2-Clause",
        "BSD-3-clause" => "BSD-3-Clause",
        "BSD-4-clause" => "BSD-4-Clause",
        "zlib" | "ZLIB" => "Zlib",
        "Artistic" => "Artistic-1.0",
        _ => return gnu(name).unwrap_or_else(|| name.to_owned()),
    };
    known.to_owned()
}

/// `GPL-2+` is `GPL-2.0-or-later`.
fn gnu(name: &str) -> Option<String> {
    let (family, version) = name.split_once('-')?;
    if !matches!(family, "GPL" | "LGPL" | "AGPL" | "GFDL") {
        return None;
    }
    let (version, which) = version.strip_suffix('+').map_or((version, "only"), |version| (version, "or-later"));
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    let is_number = |part: &str| part.len() == 1 && part.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(major) && is_number(minor)).then(|| format!("{family}-{major}.{minor}-{which}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse as read;
    use super::*;

    fn licences(text: &str) -> Vec<String> {
        read(&COPYRIGHT, "usr/share/doc/a/copyright", text).licences
    }

    #[test]
    fn machine_readable_files_name_theirs() {
        let text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: a\n\n\
                    Files: *\nCopyright: 2020 A\nLicense: GPL-2+ or Artistic, and BSD-3-clause\n\n\
                    Files: b\nLicense: LGPL-2.1\n a text: of it\n\nLicense: GPL-3+ with Autoconf exception\nLicense:\n\n\
                    License: Expat\n License: not a field\n";
        assert_eq!(
            licences(text),
            [
                "Artistic-1.0",
                "BSD-3-Clause",
                "GPL-2.0-or-later",
                "GPL-3+ with Autoconf exception",
                "LGPL-2.1-only",
                "MIT"
            ]
        );
    }

    #[test]
    fn prose_refers_to_common_ones() {
        let text = "This package was put together by A.\nLicense: see below\n\nOn Debian systems the text is in\n\
                    /usr/share/common-licenses/GPL-2.\nand `/usr/share/common-licenses/LGPL-2.1', /usr/share/common-licenses/\n";
        assert_eq!(licences(text), ["GPL-2", "LGPL-2.1"]);
        assert!(licences("").is_empty());
    }

    #[test]
    fn names_that_are_none_of_the_list_stay() {
        for (name, expected) in [
            ("GPL-2", "GPL-2.0-only"),
            ("GFDL-1.3+", "GFDL-1.3-or-later"),
            ("GFDL-NIV-1.3", "GFDL-NIV-1.3"),
            ("GPL", "GPL"),
            ("GPL-2.0.1", "GPL-2.0.1"),
            ("GPL-é", "GPL-é"),
            ("public-domain", "public-domain"),
        ] {
            assert_eq!(spdx_of(name), expected);
        }
    }

    #[test]
    fn only_the_file_of_a_package_counts() {
        assert!(is_copyright("usr/share/doc/libc6/copyright"));
        for path in
            ["usr/share/doc/copyright", "usr/share/doc/a/b/copyright", "usr/share/doc//copyright", "doc/a/copyright"]
        {
            assert!(!is_copyright(path), "{path}");
        }
    }

    #[test]
    fn many_names_are_bounded() {
        let lines: String = (0..10_000).map(|at| format!("License: L-{at}\n")).collect();
        assert_eq!(licences(&format!("Format: copyright-format\n{lines}")).len(), MOST);
        assert!(licences(&format!("Format: copyright-format\nLicense: {}\n", "x".repeat(5000))).is_empty());
    }
}
