//! The image's own symbolic links.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::archive::{join, resolve_target};
use crate::limits::Limits;

/// Bytes of a path that links may lead to (`PATH_MAX`): each link on the way could add as many as it has itself.
const MAX_PATH_BYTES: usize = 4096;

/// Links followed before a path counts as a loop (as Linux does, `MAXSYMLINKS`).
const MAX_FOLLOWED: usize = 40;

/// Symbolic links: path to target, both relative to the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Links(BTreeMap<String, String>);

impl Links {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Remembers a link at `path` whose target is written as `target`.
    pub(crate) fn insert(&mut self, path: &str, target: &str) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        self.0.insert(path.to_owned(), resolve_target(folder, target));
    }

    pub(crate) fn insert_resolved(&mut self, path: &str, target: &str) {
        self.0.insert(path.to_owned(), target.to_owned());
    }

    pub(crate) fn remove(&mut self, path: &str) -> bool {
        self.0.remove(path).is_some()
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|path, _| keep(path));
    }

    /// The folder itself with every link on its way followed; as it is if the links run in a circle or lead to a
    /// path that no system would take. Adds to `lookups` how many folders were looked up.
    pub(crate) fn resolve_folder<'p>(&self, folder: &'p str, lookups: &mut u64) -> Cow<'p, str> {
        let mut path = Cow::Borrowed(folder);
        if self.0.is_empty() {
            return path;
        }
        for _ in 0..MAX_FOLLOWED {
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            let ends = ends.inspect(|_| *lookups += 1);
            let mut met = ends.filter_map(|end| self.0.get(&path[..end]).map(|target| (end, target)));
            let Some((end, target)) = met.next() else { return path };
            path = Cow::Owned(join(target, &path[end..]));
            if path.len() > MAX_PATH_BYTES {
                break;
            }
        }
        Cow::Borrowed(folder)
    }

    pub(crate) fn into_map(self) -> BTreeMap<String, String> {
        self.0
    }
}

/// Resolves many paths of few folders: the folder resolved last is remembered.
#[derive(Debug, Default)]
pub(crate) struct FolderCache {
    folder: String,
    resolved: String,
    valid: bool,
    lookups: u64,
}

impl FolderCache {
    /// `path` with the links among its parents followed; its last component stays, link or not.
    pub(crate) fn resolve<'p>(&mut self, links: &Links, path: &'p str) -> Cow<'p, str> {
        if links.is_empty() {
            return Cow::Borrowed(path);
        }
        let Some((folder, name)) = path.rsplit_once('/') else { return Cow::Borrowed(path) };
        if !self.valid || self.folder != folder {
            if self.is_exhausted() {
                return Cow::Borrowed(path);
            }
            folder.clone_into(&mut self.folder);
            self.resolved = links.resolve_folder(folder, &mut self.lookups).into_owned();
            self.valid = true;
        }
        if self.resolved == folder {
            return Cow::Borrowed(path);
        }
        Cow::Owned(join(&self.resolved, name))
    }

    /// Whether [`Limits::LINK_LOOKUPS`] were made. Paths are then left as they are.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.lookups > Limits::LINK_LOOKUPS
    }

    /// Forgets what it remembers, for the links have changed.
    pub(crate) fn clear(&mut self) {
        self.valid = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_followed_and_the_last_component_is_not() {
        let mut links = Links::default();
        links.insert("lib", "usr/lib");
        links.insert("usr/lib/x86", "/opt/x86");
        let mut cache = FolderCache::default();
        assert_eq!(cache.resolve(&links, "lib/libc.so.6"), "usr/lib/libc.so.6");
        assert_eq!(cache.resolve(&links, "lib/x86/libm.so"), "opt/x86/libm.so");
        assert_eq!(cache.resolve(&links, "lib"), "lib");
        assert_eq!(links.resolve_folder("lib", &mut 0), "usr/lib");
    }

    #[test]
    fn a_circle_ends() {
        let mut links = Links::default();
        links.insert("a", "b");
        links.insert("b", "a");
        assert_eq!(links.resolve_folder("a/x", &mut 0), "a/x");
        links.insert("c", "c/c");
        assert_eq!(links.resolve_folder("c/x", &mut 0), "c/x");
    }

    #[test]
    fn a_chain_of_links_does_not_make_a_path_longer_than_any() {
        let mut links = Links::default();
        for index in 0..30 {
            links.insert(&format!("a{index}"), &format!("a{}/{}", index + 1, "x".repeat(250)));
        }
        assert_eq!(links.resolve_folder("a0", &mut 0), "a0");
        assert!(links.resolve_folder("a20", &mut 0).len() > 2500);
    }
}
