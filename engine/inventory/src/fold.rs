//! The layers of an image, from the base up, become one inventory.
//!
//! The rules are overlayfs's: what a layer contains at a path hides what lies there below, a directory over a
//! directory merges, a whiteout removes, an opaque directory hides everything below it. A folder that only
//! occurs as part of a longer name is a folder like any other.

mod installed;

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

use stella_domain::Digest;

use self::installed::Installed;
use crate::cataloger::{Evidence, declaring_file, file_lists_of, fuller_list_of, licences_of, os_release_rank};
use crate::identity::{ecosystem_of, purl_of};
use crate::links::{FolderCache, Links};
use crate::path_set::PathHash;
use crate::{Component, Inventory, LayerInventory, OsRelease, Package, Problem, Provenance};

/// Bytes that the names of all packages' files may take: 1 GiB, where full installations need some 200 MB.
const FILE_BYTES: usize = 1 << 30;

/// Folds layers, base first, into what a container of the image sees.
///
/// A package comes from the lowest layer since which it is present without a gap, the same in name, version,
/// architecture and declaring file. Language packages whose declaring file an OS package installed are left out, and
/// so are those that only a lock file names while what is installed stands for them (`docs/inventories.md`, "Installed or
/// asked for").
#[must_use]
pub fn fold(layers: &[&LayerInventory]) -> Inventory {
    let mut state = State::default();
    for layer in layers {
        state.apply(layer);
    }
    let diff_ids = layers.iter().map(|layer| layer.diff_id).collect();
    state.finish(Provenance::Layers, diff_ids)
}

/// One tree without layers.
pub(crate) fn flat(tree: &LayerInventory, provenance: Provenance) -> Inventory {
    let mut state = State::default();
    state.apply(tree);
    let mut inventory = state.finish(provenance, Vec::new());
    for component in &mut inventory.components {
        component.layer = None;
    }
    inventory
}

/// What is visible after some layers.
#[derive(Default)]
struct State<'a> {
    packages: BTreeMap<&'a str, Vec<Placed<'a>>>,
    file_lists: BTreeMap<&'a str, FileList<'a>>,
    licences: BTreeMap<&'a str, &'a [String]>,
    os: BTreeMap<&'a str, &'a OsRelease>,
    links: Links,
    problems: BTreeMap<&'a str, Vec<&'a Problem>>,
}

#[derive(Clone, Copy)]
struct Placed<'a> {
    package: &'a Package,
    layer: Digest,
}

/// The files of a list, one a line, without those that it leaves out.
#[derive(Clone, Copy)]
struct FileList<'a> {
    files: &'a str,
    left_out: &'a str,
}

impl<'a> FileList<'a> {
    fn files(self) -> impl Iterator<Item = &'a str> {
        let left_out: HashSet<&str> = self.left_out.lines().collect();
        self.files.lines().filter(move |file| !left_out.contains(file))
    }

    /// Bytes that are read and may give no file.
    const fn passed_over(self) -> usize {
        if self.left_out.is_empty() { 0 } else { self.files.len() + self.left_out.len() }
    }
}

impl<'a> State<'a> {
    fn apply(&mut self, layer: &'a LayerInventory) {
        let below = Below::new(layer);
        let mut replaced: HashMap<&str, Vec<Placed<'a>>> = HashMap::new();
        self.packages.retain(|path, placed| {
            // What lies in an archive goes with it, whatever takes its place.
            let file = placed.first().map_or(*path, |placed| declaring_file(placed.package));
            let visible = !below.is_hidden(path) && (file == *path || !below.is_hidden(file));
            if !visible {
                replaced.insert(path, std::mem::take(placed));
            }
            visible
        });
        self.file_lists.retain(|path, _| !below.is_hidden(path));
        self.licences.retain(|path, _| !below.is_hidden(path));
        self.os.retain(|path, _| !below.is_hidden(path));
        self.problems.retain(|path, _| !below.is_hidden(path));
        self.links.retain(|path| !below.is_hidden(path));

        for package in &layer.packages {
            let before = replaced.get(package.path.as_str()).and_then(|placed| same_package(placed, package));
            let placed = Placed { package, layer: before.map_or(layer.diff_id, |placed| placed.layer) };
            self.packages.entry(&package.path).or_default().push(placed);
        }
        let whole = layer.file_lists.iter().map(|(path, files)| (path.as_str(), FileList { files, left_out: "" }));
        let lesser = layer.lesser_lists.iter().filter_map(|(path, left_out)| {
            let files = layer.file_lists.get(&fuller_list_of(path)?)?;
            Some((path.as_str(), FileList { files, left_out }))
        });
        self.file_lists.extend(whole.chain(lesser));
        self.licences.extend(layer.licences.iter().map(|(path, names)| (path.as_str(), names.as_slice())));
        if let Some(os) = &layer.os {
            self.os.insert(layer.os_path.as_deref().unwrap_or("etc/os-release"), os);
        }
        self.os.extend(layer.lesser_os.iter().map(|(path, os)| (path.as_str(), os)));
        for (path, target) in &layer.links {
            self.links.insert_resolved(path, target);
        }
        for problem in &layer.problems {
            self.problems.entry(&problem.path).or_default().push(problem);
        }
    }

