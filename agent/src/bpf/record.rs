//! Reads the records of the kernel side; the layout is `struct event` in `bpf/event.h`.

use crate::cgroup;
use crate::observation::{FileOrigin, LossReason, Observation, Process, SeenFile};
use crate::procfs::split_arguments;

const EXEC: u32 = 1;
const MAP: u32 = 2;
const EXIT: u32 = 3;
const OPEN: u32 = 4;
const IO_URING: u32 = 5;

const FIRST: u32 = 1;
const PATH_CUT: u32 = 2;
const OUTSIDE: u32 = 4;
const UPPER: u32 = 16;
const MEMORY: u32 = 32;
const DELETED: u32 = 64;
const VOLUME: u32 = 128;

const COMMAND: usize = 64;
const CGROUP: usize = 80;
const PARENT: usize = 240;
const TEXT: usize = 336;
/// Bytes of every record.
pub const SIZE: usize = 1360;

/// Nanoseconds in a hundredth of a second, the unit in which `/proc` shows when a process started.
const TICK: u64 = 10_000_000;

/// Why a record says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The kernel side and the agent disagree about the layout.
    #[error("the record has {0} bytes or an unknown kind: the kernel side is of another version")]
    Layout(usize),
    /// The kernel took a cgroup for a container's that is none (a monitor, a service).
    #[error("the cgroup is no container's")]
    NoContainer,
}

/// A file path as the kernel could write it.
enum Path {
    Whole(String),
    Cut,
    Outside,
}

/// Turns one record into what was seen. `resolve` finds the path of an inode that a process has mapped, for paths
/// too long for the record.
///
/// # Errors
/// When the layout does not fit, or the cgroup is no container's.
pub fn read(bytes: &[u8], resolve: impl Fn(u32, u64) -> Option<String>) -> Result<Option<Observation>, RecordError> {
    if bytes.len() != SIZE {
        return Err(RecordError::Layout(bytes.len()));
    }
    let (kind, flags) = (word(bytes, 0), word(bytes, 4));
    let at = long(bytes, 8);
    let container = cgroup::from_names(&text(&bytes[CGROUP..PARENT]), &text(&bytes[PARENT..TEXT]))
        .ok_or(RecordError::NoContainer)?;
    let pid = word(bytes, 44);
    let process = Process { container, pid, started: long(bytes, 16) / TICK, command: text(&bytes[COMMAND..CGROUP]) };
    let (inode, device) = (long(bytes, 32), word(bytes, 40));
    let lost = |reason| Observation::Lost { container: Some(process.container.id.clone()), reason, count: 1 };
    let path = match path(bytes, flags) {
        // Executed memory has a name and no path; what maps memory does so to write code into it.
        Path::Outside if flags & MEMORY != 0 && kind == EXEC => Some(memory_name(bytes)),
        Path::Whole(path) => Some(path),
        Path::Outside => None,
        Path::Cut => match resolve(pid, inode) {
            None if kind != EXIT => return Ok(Some(lost(LossReason::Unreadable))),
            found => found,
        },
    };
    let opened = kind == OPEN;
    // Of what is only opened the kernel side does not tell it.
    let origin = if opened { FileOrigin::Unseen } else { origin(flags) };
    let file = path.map(|path| SeenFile { path, inode, device, opened, origin });
    Ok(match kind {
        EXEC => Some(Observation::Exec {
            at,
            program: file,
            arguments: split_arguments(arguments(bytes)),
            first: flags & FIRST != 0,
            process,
        }),
        MAP => file.map(|file| Observation::Mapped { process, at, file }),
        OPEN => file.map(|file| Observation::Opened { process, at, file }),
        IO_URING => Some(lost(LossReason::IoUring)),
        EXIT => Some(Observation::Exit { process, at }),
        _ => return Err(RecordError::Layout(bytes.len())),
    })
}

fn path(bytes: &[u8], flags: u32) -> Path {
    let length = word(bytes, 56) as usize;
    if flags & PATH_CUT != 0 {
        return Path::Cut;
    }
    let Some(components) = bytes.get(TEXT..TEXT + length).filter(|_| flags & OUTSIDE == 0) else {
        return Path::Outside;
    };
    let components = components.strip_suffix(&[0]).unwrap_or(components);
    let mut whole = String::with_capacity(length + 1);
    for component in components.split(|b| *b == 0).rev() {
        whole.push('/');
        whole.push_str(&String::from_utf8_lossy(component));
    }
    Path::Whole(whole)
}

/// The first that fits: what has no place in any filesystem says most.
fn origin(flags: u32) -> FileOrigin {
    let table = [
        (MEMORY, FileOrigin::Memory),
        (DELETED, FileOrigin::Deleted),
        (UPPER, FileOrigin::Upper),
        (VOLUME, FileOrigin::Volume),
    ];
    table.into_iter().find(|(flag, _)| flags & flag != 0).map_or(FileOrigin::Image, |(_, origin)| origin)
}

fn memory_name(bytes: &[u8]) -> String {
    let length = word(bytes, 56) as usize;
    bytes.get(TEXT..TEXT + length).map(text).unwrap_or_default()
}

