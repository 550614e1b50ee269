//! What this process may do and what it finds, so that a refusal can name the right, the mount or the option that is missing.

use std::fs;
use std::path::Path;

/// The pid namespace that the kernel itself begins with (`PROC_PID_INIT_INO`, linux/proc_ns.h).
const FIRST_PID_NAMESPACE: u32 = 0xEFFF_FFFC;

/// A capability (capabilities(7), linux/capability.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// To read other processes' maps and roots.
    SysPtrace,
    /// Stands for the two below on kernels before 5.8.
    SysAdmin,
    /// To read the kernel's memory from programs, and to attach them.
    Perfmon,
    /// To load programs and to make maps.
    Bpf,
}

impl Capability {
    const fn number(self) -> u32 {
        match self {
            Self::SysPtrace => 19,
            Self::SysAdmin => 21,
            Self::Perfmon => 38,
            Self::Bpf => 39,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }
}

/// The effective capabilities of this process; all of them where that cannot be told.
#[derive(Debug, Clone, Copy)]
pub struct Rights(u64);

impl Rights {
    /// Those of this process.
    #[must_use]
    pub fn own() -> Self {
        Self::of(&fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    /// From the text of a `/proc/PID/status`.
    fn of(status: &str) -> Self {
        let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        Self(mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(u64::MAX))
    }

    /// Whether it has the capability.
    #[must_use]
    pub fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability.number()) != 0
    }

    /// Which of those that eBPF needs are missing, with commas.
    #[must_use]
    pub fn missing_for_bpf(self) -> Option<String> {
        if self.has(Capability::SysAdmin) {
            return None;
        }
        let missing = [Capability::Bpf, Capability::Perfmon].into_iter().filter(|c| !self.has(*c));
        let names: Vec<&str> = missing.map(Capability::name).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

/// What eBPF misses here beside capabilities.
#[must_use]
pub fn missing_from_kernel() -> Option<String> {
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some("kernel types (CONFIG_DEBUG_INFO_BTF) at /sys/kernel/btf/vmlinux".to_owned());
    }
    lockdown(&fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default())
}

/// Where tracefs is mounted.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// What tracepoints of system calls miss: their filesystem.
#[must_use]
pub fn missing_tracefs() -> Option<String> {
    let there = TRACEFS.iter().any(|root| Path::new(root).join("events").exists());
    (!there).then(|| "tracefs at /sys/kernel/tracing".to_owned())
}

/// Whether this kernel has a tracepoint.
#[must_use]
pub fn has_tracepoint(category: &str, name: &str) -> bool {
    TRACEFS.iter().any(|root| Path::new(root).join("events").join(category).join(name).exists())
}

/// The kernel's settings that may refuse a program which capabilities allow.
#[must_use]
pub fn restrictions() -> Vec<String> {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    restricting(&text("/proc/sys/kernel/perf_event_paranoid"), &text("/sys/kernel/security/lockdown"))
}

/// Levels above 2 are those of distributions: they refuse what the kernel's own leave to capabilities.
fn restricting(paranoid: &str, lockdown: &str) -> Vec<String> {
    let paranoid = paranoid.trim().parse::<i32>().ok().filter(|level| *level > 2);
    let paranoid = paranoid.map(|level| format!("kernel.perf_event_paranoid is {level}"));
    let locked = lockdown_level(lockdown).filter(|level| *level != "none");
    paranoid.into_iter().chain(locked.map(|level| format!("lockdown is {level}"))).collect()
}

/// Whether a pid namespace is one inside the host's.
#[must_use]
pub fn is_inner_pid_namespace(number: u32) -> bool {
    number != FIRST_PID_NAMESPACE
}

/// The level in force stands in brackets (`none [integrity] confidentiality`).
fn lockdown_level(text: &str) -> Option<&str> {
    Some(text.split_once('[')?.1.split_once(']')?.0)
}

fn lockdown(text: &str) -> Option<String> {
    (lockdown_level(text)? == "confidentiality").then(|| "a kernel without lockdown=confidentiality".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        let of = |mask: u64| Rights::of(&format!("Name:\tx\nCapEff:\t{mask:016x}\n"));
        assert_eq!(of(0).missing_for_bpf().as_deref(), Some("CAP_BPF, CAP_PERFMON"));
        assert_eq!(of(1 << 39).missing_for_bpf().as_deref(), Some("CAP_PERFMON"));
        assert_eq!(of(1 << 39 | 1 << 38).missing_for_bpf(), None);
        assert_eq!(of(1 << 21).missing_for_bpf(), None);
        assert!(of(1 << 19).has(Capability::SysPtrace) && !of(0).has(Capability::SysPtrace));
        assert_eq!(Rights::of("nothing").missing_for_bpf(), None, "what cannot be told is not claimed");
    }

    #[test]
    fn only_the_level_that_forbids_programs_counts() {
        assert_eq!(lockdown("none [integrity] confidentiality\n"), None);
        assert!(lockdown("none integrity [confidentiality]\n").is_some());
        assert_eq!(lockdown(""), None);
    }

    #[test]
    fn settings_that_may_refuse_are_named() {
        let locked = "none [integrity] confidentiality\n";
        assert_eq!(restricting("4\n", locked), ["kernel.perf_event_paranoid is 4", "lockdown is integrity"]);
        assert!(restricting("2\n", "[none] integrity confidentiality\n").is_empty());
        assert!(restricting("-1\n", "").is_empty());
        assert!(restricting("", "").is_empty());
    }
}
