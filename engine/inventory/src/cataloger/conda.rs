//! Packages of a Conda environment: `conda-meta/NAME-VERSION-BUILD.json`.

use serde::Deserialize;

use super::{Cataloger, Findings, ParseError, Room, SourceFile};
use crate::{Package, PackageKind};

/// `conda-meta/*.json`.
pub(super) const INSTALLED: Cataloger = Cataloger { name: "conda", wants: is_installed, parse, is_database: false };

fn is_installed(path: &str) -> bool {
    let Some((folder, name)) = path.rsplit_once('/') else { return false };
    name.ends_with(".json") && (folder == "conda-meta" || folder.ends_with("/conda-meta"))
}

#[derive(Deserialize)]
struct Record {
    name: String,
    version: String,
    #[serde(default)]
    license: Option<String>,
    #[serde(default)]
    files: Vec<String>,
}

fn parse(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let record: Record = serde_json::from_str(&file.text()).map_err(|error| ParseError(error.to_string()))?;
    let root = file.folder().strip_suffix("conda-meta").unwrap_or("").trim_end_matches('/');
    let mut room = Room::default();
    let mut files: Vec<String> = record.files.iter().map_while(|path| room.join(root, path)).collect();
    if files.len() < record.files.len() {
        findings.without_files(&mut files);
    }
    files.sort_unstable();
    files.dedup();
    findings.add(Package {
        licences: record.license.filter(|licence| !licence.is_empty()).into_iter().collect(),
        files,
        ..Package::new(PackageKind::Conda, record.name, record.version, file.path)
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{parse as read, shown};
    use super::*;

    #[test]
    fn records_name_their_files() {
        let text = r#"{"name":"zlib","version":"1.2.13","build":"h5eee18b_0","license":"Zlib",
            "files":["lib/libz.so.1","include/zlib.h","../../etc/x"]}"#;
        let found = read(&INSTALLED, "opt/conda/conda-meta/zlib-1.2.13-h5eee18b_0.json", text);
        assert_eq!(shown(&found), ["zlib@1.2.13"]);
        assert_eq!(found.packages[0].licences, ["Zlib"]);
        assert!(found.packages[0].files.contains(&"opt/conda/lib/libz.so.1".to_owned()));
        assert!(!is_installed("opt/conda/conda-meta/history"));
    }
}
