//! The entries of one layer, or of one tree, become a [`LayerInventory`].

mod second_look;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read};

use stella_domain::Digest;

use self::second_look::{HardLink, Journal};
use crate::archive::{ArchiveError, ByteSource, Entry, EntryKind, normalise};
use crate::cataloger::{self, Cataloger, Executable, Findings, SourceFile};
use crate::layer::{Held, Holding};
use crate::limits::Limits;
use crate::links::{FolderCache, Links};
use crate::path_set::PathHash;
use crate::{LayerInventory, OsRelease, Package, Problem};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// Files up to this size, in bytes, wait for no others.
const SMALL: u64 = 1 << 20;
/// Bytes of the smallest program that is looked into without being marked as one. What tells what it was built from takes a page
/// beside its headers.
const PROGRAM: u64 = 4096;
/// What a path costs that only its hash is kept of.
const KEY_BYTES: u64 = 8;
/// What a text costs beside its bytes.
const NODE_BYTES: u64 = 32;

/// Sees every entry once and hands the files that catalogers want to them.
///
/// A second look is needed for what only turns out later: a hard link with a telling name to a file that was
/// passed over, an executable that has to be held whole, under all its names, and a database whose latest changes are in a
/// file beside it.
pub(crate) struct Collector<'l> {
    limits: &'l Limits,
    held: Option<Held>,
    is_tree: bool,
    second_pass: bool,
    /// Of the entry at hand, in this pass.
    number: u64,
    links: Links,
    folders: FolderCache,
    last_folder: String,
    keys: Vec<u64>,
    packages: BTreeMap<String, Vec<Package>>,
    file_lists: BTreeMap<String, String>,
    licences: BTreeMap<String, Vec<String>>,
    os: BTreeMap<String, OsRelease>,
    databases: BTreeSet<String>,
    whiteouts: BTreeSet<String>,
    opaque: BTreeSet<String>,
    problems: BTreeSet<Problem>,
    /// By their names.
    hard_links: HashMap<String, HardLink>,
    /// In the second pass: names of hard links by what they are of.
    linked: HashMap<String, Vec<String>>,
    /// Those that have to be held whole, with the number of their entry.
    executables: HashMap<String, u64>,
    journals: BTreeMap<String, Journal>,
    kept: u64,
}

