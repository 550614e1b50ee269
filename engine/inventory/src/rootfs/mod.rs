//! A directory tree becomes one flat inventory: the root of a running container, as `/proc/PID/root` shows it.
//!
//! The tree may be hostile and change while it is read. Each component is opened below the one before it and no
//! link is ever followed, so nothing outside the root can be reached; mounts are not entered.

mod stacked;

pub use stacked::stacked;

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, readlinkat, statat};
use rustix::io::Errno;
use stella_domain::Digest;

use crate::archive::{ByteSource, Entry, EntryKind, FileSlice};
use crate::collector::Collector;
use crate::fold::flat;
use crate::layer::{Budget, KEPT};
use crate::limits::Limits;
use crate::{Inventory, Provenance};

/// Folders of the kernel's own file systems; they are skipped even where they are no mounts.
const KERNEL: [&str; 3] = ["proc", "sys", "dev"];

/// Why a tree has no inventory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootfsError {
    /// The root cannot be opened or read.
    #[error("cannot read the root {root}: {source}")]
    Root {
        /// The path given.
        root: String,
        /// What the system said.
        source: io::Error,
    },
    /// More files than allowed.
    #[error("the tree has more than {max} entries")]
    TooManyEntries {
        /// The limit.
        max: u64,
    },
    /// More folders than layers are allowed.
    #[error("there are {found} unpacked layers, more than the limit of {max}")]
    TooManyLayers {
        /// Folders given.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// Its files tell more than may be kept.
    #[error("the tree exceeds the limit of {max} {KEPT} at '{path}'")]
    TooLarge {
        /// Where.
        path: String,
        /// The limit.
        max: u64,
    },
}

/// Reads the tree below `root` with the same catalogers as layers. What vanishes meanwhile is passed over; what
/// cannot be read is a problem of the inventory.
///
/// # Errors
/// [`RootfsError`] when the root cannot be opened or the tree exceeds `limits`.
pub fn rootfs(root: &Path, limits: &Limits) -> Result<Inventory, RootfsError> {
    let failed = |source: Errno| RootfsError::Root { root: root.display().to_string(), source: source.into() };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = openat(CWD, root, flags, Mode::empty()).map_err(failed)?;
    let mut collector = Collector::for_tree(limits);
    walk_tree(&top, &mut collector, limits, &Budget::new(limits), Form::Whole)?;
    let tree = collector.finish(Digest::from_bytes([0; 32]));
    Ok(flat(&tree, Provenance::Rootfs))
}

/// What a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// All there is.
    Whole,
    /// One layer as overlayfs keeps it, with marks for what it takes away.
    Layer,
}

fn walk_tree<'l>(
    top: &OwnedFd,
    collector: &mut Collector<'l>,
    limits: &'l Limits,
    budget: &Budget,
    form: Form,
) -> Result<(), RootfsError> {
    Walk { collector, limits, budget, form, entries: 0 }.folder(top.as_fd(), "", 0)?;
    if collector.needs_second_pass() {
        collector.start_second_pass();
        Walk { collector, limits, budget, form, entries: 0 }.folder(top.as_fd(), "", 0)?;
    }
    Ok(())
}

struct Walk<'c, 'l> {
    collector: &'c mut Collector<'l>,
    limits: &'l Limits,
    /// What may be kept of this tree and of those it is stacked with.
    budget: &'c Budget,
    form: Form,
    entries: u64,
}

impl Walk<'_, '_> {
    fn folder(&mut self, folder: BorrowedFd<'_>, path: &str, depth: usize) -> Result<(), RootfsError> {
        let mut names = match names_in(folder, self.limits.max_entries.saturating_sub(self.entries)) {
            Ok(names) => names,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => {
                self.collector.problem(path, format!("cannot list it: {error}"));
                return Ok(());
            }
        };
        self.entries += names.len() as u64;
        if self.entries > self.limits.max_entries {
            return Err(RootfsError::TooManyEntries { max: self.limits.max_entries });
        }
        names.sort_unstable();
        for name in names {
            if depth == 0 && KERNEL.iter().any(|kernel| kernel.as_bytes() == name) {
                continue;
            }
            self.name(folder, path, &name, depth)?;
        }
        Ok(())
    }

