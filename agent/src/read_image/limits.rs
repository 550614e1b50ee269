//! What the process that reads an image may use: it works on foreign bytes beside a program that must not suffer.

use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};

use crate::control_group;

/// Bytes of address space for data; the inventory of a large image needs a tenth of it.
const DATA_BYTES: u64 = 1 << 30;
/// Seconds of processor time.
const CPU_SECONDS: u64 = 15 * 60;
const OPEN_FILES: u64 = 512;
/// Lower than anything else on the node.
const NICENESS: i32 = 19;

/// Binds this process to its limits; for ever, since it has no right to lift them. `control_groups` are the folders of the group
/// that the agent made for it.
pub fn bind_self(control_groups: &[PathBuf]) {
    for folder in control_groups {
        match control_group::enter(folder) {
            Ok(()) => tracing::info!(folder = %folder.display(), "held by a control group"),
            Err(error) => tracing::warn!(%error, "the control group could not be entered"),
        }
    }
    // When memory runs out, it goes before anything else on the node. And it does not outlive the agent, which may have stopped it.
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "1000") {
        tracing::debug!(%error, "it is not the first to go when memory runs out");
    }
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        tracing::warn!(%error, "it may outlive the agent");
    }
    let limits = [
        (Resource::Data, DATA_BYTES),
        (Resource::Cpu, CPU_SECONDS),
        (Resource::Nofile, OPEN_FILES),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
    ];
    for (resource, most) in limits {
        if let Err(error) = setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }) {
            tracing::warn!(?resource, %error, "a limit could not be set");
        }
    }
    if let Err(error) = nice(NICENESS) {
        tracing::warn!(%error, "the priority could not be lowered");
    }
}
