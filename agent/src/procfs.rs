//! What `/proc` tells of a process.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cgroup::{self, Membership};
use crate::observation::{FileOrigin, SeenFile};

/// A mounted proc filesystem that shows the node's processes.
#[derive(Debug, Clone)]
pub struct ProcFs {
    root: PathBuf,
}

impl ProcFs {
    /// The proc filesystem at `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn of(&self, pid: u32, name: &str) -> PathBuf {
        self.root.join(pid.to_string()).join(name)
    }

    /// Every process id, in no order.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        let entries = fs::read_dir(&self.root)?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
    }

    /// The container a process belongs to; `None` also when the process is gone.
    #[must_use]
    pub fn membership(&self, pid: u32) -> Option<Membership> {
        cgroup::from_proc(&fs::read_to_string(self.of(pid, "cgroup")).ok()?)
    }

    /// When a process started, in hundredths of a second since boot; `None` when it is gone.
    #[must_use]
    pub fn started(&self, pid: u32) -> Option<u64> {
        stat_field(&fs::read_to_string(self.of(pid, "stat")).ok()?, 22)
    }

    /// The parent of a process; `None` when it is gone.
    #[must_use]
    pub fn parent(&self, pid: u32) -> Option<u32> {
        stat_field(&fs::read_to_string(self.of(pid, "stat")).ok()?, 4).and_then(|parent| u32::try_from(parent).ok())
    }

    /// Whether a process has ended and only waits for its parent to ask for its exit code, or is gone.
    #[must_use]
    pub fn is_defunct(&self, pid: u32) -> bool {
        let stat = fs::read_to_string(self.of(pid, "stat")).unwrap_or_default();
        stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
    }

    /// The arguments of a process, at most 32 of at most 256 characters.
    #[must_use]
    pub fn arguments(&self, pid: u32) -> Vec<String> {
        split_arguments(&fs::read(self.of(pid, "cmdline")).unwrap_or_default())
    }

    /// The name a process gives itself.
    #[must_use]
    pub fn command(&self, pid: u32) -> Option<String> {
        Some(fs::read_to_string(self.of(pid, "comm")).ok()?.trim_end().to_owned())
    }

    /// The files a process has mapped executable.
    ///
    /// # Errors
    /// When the process is gone, or CAP_SYS_PTRACE is missing.
    pub fn mapped_files(&self, pid: u32) -> io::Result<BTreeSet<SeenFile>> {
        Ok(parse_maps(&fs::read(self.of(pid, "maps"))?))
    }

    /// The number of a namespace (`mnt`, `pid`) of a process; `None` when it is gone or may not be seen.
    #[must_use]
    pub fn namespace(&self, pid: u32, name: &str) -> Option<u32> {
        let inode = fs::metadata(self.of(pid, "ns").join(name)).ok()?.ino();
        u32::try_from(inode).ok()
    }

    /// The number of the host's mount namespace: that of the first process, else of the kernel's own threads (a
    /// first process with more rights than the agent does not show its namespaces).
    #[must_use]
    pub fn host_mounts(&self) -> Option<u32> {
        let kernel_thread = || self.command(2).filter(|name| name == "kthreadd").and_then(|_| self.namespace(2, "mnt"));
        self.namespace(1, "mnt").or_else(kernel_thread)
    }

    /// The number of the pid namespace whose processes are shown here.
    #[must_use]
    pub fn own_pids(&self) -> Option<u32> {
        let own = || fs::metadata(self.root.join("self/ns/pid")).ok().and_then(|found| u32::try_from(found.ino()).ok());
        self.namespace(1, "pid").or_else(own)
    }

    /// The program that a process executes, as a link that opens it whatever became of its name.
    #[must_use]
    pub fn program(&self, pid: u32) -> PathBuf {
        self.of(pid, "exe")
    }

    /// A process's view of the file at `path`.
    #[must_use]
    pub fn through_root(&self, pid: u32, path: &str) -> PathBuf {
        self.of(pid, "root").join(path.trim_start_matches('/'))
    }

    /// The upper layer of the overlay that is a process's root, as whoever mounted it named it; `None` when the process is gone, its
    /// root is no overlay, or the name is not absolute.
    #[must_use]
    pub fn upper_layer(&self, pid: u32) -> Option<String> {
        upper_layer(&fs::read_to_string(self.of(pid, "mountinfo")).ok()?)
    }

    /// The kernel's random name of this boot.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn boot_id(&self) -> io::Result<String> {
        Ok(fs::read_to_string(self.root.join("sys/kernel/random/boot_id"))?.trim().to_owned())
    }
}

