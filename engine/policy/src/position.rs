//! Where in a text the places stand that issues name by their JSONPath.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::issue::{Issue, Position};

/// Adds line and column to `issues`. JSON is read as YAML, which it is in all but the rarest cases; what cannot
/// be read again keeps its path alone.
pub(crate) fn locate(issues: &mut [Issue], text: &str, options: serde_saphyr::Options) {
    if issues.is_empty() {
        return;
    }
    let Ok(root) = serde_saphyr::from_str_with_options::<Spanned<Tree>>(text, options) else { return };
    for issue in issues {
        issue.position = Some(find(&root, &issue.path));
    }
}

enum Tree {
    Leaf,
    List(Vec<Spanned<Tree>>),
    Map(Vec<(Spanned<String>, Spanned<Tree>)>),
}

/// The position of the deepest part of `path` that exists: of its key, where it is a member.
fn find(root: &Spanned<Tree>, path: &str) -> Position {
    let mut at = position(&root.referenced);
    let mut node = root;
    for step in steps(path) {
        let next = match (&node.value, step) {
            (Tree::List(list), Step::Entry(index)) => list.get(index).map(|entry| (position(&entry.referenced), entry)),
            (Tree::Map(map), Step::Member(name)) => {
                let found = map.iter().find(|(key, _)| key.value == name);
                found.map(|(key, value)| (position(&key.referenced), value))
            }
            _ => None,
        };
        let Some((found, value)) = next else { break };
        (at, node) = (found, value);
    }
    at
}

fn position(location: &serde_saphyr::Location) -> Position {
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Position { line: number(location.line()), column: number(location.column()) }
}

enum Step<'p> {
    Member(&'p str),
    Entry(usize),
}

/// The steps of a path as this crate writes them: `$.rules[0]['odd name']`.
fn steps(path: &str) -> Vec<Step<'_>> {
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            steps.push(Step::Member(&name[..end]));
            rest = &name[end..];
        } else if let Some((name, after)) = rest.strip_prefix("['").and_then(|name| name.split_once("']")) {
            steps.push(Step::Member(name));
            rest = after;
        } else if let Some((index, after)) = rest.strip_prefix('[').and_then(|index| index.split_once(']')) {
            let Ok(index) = index.parse() else { break };
            steps.push(Step::Entry(index));
            rest = after;
        } else {
            break;
        }
    }
    steps
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

macro_rules! leaves {
    ($($visit:ident: $kind:ty),*) => {
        $(fn $visit<E>(self, _: $kind) -> Result<Tree, E> { Ok(Tree::Leaf) })*
    };
}

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    leaves! { visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_i128: i128, visit_u128: u128, visit_f64: f64, visit_str: &str, visit_bytes: &[u8] }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            list.push(entry);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Tree::Map(map))
    }
}
