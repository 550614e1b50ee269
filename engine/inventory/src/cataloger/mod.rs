//! Catalogers: each knows the files of one ecosystem and what packages they declare.
//!
//! A cataloger is a name, a predicate over paths and a pure parser. Walking, opening and limiting is done for it;
//! what it cannot read becomes a problem of the inventory and fails nothing else.

mod apk;
mod compiled;
mod conda;
mod copyright;
mod dotnet;
mod dpkg;
mod elf;
mod evidence;
mod golang;
#[cfg(test)]
mod hostile;
mod interpreter;
mod java;
mod javascript;
mod npm;
mod os_release;
mod php;
mod pyinstaller;
mod python;
mod python_locks;
mod rpm;
mod ruby;
mod rust;
mod toml_lock;
mod unpacking;
mod yaml;

use std::collections::{BTreeMap, HashSet};
use std::io;

pub use evidence::Evidence;
pub(crate) use java::UNNAMED;
pub(crate) use os_release::rank as os_release_rank;
pub(crate) use python::normalise_name as normalise_python_name;

use crate::archive::{ByteSource, join};
use crate::limits::Limits;
use crate::{OsRelease, Package, PackageKind};

/// A file as a cataloger sees it.
#[derive(Debug, Clone, Copy)]
pub struct SourceFile<'a> {
    /// Path relative to the root.
    pub path: &'a str,
    /// The whole content.
    pub bytes: &'a [u8],
}

impl SourceFile<'_> {
    /// The folder it lies in.
    fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The content as text; what is not UTF-8 is replaced.
    fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(self.bytes))
    }
}

/// What a cataloger found in one file, and within which limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Packages it declares.
    pub packages: Vec<Package>,
    /// Files it lists, one a line, relative to the root.
    pub file_list: Option<String>,
    /// Licences of a package that another file declares.
    pub licences: Vec<String>,
    /// The distribution it names.
    pub os: Option<OsRelease>,
    /// Parts that could not be read.
    pub problems: Vec<String>,
    limits: Limits,
    held: u64,
    is_full: bool,
    lacks_files: bool,
}

impl Findings {
    /// Nothing yet, to be found within these limits.
    pub(crate) fn within(limits: &Limits) -> Self {
        Self { limits: *limits, ..Self::default() }
    }

    /// Takes a package, up to [`Limits::PACKAGES_PER_FILE`] and [`Limits::PACKAGE_BYTES_PER_FILE`]; that there were
    /// more is a problem.
    fn add(&mut self, package: Package) {
        self.held = self.held.saturating_add(package.held_bytes());
        let has_room = self.held <= Limits::PACKAGE_BYTES_PER_FILE as u64;
        if has_room && self.packages.len() < Limits::PACKAGES_PER_FILE {
            self.packages.push(package);
        } else {
            self.full();
        }
    }

    /// What follows is left out, and that is a problem.
    fn full(&mut self) {
        if !std::mem::replace(&mut self.is_full, true) {
            self.problems.push(TOO_MANY.to_owned());
        }
    }

    /// A package is kept without its files rather than with some: what is not listed would count as not used.
    fn without_files(&mut self, files: &mut Vec<String>) {
        files.clear();
        if !std::mem::replace(&mut self.lacks_files, true) {
            self.problems.push(TOO_MANY_FILES.to_owned());
        }
    }

    /// Takes a problem, up to [`PROBLEMS`].
    fn problem(&mut self, message: String) {
        if self.problems.len() < PROBLEMS {
            self.problems.push(message);
        }
    }
}

/// Problems of one file that are told; a damaged one may have as many as lines.
const PROBLEMS: usize = 1000;

/// Bytes that the paths of one file may still take together: a long folder and many short names make many long paths. Half of
/// what its packages may take, so that they have room without their files.
struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(Limits::PACKAGE_BYTES_PER_FILE / 2)
    }
}

impl Room {
    /// `name` below `folder`, unless that is too much.
    fn join(&mut self, folder: &str, name: &str) -> Option<String> {
        self.0 = self.0.checked_sub(folder.len() + name.len() + size_of::<String>() + 1)?;
        Some(join(folder, name))
    }
}