/// Field number `number` (counted from 1, as in proc(5)) of a stat line; the second may hold spaces and brackets.
fn stat_field(text: &str, number: usize) -> Option<u64> {
    let after_name = text.rsplit_once(')')?.1;
    after_name.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// The upper layer of the overlay at `/` in the text of `/proc/PID/mountinfo` (proc(5)).
fn upper_layer(text: &str) -> Option<String> {
    let mut mounts = text.lines().filter_map(|line| line.split_once(" - "));
    // Of several mounts at one place the last is seen.
    let (_, root) = mounts.rfind(|(place, _)| place.split(' ').nth(4) == Some("/"))?;
    let mut fields = root.split(' ');
    let (system, options) = (fields.next()?, fields.nth(1)?);
    let upper = options.split(',').find_map(|option| option.strip_prefix("upperdir="))?;
    let upper = unescaped(upper)?;
    (system == "overlay" && upper.starts_with('/')).then_some(upper)
}

/// `\040` and the like become what they stand for.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('\\');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let code = u8::from_str_radix(part.get(..3)?, 8).ok()?;
        bytes.push(code);
        bytes.extend(&part.as_bytes()[3..]);
    }
    String::from_utf8(bytes).ok()
}

/// Splits zero-terminated arguments.
#[must_use]
pub fn split_arguments(bytes: &[u8]) -> Vec<String> {
    let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    if text.is_empty() {
        return Vec::new();
    }
    text.split(|b| *b == 0).take(32).map(|arg| String::from_utf8_lossy(arg).chars().take(256).collect()).collect()
}

/// The files of the executable mappings in the text of `/proc/PID/maps` (proc(5)).
fn parse_maps(text: &[u8]) -> BTreeSet<SeenFile> {
    String::from_utf8_lossy(text).lines().filter_map(parse_mapping).collect()
}

fn parse_mapping(line: &str) -> Option<SeenFile> {
    let mut rest = line;
    let mut next = || {
        let (field, after) = rest.trim_start().split_once(' ')?;
        rest = after;
        Some(field)
    };
    let (_range, rights, _offset, device, inode) = (next()?, next()?, next()?, next()?, next()?);
    let path = rest.trim_start();
    // Memory that has a name is shown like a file at the root.
    if rights.as_bytes().get(2) != Some(&b'x') || !path.starts_with('/') || path.starts_with("/memfd:") {
        return None;
    }
    let (major, minor) = device.split_once(':')?;
    let device = u32::from_str_radix(major, 16).ok()? << 20 | u32::from_str_radix(minor, 16).ok()?;
    let path = path.strip_suffix(" (deleted)").unwrap_or(path).replace("\\012", "\n");
    Some(SeenFile { path, inode: inode.parse().ok()?, device, opened: false, origin: FileOrigin::Unseen })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_executable_mappings_of_files_only() {
        let text = b"55d0-55d1 r--p 00000000 fe:01 42 /usr/bin/cat\n\
            55d1-55d2 r-xp 00001000 fe:01 42                     /usr/bin/cat\n\
            55d1-55d2 r-xp 00001000 fe:01 42                     /usr/bin/cat\n\
            7f00-7f01 r-xp 00000000 00:2b 1077                   /usr/lib/a library.so (deleted)\n\
            7f01-7f02 r-xp 00000000 00:01 5 /memfd:x (deleted)\n\
            7f02-7f03 rwxp 00000000 00:00 0 \n\
            7ffd-7ffe r-xp 00000000 00:00 0                      [vdso]\nrubbish\n";
        let files: Vec<_> = parse_maps(text).into_iter().collect();
        assert_eq!(
            files,
            [
                SeenFile {
                    path: "/usr/bin/cat".to_owned(),
                    inode: 42,
                    device: 0xfe << 20 | 1,
                    opened: false,
                    origin: FileOrigin::Unseen
                },
                SeenFile {
                    path: "/usr/lib/a library.so".to_owned(),
                    inode: 1077,
                    device: 0x2b,
                    opened: false,
                    origin: FileOrigin::Unseen
                },
            ]
        );
    }

    #[test]
    fn a_process_may_have_brackets_in_its_name() {
        let text = "12 (a) b (c) S 7 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 1";
        assert_eq!(stat_field(text, 4), Some(7));
        assert_eq!(stat_field(text, 22), Some(98765));
    }

    #[test]
    fn the_upper_layer_is_that_of_the_last_mount_at_the_root() {
        let overlay = |upper: &str| {
            format!(
                "9 1 0:50 / / rw,relatime master:3 - overlay overlay rw,lowerdir=/a:/b,upperdir={upper},workdir=/w\n"
            )
        };
        let volume = "10 9 0:51 / /data rw - overlay overlay rw,upperdir=/of-a-volume\n";
        assert_eq!(upper_layer(&(overlay("/x/fs") + volume)).as_deref(), Some("/x/fs"));
        assert_eq!(upper_layer(&(overlay("/x") + &overlay("/y"))).as_deref(), Some("/y"));
        assert_eq!(upper_layer(&overlay("/a\\040b\\054c")).as_deref(), Some("/a b,c"));
        for none in [overlay("relative"), overlay("/a\\9"), "9 1 8:1 / / rw - ext4 /dev/sda rw".into(), String::new()] {
            assert_eq!(upper_layer(&none), None, "{none}");
        }
    }

    #[test]
    fn arguments_keep_empty_ones() {
        assert_eq!(split_arguments(b"sh\0-c\0\0"), ["sh", "-c", ""]);
        assert!(split_arguments(b"").is_empty());
    }
}
