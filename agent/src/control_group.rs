//! A control group for the process that reads an image: whatever the image makes it do, the kernel gives it no more processor
//! time and memory than that.
//!
//! In version 2 a group either holds processes or hands controllers on (`Documentation/admin-guide/cgroup-v2.rst` of the kernel, "No
//! Internal Process Constraint"). So the agent, where it is alone in its group, moves into one below it, and the reader's
//! stands beside that. In version 1 the reader's group stands below the agent's in the hierarchies of both controllers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the names of readers' groups begin with; the agent's process id follows.
const READER: &str = "stella-read-image-";
/// The group that the agent moves into.
const AGENT: &str = "stella-agent";
/// Microseconds of which the group has its share.
const PERIOD: u64 = 100_000;

/// What the group may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Percent of one processor.
    pub cpu_percent: u32,
    /// Bytes of memory, with what files take in the page cache.
    pub memory_bytes: u64,
}

/// Why there is no such group.
#[derive(Debug, thiserror::Error)]
pub enum ControlGroupError {
    /// The agent's own group is not to be seen.
    #[error("no mounted hierarchy of control groups shows the agent's own group and the controller {0}")]
    Hidden(&'static str),
    /// The group hands on nothing while it has processes, and others than the agent are not ours to move.
    #[error("the agent is not alone in its control group {0}")]
    Shared(PathBuf),
    /// Whoever made the agent's group kept the controller.
    #[error("the controller {controller} is not handed on to the agent's control group {path}")]
    Kept {
        /// The controller.
        controller: &'static str,
        /// The agent's group.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("control group {path}: {source}")]
    Refused {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A group with limits. It is removed when this goes, unless a process is in it.
#[derive(Debug)]
pub struct ControlGroup {
    folders: Vec<PathBuf>,
}

/// The agent's own group in the hierarchy of a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Own {
    One(PathBuf),
    Two(PathBuf),
}

impl ControlGroup {
    /// Makes the group below that of this process, which may move this process.
    ///
    /// # Errors
    /// When there may be none; the process is then where it was.
    pub fn make(bounds: Bounds) -> Result<Self, ControlGroupError> {
        Self::below(&read(Path::new("/proc/self/cgroup"))?, &read(Path::new("/proc/self/mountinfo"))?, bounds)
    }

    fn below(groups: &str, mounts: &str, bounds: Bounds) -> Result<Self, ControlGroupError> {
        let find = |controller| own(groups, mounts, controller).ok_or(ControlGroupError::Hidden(controller));
        let places = [("cpu", find("cpu")?), ("memory", find("memory")?)];
        let mut group = Self { folders: Vec::new() };
        let of_two = places.iter().filter_map(|(controller, own)| match own {
            Own::One(_) => None,
            Own::Two(path) => Some((*controller, path)),
        });
        // One folder: there is one hierarchy of version 2.
        let (controllers, paths): (Vec<&'static str>, Vec<&PathBuf>) = of_two.unzip();
        if let Some(path) = paths.first() {
            hand_on(path, &controllers)?;
        }
        for (controller, own) in &places {
            let (Own::One(path) | Own::Two(path)) = own;
            group.add(path)?;
            bound(&path.join(reader()), controller, own, bounds)?;
        }
        Ok(group)
    }

    /// The folders of the group, one a hierarchy.
    #[must_use]
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    fn add(&mut self, own: &Path) -> Result<(), ControlGroupError> {
        forget_dead(own);
        let folder = own.join(reader());
        if self.folders.contains(&folder) {
            return Ok(());
        }
        make_folder(&folder)?;
        self.folders.push(folder);
        Ok(())
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        for folder in &self.folders {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Moves this process into a group.
///
/// # Errors
/// When the kernel refuses.
pub fn enter(folder: &Path) -> Result<(), ControlGroupError> {
    write(&folder.join("cgroup.procs"), "0")
}

fn reader() -> String {
    format!("{READER}{}", std::process::id())
}

/// Removes the groups that agents left behind which were killed.
fn forget_dead(own: &Path) {
    for entry in fs::read_dir(own).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(READER)?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Lets groups below `own`, of version 2, have the controllers: all of them, or nothing is changed.
fn hand_on(own: &Path, controllers: &[&'static str]) -> Result<(), ControlGroupError> {
    let lacking = |file: &str, wanted: &[&'static str]| -> Result<Vec<&'static str>, ControlGroupError> {
        let text = read(&own.join(file))?;
        let names: Vec<&str> = text.split_ascii_whitespace().collect();
        Ok(wanted.iter().copied().filter(|controller| !names.contains(controller)).collect())
    };
    let handed = "cgroup.subtree_control";
    let missing = lacking(handed, controllers)?;
    if missing.is_empty() {
        return Ok(());
    }
    if let Some(controller) = lacking("cgroup.controllers", &missing)?.first().copied() {
        return Err(ControlGroupError::Kept { controller, path: own.to_owned() });
    }
    // The root of the hierarchy may do both; it is the only one without a type.
    let moved = own.join("cgroup.type").exists();
    if moved {
        move_aside(own)?;
    }
    let all: Vec<String> = missing.iter().map(|controller| format!("+{controller}")).collect();
    write(&own.join(handed), &all.join(" ")).inspect_err(|_| {
        if moved && enter(own).is_ok() {
            let _ = fs::remove_dir(own.join(AGENT));
        }
    })
}

fn move_aside(own: &Path) -> Result<(), ControlGroupError> {
    let this = std::process::id().to_string();
    if read(&own.join("cgroup.procs"))?.lines().any(|member| member != this) {
        return Err(ControlGroupError::Shared(own.to_owned()));
    }
    let aside = own.join(AGENT);
    make_folder(&aside)?;
    enter(&aside)
}

fn bound(folder: &Path, controller: &str, own: &Own, bounds: Bounds) -> Result<(), ControlGroupError> {
    let quota = (PERIOD * u64::from(bounds.cpu_percent) / 100).max(1000);
    let memory = bounds.memory_bytes.to_string();
    let set = |file: &str, value: &str| write(&folder.join(file), value);
    // What not every kernel has.
    let try_to_set = |file: &str, value: &str| {
        if let Err(error) = set(file, value) {
            tracing::debug!(%error, "left out");
        }
    };
    match (controller, own) {
        ("cpu", Own::One(_)) => {
            set("cpu.cfs_period_us", &PERIOD.to_string())?;
            set("cpu.cfs_quota_us", &quota.to_string())?;
            try_to_set("cpu.shares", "2");
        }
        ("cpu", Own::Two(_)) => {
            set("cpu.max", &format!("{quota} {PERIOD}"))?;
            try_to_set("cpu.weight", "1");
        }
        (_, Own::One(_)) => {
            set("memory.limit_in_bytes", &memory)?;
            try_to_set("memory.memsw.limit_in_bytes", &memory);
        }
        (_, Own::Two(_)) => {
            set("memory.max", &memory)?;
            try_to_set("memory.swap.max", "0");
            try_to_set("memory.oom.group", "1");
        }
    }
    Ok(())
}

/// Where the group of a process is, by the texts of its `/proc/PID/cgroup` and `/proc/PID/mountinfo`.
fn own(groups: &str, mounts: &str, controller: &str) -> Option<Own> {
    let has = |list: &str| list.split(',').any(|name| name == controller);
    match path_in(groups, has) {
        Some(path) => shown(mounts, path, |kind, options| kind == "cgroup" && has(options)).map(Own::One),
        None => shown(mounts, path_in(groups, str::is_empty)?, |kind, _| kind == "cgroup2").map(Own::Two),
    }
}

fn path_in(groups: &str, fits: impl Fn(&str) -> bool) -> Option<&str> {
    groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        fits(controllers).then_some(path)
    })
}

/// The folder that shows `path` of a hierarchy. A mount of a part that lies beside or above what this process may name shows
/// others' groups, however its folder is called.
fn shown(mounts: &str, path: &str, fits: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
    if path.split('/').any(|part| part == "..") {
        return None;
    }
    mounts.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, folder) = (mount.next()?, mount.next()?);
        let mut filesystem = filesystem.split(' ');
        let (kind, options) = (filesystem.next()?, filesystem.nth(1)?);
        let below = if root == "/" { path } else { path.strip_prefix(root)? };
        let whole = below.is_empty() || below.starts_with('/');
        (whole && fits(kind, options)).then(|| Path::new(folder).join(below.trim_start_matches('/')))
    })
}

fn make_folder(folder: &Path) -> Result<(), ControlGroupError> {
    match fs::create_dir(folder) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => Err(refused(folder)(source)),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<String, ControlGroupError> {
    fs::read_to_string(path).map_err(refused(path))
}

fn write(path: &Path, value: &str) -> Result<(), ControlGroupError> {
    use std::io::Write as _;
    let file = fs::OpenOptions::new().write(true).open(path);
    file.and_then(|mut file| file.write_all(value.as_bytes())).map_err(refused(path))
}

fn refused(path: &Path) -> impl Fn(io::Error) -> ControlGroupError {
    move |source| ControlGroupError::Refused { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str =
        "4:memory:/system.slice/stella.service\n2:cpu,cpuacct:/system.slice\n1:name=systemd:/\n0::/elsewhere\n";
    const ONE_MOUNTS: &str = "\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 master:1 - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    fn two(root: &str) -> String {
        format!("30 23 0:26 {root} /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n")
    }

    #[test]
    fn the_own_group_is_found_in_every_set_up() {
        let one = |path: &str| Some(Own::One(path.into()));
        assert_eq!(own(ONE, ONE_MOUNTS, "memory"), one("/sys/fs/cgroup/memory/system.slice/stella.service"));
        assert_eq!(own(ONE, ONE_MOUNTS, "cpu"), one("/sys/fs/cgroup/cpu,cpuacct/system.slice"));
        let unified = Own::Two("/sys/fs/cgroup/system.slice/stella.service".into());
        assert_eq!(own("0::/system.slice/stella.service\n", &two("/"), "cpu"), Some(unified));
        // In a container with a namespace of its own.
        assert_eq!(own("0::/\n", &two("/"), "cpu"), Some(Own::Two("/sys/fs/cgroup".into())));
        // In one without, which is shown its own part only.
        let docker = "5:memory:/docker/1234\n";
        let part = "40 31 0:32 /docker/1234 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        assert_eq!(own(docker, part, "memory"), one("/sys/fs/cgroup/memory"));
    }

    #[test]
    fn a_mount_that_shows_groups_of_others_is_not_taken_for_the_own() {
        // The host's folder, mounted into a container with a namespace of its own: the name `/` means two groups.
        assert_eq!(own("0::/\n", &two("/../../.."), "cpu"), None);
        assert_eq!(own("0::/../other\n", &two("/"), "cpu"), None);
        let beside = "40 31 0:32 /docker/12 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        assert_eq!(own("5:memory:/docker/1234\n", beside, "memory"), None);
        assert_eq!(own("", "", "cpu"), None);
        assert_eq!(own("garbage\n0::/\n", "garbage\n1 2 3 - x", "cpu"), None);
    }

    /// A folder is not a hierarchy, but what is written where shows in it.
    #[test]
    fn limits_are_written_and_what_cannot_be_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let bounds = Bounds { cpu_percent: 50, memory_bytes: 1 << 30 };
        for file in ["cpu.max", "cpu.weight", "memory.max", "memory.swap.max"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let own = Own::Two(folder.path().to_owned());
        bound(folder.path(), "cpu", &own, bounds).unwrap();
        bound(folder.path(), "memory", &own, bounds).unwrap();
        let text = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
        assert_eq!((text("cpu.max"), text("memory.max")), ("50000 100000".to_owned(), (1_u64 << 30).to_string()));
        fs::remove_file(folder.path().join("memory.max")).unwrap();
        let error = bound(folder.path(), "memory", &own, bounds).unwrap_err().to_string();
        assert!(error.contains("memory.max"), "{error}");
    }

    #[test]
    fn processes_of_others_are_not_moved() {
        let folder = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        put("cgroup.subtree_control", "");
        put("cgroup.controllers", "cpuset io");
        assert!(matches!(hand_on(folder.path(), &["cpu"]), Err(ControlGroupError::Kept { controller: "cpu", .. })));
        put("cgroup.controllers", "cpuset cpu io memory");
        put("cgroup.type", "domain\n");
        put("cgroup.procs", &format!("1\n{}\n", std::process::id()));
        assert!(matches!(hand_on(folder.path(), &["cpu"]), Err(ControlGroupError::Shared(_))));
        put("cgroup.subtree_control", "cpu memory\n");
        hand_on(folder.path(), &["memory"]).unwrap();
    }

    #[test]
    fn controllers_are_handed_on_together_or_the_agent_stays_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        let handed = || fs::read_to_string(folder.path().join("cgroup.subtree_control")).unwrap();
        let mount = format!("30 23 0:26 / {} rw - cgroup2 cgroup2 rw\n", folder.path().display());
        let bounds = Bounds { cpu_percent: 50, memory_bytes: 1 << 30 };
        put("cgroup.subtree_control", "");
        put("cgroup.type", "domain\n");
        put("cgroup.procs", &format!("{}\n", std::process::id()));
        for (there, missing) in [("cpuset cpu io", "memory"), ("cpuset memory", "cpu")] {
            put("cgroup.controllers", there);
            let error = ControlGroup::below("0::/\n", &mount, bounds).unwrap_err();
            let is_kept = matches!(error, ControlGroupError::Kept { controller, .. } if controller == missing);
            assert!(is_kept, "{error}");
            assert!(!folder.path().join(AGENT).exists() && handed().is_empty(), "nothing was changed");
        }
        // The root of a hierarchy: nobody has to move.
        fs::remove_file(folder.path().join("cgroup.type")).unwrap();
        put("cgroup.controllers", "cpuset cpu io memory");
        hand_on(folder.path(), &["cpu", "memory"]).unwrap();
        assert_eq!(handed(), "+cpu +memory");
    }

    #[test]
    fn groups_of_dead_agents_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let dead = folder.path().join(format!("{READER}4194305"));
        let (own, other) = (folder.path().join(reader()), folder.path().join("other"));
        for path in [&dead, &own, &other] {
            fs::create_dir(path).unwrap();
        }
        forget_dead(folder.path());
        assert!(!dead.exists() && own.exists() && other.exists());
    }
}
