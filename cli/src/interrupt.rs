//! Ctrl-C ends the process with exit code 130.

use std::io;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of an interrupted run (128 and the number of SIGINT).
const INTERRUPTED: i32 = 130;

/// From now on Ctrl-C ends the process with exit code 130. Where no watcher can be started the system's own way stays:
/// death by the signal, which shells report as 130 too.
pub fn leave_on_interrupt() {
    if let Err(error) = watch() {
        tracing::debug!(%error, "no watcher for interrupts");
    }
}

fn watch() -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    // Here and not in the thread: an interrupt just after this function has returned is heard, too.
    let mut interrupts = {
        let _within = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    let wait = move || {
        if runtime.block_on(interrupts.recv()).is_some() {
            std::process::exit(INTERRUPTED);
        }
    };
    std::thread::Builder::new().name("interrupt".to_owned()).spawn(wait).map(drop)
}
