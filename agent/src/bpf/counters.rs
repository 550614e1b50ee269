//! The kernel side's counts, as differences since they were last read.

use aya::maps::{MapData, MapError, PerCpuArray};

/// What is counted; the order is that of `enum counter` in `bpf/event.h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Programs started in containers.
    pub execs: u64,
    /// Executable mappings of files in containers.
    pub mappings: u64,
    /// Ends of containers' first processes.
    pub exits: u64,
    /// Openings of code files in containers.
    pub openings: u64,
    /// Of execs, mappings and openings, those known already and not sent.
    pub repeated: u64,
    /// Records handed to the ring.
    pub submitted: u64,
    /// Records the ring had no room for.
    pub lost: u64,
    /// Of those, the ones whose container could not be noted.
    pub unattributed: u64,
}

const COUNTERS: u32 = 8;

/// Reads the counters and remembers what was read.
pub struct Counters {
    map: PerCpuArray<MapData, u64>,
    before: [u64; COUNTERS as usize],
}

impl Counters {
    /// Over the map of that name.
    #[must_use]
    pub fn new(map: PerCpuArray<MapData, u64>) -> Self {
        Self { map, before: [0; COUNTERS as usize] }
    }

    /// What was counted since the last call.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn take(&mut self) -> Result<Counts, MapError> {
        let mut grown = [0; COUNTERS as usize];
        for (index, (grown, before)) in (0..COUNTERS).zip(grown.iter_mut().zip(&mut self.before)) {
            let now: u64 = self.map.get(&index, 0)?.iter().sum();
            *grown = now - *before;
            *before = now;
        }
        let [execs, mappings, exits, openings, repeated, submitted, lost, unattributed] = grown;
        Ok(Counts { execs, mappings, exits, openings, repeated, submitted, lost, unattributed })
    }
}
