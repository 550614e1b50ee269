//! Plain processes that are treated as containers, for hosts without a container runtime.

use std::str::FromStr;

use stella_domain::Hasher;

use crate::identity::{Workload, digest_in};
use crate::procfs::ProcFs;
use crate::sweep::NamedProcess;

/// One `NAME=PID[,IMAGE]` of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostProcess {
    /// What it is called.
    pub name: String,
    /// The process; its descendants count too.
    pub pid: u32,
    /// The image it is taken to run, with an optional `@sha256:` digest.
    pub image: String,
}

/// A text that is no `NAME=PID[,IMAGE]`, or names no process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostProcessError {
    /// It is spelt otherwise.
    #[error("expected NAME=PID or NAME=PID,IMAGE")]
    Spelling,
    /// There is no such process.
    #[error("--host-process {name}: there is no process {pid}")]
    NoProcess {
        /// What it is called.
        name: String,
        /// Its number.
        pid: u32,
    },
}

impl FromStr for HostProcess {
    type Err = HostProcessError;

    fn from_str(text: &str) -> Result<Self, HostProcessError> {
        let (name, rest) = text.split_once('=').ok_or(HostProcessError::Spelling)?;
        let (pid, image) = rest.split_once(',').unwrap_or((rest, ""));
        let pid = pid.parse().map_err(|_| HostProcessError::Spelling)?;
        if name.is_empty() || pid == 0 {
            return Err(HostProcessError::Spelling);
        }
        Ok(Self { name: name.to_owned(), pid, image: image.to_owned() })
    }
}

impl HostProcess {
    /// The container it stands for. Its id is the same for as long as the process lives.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn as_container(&self, proc: &ProcFs, boot_id: &str) -> Result<(NamedProcess, Workload), HostProcessError> {
        let started = proc
            .started(self.pid)
            .ok_or_else(|| HostProcessError::NoProcess { name: self.name.clone(), pid: self.pid })?;
        let mut hasher = Hasher::new();
        hasher.field(boot_id);
        hasher.field(self.pid.to_be_bytes());
        hasher.field(started.to_be_bytes());
        let workload = Workload {
            container: self.name.clone(),
            manifest: digest_in(&self.image),
            image_ref: self.image.clone(),
            ..Workload::default()
        };
        Ok((NamedProcess { pid: self.pid, id: hasher.finish().hex() }, workload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_name_process_and_image() {
        let parsed: HostProcess = "web=12,r.example/web:1".parse().unwrap();
        assert_eq!((parsed.name.as_str(), parsed.pid, parsed.image.as_str()), ("web", 12, "r.example/web:1"));
        assert_eq!("web=12".parse::<HostProcess>().unwrap().image, "");
        for wrong in ["web", "=1", "web=x", "web=0", ""] {
            assert!(wrong.parse::<HostProcess>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn its_id_stays_while_it_lives() {
        let process = HostProcess { name: "me".to_owned(), pid: std::process::id(), image: String::new() };
        let id = || process.as_container(&ProcFs::new("/proc"), "b").unwrap().0.id;
        assert_eq!(id(), id());
        assert_eq!(id().len(), 64);
    }
}