    fn name(&mut self, folder: BorrowedFd<'_>, above: &str, name: &[u8], depth: usize) -> Result<(), RootfsError> {
        let text = String::from_utf8_lossy(name);
        let path = if above.is_empty() { text.clone().into_owned() } else { format!("{above}/{text}") };
        let Ok(stat) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { return Ok(()) };
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Symlink,
            _ => EntryKind::Other,
        };
        if self.form == Form::Layer && stacked::is_whiteout(&stat) {
            self.collector.removed(&path);
            return self.keep(&path);
        }
        let link = match kind {
            EntryKind::Symlink => {
                let Ok(target) = readlinkat(folder, name, Vec::new()) else { return Ok(()) };
                target.to_string_lossy().into_owned()
            }
            _ => String::new(),
        };
        let utf8 = matches!(text, std::borrow::Cow::Borrowed(_));
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let entry = Entry { path, kind, link, size, mode: stat.st_mode & 0o7777, utf8, offset: 0 };
        let mut body = Opened { folder, name, size, file: None };
        match self.collector.entry(&entry, &mut body) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.collector.problem(&entry.path, format!("cannot read it: {error}")),
        }
        self.keep(&entry.path)?;
        if kind != EntryKind::Directory {
            return Ok(());
        }
        if depth >= self.limits.max_path_depth || entry.path.len() > self.limits.max_path_bytes {
            self.collector.problem(&entry.path, "it lies too deep");
            return Ok(());
        }
        match open_below(folder, name, OFlags::DIRECTORY) {
            Ok(inner) => {
                if self.form == Form::Layer && stacked::is_opaque(inner.as_fd()) {
                    self.collector.emptied(&entry.path);
                }
                self.folder(inner.as_fd(), &entry.path, depth + 1)
            }
            // Another mount, or a folder that has just become something else.
            Err(Errno::XDEV | Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => Ok(()),
            Err(error) => {
                self.collector.problem(&entry.path, format!("cannot open it: {error}"));
                Ok(())
            }
        }
    }
}

impl Walk<'_, '_> {
    /// Takes what the entry at `path` made the collector keep from the budget.
    fn keep(&mut self, path: &str) -> Result<(), RootfsError> {
        let max = self.limits.max_inventory_bytes;
        let kept = self.budget.keep(self.collector.freshly_kept());
        kept.map_err(|_| RootfsError::TooLarge { path: path.to_owned(), max })
    }
}

/// Up to one name more than `max`, so that the caller sees the excess.
fn names_in(folder: BorrowedFd<'_>, max: u64) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
        if names.len() as u64 > max {
            break;
        }
    }
    Ok(names)
}

/// Opens `name` in `folder`, following no link and entering no mount.
fn open_below(folder: BorrowedFd<'_>, name: &[u8], kind: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | kind;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    match openat2(folder, name, flags, Mode::empty(), resolve) {
        // Kernels of before 5.6 and filters that do not know the call.
        Err(Errno::NOSYS | Errno::PERM) => {
            let opened = openat(folder, name, flags, Mode::empty())?;
            if fstat(&opened)?.st_dev == fstat(folder)?.st_dev { Ok(opened) } else { Err(Errno::XDEV) }
        }
        result => result,
    }
}

/// The content of a file, opened when somebody asks for it.
struct Opened<'a> {
    folder: BorrowedFd<'a>,
    name: &'a [u8],
    size: u64,
    file: Option<FileSlice>,
}

impl Opened<'_> {
    fn file(&mut self) -> io::Result<&mut FileSlice> {
        let slice = match self.file.take() {
            Some(slice) => slice,
            None => {
                let file = match open_below(self.folder, self.name, OFlags::empty()) {
                    Err(Errno::XDEV | Errno::LOOP | Errno::NOENT) => return Err(io::ErrorKind::NotFound.into()),
                    opened => opened?,
                };
                if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
                    return Err(io::ErrorKind::NotFound.into());
                }
                FileSlice::new(Arc::new(File::from(file)), 0, self.size)
            }
        };
        Ok(self.file.insert(slice))
    }
}

impl Read for Opened<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.file()?.read(out)
    }
}

impl BufRead for Opened<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.file()?.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        if let Some(file) = &mut self.file {
            file.consume(count);
        }
    }
}

impl ByteSource for Opened<'_> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        self.file()?.skip(count)
    }
}