impl<'l> Collector<'l> {
    /// For the entries of a layer, where `.wh.` names remove.
    pub(crate) fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            held: None,
            is_tree: false,
            second_pass: false,
            number: 0,
            links: Links::default(),
            folders: FolderCache::default(),
            last_folder: String::new(),
            keys: Vec::new(),
            packages: BTreeMap::new(),
            file_lists: BTreeMap::new(),
            licences: BTreeMap::new(),
            os: BTreeMap::new(),
            databases: BTreeSet::new(),
            whiteouts: BTreeSet::new(),
            opaque: BTreeSet::new(),
            problems: BTreeSet::new(),
            hard_links: HashMap::new(),
            linked: HashMap::new(),
            executables: HashMap::new(),
            journals: BTreeMap::new(),
            kept: 0,
        }
    }

    /// For the files of a plain tree, where `.wh.` is a name like any other. Opening every file of a tree is dear, so those are
    /// passed over that are too small for a program, but for those that are executable or named like a library.
    pub(crate) fn for_tree(limits: &'l Limits) -> Self {
        Self { is_tree: true, ..Self::new(limits) }
    }

    /// Other layers are read at the same time, and files read whole wait for each other where they are large.
    pub(crate) fn beside_others(self, held: Held) -> Self {
        Self { held: Some(held), ..self }
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// When its body cannot be read; a body that cannot be understood is a [`Problem`].
    pub(crate) fn entry(&mut self, entry: &Entry, body: &mut dyn ByteSource) -> io::Result<()> {
        self.number += 1;
        if entry.path.is_empty() {
            return Ok(());
        }
        if self.second_pass {
            return self.look_again(entry, body);
        }
        let path = self.folders.resolve(&self.links, &entry.path).into_owned();
        if self.folders.is_exhausted() {
            return Err(io::Error::other(format!("more than {} folders to follow links in", Limits::LINK_LOOKUPS)));
        }
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        self.note_folder(folder);
        if !self.is_tree && name.starts_with(WHITEOUT) {
            return self.whiteout(folder, name);
        }
        self.replace(&path);
        self.kept += KEY_BYTES;
        if !entry.utf8 && cataloger::wanting(&path).is_some() {
            self.problem(&path, "its name is not UTF-8");
        }
        match entry.kind {
            EntryKind::Directory => {
                self.keys.push(PathHash::of(&path).directory());
                return Ok(());
            }
            EntryKind::File => self.file(&path, entry, body)?,
            EntryKind::Sparse if cataloger::wanting(&path).is_some() => self.problem(&path, "it is a sparse file"),
            EntryKind::Symlink => self.symlink(&path, &entry.link),
            EntryKind::HardLink => self.hard_link(&path, &entry.link)?,
            EntryKind::Sparse | EntryKind::Other => {}
        }
        self.keys.push(PathHash::of(&path).file());
        Ok(())
    }

    /// What lower layers have at this path is gone, as an overlay file system marks it.
    pub(crate) fn removed(&mut self, path: &str) {
        if self.second_pass {
            return;
        }
        self.count(&[path]);
        self.whiteouts.insert(path.to_owned());
    }

    /// What lower layers have below this folder is gone, as an overlay file system marks it.
    pub(crate) fn emptied(&mut self, path: &str) {
        if self.second_pass {
            return;
        }
        self.count(&[path]);
        self.opaque.insert(path.to_owned());
    }

    /// Bytes that are kept since the last call.
    pub(crate) fn freshly_kept(&mut self) -> u64 {
        std::mem::take(&mut self.kept)
    }

    fn count(&mut self, texts: &[&str]) {
        self.kept += texts.iter().map(|text| text.len() as u64 + NODE_BYTES).sum::<u64>();
    }

    /// Everything found.
    pub(crate) fn finish(mut self, diff_id: Digest) -> LayerInventory {
        self.tell_what_was_not_read();
        let lesser_lists = cataloger::take_lesser_lists(&mut self.file_lists);
        let os_path = self.os.keys().min_by_key(|path| cataloger::os_release_rank(path)).cloned();
        let os = os_path.as_ref().and_then(|path| self.os.remove(path));
        let mut packages: Vec<Package> = self.packages.into_values().flatten().collect();
        packages.sort_unstable();
        LayerInventory {
            diff_id,
            packages,
            os,
            os_path,
            lesser_os: self.os,
            whiteouts: self.whiteouts.into_iter().collect(),
            opaque: self.opaque.into_iter().collect(),
            databases: self.databases.into_iter().collect(),
            links: self.links.into_map(),
            file_lists: self.file_lists,
            lesser_lists,
            licences: self.licences,
            entries: self.keys.into_iter().collect(),
            problems: self.problems.into_iter().collect(),
        }
    }

    pub(crate) fn problem(&mut self, path: &str, message: impl Into<String>) {
        let message = message.into();
        self.count(&[path, &message]);
        self.problems.insert(Problem { path: path.to_owned(), message });
    }

    /// The folders on the way exist, whether the archive lists them or not.
    fn note_folder(&mut self, folder: &str) {
        if folder == self.last_folder {
            return;
        }
        let shared = shared_components(folder, &self.last_folder);
        let mut hash = PathHash::ROOT;
        let mut start = 0;
        while start < folder.len() {
            let end = folder[start..].find('/').map_or(folder.len(), |at| start + at);
            hash = hash.feed(&folder[start..end]);
            if end > shared {
                self.keys.push(hash.directory());
                self.kept += KEY_BYTES;
            }
            hash = hash.feed("/");
            start = end + 1;
        }
        folder.clone_into(&mut self.last_folder);
    }

    fn whiteout(&mut self, folder: &str, name: &str) -> io::Result<()> {
        if name == OPAQUE {
            self.count(&[folder]);
            self.opaque.insert(folder.to_owned());
            return Ok(());
        }
        match &name[WHITEOUT.len()..] {
            "" | "." | ".." => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "a whiteout that leads out of its folder"))
            }
            // Bookkeeping of aufs; no part of the image (OCI image specification, "Whiteouts", reserves the prefix).
            hidden if hidden.starts_with(WHITEOUT) => Ok(()),
            removed => {
                self.count(&[folder, removed]);
                self.whiteouts.insert(below(folder, removed));
                Ok(())
            }
        }
    }

    /// The last entry of a name is the one that counts.
    fn replace(&mut self, path: &str) {
        if self.links.remove(path) {
            self.folders.clear();
        }
        self.forget(path);
        self.executables.remove(path);
        self.hard_links.remove(path);
        if let Some(database) = cataloger::database_of(path) {
            self.journals.remove(database);
        }
    }

    /// What was found in a file counts no more.
    fn forget(&mut self, path: &str) {
        self.packages.remove(path);
        self.file_lists.remove(path);
        self.licences.remove(path);
        self.os.remove(path);
    }

    fn symlink(&mut self, path: &str, target: &str) {
        if cataloger::wanting(path).is_some_and(|cataloger| cataloger.is_database) {
            self.databases.insert(path.to_owned());
        }
        if !is_library(path) {
            self.count(&[path, target]);
            self.links.insert(path, target);
            self.folders.clear();
        }
    }

    fn hard_link(&mut self, path: &str, target: &str) -> io::Result<()> {
        let target = normalise(target.as_bytes(), self.limits).map_err(|error| match error {
            ArchiveError::Traversal { entry } => {
                io::Error::new(io::ErrorKind::InvalidData, format!("hard link to '{entry}', out of the root"))
            }
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        })?;
        let target = self.folders.resolve(&self.links, &target).into_owned();
        let is_wanted = cataloger::wanting(path).is_some() || !cataloger::are_called_alike(path, &target);
        if is_wanted || self.executables.contains_key(&target) {
            self.count(&[path, &target]);
            self.hard_links.insert(path.to_owned(), HardLink { target, number: self.number, looks: 0 });
        } else if cataloger::wanting(&target).is_none() {
            self.second_name(path, &target);
        }
        Ok(())
    }

    /// A second name of an executable that was understood as it passed by: it says the same under both.
    fn second_name(&mut self, path: &str, target: &str) {
        let Some(packages) = self.packages.get(target) else { return };
        let renamed = |text: &String| if text == target { path.to_owned() } else { text.clone() };
        let mut findings = Findings::within(self.limits);
        findings.packages = packages
            .iter()
            .map(|package| Package {
                path: renamed(&package.path),
                files: package.files.iter().map(renamed).collect(),
                ..package.clone()
            })
            .collect();
        self.keep(path, findings);
    }

    fn file(&mut self, path: &str, entry: &Entry, body: &mut dyn ByteSource) -> io::Result<()> {
        let size = entry.size;
        if let Some(database) = cataloger::database_of(path) {
            return self.journal(path, database, size, body);
        }
        if let Some(cataloger) = cataloger::wanting(path) {
            if let Some((bytes, _holding)) = self.content(path, size, self.most_bytes(cataloger), body)? {
                self.run(cataloger, path, &bytes);
            }
            return Ok(());
        }
        let is_marked = entry.mode & 0o111 != 0 || is_library(path);
        if self.is_tree && size < PROGRAM && !is_marked {
            return Ok(());
        }
        let is_whole = match self.inspect(path, size, body) {
            // In a tree that is in use files are cut short and kept from others. Where nothing speaks for a program, none is missed.
            Err(error)
                if self.is_tree
                    && !is_marked
                    && matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::UnexpectedEof) =>
            {
                false
            }
            outcome => outcome?,
        };
        if is_whole {
            self.count(&[path]);
            self.executables.insert(path.to_owned(), self.number);
        }
        Ok(())
    }

    /// Looks whether a file is an executable that tells what it was built from, and says whether it has to be held whole for
    /// that.
    fn inspect(&mut self, path: &str, size: u64, body: &mut dyn ByteSource) -> io::Result<bool> {
        let mut is_whole = false;
        for executable in cataloger::EXECUTABLES {
            match (executable.inspect)(path, body, size, self.limits)? {
                Executable::Foreign => {}
                Executable::Whole => is_whole = true,
                Executable::Understood(findings) => self.keep(path, findings),
                Executable::Broken(reason) => self.problem(path, reason),
            }
        }
        Ok(is_whole)
    }

    fn most_bytes(&self, cataloger: &Cataloger) -> u64 {
        let is_database = cataloger.is_database && !cataloger::is_lock(cataloger);
        if is_database { self.limits.max_database_bytes } else { self.limits.max_metadata_bytes }
    }

    /// A file, whole, and what counts it as held for as long as it is.
    fn content(
        &mut self,
        path: &str,
        size: u64,
        max: u64,
        body: &mut dyn ByteSource,
    ) -> io::Result<Option<(Vec<u8>, Option<Holding>)>> {
        if size > max {
            self.problem(path, format!("it has {size} bytes, more than the limit of {max}"));
            return Ok(None);
        }
        // Counted twice: as it is, and for what is understood of it.
        let holding = self.held.as_ref().filter(|_| size > SMALL).map(|held| held.hold(2 * size));
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        body.take(max).read_to_end(&mut bytes)?;
        Ok(Some((bytes, holding)))
    }

    /// Counts what may be unpacked at once as held for as long as the result is there.
    fn hold_unpacked(&self, unpacked: impl FnOnce(&Limits) -> u64) -> Option<Holding> {
        let held = self.held.as_ref()?;
        let bytes = unpacked(self.limits);
        (bytes > SMALL).then(|| held.hold_unpacked(bytes))
    }

    fn run(&mut self, cataloger: &Cataloger, path: &str, bytes: &[u8]) {
        if cataloger.is_database {
            self.databases.insert(path.to_owned());
        }
        let _unpacked = self.hold_unpacked(|limits| cataloger::unpacked_bytes(cataloger, bytes, limits));
        self.run_parser(cataloger.name, cataloger.parse, path, bytes);
    }

    /// Keeps what is found, and says whether the file was understood.
    fn run_parser(
        &mut self,
        name: &str,
        parse: impl FnOnce(&SourceFile<'_>, &mut Findings) -> Result<(), cataloger::ParseError>,
        path: &str,
        bytes: &[u8],
    ) -> bool {
        let mut findings = Findings::within(self.limits);
        let file = SourceFile { path, bytes };
        let parsed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| parse(&file, &mut findings)));
        let understood = matches!(parsed, Ok(Ok(())));
        match parsed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.problem(path, format!("{name}: {error}")),
            Err(_) => self.problem(path, format!("{name}: the cataloger failed on it")),
        }
        self.keep(path, findings);
        understood
    }

    fn keep(&mut self, path: &str, findings: Findings) {
        self.count(&[path]);
        self.kept += findings.packages.iter().map(Package::held_bytes).sum::<u64>();
        self.kept += findings.file_list.as_ref().map_or(0, |files| files.len() as u64);
        if !findings.packages.is_empty() {
            self.packages.insert(path.to_owned(), findings.packages);
        }
        if let Some(files) = findings.file_list {
            self.file_lists.insert(path.to_owned(), files);
        }
        if !findings.licences.is_empty() {
            findings.licences.iter().for_each(|licence| self.count(&[licence]));
            self.licences.insert(path.to_owned(), findings.licences);
        }
        if let Some(os) = findings.os {
            self.count(&[&os.id, &os.version, &os.name]);
            os.like.iter().for_each(|like| self.count(&[like]));
            self.os.insert(path.to_owned(), os);
        }
        for message in findings.problems {
            self.problem(path, message);
        }
    }
}

/// Thousands of links are named like this and none leads to a folder.
fn is_library(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    name.ends_with(".so") || name.contains(".so.")
}

fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Bytes of the longest common run of whole components.
fn shared_components(one: &str, other: &str) -> usize {
    let same = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let ends_here = |text: &str| text.len() == same || text.as_bytes()[same] == b'/';
    if ends_here(one) && ends_here(other) {
        return same;
    }
    one.as_bytes()[..same].iter().rposition(|byte| *byte == b'/').unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_folders_end_at_components() {
        assert_eq!(shared_components("a/b/c", "a/b/d"), 3);
        assert_eq!(shared_components("a/b", "a/bc"), 1);
        assert_eq!(shared_components("a/b", "a/b/c"), 3);
        assert_eq!(shared_components("x", "y"), 0);
    }
}
