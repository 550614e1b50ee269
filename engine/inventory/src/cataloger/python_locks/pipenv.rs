//! `Pipfile.lock` (Pipenv): what is needed other than for development.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::{Cataloger, Findings, ParseError, SourceFile};
use super::{file_name, found, sort};

/// `Pipfile.lock`.
pub(in crate::cataloger) const LOCK: Cataloger =
    Cataloger { name: "pipenv-lock", wants: |path| file_name(path) == "Pipfile.lock", parse, is_database: true };

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    default: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    version: Option<String>,
}

fn parse(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let lock: Lock = serde_json::from_str(&file.text()).map_err(|error| ParseError(error.to_string()))?;
    for (name, entry) in &lock.default {
        if let Some(version) = entry.version.as_deref().and_then(|version| version.strip_prefix("==")) {
            found(file, findings, name, version.trim_start_matches('='));
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
    fn development_is_left_out() {
        let text = r#"{"_meta":{"pipfile-spec":6},"default":{"Requests":{"hashes":[],"version":"==2.26.0"},
            "vcs":{"git":"https://x/y","ref":"abc"}},"develop":{"pytest":{"version":"==7.0.0"}}}"#;
        assert_eq!(shown(&read(&LOCK, "app/Pipfile.lock", text)), ["requests@2.26.0"]);
    }
}