const TOO_MANY: &str = "it declares more packages than one file may; the rest is left out";
const TOO_MANY_FILES: &str = "it lists more files than one file may; packages are kept without theirs";

/// Why a file could not be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub String);

/// The pure part of a cataloger.
pub type Parse = fn(&SourceFile<'_>, &mut Findings) -> Result<(), ParseError>;

/// Reads files that their path gives away.
#[derive(Debug, Clone, Copy)]
pub struct Cataloger {
    /// Name, for problems.
    pub name: &'static str,
    /// Whether it reads the file of this path.
    pub wants: fn(&str) -> bool,
    /// Reads it.
    pub parse: Parse,
    /// Whether the file is a database of many packages, which an upper layer replaces as a whole.
    pub is_database: bool,
}

/// What an executable turned out to be.
#[derive(Debug)]
pub enum Executable {
    /// Nothing this cataloger knows.
    Foreign,
    /// One that has to be held whole to be understood.
    Whole,
    /// Understood while it passed by.
    Understood(Findings),
    /// One it should know, but damaged.
    Broken(String),
}

/// Reads executables, which their content gives away.
#[derive(Debug, Clone, Copy)]
pub struct ExecutableCataloger {
    /// Name, for problems.
    pub name: &'static str,
    /// Looks at a file of this path and size as it passes by.
    pub inspect: fn(&str, &mut dyn ByteSource, u64, &Limits) -> io::Result<Executable>,
    /// Reads a whole one.
    pub parse_whole: Parse,
}

/// Every cataloger of files that tell what is there; the first that wants a path gets it.
pub const NAMED: &[Cataloger] = &[
    dpkg::STATUS,
    dpkg::FILES,
    copyright::COPYRIGHT,
    apk::INSTALLED,
    rpm::PACKAGES,
    rpm::JOURNAL,
    npm::INSTALLED,
    python::METADATA,
    python::FILES,
    os_release::OS_RELEASE,
    os_release::OLDER,
    java::ARCHIVE,
    java::UNPACKED,
    conda::INSTALLED,
    ruby::INSTALLED,
    php::INSTALLED,
    dotnet::PUBLISHED,
];

/// Every cataloger of files that say what is needed, installed or not.
pub const LOCKS: &[Cataloger] = &[
    npm::LOCK,
    javascript::YARN_LOCK,
    javascript::PNPM_LOCK,
    javascript::BUN_LOCK,
    javascript::BUN_BINARY_LOCK,
    python_locks::REQUIREMENTS,
    python_locks::POETRY_LOCK,
    python_locks::PDM_LOCK,
    python_locks::UV_LOCK,
    python_locks::PYLOCK,
    python_locks::PIPENV_LOCK,
    golang::MODULE,
    rust::LOCK,
    ruby::LOCK,
    php::LOCK,
    dotnet::LOCK,
    dotnet::ASSETS,
    java::GRADLE,
    java::PROJECT,
];

/// Every cataloger of executables.
pub const EXECUTABLES: &[ExecutableCataloger] = &[compiled::COMPILED];

/// The cataloger that reads the file of this path.
#[must_use]
pub fn wanting(path: &str) -> Option<&'static Cataloger> {
    NAMED.iter().chain(LOCKS).find(|cataloger| (cataloger.wants)(path))
}

/// The database whose latest changes are in the journal at this path, if it is one that can be read with its database.
pub(crate) fn database_of(journal: &str) -> Option<&str> {
    rpm::database_of(journal)
}

/// Reads a database together with the journal beside it. Where that fails nothing is found.
pub(crate) fn parse_with_journal<'a>(
    file: &SourceFile<'a>,
    journal: &'a [u8],
    findings: &mut Findings,
) -> Result<(), ParseError> {
    rpm::parse_with_journal(file, journal, findings)
}

/// What is said of a journal of so many bytes whose database is not beside it.
pub(crate) fn unread_journal(size: u64) -> Option<String> {
    rpm::unread_journal(size)
}

