//! Attaches the programs and finds the best way to see mappings that this kernel offers.

use std::fmt;

use aya::programs::{FEntry, Lsm, ProgramError, RawTracePoint, TracePoint};
use aya::{Btf, Ebpf};

/// How executable mappings are seen, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapHook {
    /// A trampoline at `security_mmap_file`: costs nothing elsewhere.
    Fentry,
    /// The LSM hook `mmap_file`.
    Lsm,
    /// The tracepoint at the entry of `mmap`: costs every system call some 70 ns, and does not see 32-bit programs,
    /// whose libraries passes over `/proc` find.
    Syscall,
    /// None: mappings are found by passes over `/proc`.
    Passes,
}

impl MapHook {
    /// The name in logs, status and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Lsm => "lsm",
            Self::Syscall => "tracepoint",
            Self::Passes => "proc-passes",
        }
    }
}

impl fmt::Display for MapHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How openings of code files are seen, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenHook {
    /// A trampoline at `security_file_open`.
    Fentry,
    /// The LSM hook `file_open`.
    Lsm,
    /// The tracepoints at the ends of `openat`, `openat2` and `open`: 32-bit programs and io_uring are not seen.
    Syscall,
}

impl OpenHook {
    /// The name in logs and status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Lsm => "lsm",
            Self::Syscall => "tracepoint",
        }
    }
}

impl fmt::Display for OpenHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a program could not be attached.
#[derive(Debug, thiserror::Error)]
#[error("{program}: {reason}")]
pub struct AttachError {
    /// The program.
    pub program: &'static str,
    /// The kernel's answer, with what it usually means.
    pub reason: String,
}

type Attach = fn(&mut Ebpf, &Btf) -> Result<(), ProgramError>;

/// Attaches the programs that see processes start and end.
///
/// # Errors
/// When one of them cannot be attached; without them there is nothing to observe by.
pub fn attach_processes(ebpf: &mut Ebpf) -> Result<(), AttachError> {
    for (program, tracepoint) in [("on_exec", "sched_process_exec"), ("on_exit", "sched_process_exit")] {
        raw_tracepoint(ebpf, program, tracepoint).map_err(|error| explain(program, &error))?;
    }
    Ok(())
}

/// Attaches the best hook for mappings there is, and logs what was tried.
pub fn attach_mappings(ebpf: &mut Ebpf, btf: &Btf) -> MapHook {
    let attempts: [(MapHook, &'static str, Attach); 3] = [
        (MapHook::Fentry, "on_mmap_fentry", |ebpf, btf| fentry(ebpf, btf, "on_mmap_fentry", "security_mmap_file")),
        (MapHook::Lsm, "on_mmap_lsm", |ebpf, btf| lsm(ebpf, btf, "on_mmap_lsm", "mmap_file")),
        (MapHook::Syscall, "on_mmap_syscall", |ebpf, _| syscall(ebpf, "on_mmap_syscall", "sys_enter_mmap")),
    ];
    for (hook, program, attach) in attempts {
        if hook == MapHook::Lsm && !bpf_is_an_active_lsm() {
            tracing::info!(%hook, "hook not available: 'bpf' is not in /sys/kernel/security/lsm");
            continue;
        }
        match attach(ebpf, btf) {
            Ok(()) => {
                tracing::info!(%hook, "executable mappings are seen by this hook");
                return hook;
            }
            Err(error) => tracing::info!(%hook, reason = %explain(program, &error), "hook not available"),
        }
    }
    tracing::warn!(
        "no hook for executable mappings: libraries are found by passes over /proc, and short-lived ones missed"
    );
    MapHook::Passes
}

/// Attaches the best hook for openings of code files there is, and logs what was tried.
pub fn attach_openings(ebpf: &mut Ebpf, btf: &Btf) -> Option<OpenHook> {
    let attempts: [(OpenHook, &'static str, Attach); 3] = [
        (OpenHook::Fentry, "on_open_fentry", |ebpf, btf| fentry(ebpf, btf, "on_open_fentry", "security_file_open")),
        (OpenHook::Lsm, "on_open_lsm", |ebpf, btf| lsm(ebpf, btf, "on_open_lsm", "file_open")),
        (OpenHook::Syscall, "on_open_syscall", |ebpf, _| ends_of_open(ebpf)),
    ];
    for (hook, program, attach) in attempts {
        if hook == OpenHook::Lsm && !bpf_is_an_active_lsm() {
            continue;
        }
        match attach(ebpf, btf) {
            Ok(()) => {
                tracing::info!(%hook, "openings of code files are seen by this hook");
                return Some(hook);
            }
            Err(error) => tracing::info!(%hook, reason = %explain(program, &error), "hook for openings not available"),
        }
    }
    tracing::warn!("no hook for openings: use of Python, Node, Java and other code that is opened cannot be told");
    None
}

/// A program attached to an LSM hook loads even where it will never be called.
fn bpf_is_an_active_lsm() -> bool {
    std::fs::read_to_string("/sys/kernel/security/lsm")
        .is_ok_and(|list| list.trim().split(',').any(|name| name == "bpf"))
}

fn raw_tracepoint(ebpf: &mut Ebpf, program: &str, tracepoint: &str) -> Result<(), ProgramError> {
    let program: &mut RawTracePoint = ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)?.try_into()?;
    program.load()?;
    program.attach(tracepoint).map(drop)
}

fn fentry(ebpf: &mut Ebpf, btf: &Btf, program: &str, function: &str) -> Result<(), ProgramError> {
    let program: &mut FEntry = ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)?.try_into()?;
    program.load(function, btf)?;
    program.attach().map(drop)
}

fn lsm(ebpf: &mut Ebpf, btf: &Btf, program: &str, hook: &str) -> Result<(), ProgramError> {
    let program: &mut Lsm = ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)?.try_into()?;
    program.load(hook, btf)?;
    program.attach().map(drop)
}

fn syscall(ebpf: &mut Ebpf, program: &str, tracepoint: &str) -> Result<(), ProgramError> {
    let program: &mut TracePoint = ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)?.try_into()?;
    program.load()?;
    program.attach("syscalls", tracepoint).map(drop)
}

/// `openat2` is younger than some kernels, and `open` is missing on younger architectures.
fn ends_of_open(ebpf: &mut Ebpf) -> Result<(), ProgramError> {
    let program: &mut TracePoint = ebpf.program_mut("on_open_syscall").ok_or(ProgramError::NotLoaded)?.try_into()?;
    program.load()?;
    program.attach("syscalls", "sys_exit_openat")?;
    for tracepoint in ["sys_exit_openat2", "sys_exit_open"] {
        if let Err(error) = program.attach("syscalls", tracepoint) {
            tracing::info!(reason = %explain("on_open_syscall", &error), tracepoint, "tracepoint not available");
        }
    }
    Ok(())
}

fn explain(program: &'static str, error: &ProgramError) -> AttachError {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !reason.contains(&inner_text) {
            reason = format!("{reason}: {inner_text}");
        }
        cause = inner.source();
    }
    if reason.contains("tracefs") || reason.contains("No such file") {
        reason.push_str(" (is tracefs mounted at /sys/kernel/tracing?)");
    } else if reason.contains("not permitted") {
        reason.push_str(" (CAP_BPF and CAP_PERFMON are needed; some kernels refuse this kind altogether)");
    }
    AttachError { program, reason }
}
