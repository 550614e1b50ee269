//! What was seen on the node, whoever saw it: the kernel side, or a pass over `/proc`.

use crate::cgroup::Membership;
use crate::lost_event::LostEvent;
use crate::package_database::ChangedDatabase;

/// A process of a container, as it was when it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its container.
    pub container: Membership,
    /// Process id as the agent's `/proc` shows it; 0 when it shows none.
    pub pid: u32,
    /// When it started, in hundredths of a second since boot.
    pub started: u64,
    /// Its name.
    pub command: String,
}

/// A file that was mapped executable, executed, or opened to run what is in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeenFile {
    /// Path in the process's mount namespace, absolute.
    pub path: String,
    /// Inode number; on overlayfs not always the one `stat` shows.
    pub inode: u64,
    /// Device number as the kernel encodes it (12 bits major, 20 bits minor).
    pub device: u32,
    /// Whether it was opened only: a Python or Node module, a JAR.
    pub opened: bool,
    /// Where it comes from.
    pub origin: FileOrigin,
}

/// Where a file comes from, as far as the kernel told when it was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileOrigin {
    /// Nobody told: it was found by a pass, or only opened.
    #[default]
    Unseen,
    /// The image.
    Image,
    /// The upper layer of the container's overlay: written since the container was made.
    Upper,
    /// Memory that has a name (memfd).
    Memory,
    /// A file without a name: deleted before it was used.
    Deleted,
    /// Another filesystem than the container's root: a volume.
    Volume,
}

impl FileOrigin {
    /// The name in events, where the kernel told that the file is not of the image.
    #[must_use]
    pub const fn drift(self) -> Option<&'static str> {
        match self {
            Self::Unseen | Self::Image => None,
            Self::Upper => Some("upper-layer"),
            Self::Memory => Some("memory"),
            Self::Deleted => Some("deleted"),
            Self::Volume => Some("volume"),
        }
    }
}

/// Why events are missing; a closed set that is metric label and annotation value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LossReason {
    /// The kernel's ring had no room.
    RingFull,
    /// The spool was full and its oldest events were dropped.
    SpoolFull,
    /// The spool's files were damaged.
    SpoolDamaged,
    /// The spool could not be written.
    SpoolUnwritable,
    /// The server refused the batch.
    Refused,
    /// More containers than the table holds.
    TableFull,
    /// The kernel's record could not be read, or names no file.
    Unreadable,
    /// The container opens files by a way that the hook in use does not see.
    IoUring,
}

impl LossReason {
    /// Every reason, for metrics that show zeros.
    pub const ALL: [Self; 8] = [
        Self::RingFull,
        Self::SpoolFull,
        Self::SpoolDamaged,
        Self::SpoolUnwritable,
        Self::Refused,
        Self::TableFull,
        Self::Unreadable,
        Self::IoUring,
    ];

    /// Where on the way of an event it is lost.
    #[must_use]
    pub const fn stage(self) -> &'static str {
        match self {
            Self::RingFull | Self::IoUring => "kernel",
            Self::Unreadable => "read",
            Self::TableFull => "table",
            Self::SpoolFull | Self::SpoolDamaged | Self::SpoolUnwritable => "spool",
            Self::Refused => "send",
        }
    }

    /// The name in metrics and annotations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingFull => "ring-full",
            Self::SpoolFull => "spool-full",
            Self::SpoolDamaged => "spool-damaged",
            Self::SpoolUnwritable => "spool-unwritable",
            Self::Refused => "refused",
            Self::TableFull => "table-full",
            Self::Unreadable => "unreadable",
            Self::IoUring => "io-uring",
        }
    }
}

/// One thing that was seen. Instants are nanoseconds since boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// A program was started.
    Exec {
        /// The process, already running the program.
        process: Process,
        /// When.
        at: u64,
        /// The program's file; `None` when it lies outside the container's mounts.
        program: Option<SeenFile>,
        /// Arguments, as far as captured.
        arguments: Vec<String>,
        /// Whether it is the first program of its container.
        first: bool,
    },
    /// A file was mapped executable.
    Mapped {
        /// The process.
        process: Process,
        /// When.
        at: u64,
        /// The file.
        file: SeenFile,
    },
    /// A file of code was opened.
    Opened {
        /// The process.
        process: Process,
        /// When.
        at: u64,
        /// The file.
        file: SeenFile,
    },
    /// The first process of a container ended.
    Exit {
        /// The process.
        process: Process,
        /// When.
        at: u64,
    },
    /// A process was found running by a pass over `/proc`.
    Running {
        /// The process.
        process: Process,
        /// When it was looked at.
        at: u64,
        /// Its arguments.
        arguments: Vec<String>,
        /// The files it has mapped executable at this moment.
        files: Vec<SeenFile>,
    },
    /// A package database of a container was found to be changed since the container started.
    DatabaseChanged {
        /// The oldest process of the container; who changed it is not known.
        process: Process,
        /// When it was looked at.
        at: u64,
        /// The database.
        database: ChangedDatabase,
    },
    /// A pass over `/proc` is complete; every container not met since it began has ended.
    SweepDone {
        /// When the pass began.
        began: u64,
    },
    /// Events were lost.
    Lost {
        /// Whose, when known: a container's id, or its leading hex digits.
        container: Option<String>,
        /// Why.
        reason: LossReason,
        /// How many.
        count: u64,
    },
    /// An event was lost after it was made.
    EventLost(LostEvent),
}
