//! Debian's package database: `dpkg(1)`, `deb-control(5)`, and the `status.d` of distroless images.

use std::collections::HashSet;

use super::{Cataloger, Findings, ParseError, SourceFile};
use crate::archive::join;
use crate::{Package, PackageKind, SourcePackage};

const FOLDER: &str = "var/lib/dpkg/";

/// `status`, and one file a package in `status.d`.
pub(super) const STATUS: Cataloger =
    Cataloger { name: "dpkg", wants: is_status, parse: parse_status, is_database: true };

/// `info/*.list`, `info/*.md5sums` and `status.d/*.md5sums`.
pub(super) const FILES: Cataloger =
    Cataloger { name: "dpkg-files", wants: is_file_list, parse: parse_file_list, is_database: false };

fn is_status(path: &str) -> bool {
    let Some(rest) = path.strip_prefix(FOLDER) else { return false };
    rest == "status" || rest.strip_prefix("status.d/").is_some_and(|name| !name.ends_with(".md5sums"))
}

fn is_file_list(path: &str) -> bool {
    let Some(rest) = path.strip_prefix(FOLDER) else { return false };
    match rest.split_once('/') {
        Some(("info", name)) => name.ends_with(".list") || name.ends_with(".md5sums"),
        Some(("status.d", name)) => name.ends_with(".md5sums"),
        _ => false,
    }
}

pub(super) fn file_lists_of(package: &Package) -> Vec<String> {
    if package.path.starts_with("var/lib/dpkg/status.d/") {
        return vec![format!("{}.md5sums", package.path)];
    }
    let name = &package.name;
    let stems = package.arch.iter().map(|arch| format!("{name}:{arch}")).chain([name.clone()]);
    let stems: Vec<String> = stems.collect();
    let places = ["list", "md5sums"].into_iter().flat_map(|end| stems.iter().map(move |stem| (stem, end)));
    places.map(|(stem, end)| format!("{FOLDER}info/{stem}.{end}")).collect()
}

/// The fields of a stanza that matter here.
#[derive(Default)]
struct Stanza<'a> {
    package: Option<&'a str>,
    version: Option<&'a str>,
    arch: Option<&'a str>,
    source: Option<&'a str>,
    status: Option<&'a str>,
    any: bool,
}