/// Whether a file of this path is a lock: of what is asked for, not of what is there.
#[must_use]
pub fn is_lock_file(path: &str) -> bool {
    LOCKS.iter().any(|lock| (lock.wants)(path))
}

/// Whether it reads what is asked for and not what is there.
pub(crate) fn is_lock(cataloger: &Cataloger) -> bool {
    LOCKS.iter().any(|lock| lock.name == cataloger.name)
}

/// Bytes that a cataloger may unpack from such a file and hold at once, at most.
pub(crate) fn unpacked_bytes(cataloger: &Cataloger, bytes: &[u8], limits: &Limits) -> u64 {
    if cataloger.name == java::ARCHIVE.name { java::unpacked_bytes(bytes, limits) } else { 0 }
}

/// The same from an executable that is held whole.
pub(crate) fn unpacked_bytes_of_executable(bytes: &[u8], limits: &Limits) -> u64 {
    if pyinstaller::is_in(bytes) { limits.max_archive_entry_bytes } else { 0 }
}

/// Where the files of a package are listed, best place first.
pub(crate) fn file_lists_of(package: &Package) -> Vec<String> {
    match package.kind {
        PackageKind::Deb => dpkg::file_lists_of(package),
        PackageKind::Pypi => python::file_lists_of(package),
        _ => Vec::new(),
    }
}

/// Where the licences of a package are told, if not where it is declared.
pub(crate) fn licences_of(package: &Package) -> Option<String> {
    (package.kind == PackageKind::Deb).then(|| copyright::place_of(package))
}

/// The file of the image that declares the package, which for an archive within archives is the outermost.
pub(crate) fn declaring_file(package: &Package) -> &str {
    let path = package.path.as_str();
    if package.kind != PackageKind::Maven && package.sha1.is_none() {
        return path;
    }
    // Servers unpack archives into folders that are called like them: what was found in an archive names it as its file.
    match package.files.as_slice() {
        [file] if path.strip_prefix(&**file).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) => file,
        [folder] if folder.ends_with('/') && path.starts_with(&**folder) => path,
        _ if is_lock_file(path) => path,
        _ => java::outermost(path),
    }
}

/// Whether the names of two files give away the same interpreter, or both none.
pub(crate) fn are_called_alike(path: &str, other: &str) -> bool {
    interpreter::Interpreter::by_name(path) == interpreter::Interpreter::by_name(other)
}

/// The list that says more than this one where both are there.
pub(crate) fn fuller_list_of(path: &str) -> Option<String> {
    path.strip_suffix(".md5sums").map(|stem| format!("{stem}.list"))
}

