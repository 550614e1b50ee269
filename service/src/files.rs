//! How many files a process may have open; a connection is one of them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the process's limit as far as it may by itself, and gives what it is then. Who starts a process from a shell often
/// has 1,024.
#[must_use]
pub fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum || setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        return current.unwrap_or(u64::MAX);
    }
    maximum.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_limit_is_raised_to_what_it_may_be() {
        let raised = super::raise();
        assert_eq!(rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX), raised);
    }
}