impl<'a> Stanza<'a> {
    fn parse(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut stanza = Self::default();
        for line in lines {
            stanza.any = true;
            if line.starts_with([' ', '\t']) {
                continue;
            }
            let Some((field, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            let place = match field {
                "Package" => &mut stanza.package,
                "Version" => &mut stanza.version,
                "Architecture" => &mut stanza.arch,
                "Source" => &mut stanza.source,
                "Status" => &mut stanza.status,
                _ => continue,
            };
            *place = Some(value).filter(|value| !value.is_empty());
        }
        stanza
    }

    /// Whether its files are there; a stanza of `status.d` has no status because they are.
    fn is_installed(&self) -> bool {
        let state = self.status.map(|status| status.split_ascii_whitespace().nth(2).unwrap_or(""));
        matches!(
            state,
            None | Some("installed" | "unpacked" | "half-configured" | "triggers-awaited" | "triggers-pending")
        )
    }

    fn source_package(&self, name: &str, version: &str) -> SourcePackage {
        let declared = self.source.unwrap_or(name);
        let (source, source_version) = match declared.split_once('(') {
            Some((source, rest)) => (source.trim(), Some(rest.trim_end_matches(')').trim())),
            None => (declared, None),
        };
        let source_version = source_version.filter(|version| !version.is_empty());
        SourcePackage::new(source, source_version.unwrap_or_else(|| without_binary_rebuild(version)))
    }
}

/// `1.2-3+b4` was rebuilt four times from the source `1.2-3` (a binNMU).
fn without_binary_rebuild(version: &str) -> &str {
    match version.rsplit_once("+b") {
        Some((source, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => source,
        _ => version,
    }
}

fn parse_status(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let text = file.text();
    let mut lines = text.lines().peekable();
    while lines.peek().is_some() {
        let stanza = Stanza::parse(lines.by_ref().take_while(|line| !line.trim().is_empty()));
        if !stanza.any || !stanza.is_installed() {
            continue;
        }
        let (Some(name), Some(version)) = (stanza.package, stanza.version) else {
            let name = stanza.package.unwrap_or("without a name");
            findings.problem(format!("dpkg: the stanza of package {name} has no name or no version"));
            continue;
        };
        findings.add(Package {
            arch: stanza.arch.map(str::to_owned),
            source: Some(stanza.source_package(name, version)),
            ..Package::new(PackageKind::Deb, name, version, file.path)
        });
    }
    Ok(())
}

fn parse_file_list(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let text = file.text();
    let sums = file.path.ends_with(".md5sums");
    let paths: Vec<String> = text
        .lines()
        .filter_map(|line| if sums { line.split_once(' ').map(|(_, path)| path.trim_start()) } else { Some(line) })
        .map(|path| join("", path))
        .filter(|path| !path.is_empty())
        .collect();
    let folders: HashSet<&str> =
        paths.iter().filter_map(|path| path.rsplit_once('/')).map(|(folder, _)| folder).collect();
    let files: Vec<&str> = paths.iter().map(String::as_str).filter(|path| !folders.contains(path)).collect();
    findings.file_list = Some(files.join("\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;
    use super::*;

    #[test]
    fn installed_packages_with_their_source() {
        let found = parse(
            &STATUS,
            "var/lib/dpkg/status",
            "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl\n\
             Version: 3.0.11-1~deb12u2\nDescription: x\n more: y\n\n\
             Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
             Package: libc6\nStatus: hold ok installed\nSource: glibc (2.36-9)\nVersion: 2.36-9+deb12u4\nArchitecture: amd64\n\n\n\
             Package: bash\nStatus: install ok installed\nVersion: 5.2.15-2+b7\nArchitecture: amd64\n",
        );
        let shown: Vec<_> = found
            .packages
            .iter()
            .map(|p| {
                let source = p.source.as_ref().unwrap();
                format!("{} {} {} {}", p.name, p.version, source.name, source.version)
            })
            .collect();
        assert_eq!(
            shown,
            [
                "libssl3 3.0.11-1~deb12u2 openssl 3.0.11-1~deb12u2",
                "libc6 2.36-9+deb12u4 glibc 2.36-9",
                "bash 5.2.15-2+b7 bash 5.2.15-2",
            ]
        );
        assert!(found.problems.is_empty());
    }

    #[test]
    fn a_broken_stanza_is_a_problem_and_the_rest_is_read() {
        let found = parse(
            &STATUS,
            "var/lib/dpkg/status",
            "Package: broken\nStatus: install ok installed\n\nPackage: fine\nStatus: install ok installed\nVersion: 1\n",
        );
        assert_eq!(found.packages.len(), 1);
        assert_eq!(found.problems.len(), 1);
    }

    #[test]
    fn distroless_packages_have_no_status() {
        let found = parse(
            &STATUS,
            "var/lib/dpkg/status.d/tzdata",
            "Package: tzdata\nVersion: 2024a-0+deb12u1\nArchitecture: all\n",
        );
        assert_eq!(found.packages[0].source.as_ref().unwrap().version, "2024a-0+deb12u1");
        assert_eq!(file_lists_of(&found.packages[0]), ["var/lib/dpkg/status.d/tzdata.md5sums"]);
    }

    #[test]
    fn file_lists_lose_their_folders() {
        let found =
            parse(&FILES, "var/lib/dpkg/info/bash.list", "/.\n/bin\n/bin/bash\n/etc\n/etc/skel\n/etc/skel/.bashrc\n");
        assert_eq!(found.file_list.unwrap(), "bin/bash\netc/skel/.bashrc");
        let found = parse(&FILES, "var/lib/dpkg/info/bash.md5sums", "0123  usr/bin/bash\n4567  usr/share/a b\n");
        assert_eq!(found.file_list.unwrap(), "usr/bin/bash\nusr/share/a b");
    }
}