fn arguments(bytes: &[u8]) -> &[u8] {
    let (start, length) = (TEXT + word(bytes, 56) as usize, word(bytes, 60) as usize);
    bytes.get(start..start + length).unwrap_or_default()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "5b3e8ae9a1d5f6a4c1b9a70e6b2b6cf9a0a7f9e8a7f5b8a6d4c3b2a1908f7e6d";

    fn record(kind: u32, flags: u32, components: &[u8], arguments: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; SIZE];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &kind.to_ne_bytes());
        put(4, &flags.to_ne_bytes());
        put(16, &(7 * TICK + 3).to_ne_bytes());
        put(32, &99u64.to_ne_bytes());
        put(44, &1234u32.to_ne_bytes());
        put(56, &u32::try_from(components.len()).unwrap().to_ne_bytes());
        put(60, &u32::try_from(arguments.len()).unwrap().to_ne_bytes());
        put(COMMAND, b"python3");
        put(CGROUP, format!("crio-{ID}.scope").as_bytes());
        put(PARENT, b"machine.slice");
        put(TEXT, components);
        put(TEXT + components.len(), arguments);
        bytes
    }

    #[test]
    fn a_ring_that_opens_files_unseen_is_a_loss_of_its_container() {
        let Some(Observation::Lost { container: Some(container), reason, count }) =
            read(&record(IO_URING, 0, b"", b""), |_, _| None).unwrap()
        else {
            panic!("it is a loss")
        };
        assert_eq!((container.as_str(), reason, count), (ID, LossReason::IoUring, 1));
    }

    #[test]
    fn joins_components_from_the_leaf_up_and_splits_arguments() {
        let bytes = record(EXEC, FIRST, b"python3\0bin\0usr\0", b"python3\0app.py\0");
        let Ok(Some(Observation::Exec { process, program, arguments, first, .. })) = read(&bytes, |_, _| None) else {
            panic!("not an exec");
        };
        assert_eq!(program.unwrap().path, "/usr/bin/python3");
        assert_eq!(arguments, ["python3", "app.py"]);
        assert_eq!((process.pid, process.started, process.container.id.as_str(), first), (1234, 7, ID, true));
    }

    #[test]
    fn a_record_is_its_own_cgroups_and_not_that_of_a_process_with_its_pid() {
        let mut later = record(MAP, 0, b"x.so\0lib\0", b"");
        let other = "0".repeat(64);
        later[CGROUP..PARENT].fill(0);
        let name = format!("crio-{other}.scope");
        later[CGROUP..CGROUP + name.len()].copy_from_slice(name.as_bytes());
        let container = |bytes: &[u8]| match read(bytes, |_, _| None) {
            Ok(Some(Observation::Mapped { process, .. })) => (process.pid, process.container.id),
            other => panic!("not a mapping: {other:?}"),
        };
        assert_eq!(container(&record(MAP, 0, b"x.so\0lib\0", b"")), (1234, ID.to_owned()));
        assert_eq!(container(&later), (1234, other));
    }

    #[test]
    fn a_cut_path_is_looked_up_and_a_file_from_outside_is_nobodys() {
        let cut = record(MAP, PATH_CUT, b"x.so\0", b"");
        let found = read(&cut, |pid, inode| Some(format!("/{pid}/{inode}"))).unwrap();
        assert!(matches!(found, Some(Observation::Mapped { file, .. }) if file.path == "/1234/99"));
        let nowhere = read(&cut, |_, _| None).unwrap();
        assert!(
            matches!(nowhere, Some(Observation::Lost { container: Some(id), .. }) if id == ID),
            "said, not dropped"
        );
        let opened = read(&record(OPEN, 0, b"app.py\0srv\0", b""), |_, _| None).unwrap();
        assert!(matches!(opened, Some(Observation::Opened { file, .. }) if file.opened && file.path == "/srv/app.py"));
        assert_eq!(read(&record(MAP, OUTSIDE | MEMORY, b"memfd:x\0", b""), |_, _| None), Ok(None));
    }

    #[test]
    fn where_a_file_comes_from_is_told() {
        let origin = |kind, flags, components| match read(&record(kind, flags, components, b""), |_, _| None).unwrap() {
            Some(Observation::Exec { program: Some(file), .. } | Observation::Mapped { file, .. }) => {
                (file.path, file.origin)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(origin(EXEC, 0, b"ls\0bin\0"), ("/bin/ls".to_owned(), FileOrigin::Image));
        assert_eq!(origin(MAP, UPPER, b"x.so\0"), ("/x.so".to_owned(), FileOrigin::Upper));
        assert_eq!(origin(EXEC, UPPER | DELETED, b"x\0"), ("/x".to_owned(), FileOrigin::Deleted));
        assert_eq!(origin(EXEC, VOLUME, b"x\0data\0"), ("/data/x".to_owned(), FileOrigin::Volume));
        let memory = origin(EXEC, OUTSIDE | MEMORY | DELETED | VOLUME, b"memfd:x\0");
        assert_eq!(memory, ("memfd:x".to_owned(), FileOrigin::Memory));
    }

    #[test]
    fn other_layouts_and_lengths_are_refused_without_panic() {
        assert_eq!(read(&[0; 12], |_, _| None), Err(RecordError::Layout(12)));
        assert!(read(&record(9, 0, b"", b""), |_, _| None).is_err());
        let mut wild = record(MAP, 0, b"x\0", b"");
        wild[56..60].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(read(&wild, |_, _| None), Ok(None));
    }
}