    fn finish(self, provenance: Provenance, layers: Vec<Digest>) -> Inventory {
        let os = self.os.iter().min_by_key(|(path, _)| os_release_rank(path)).map(|(_, os)| (*os).clone());
        let owned = self.owned_by_os();
        let installed = Installed::among(self.packages.values().flatten().map(|placed| placed.package), &owned);
        let mut folders = FolderCache::default();
        let (mut room, mut said) = (FILE_BYTES, Vec::new());
        let mut components: Vec<Component> = self
            .packages
            .iter()
            .filter(|(path, _)| !owned.contains(**path))
            .flat_map(|(_, placed)| placed)
            .filter(|placed| {
                let package = placed.package;
                !installed.stands_for(package) || package.evidence() != Evidence::Lock
            })
            .filter_map(|placed| {
                let purl = purl_of(placed.package, os.as_ref());
                if purl.is_empty() {
                    let name: String = placed.package.name.chars().take(100).collect();
                    let message = format!("the package '{name}' is left out: nothing can be called so");
                    said.push(Problem { path: placed.package.path.clone(), message });
                    return None;
                }
                let files = self.files_of(placed.package, &mut folders, &mut room);
                if files.is_none() {
                    let message = format!("not all files of its packages are known: they exceed {FILE_BYTES} bytes");
                    said.push(Problem { path: placed.package.path.clone(), message });
                }
                Some(Component {
                    purl,
                    ecosystem: ecosystem_of(placed.package.kind, os.as_ref()),
                    layer: Some(placed.layer),
                    package: Package {
                        files: files.unwrap_or_default(),
                        licences: self.licences_of(placed.package, &mut folders),
                        ..placed.package.clone()
                    },
                })
            })
            .collect();
        sort_components(&mut components);
        said.dedup();
        let mut problems: Vec<Problem> = self.problems.into_values().flatten().cloned().chain(said).collect();
        problems.sort_unstable();
        problems.dedup();
        Inventory { provenance, os, layers, components, problems }
    }

    /// The package's own files and those of the first list of it that is there, links among their parents followed.
    /// `None` once `room` is used up: a list may be that of any number of packages.
    fn files_of(&self, package: &Package, folders: &mut FolderCache, room: &mut usize) -> Option<Vec<String>> {
        let list = self.list_of(package).map(|(_, list)| list);
        *room = room.checked_sub(list.map_or(0, FileList::passed_over))?;
        let mut files = Vec::new();
        let listed = list.into_iter().flat_map(FileList::files);
        for path in package.files.iter().map(String::as_str).chain(listed) {
            let path = folders.resolve(&self.links, path).into_owned();
            *room = room.checked_sub(path.len() + size_of::<String>())?;
            files.push(path);
        }
        files.sort_unstable();
        files.dedup();
        Some(files)
    }

    /// What it says of itself, else what the file says that tells its licences, links on the way followed.
    fn licences_of(&self, package: &Package, folders: &mut FolderCache) -> Vec<String> {
        let place = licences_of(package).filter(|_| package.licences.is_empty());
        let told = place.and_then(|place| {
            // As a folder, so that a link in its own place is followed too: packages of one source share a file.
            let place = folders.resolve(&self.links, &format!("{place}/")).into_owned();
            self.licences.get(place.trim_end_matches('/')).copied()
        });
        told.map_or_else(|| package.licences.clone(), <[String]>::to_vec)
    }

    /// Place and content of the list of the package's files.
    fn list_of(&self, package: &Package) -> Option<(&'a str, FileList<'a>)> {
        let places = file_lists_of(package);
        places.iter().find_map(|path| self.file_lists.get_key_value(path.as_str())).map(|(path, list)| (*path, *list))
    }

