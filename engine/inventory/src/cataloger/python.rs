//! Installed Python distributions: core metadata (PyPA specifications "Core metadata", "Recording installed
//! projects") and the older egg-info.

use super::{Cataloger, Findings, ParseError, Room, SourceFile};
use crate::{Package, PackageKind};

/// `*.dist-info/METADATA`, `*.egg-info/PKG-INFO`, `EGG-INFO/PKG-INFO` and `*.egg-info` files.
pub(super) const METADATA: Cataloger =
    Cataloger { name: "python", wants: is_metadata, parse: parse_metadata, is_database: false };

/// `*.dist-info/RECORD` and `*.egg-info/installed-files.txt`.
pub(super) const FILES: Cataloger =
    Cataloger { name: "python-files", wants: is_file_list, parse: parse_file_list, is_database: false };

fn is_metadata(path: &str) -> bool {
    let Some((folder, name)) = path.rsplit_once('/') else { return false };
    match name {
        "METADATA" => folder.ends_with(".dist-info"),
        "PKG-INFO" => folder.ends_with(".egg-info") || folder.ends_with("/EGG-INFO"),
        name => name.ends_with(".egg-info"),
    }
}

fn is_file_list(path: &str) -> bool {
    path.ends_with(".dist-info/RECORD") || path.ends_with(".egg-info/installed-files.txt")
}

pub(super) fn file_lists_of(package: &Package) -> Vec<String> {
    let Some((folder, name)) = package.path.rsplit_once('/') else { return Vec::new() };
    match name {
        "METADATA" => vec![format!("{folder}/RECORD")],
        "PKG-INFO" => vec![format!("{folder}/installed-files.txt")],
        _ => Vec::new(),
    }
}

/// A name as the index compares it (PEP 503): lower case, runs of `-`, `_` and `.` one hyphen.
pub(crate) fn normalise_name(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for character in name.trim().chars() {
        match character {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            character => normal.push(character.to_ascii_lowercase()),
        }
    }
    normal
}

fn parse_metadata(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let text = file.text();
    let (mut name, mut version, mut expression, mut licence) = ("", "", "", "");
    let mut classifiers = Vec::new();
    for line in text.lines().take_while(|line| !line.trim().is_empty()) {
        if line.starts_with([' ', '\t']) {
            continue;
        }
        let Some((field, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match field.to_ascii_lowercase().as_str() {
            "name" => name = value,
            "version" => version = value,
            "license-expression" => expression = value,
            "license" if value != "UNKNOWN" => licence = value,
            "classifier" => classifiers.extend(value.strip_prefix("License :: ").map(last_of_classifier)),
            _ => {}
        }
    }
    if name.is_empty() || version.is_empty() {
        return Err(ParseError("it has no Name or no Version".into()));
    }
    let licences = match (expression, licence) {
        ("", "") => classifiers.into_iter().filter(|licence| *licence != "OSI Approved").map(str::to_owned).collect(),
        ("", licence) => vec![licence.to_owned()],
        (expression, _) => vec![expression.to_owned()],
    };
    findings
        .packages
        .push(Package { licences, ..Package::new(PackageKind::Pypi, normalise_name(name), version, file.path) });
    Ok(())
}

/// `OSI Approved :: MIT License` speaks of the MIT License.
fn last_of_classifier(classifier: &str) -> &str {
    classifier.rsplit(" :: ").next().unwrap_or(classifier)
}

fn parse_file_list(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let text = file.text();
    let folder = file.folder();
    // RECORD counts from the folder of the packages, installed-files.txt from the egg-info folder itself.
    let base =
        if file.path.ends_with("/RECORD") { folder.rsplit_once('/').map_or("", |(base, _)| base) } else { folder };
    let (mut list, mut room) = (String::new(), Room::default());
    for path in text.lines().map(first_csv_field).filter(|path| !path.is_empty()) {
        let Some(path) = room.join(if path.starts_with('/') { "" } else { base }, &path) else {
            findings.without_files(&mut Vec::new());
            return Ok(());
        };
        if !list.is_empty() {
            list.push('\n');
        }
        list.push_str(&path);
    }
    findings.file_list = Some(list);
    Ok(())
}

/// The path of a line of RECORD (CSV as RFC 4180 quotes it).
fn first_csv_field(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    let Some(quoted) = line.strip_prefix('"') else {
        return line.split(',').next().unwrap_or("").to_owned();
    };
    let mut field = String::new();
    let mut characters = quoted.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '"' && characters.next_if_eq(&'"').is_none() {
            break;
        }
        field.push(character);
    }
    field
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;
    use super::*;

    const SITE: &str = "usr/lib/python3/dist-packages";

    #[test]
    fn names_are_normalised_and_licences_read() {
        let found = parse(
            &METADATA,
            &format!("{SITE}/Zope.Interface-5.0.dist-info/METADATA"),
            "Metadata-Version: 2.1\nName: Zope._Interface\nVersion: 5.0\nLicense: UNKNOWN\n\
             Classifier: License :: OSI Approved :: MIT License\nClassifier: Topic :: X\n\nVersion: 9\n",
        );
        let package = &found.packages[0];
        assert_eq!((package.name.as_str(), package.version.as_str()), ("zope-interface", "5.0"));
        assert_eq!(package.licences, ["MIT License"]);
        assert_eq!(file_lists_of(package), [format!("{SITE}/Zope.Interface-5.0.dist-info/RECORD")]);
    }

    #[test]
    fn eggs_are_read_too() {
        for path in ["x/a.egg-info/PKG-INFO", "x/a-1.egg/EGG-INFO/PKG-INFO", "x/a-1-py3.9.egg-info"] {
            assert_eq!(parse(&METADATA, path, "Name: a\nVersion: 1\n").packages[0].name, "a");
        }
    }

    #[test]
    fn records_are_seen_from_the_folder_of_the_packages() {
        let found = parse(
            &FILES,
            &format!("{SITE}/a-1.dist-info/RECORD"),
            "a/__init__.py,sha256=x,10\n../../../bin/a,,\n\"a/odd,\"\"name\"\".py\",,\n\n/opt/x,,\n",
        );
        assert_eq!(
            found.file_list.unwrap(),
            format!("{SITE}/a/__init__.py\nusr/bin/a\n{SITE}/a/odd,\"name\".py\nopt/x")
        );
    }
}
