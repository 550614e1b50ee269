//! `bun.lock`: JSON with comments and trailing commas.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use serde::Deserialize;
use serde_json::Value;

use super::super::{Cataloger, Findings, ParseError, SourceFile};
use super::{found, is_lock, sort, split_at_version};

/// `bun.lock`.
pub(in crate::cataloger) const LOCK: Cataloger =
    Cataloger { name: "bun-lock", wants: |path| is_lock(path, "bun.lock"), parse, is_database: true };

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    packages: BTreeMap<String, Vec<Value>>,
}

fn parse(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let lock: Lock = serde_json::from_str(&plain_json(&file.text())).map_err(|e| ParseError(e.to_string()))?;
    for resolved in lock.packages.values().filter_map(|entry| entry.first()?.as_str()) {
        if let Some((name, version)) = split_at_version(resolved) {
            found(file, findings, name, version);
        }
    }
    sort(findings);
    Ok(())
}

/// Without comments and without commas before a closing bracket.
fn plain_json(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut comma = false;
    while let Some(character) = rest.next() {
        match character {
            '/' if rest.peek() == Some(&'/') => while rest.next_if(|c| *c != '\n').is_some() {},
            '/' if rest.peek() == Some(&'*') => {
                let mut last = ' ';
                rest.next();
                for next in rest.by_ref() {
                    if last == '*' && next == '/' {
                        break;
                    }
                    last = next;
                }
            }
            ',' => {
                if std::mem::replace(&mut comma, true) {
                    plain.push(',');
                }
            }
            character if character.is_whitespace() => plain.push(character),
            character => {
                if std::mem::take(&mut comma) && !matches!(character, '}' | ']') {
                    plain.push(',');
                }
                plain.push(character);
                if character == '"' {
                    take_string(&mut rest, &mut plain);
                }
            }
        }
    }
    plain
}

/// Copies a string up to its closing quote.
fn take_string(rest: &mut Peekable<Chars<'_>>, plain: &mut String) {
    let mut escaped = false;
    for inner in rest.by_ref() {
        plain.push(inner);
        if inner == '"' && !escaped {
            return;
        }
        escaped = inner == '\\' && !escaped;
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{parse as read, shown};
    use super::*;

    #[test]
    fn packages_of_bun() {
        let text = "{\n  // made by bun\n  \"lockfileVersion\": 1,\n  \"workspaces\": {\"\": {\"name\": \"app, /* \\\" */\",},},\n  \
            \"packages\": {\n    \"@s/b\": [\"@s/b@2.0.0\", \"\", {}, \"sha512-x\"],\n    \
            \"a\": [\"a@1.0.0\", \"\", { \"dependencies\": { \"b\": \"^1\", }, }, \"sha512-x\"],\n    \
            \"w\": [\"w@workspace:packages/w\"],\n  },\n}\n";
        assert_eq!(shown(&read(&LOCK, "app/bun.lock", text)), ["@s/b@2.0.0", "a@1.0.0"]);
    }
}
