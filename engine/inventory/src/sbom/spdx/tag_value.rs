//! SPDX 2.2 and 2.3 in tag-value form: `Tag: value`, a line each, or `<text>` over several lines.

use super::super::json::cut;
use super::super::{SbomError, SbomFormat};
use super::model::{Annotation, Document, ExternalRef, ExtractedLicence, Package, PackageChecksum, Relationship};

/// What the tags that follow speak of.
#[derive(Clone, Copy, PartialEq)]
enum Section {
    Document,
    Package,
    Licence,
    /// Files and snippets, which are not read.
    Other,
}

pub(super) fn read(text: &str) -> Result<Document, SbomError> {
    let mut document = Document::default();
    let mut section = Section::Document;
    let mut lines = Lines { rest: text, line: 0 };
    while let Some((tag, value)) = lines.pair()? {
        section = match tag {
            "PackageName" => Section::Package,
            "FileName" | "SnippetSPDXID" => Section::Other,
            "LicenseID" => Section::Licence,
            _ => section,
        };
        match tag {
            // These may stand anywhere.
            "Relationship" => relationship(&mut document, value),
            "RelationshipComment" => {
                if let Some(last) = document.relationships.as_mut().and_then(|all| all.last_mut()) {
                    last.comment = Some(value.to_owned());
                }
            }
            _ => match section {
                Section::Document => of_document(&mut document, tag, value),
                Section::Package => of_package(&mut document, tag, value),
                Section::Licence => of_licence(&mut document, tag, value),
                Section::Other => {}
            },
        }
    }
    Ok(document)
}

fn of_document(document: &mut Document, tag: &str, value: &str) {
    match tag {
        "SPDXVersion" => document.spdx_version = Some(value.to_owned()),
        "SPDXID" => value.clone_into(&mut document.id),
        "DocumentName" => value.clone_into(&mut document.name),
        "AnnotationComment" => annotate(&mut document.annotations, value),
        _ => {}
    }
}

fn of_package(document: &mut Document, tag: &str, value: &str) {
    let packages = document.packages.get_or_insert_default();
    if tag == "PackageName" {
        packages.push(Package { name: value.to_owned(), ..Package::default() });
    }
    let Some(package) = packages.last_mut() else { return };
    let text = || Some(value.to_owned());
    match tag {
        "SPDXID" => value.clone_into(&mut package.id),
        "PackageVersion" => package.version_info = text(),
        "PackageDescription" => package.description = text(),
        "PrimaryPackagePurpose" => package.primary_package_purpose = text(),
        "PackageLicenseConcluded" => package.license_concluded = text(),
        "PackageLicenseDeclared" => package.license_declared = text(),
        "PackageSourceInfo" => package.source_info = text(),
        "PackageFileName" => package.package_file_name = text(),
        "PackageAttributionText" => package.attribution_texts.get_or_insert_default().push(value.to_owned()),
        "AnnotationComment" => annotate(&mut package.annotations, value),
        "PackageChecksum" => {
            let (algorithm, value) = value.split_once(':').unwrap_or((value, ""));
            let checksum = PackageChecksum { algorithm: algorithm.to_owned(), checksum_value: value.trim().to_owned() };
            package.checksums.get_or_insert_default().push(checksum);
        }
        "ExternalRef" => {
            let mut words = value.split_ascii_whitespace().skip(1);
            if let (Some(kind), Some(locator)) = (words.next(), words.next()) {
                let reference = ExternalRef { reference_type: kind.to_owned(), reference_locator: locator.to_owned() };
                package.external_refs.get_or_insert_default().push(reference);
            }
        }
        _ => {}
    }
}

fn of_licence(document: &mut Document, tag: &str, value: &str) {
    let licences = document.has_extracted_licensing_infos.get_or_insert_default();
    match tag {
        "LicenseID" => licences.push(ExtractedLicence { license_id: value.to_owned(), name: None }),
        "LicenseName" => {
            if let Some(last) = licences.last_mut() {
                last.name = Some(value.to_owned());
            }
        }
        _ => {}
    }
}

fn annotate(annotations: &mut Option<Vec<Annotation>>, comment: &str) {
    annotations.get_or_insert_default().push(Annotation { comment: comment.to_owned() });
}

fn relationship(document: &mut Document, value: &str) {
    let mut words = value.split_ascii_whitespace().map(str::to_owned);
    if let (Some(from), Some(kind), Some(to)) = (words.next(), words.next(), words.next()) {
        document.relationships.get_or_insert_default().push(Relationship {
            spdx_element_id: from,
            relationship_type: kind,
            related_spdx_element: to,
            comment: None,
        });
    }
}

struct Lines<'t> {
    rest: &'t str,
    line: usize,
}

impl<'t> Lines<'t> {
    fn line(&mut self) -> Option<&'t str> {
        if self.rest.is_empty() {
            return None;
        }
        self.line += 1;
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        Some(line)
    }

    /// The next tag with its value.
    fn pair(&mut self) -> Result<Option<(&'t str, &'t str)>, SbomError> {
        loop {
            let before = self.rest;
            let Some(line) = self.line() else { return Ok(None) };
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            let (tag, value) = line.split_once(':').ok_or_else(|| self.error("no tag", line))?;
            let value = value.trim();
            let Some(opened) = value.strip_prefix("<text>") else { return Ok(Some((tag.trim(), value))) };
            if let Some((inner, _)) = opened.split_once("</text>") {
                return Ok(Some((tag.trim(), inner)));
            }
            let first = self.line;
            let start = before.find("<text>").map_or(before.len(), |at| at + "<text>".len());
            let Some(length) = before[start..].find("</text>") else {
                self.line = first;
                return Err(self.error("<text> without </text>", line));
            };
            let inner = &before[start..start + length];
            self.line += inner.matches('\n').count();
            let after = &before[start + length..];
            self.rest = after.split_once('\n').map_or("", |(_, rest)| rest);
            return Ok(Some((tag.trim(), inner)));
        }
    }

    fn error(&self, what: &str, line: &str) -> SbomError {
        let line = cut(line.trim());
        let reason = format!("line {}: {what}: '{line}'", self.line);
        SbomError::Malformed { format: SbomFormat::SpdxTagValue.name(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_over_several_lines() {
        let text = "# c\nSPDXVersion: SPDX-2.3\nPackageName: a\nPackageDescription: <text>one\ntwo: 2</text>\n\
                    SPDXID: SPDXRef-a\nPackageSourceInfo: <text>x</text>\nFileName: ./f\nSPDXID: SPDXRef-f\n\
                    Relationship: SPDXRef-a CONTAINS SPDXRef-f";
        let document = read(text).unwrap();
        let package = &document.packages.unwrap()[0];
        assert_eq!((package.id.as_str(), package.description.as_deref()), ("SPDXRef-a", Some("one\ntwo: 2")));
        assert_eq!(package.source_info.as_deref(), Some("x"));
        assert_eq!(document.relationships.unwrap()[0].related_spdx_element, "SPDXRef-f");
    }

    #[test]
    fn what_is_wrong_is_told_by_line() {
        let told = |text: &str| read(text).unwrap_err().to_string();
        assert_eq!(told("SPDXVersion: SPDX-2.2\n\nnonsense"), "malformed spdx-tag-value: line 3: no tag: 'nonsense'");
        assert_eq!(
            told("SPDXVersion: SPDX-2.2\nDocumentComment: <text>a\nb"),
            "malformed spdx-tag-value: line 2: <text> without </text>: 'DocumentComment: <text>a'"
        );
    }
}