    /// Declaring files of language packages that an OS package installed.
    fn owned_by_os(&self) -> HashSet<&'a str> {
        let mut folders = FolderCache::default();
        let mut by_place: HashMap<String, Vec<&'a str>> = HashMap::new();
        for (path, placed) in &self.packages {
            if let Some(placed) = placed.iter().find(|placed| !placed.package.kind.is_os()) {
                let file = declaring_file(placed.package);
                by_place.entry(folders.resolve(&self.links, file).into_owned()).or_default().push(path);
            }
        }
        let (mut owned, mut lists) = (HashSet::new(), HashSet::new());
        if by_place.is_empty() {
            return owned;
        }
        for placed in self.packages.values().flatten().filter(|placed| placed.package.kind.is_os()) {
            let own = placed.package.files.iter().map(String::as_str);
            // One list may be that of any number of packages.
            let list = self.list_of(placed.package).filter(|(place, _)| lists.insert(*place));
            for file in own.chain(list.into_iter().flat_map(|(_, list)| list.files())) {
                if let Some(paths) = by_place.get(&*folders.resolve(&self.links, file)) {
                    owned.extend(paths);
                }
            }
        }
        owned
    }
}

/// By purl, then path, then layer, then architecture.
pub(crate) fn order(a: &Component, b: &Component) -> Ordering {
    let by_place = (&a.purl, &a.package.path).cmp(&(&b.purl, &b.package.path));
    by_place.then_with(|| (a.layer, &a.package.arch).cmp(&(b.layer, &b.package.arch)))
}

/// Sorts by [`order`], and drops what is said twice.
pub(crate) fn sort_components(components: &mut Vec<Component>) {
    if !components.is_sorted_by(|a, b| order(a, b).is_le()) {
        // A component is large: what is sorted is where they stand, and each moves once.
        let mut places: Vec<usize> = (0..components.len()).collect();
        places.sort_by(|a, b| order(&components[*a], &components[*b]));
        let mut moving: Vec<Option<Component>> = components.drain(..).map(Some).collect();
        components.extend(places.into_iter().filter_map(|place| moving[place].take()));
    }
    components.dedup_by(|a, b| a.purl == b.purl && a.package.path == b.package.path && a.layer == b.layer);
}

fn same_package<'p, 'a>(placed: &'p [Placed<'a>], package: &Package) -> Option<&'p Placed<'a>> {
    placed.iter().find(|placed| {
        let before = placed.package;
        (before.kind, &before.name, &before.version, &before.arch)
            == (package.kind, &package.name, &package.version, &package.arch)
    })
}

/// What a layer hides of those below it.
struct Below<'a> {
    layer: &'a LayerInventory,
    gone: HashSet<u64>,
    opaque: HashSet<u64>,
}

impl<'a> Below<'a> {
    fn new(layer: &'a LayerInventory) -> Self {
        let named = [&layer.whiteouts, &layer.databases].into_iter().flatten().map(String::as_str);
        let brought = layer
            .packages
            .iter()
            .map(|package| package.path.as_str())
            .chain(layer.links.keys().map(String::as_str))
            .chain(layer.file_lists.keys().map(String::as_str))
            .chain(layer.lesser_lists.keys().map(String::as_str))
            .chain(layer.licences.keys().map(String::as_str))
            .chain(layer.os_path.as_deref())
            .chain(layer.lesser_os.keys().map(String::as_str));
        let gone = named.chain(brought).map(|path| PathHash::of(path).file()).collect();
        let opaque = layer.opaque.iter().map(|path| opaque_key(path)).collect();
        Self { layer, gone, opaque }
    }

    /// Whether the file or link at `path` of a lower layer cannot be seen any more.
    fn is_hidden(&self, path: &str) -> bool {
        if self.opaque.contains(&opaque_key("")) {
            return true;
        }
        let mut hash = PathHash::ROOT;
        let mut components = path.split('/').peekable();
        while let Some(component) = components.next() {
            hash = hash.feed(component);
            let at_end = components.peek().is_none();
            let taken = self.gone.contains(&hash.file()) || self.layer.entries.contains(hash.file());
            let directory = hash.directory();
            let covered =
                if at_end { self.layer.entries.contains(directory) } else { self.opaque.contains(&directory) };
            if taken || covered {
                return true;
            }
            hash = hash.feed("/");
        }
        false
    }
}

fn opaque_key(path: &str) -> u64 {
    if path.is_empty() { PathHash::ROOT.file() } else { PathHash::of(path).directory() }
}
