//! What a second look at the entries is for: what only turned out when all of them had passed by.

use std::collections::BTreeSet;
use std::io;

use super::Collector;
use crate::Problem;
use crate::archive::{ByteSource, Entry, EntryKind};
use crate::cataloger;
use crate::layer::KEPT;

/// Changes that wait beside a database.
pub(super) struct Journal {
    path: String,
    bytes: Vec<u8>,
    /// Whether they were read with it.
    is_read: bool,
}

/// Another name of a file, which is read under it.
pub(super) struct HardLink {
    pub(super) target: String,
    /// Of its entry. It is of the file that was there by then.
    pub(super) number: u64,
    /// How often it was read.
    pub(super) looks: u32,
}

/// Entries of one name that are read under another one: an archive has one of each, and one that has thousands of both has no room
/// to make it slow.
const MOST_LOOKS: u32 = 8;

impl Collector<'_> {
    /// Whether the entries have to be shown once more, from the first on.
    pub(crate) fn needs_second_pass(&self) -> bool {
        !self.hard_links.is_empty() || !self.executables.is_empty() || !self.journals.is_empty()
    }

    /// From now on entries are shown for the second time.
    pub(crate) fn start_second_pass(&mut self) {
        self.second_pass = true;
        self.number = 0;
        for (name, link) in &self.hard_links {
            self.linked.entry(link.target.clone()).or_default().push(name.clone());
        }
        self.linked.values_mut().for_each(|names| names.sort_unstable());
    }

    /// Keeps the changes that wait beside a database until that is met once more.
    pub(super) fn journal(
        &mut self,
        path: &str,
        database: &str,
        size: u64,
        body: &mut dyn ByteSource,
    ) -> io::Result<()> {
        if size > 0
            && let Some((bytes, _holding)) = self.content(path, size, self.limits.max_database_bytes, body)?
        {
            self.kept += bytes.len() as u64;
            self.journals.insert(database.to_owned(), Journal { path: path.to_owned(), bytes, is_read: false });
        }
        Ok(())
    }

    /// Takes an entry for the second time.
    pub(super) fn look_again(&mut self, entry: &Entry, body: &mut dyn ByteSource) -> io::Result<()> {
        let path = self.folders.resolve(&self.links, &entry.path).into_owned();
        if entry.kind != EntryKind::File {
            return Ok(());
        }
        let names = self.names_to_read(&path);
        // Of several entries of a name the last counts. A tree has one of each, which may come later or sooner by now.
        let is_it = |number: &u64| self.is_tree || *number == self.number;
        let is_executable = self.executables.get(&path).is_some_and(is_it);
        if is_executable {
            self.executables.remove(&path);
        }
        if is_executable || !names.is_empty() {
            let of_itself = is_executable.then_some(self.limits.max_executable_bytes);
            let most = names.iter().map(|name| self.most_bytes_of(name)).chain(of_itself).max().unwrap_or(0);
            let Some((bytes, _holding)) = self.content(&path, entry.size, most, body)? else { return Ok(()) };
            if is_executable {
                self.whole_executable(&path, &bytes);
            }
            for name in &names {
                self.look_again_as(name, &bytes)?;
            }
        } else if self.journals.contains_key(&path) {
            self.with_journal(&path, entry.size, body)?;
        }
        Ok(())
    }

    /// The names under which the entry at hand is to be read: those of hard links that come after it.
    fn names_to_read(&mut self, target: &str) -> Vec<String> {
        let Some(names) = self.linked.get(target) else { return Vec::new() };
        let (is_tree, number) = (self.is_tree, self.number);
        let (mut wanted, mut too_often) = (Vec::new(), Vec::new());
        for name in names {
            // A tree has one of each, in any order.
            let Some(link) = self.hard_links.get_mut(name).filter(|link| is_tree || link.number > number) else {
                continue;
            };
            link.looks += 1;
            if link.looks <= MOST_LOOKS { wanted.push(name.clone()) } else { too_often.push(name.clone()) }
        }
        for name in too_often {
            self.forget(&name);
            self.problem(
                &name,
                format!("it is a hard link to a file that stands more than {MOST_LOOKS} times in the layer"),
            );
        }
        wanted
    }

    /// Reads a file under another of its names.
    fn look_again_as(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // An entry before may have been another file.
        self.forget(name);
        match cataloger::wanting(name) {
            Some(cataloger) => self.run(cataloger, name, bytes),
            None if self.inspect(name, bytes.len() as u64, &mut { bytes })? => self.whole_executable(name, bytes),
            None => {}
        }
        // All names of one file are read at one entry, after which the budget is asked.
        if self.kept > self.limits.max_inventory_bytes {
            return Err(io::Error::other(format!("more than {} {KEPT}", self.limits.max_inventory_bytes)));
        }
        Ok(())
    }

    /// Reads a database once more, now with the changes that wait beside it. What was found without them in the first look only
    /// counts where that fails, for whatever reason.
    fn with_journal(&mut self, path: &str, size: u64, body: &mut dyn ByteSource) -> io::Result<()> {
        let content = self.content(path, size, self.limits.max_database_bytes, body)?;
        let (Some((bytes, _holding)), Some(mut journal)) = (content, self.journals.remove(path)) else { return Ok(()) };
        let packages = self.packages.remove(path);
        let (own, others): (BTreeSet<Problem>, _) =
            std::mem::take(&mut self.problems).into_iter().partition(|problem| problem.path == path);
        self.problems = others;
        let with_it = &journal.bytes;
        if !self.run_parser("rpm", |file, found| cataloger::parse_with_journal(file, with_it, found), path, &bytes) {
            self.packages.extend(packages.map(|packages| (path.to_owned(), packages)));
            self.problems.extend(own);
        }
        journal.is_read = true;
        self.journals.insert(path.to_owned(), journal);
        Ok(())
    }

    /// Reads an executable that is held whole.
    fn whole_executable(&mut self, path: &str, bytes: &[u8]) {
        let _unpacked = self.hold_unpacked(|limits| cataloger::unpacked_bytes_of_executable(bytes, limits));
        for executable in cataloger::EXECUTABLES {
            self.run_parser(executable.name, executable.parse_whole, path, bytes);
        }
    }

    fn most_bytes_of(&self, name: &str) -> u64 {
        cataloger::wanting(name).map_or(self.limits.max_executable_bytes, |cataloger| self.most_bytes(cataloger))
    }

    /// Says of what needed a second look that it had none.
    pub(super) fn tell_what_was_not_read(&mut self) {
        for (name, link) in std::mem::take(&mut self.hard_links) {
            if link.looks == 0 {
                self.problem(&name, "it is a hard link to a file that this layer does not contain");
            }
        }
        for path in std::mem::take(&mut self.executables).into_keys() {
            self.problem(&path, "it has to be read whole and could not be");
        }
        for journal in std::mem::take(&mut self.journals).into_values().filter(|journal| !journal.is_read) {
            if let Some(unread) = cataloger::unread_journal(journal.bytes.len() as u64) {
                self.problem(&journal.path, unread);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use stella_domain::Digest;

    use super::*;
    use crate::layer::Budget;
    use crate::limits::Limits;

    /// A file of so many bytes as an archive has it.
    fn file(path: &str, bytes: &[u8]) -> Entry {
        let (path, size) = (path.to_owned(), bytes.len() as u64);
        Entry { path, kind: EntryKind::File, link: String::new(), size, mode: 0o755, utf8: true, offset: 0 }
    }

    #[test]
    fn what_is_unpacked_from_an_executable_waits_for_room() {
        const PATH: &str = "usr/bin/tool";
        let limits = Limits::default();
        let held = Budget::new(&limits).held();
        // What ends an archive of PyInstaller, and none before it.
        let bytes = [&b"\x7fELF"[..], b"MEI\x0c\x0b\x0a\x0b\x0e"].concat();
        let (said, heard) = mpsc::channel();
        std::thread::scope(|scope| {
            let all = held.hold_unpacked(u64::MAX);
            scope.spawn(|| {
                let mut collector = Collector::new(&limits).beside_others(held.clone());
                collector.executables.insert(PATH.to_owned(), 1);
                collector.start_second_pass();
                collector.entry(&file(PATH, &bytes), &mut &bytes[..]).unwrap();
                said.send(collector.finish(Digest::of("layer")).problems.len()).unwrap();
            });
            assert!(heard.recv_timeout(Duration::from_millis(500)).is_err(), "it does not wait");
            drop(all);
            assert_eq!(heard.recv_timeout(Duration::from_secs(30)), Ok(1), "it is damaged");
        });
    }
}
