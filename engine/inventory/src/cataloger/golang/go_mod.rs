//! `go.mod` (Go Modules Reference, "go.mod files"): what a module requires, with its replacements in force.

use std::collections::BTreeMap;

use super::super::{Cataloger, Findings, ParseError, SourceFile};
use crate::{Package, PackageKind};

/// `go.mod` of a project, not of a module in Go's cache.
pub(in crate::cataloger) const MODULE: Cataloger =
    Cataloger { name: "go-mod", wants: is_module, parse, is_database: true };

fn is_module(path: &str) -> bool {
    (path == "go.mod" || path.ends_with("/go.mod")) && !path.contains("pkg/mod/") && !path.contains("/vendor/")
}

fn parse(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let text = file.text();
    let mut required: Vec<(&str, &str)> = Vec::new();
    let mut replaced: BTreeMap<(&str, &str), Option<(&str, &str)>> = BTreeMap::new();
    let mut block = "";
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or(line).trim();
        let (verb, rest) = match block {
            "" => line.split_once([' ', '\t']).unwrap_or((line, "")),
            _ if line == ")" => {
                block = "";
                continue;
            }
            block => (block, line),
        };
        if rest.trim() == "(" {
            block = verb;
            continue;
        }
        let mut words = rest.split_whitespace().map(|word| word.trim_matches(['"', '`']));
        match verb {
            "require" => required.extend(words.next().zip(words.next())),
            "replace" => {
                let words: Vec<&str> = words.collect();
                let Some(arrow) = words.iter().position(|word| *word == "=>") else { continue };
                let Some(old) = words.first().filter(|_| arrow > 0) else { continue };
                let old_version = if arrow > 1 { words[1] } else { "" };
                let new = words.get(arrow + 1).copied().zip(words.get(arrow + 2).copied());
                replaced.insert((*old, old_version), new);
            }
            _ => {}
        }
    }
    for (path, version) in required {
        let new = replaced.get(&(path, version)).or_else(|| replaced.get(&(path, "")));
        // What is replaced by a folder has no version.
        let Some((path, version)) = new.copied().unwrap_or(Some((path, version))) else { continue };
        if version.starts_with('v') {
            findings.add(Package::new(PackageKind::Golang, path, version, file.path));
        }
    }
    findings.packages.sort_unstable();
    findings.packages.dedup();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{parse as read, shown};
    use super::*;

    #[test]
    fn requirements_and_replacements() {
        let text = "module example.org/app\n\ngo 1.21\n\nrequire golang.org/x/net v0.7.0\nrequire (\n\
            \texample.org/a v1.0.0 // indirect\n\t\"example.org/b\" v2.0.0+incompatible\n\texample.org/c v1.0.0\n\
            \texample.org/d v1.0.0\n)\nexclude example.org/a v0.9.0\nreplace (\n\texample.org/a => ./a\n\
            \texample.org/c v1.0.0 => fork.org/c v1.0.1\n\texample.org/d v0.1.0 => fork.org/d v9.0.0\n)\n";
        assert_eq!(
            shown(&read(&MODULE, "src/go.mod", text)),
            [
                "example.org/b@v2.0.0+incompatible",
                "example.org/d@v1.0.0",
                "fork.org/c@v1.0.1",
                "golang.org/x/net@v0.7.0"
            ]
        );
        assert!(!is_module("root/go/pkg/mod/example.org/a@v1.0.0/go.mod"));
    }
}
