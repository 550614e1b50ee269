//! Attaches the programs and finds the best way to see mappings that this kernel offers.

use std::fmt;

use aya::programs::{FEntry, Lsm, ProgramError, RawTracePoint, TracePoint};
use aya::{Btf, Ebpf};
use stella_api::node_status::{HookFamily, Refused};

use crate::rights::{self, Rights};

/// By what something is seen, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// A trampoline at a function of the kernel: costs nothing elsewhere.
    Fentry,
    /// An LSM hook.
    Lsm,
    /// Tracepoints of system calls: they cost every system call some 70 ns, and do not see 32-bit programs.
    Syscall,
}

impl Hook {
    /// The name in logs, status and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Lsm => "lsm",
            Self::Syscall => "tracepoint",
        }
    }

    /// Its kind.
    #[must_use]
    pub const fn family(self) -> HookFamily {
        match self {
            Self::Fentry | Self::Lsm => HookFamily::Preferred,
            Self::Syscall => HookFamily::Portable,
        }
    }

    /// What it needs and does not find here.
    fn missing(self) -> Option<String> {
        Rights::own().missing_for_bpf().or_else(|| match self {
            Self::Fentry => None,
            Self::Lsm => (!bpf_is_an_active_lsm()).then(|| "bpf in the kernel's list of LSMs (lsm=...,bpf)".to_owned()),
            Self::Syscall => rights::missing_tracefs(),
        })
    }
}

