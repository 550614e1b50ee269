//! What the process that reads an image may use: it works on foreign bytes beside a program that must not suffer.

use rustix::process::{Resource, Rlimit, nice, setrlimit};

/// Bytes of address space for data; the inventory of a large image needs a tenth of it.
const DATA_BYTES: u64 = 1 << 30;
/// Seconds of processor time.
const CPU_SECONDS: u64 = 15 * 60;
const OPEN_FILES: u64 = 512;
/// Lower than anything else on the node.
const NICENESS: i32 = 19;

/// Binds this process to its limits; for ever, since it has no right to lift them.
pub fn bind_self() {
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
