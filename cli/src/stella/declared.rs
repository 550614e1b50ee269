//! Where the packages of a scanned folder are declared, as somebody finds it who has the checkout before them.
//!
//! Inventories have the file and no line: parsers of locks do not tell where a value stood. So the lock is looked into once more, as
//! text, for the name with the version at it or shortly behind.

use std::collections::BTreeMap;
use std::path::Path;

use stella_api::finding::Finding;
use stella_inventory::cataloger::is_lock_file;

use super::subject::Kind;
use crate::render::Place;

/// Longest lock that is looked into, in bytes.
const MAX_BYTES: u64 = 4 << 20;
/// Lines, with that of the name, in which its version may stand: NuGet has two lines between them.
const NEAR_LINES: usize = 4;
/// Bytes of those lines at most.
const NEAR_BYTES: usize = 1000;

/// The place of each finding by its id, where `target` is a folder: below the folder `stella` was started in, if it lies there. What is
/// not found in a lock, or lies in another file, is at line 1.
pub(super) fn declared(target: &str, started_in: Option<&Path>, findings: &[Finding]) -> BTreeMap<String, Place> {
    let root = Path::new(target);
    if !matches!(Kind::of(root), Ok(Kind::Root)) {
        return BTreeMap::new();
    }
    let below = below(root, started_in).unwrap_or_default();
    let mut locks: BTreeMap<&str, Option<Lock>> = BTreeMap::new();
    let mut places = BTreeMap::new();
    for finding in findings.iter().filter(|finding| !finding.location.path.is_empty()) {
        let path = finding.location.path.as_str();
        let lock = locks.entry(path).or_insert_with(|| Lock::read(root, path));
        let package = &finding.package;
        let line = lock.as_ref().and_then(|lock| lock.line_of(&package.name, &package.version)).unwrap_or(1);
        places.insert(finding.finding_id.clone(), Place { path: format!("{below}{path}"), line });
    }
    places
}

/// How paths of the folder `root` begin in the folder `top`; `None` outside of it.
fn below(root: &Path, top: Option<&Path>) -> Option<String> {
    let (root, top) = (root.canonicalize().ok()?, top?.canonicalize().ok()?);
    let below = root.strip_prefix(top).ok()?.to_str()?;
    Some(if below.is_empty() { String::new() } else { format!("{below}/") })
}

/// The text of a lock, spelled as [`spelled`] does.
struct Lock(String);

impl Lock {
    fn read(root: &Path, path: &str) -> Option<Self> {
        if !is_lock_file(path) {
            return None;
        }
        let file = root.join(path);
        let about = file.symlink_metadata().ok()?;
        if !about.is_file() || about.len() > MAX_BYTES {
            return None;
        }
        Some(Self(spelled(&std::fs::read_to_string(file).ok()?)))
    }

    /// The first line, counted from 1, with this name and this version at it; else the first with the name.
    fn line_of(&self, name: &str, version: &str) -> Option<usize> {
        let (name, version) = (spelled(name), spelled(version));
        let version = version.strip_prefix('v').unwrap_or(&version);
        // Maven's own files have group and artifact apart.
        let artifact = name.rsplit_once(':').map(|(_, artifact)| artifact);
        let at = self.place_of(&name, version).or_else(|| self.place_of(artifact?, version))?;
        Some(1 + self.0[..at].bytes().filter(|byte| *byte == b'\n').count())
    }

    fn place_of(&self, name: &str, version: &str) -> Option<usize> {
        if name.is_empty() {
            return None;
        }
        let mut first = None;
        for (at, _) in self.0.match_indices(name) {
            let (before, behind) = (&self.0[..at], &self.0[at + name.len()..]);
            if !is_name_between(before, behind) {
                continue;
            }
            let cut = (NEAR_BYTES..NEAR_BYTES + 4).find_map(|end| behind.get(..end)).unwrap_or(behind);
            // What follows the name when it comes again is the version of that.
            let cut = cut.find(name).map_or(cut, |next| &cut[..next]);
            if cut.split('\n').take(NEAR_LINES).any(|line| has_version(line, version)) {
                return Some(at);
            }
            first = first.or(Some(at));
        }
        first
    }
}

/// In lower case and with hyphens for `_` and `.`, which Python's names may have for each other.
fn spelled(text: &str) -> String {
    text.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// Whether a letter, digit or hyphen of [`spelled`] text.
fn is_part(character: char) -> bool {
    character.is_alphanumeric() || character == '-'
}

/// Whether what stands between is a name of its own, not a part of another or what follows a scope (`@scope/name`).
fn is_name_between(before: &str, behind: &str) -> bool {
    let starts = match before.strip_suffix('/') {
        Some(folder) => folder.ends_with("node-modules") || !folder.ends_with(is_part),
        None => !before.ends_with(is_part) && !before.ends_with('@'),
    };
    starts && !behind.starts_with(is_part)
}

fn has_version(line: &str, version: &str) -> bool {
    !version.is_empty()
        && line.match_indices(version).any(|(at, _)| {
            let before = &line[..at];
            !before.strip_suffix('v').unwrap_or(before).ends_with(is_part)
                && !line[at + version.len()..].starts_with(is_part)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, name: &str, version: &str) -> Option<usize> {
        Lock(spelled(text)).line_of(name, version)
    }

    #[test]
    fn names_stand_with_their_versions_in_locks_of_every_kind() {
        let npm = "{\n\"packages\": {\n\"node_modules/@s/ms\": {\n\"version\": \"2.0.0\"\n},\n\"node_modules/ms\": {\n\"version\": \"2.0.0\"\n}\n}\n}";
        let poetry = "[[package]]\nname = \"zope-interface\"\nversion = \"5.4.0\"\n\n[[package]]\nname = \"Django\"\nversion = \"3.2.10\"\n";
        let nuget = "{\n\"net8.0\": {\n\"A.B\": {\n\"type\": \"Direct\",\n\"requested\": \"[1.2.3, )\",\n\"resolved\": \"1.2.4\"\n";
        for (text, name, version, expected) in [
            (npm, "ms", "2.0.0", 6),
            (npm, "@s/ms", "2.0.0", 3),
            (poetry, "zope.interface", "5.4.0", 2),
            (poetry, "django", "3.2.10", 6),
            (nuget, "A.B", "1.2.4", 3),
            ("a==1.0\ndjango==3.2.1\ndjango==3.2.10 \\\n", "django", "3.2.10", 3),
            ("django-x==3.2\nx-django==3.2\ndjango>=3\n", "django", "3.2", 3),
            ("# comment\norg.example:lib:1.0=runtimeClasspath\n", "org.example:lib", "1.0", 2),
            ("<groupId>g</groupId>\n<artifactId>lib</artifactId>\n<version>1</version>\n", "g:lib", "1", 2),
            ("require (\n\tgolang.org/x/net v0.7.0\n)\n", "golang.org/x/net", "v0.7.0", 2),
            ("GEM\n  specs:\n    rack-test (1.0)\n    rack (2.2.22)\n", "rack", "2.2.22", 4),
            ("packages:\n\n  /ms@2.0.0:\n    x: y\n", "ms", "2.0.0", 3),
        ] {
            assert_eq!(line(text, name, version), Some(expected), "{name} {version} in {text}");
        }
        assert_eq!(line(poetry, "flask", "1"), None);
        assert_eq!(line("", "", ""), None);
    }

    #[test]
    fn long_lines_and_letters_of_several_bytes_are_cut_between_letters() {
        let text = format!("a {}1.0\na 1.0", "é".repeat(NEAR_BYTES));
        assert_eq!(line(&text, "a", "1.0"), Some(2));
    }
}