impl fmt::Display for Hook {
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

/// Attaches a hook, and notes what of it this kernel refused though the hook as a whole works.
type Attach = fn(&mut Ebpf, &Btf, &mut Vec<Refused>) -> Result<(), ProgramError>;

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

/// Attaches the best hook for executable mappings there is, and logs what was tried. Without one they are found by passes over
/// `/proc`.
pub fn attach_mappings(ebpf: &mut Ebpf, btf: &Btf, refused: &mut Vec<Refused>) -> Option<Hook> {
    let attempts: Attempts = [
        (Hook::Fentry, "on_mmap_fentry", |ebpf, btf, _| fentry(ebpf, btf, "on_mmap_fentry", "security_mmap_file")),
        (Hook::Lsm, "on_mmap_lsm", |ebpf, btf, _| lsm(ebpf, btf, "on_mmap_lsm", "mmap_file")),
        (Hook::Syscall, "on_mmap_syscall", |ebpf, _, _| syscalls(ebpf, "on_mmap_syscall", "sys_enter_mmap")),
    ];
    attach_best(ebpf, btf, "mappings", attempts, refused)
}

/// Attaches the best hook for mappings that are made executable later, and logs what was tried. The programs are their own, so that
/// a mapping costs no more for it.
pub fn attach_protections(ebpf: &mut Ebpf, btf: &Btf, refused: &mut Vec<Refused>) -> Option<Hook> {
    let attempts: Attempts = [
        (Hook::Fentry, "on_mprotect_fentry", |ebpf, btf, _| {
            fentry(ebpf, btf, "on_mprotect_fentry", "security_file_mprotect")
        }),
        (Hook::Lsm, "on_mprotect_lsm", |ebpf, btf, _| lsm(ebpf, btf, "on_mprotect_lsm", "file_mprotect")),
        (Hook::Syscall, "on_mprotect_syscall", |ebpf, _, refused| {
            syscalls(ebpf, "on_mprotect_syscall", "sys_enter_mprotect")?;
            // Not every architecture has protection keys.
            let attached = attach_syscall(ebpf, "on_mprotect_syscall", "sys_enter_pkey_mprotect");
            note_refusal("on_mprotect_syscall", "mprotect", "sys_enter_pkey_mprotect", attached, refused);
            Ok(())
        }),
    ];
    attach_best(ebpf, btf, "mprotect", attempts, refused)
}

/// Attaches the best hook for openings of code files there is, and logs what was tried.
pub fn attach_openings(ebpf: &mut Ebpf, btf: &Btf, refused: &mut Vec<Refused>) -> Option<Hook> {
    let attempts: Attempts = [
        (Hook::Fentry, "on_open_fentry", |ebpf, btf, _| fentry(ebpf, btf, "on_open_fentry", "security_file_open")),
        (Hook::Lsm, "on_open_lsm", |ebpf, btf, _| lsm(ebpf, btf, "on_open_lsm", "file_open")),
        (Hook::Syscall, "on_open_syscall", |ebpf, _, refused| {
            syscalls(ebpf, "on_open_syscall", "sys_exit_openat")?;
            // `openat2` is younger than some kernels, and `open` is missing on younger architectures.
            for tracepoint in ["sys_exit_openat2", "sys_exit_open"] {
                let attached = attach_syscall(ebpf, "on_open_syscall", tracepoint);
                note_refusal("on_open_syscall", "openings", tracepoint, attached, refused);
            }
            // By io_uring files are opened past these tracepoints, and that has to be known. A kernel may be without it.
            let watched = syscalls(ebpf, "on_io_uring", "sys_enter_io_uring_setup");
            note_refusal("on_io_uring", "openings", "sys_enter_io_uring_setup", watched, refused);
            Ok(())
        }),
    ];
    attach_best(ebpf, btf, "openings", attempts, refused)
}

type Attempts = [(Hook, &'static str, Attach); 3];

fn attach_best(ebpf: &mut Ebpf, btf: &Btf, what: &str, attempts: Attempts, refused: &mut Vec<Refused>) -> Option<Hook> {
    for (hook, program, attach) in attempts {
        let reason = if hook == Hook::Lsm && !bpf_is_an_active_lsm() {
            "'bpf' is not in /sys/kernel/security/lsm".to_owned()
        } else {
            match attach(ebpf, btf, refused) {
                Ok(()) => {
                    tracing::info!(what, %hook, "seen by this hook");
                    return Some(hook);
                }
                Err(error) => explain(program, &error).to_string(),
            }
        };
        let missing = hook.missing().or_else(|| newer_kernel(&reason));
        tracing::info!(what, %hook, reason, missing = missing.as_deref().unwrap_or("unknown"), "hook not available");
        refused.push(Refused { sees: what.to_owned(), hook: hook.name().to_owned(), reason, missing });
    }
    tracing::warn!(what, "no hook: short-lived ones are missed, and what is not seen cannot be said not to be used");
    None
}

/// What a kernel lacks that does not know a helper: `invalid func unknown#180` or `unknown func bpf_find_vma#180`
/// is what its verifier says of it.
fn newer_kernel(reason: &str) -> Option<String> {
    let unknown = reason.contains("unknown func") || reason.contains("invalid func");
    (unknown && reason.contains("#180")).then(|| "a kernel from 5.17 on (bpf_find_vma)".to_owned())
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

/// Loads a program and attaches it to a tracepoint of system calls.
fn syscalls(ebpf: &mut Ebpf, program: &str, tracepoint: &str) -> Result<(), ProgramError> {
    let loaded: &mut TracePoint = ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)?.try_into()?;
    loaded.load()?;
    attach_syscall(ebpf, program, tracepoint)
}

/// Attaches a loaded program to a tracepoint of system calls.
fn attach_syscall(ebpf: &mut Ebpf, program: &str, tracepoint: &str) -> Result<(), ProgramError> {
    let loaded: &mut TracePoint = ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)?.try_into()?;
    loaded.attach("syscalls", tracepoint).map(drop)
}

/// Keeps that what one system call does is not seen, unless this kernel has no such call, by which nothing can be done then.
fn note_refusal(
    program: &'static str,
    sees: &str,
    tracepoint: &str,
    attached: Result<(), ProgramError>,
    refused: &mut Vec<Refused>,
) {
    let Err(error) = attached else { return };
    let reason = explain(program, &error).to_string();
    if !rights::has_tracepoint("syscalls", tracepoint) {
        tracing::info!(reason, tracepoint, "this kernel has no such system call");
        return;
    }
    let missing = Hook::Syscall.missing();
    let shown = missing.as_deref().unwrap_or("unknown");
    tracing::warn!(sees, reason, tracepoint, missing = shown, "what is done by this system call is not seen");
    refused.push(Refused { sees: sees.to_owned(), hook: tracepoint.to_owned(), reason, missing });
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
    } else if reason.contains("not permitted") || reason.contains("Permission denied") {
        let settings: String = rights::restrictions().iter().map(|setting| format!("; {setting}")).collect();
        let needed = "CAP_BPF and CAP_PERFMON are needed; some kernels refuse this kind altogether";
        reason = format!("{reason} ({needed}{settings})");
    }
    AttachError { program, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_that_the_kernel_does_not_know_names_the_kernel_that_does() {
        let old =
            "the BPF_PROG_LOAD syscall failed: Invalid argument: 12: (85) call unknown#180\ninvalid func unknown#180";
        assert_eq!(newer_kernel(old).as_deref(), Some("a kernel from 5.17 on (bpf_find_vma)"));
        assert_eq!(newer_kernel("the BPF_PROG_LOAD syscall failed: Operation not permitted"), None);
        assert_eq!(newer_kernel("unknown func bpf_other#200"), None);
    }
}
