//! Alpine's package database, `apk-package(5)` and the "installed" format of apk-tools 2 and 3.

use super::{Cataloger, Findings, ParseError, Room, SourceFile};
use crate::{Package, PackageKind, SourcePackage};

/// `lib/apk/db/installed`, below `usr` since usr-merge.
pub(super) const INSTALLED: Cataloger =
    Cataloger { name: "apk", wants: is_installed, parse: parse_installed, is_database: true };

fn is_installed(path: &str) -> bool {
    path.strip_prefix("usr/").unwrap_or(path) == "lib/apk/db/installed"
}

fn parse_installed(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let text = file.text();
    let (mut record, mut room) = (Record::default(), Room::default());
    for line in text.lines().chain([""]) {
        if line.trim().is_empty() {
            std::mem::take(&mut record).finish(file.path, findings);
            continue;
        }
        let Some((field, value)) = line.split_once(':') else {
            findings.problem(format!("apk: '{}' is no field", line.chars().take(40).collect::<String>()));
            continue;
        };
        record.set(field, value, &mut room);
    }
    Ok(())
}

#[derive(Default)]
struct Record<'a> {
    any: bool,
    name: &'a str,
    version: &'a str,
    arch: &'a str,
    origin: &'a str,
    licence: &'a str,
    folder: &'a str,
    files: Vec<String>,
    has_more_files: bool,
}

impl<'a> Record<'a> {
    fn set(&mut self, field: &str, value: &'a str, room: &mut Room) {
        self.any = true;
        match field {
            "P" => self.name = value,
            "V" => self.version = value,
            "A" => self.arch = value,
            "o" => self.origin = value,
            "L" => self.licence = value.trim(),
            "F" => self.folder = value,
            "R" => match room.join(self.folder, value) {
                Some(path) => self.files.push(path),
                None => self.has_more_files = true,
            },
            _ => {}
        }
    }

    fn finish(mut self, path: &str, findings: &mut Findings) {
        if !self.any {
            return;
        }
        if self.name.is_empty() || self.version.is_empty() {
            findings.problem(format!("apk: package '{}' has no name or no version", self.name));
            return;
        }
        if self.has_more_files {
            findings.without_files(&mut self.files);
        }
        let source = if self.origin.is_empty() { self.name } else { self.origin };
        self.files.sort_unstable();
        findings.add(Package {
            kind: PackageKind::Apk,
            name: self.name.to_owned(),
            version: self.version.to_owned(),
            arch: Some(self.arch).filter(|arch| !arch.is_empty()).map(str::to_owned),
            source: Some(SourcePackage::new(source, self.version)),
            path: path.to_owned(),
            licences: (!self.licence.is_empty()).then(|| self.licence.to_owned()).into_iter().collect(),
            files: self.files,
            linked: false,
            sha1: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;
    use super::*;

    #[test]
    fn packages_with_origin_licence_and_files() {
        let found = parse(
            &INSTALLED,
            "lib/apk/db/installed",
            "C:Q1x=\nP:libcrypto3\nV:3.1.4-r5\nA:x86_64\nL:Apache-2.0\no:openssl\nF:etc\nF:lib\nR:libcrypto.so.3\na:0:0:755\n\
             \nP:musl\nV:1.2.4-r2\nA:x86_64\n\nP:broken\n\n",
        );
        assert_eq!(found.packages.len(), 2);
        let ssl = &found.packages[0];
        assert_eq!(ssl.source.as_ref().unwrap().name, "openssl");
        assert_eq!(ssl.files, ["lib/libcrypto.so.3"]);
        assert_eq!(ssl.licences, ["Apache-2.0"]);
        assert_eq!(found.packages[1].source.as_ref().unwrap().name, "musl");
        assert_eq!(found.problems.len(), 1);
    }

    #[test]
    fn packages_stay_where_files_are_too_many() {
        // Each file costs the name of its folder again.
        let folder = "x".repeat(60_000);
        let files: String = (0..3000).map(|at| format!("R:{at}\n")).collect();
        let text = format!("P:a\nV:1-r0\nF:usr\nR:a\n\nP:b\nV:1-r0\nF:{folder}\n{files}\nP:c\nV:1-r0\n\n");
        let found = parse(&INSTALLED, "lib/apk/db/installed", &text);
        let shown: Vec<_> = found.packages.iter().map(|package| (package.name.as_str(), package.files.len())).collect();
        assert_eq!(shown, [("a", 1), ("b", 0), ("c", 0)]);
        assert_eq!(found.problems, ["it lists more files than one file may; packages are kept without theirs"]);
    }

    #[test]
    fn both_places_are_known() {
        assert!(is_installed("usr/lib/apk/db/installed") && is_installed("lib/apk/db/installed"));
    }
}