/// Takes lists out that say less than another one of the same layer. What is left of each is what it leaves out of the other, one
/// a line; one that has something of its own stays.
pub(crate) fn take_lesser_lists(lists: &mut BTreeMap<String, String>) -> BTreeMap<String, String> {
    let left_out = |(path, lesser): (&String, &String)| {
        let fuller = lists.get(&fuller_list_of(path)?)?;
        let (own, all): (HashSet<&str>, HashSet<&str>) = (lesser.lines().collect(), fuller.lines().collect());
        let missing: Vec<&str> = fuller.lines().filter(|file| !own.contains(file)).collect();
        own.is_subset(&all).then(|| (path.clone(), missing.join("\n")))
    };
    let taken: BTreeMap<String, String> = lists.iter().filter_map(left_out).collect();
    lists.retain(|path, _| !taken.contains_key(path));
    taken
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) fn parse(cataloger: &Cataloger, path: &str, text: &str) -> Findings {
        assert!((cataloger.wants)(path), "{} does not want {path}", cataloger.name);
        let mut findings = Findings::default();
        (cataloger.parse)(&SourceFile { path, bytes: text.as_bytes() }, &mut findings).unwrap();
        findings
    }

    pub(super) fn shown(findings: &Findings) -> Vec<String> {
        findings.packages.iter().map(|package| format!("{}@{}", package.name, package.version)).collect()
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> =
            NAMED.iter().chain(LOCKS).map(|c| c.name).chain(EXECUTABLES.iter().map(|c| c.name)).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn near_misses_are_not_wanted() {
        for path in [
            "var/lib/dpkg/status-old",
            "var/lib/dpkg/status.d",
            "var/lib/dpkg/info/x.postinst",
            "srv/var/lib/dpkg/status",
            "lib/apk/db/installed.bak",
            "node_modules/package.json",
            "app/package.json",
            "app/node_modules/a/lib/package.json",
            "app/node_modules/@scope/package.json",
            "app/node_modules/a/package-lock.json",
            "METADATA",
            "x.dist-info/metadata",
            "x.egg-info/RECORD",
            "opt/etc/os-release",
        ] {
            assert!(wanting(path).is_none(), "{path}");
        }
    }

    #[test]
    fn a_folder_called_like_an_archive_declares_nothing() {
        let found = |path: &str, files: &[&str]| {
            let files = files.iter().map(|file| (*file).to_owned()).collect();
            let package = Package { files, ..Package::new(PackageKind::Maven, "g:a", "1", path) };
            declaring_file(&package).to_owned()
        };
        let properties = "META-INF/maven/g/a/pom.properties";
        let unpacked = format!("srv/app.war/{properties}");
        assert_eq!(found(&unpacked, &["srv/app.war"]), "srv/app.war");
        assert_eq!(found(&unpacked, &["srv/app.war/"]), unpacked);
        assert_eq!(found(&unpacked, &[]), "srv/app.war", "as documents have it");
        let library = "srv/app.war/WEB-INF/lib/a.jar";
        assert_eq!(found(&format!("{library}/{properties}"), &[library]), library);
        assert_eq!(found(&format!("{library}/{properties}"), &["srv/app.war"]), "srv/app.war");
        assert_eq!(found("srv/app.war/gradle.lockfile", &[]), "srv/app.war/gradle.lockfile");
    }

    #[test]
    fn md5sums_give_way_to_lists_that_have_all_of_them() {
        let lists = [
            ("i/a.list", "etc/a\nusr/a\nusr/b"),
            ("i/a.md5sums", "usr/b\nusr/a"),
            ("i/b.md5sums", "usr/c"),
            ("i/c.list", "usr/d"),
            ("i/c.md5sums", "usr/e"),
            ("i/d.list", "usr/f"),
            ("i/d.md5sums", "usr/f"),
        ];
        let mut lists: BTreeMap<String, String> = lists.map(|(path, files)| (path.to_owned(), files.to_owned())).into();
        let taken = take_lesser_lists(&mut lists);
        assert_eq!(
            lists.into_keys().collect::<Vec<_>>(),
            ["i/a.list", "i/b.md5sums", "i/c.list", "i/c.md5sums", "i/d.list"]
        );
        let taken: Vec<(&str, &str)> = taken.iter().map(|(path, missing)| (&**path, &**missing)).collect();
        assert_eq!(taken, [("i/a.md5sums", "etc/a"), ("i/d.md5sums", "")]);
    }

    proptest! {
        #[test]
        fn no_parser_panics_on_bytes(bytes: Vec<u8>) {
            for cataloger in NAMED.iter().chain(LOCKS) {
                let path = "usr/x.dist-info/METADATA";
                let _ = (cataloger.parse)(&SourceFile { path, bytes: &bytes }, &mut Findings::default());
            }
            for cataloger in EXECUTABLES {
                let _ = (cataloger.parse_whole)(&SourceFile { path: "x", bytes: &bytes }, &mut Findings::default());
                let _ = (cataloger.inspect)("x", &mut &bytes[..], bytes.len() as u64, &Limits::default());
            }
        }

        #[test]
        fn no_parser_panics_on_fields(text in "([A-Za-z]{0,12}:? ?[ -~é]{0,20}\n{1,2}){0,20}") {
            for cataloger in NAMED.iter().chain(LOCKS) {
                let _ = (cataloger.parse)(&SourceFile { path: "a/b/c", bytes: text.as_bytes() }, &mut Findings::default());
            }
        }
    }
}
