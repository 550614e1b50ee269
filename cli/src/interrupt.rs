//! Ctrl-C ends the process with exit code 130.

use tokio::runtime::Builder;

/// Exit code of an interrupted run (128 and the number of SIGINT).
const INTERRUPTED: i32 = 130;

/// From now on Ctrl-C ends the process with exit code 130. Where no watcher can be started the system's own way stays:
/// death by the signal, which shells report as 130 too.
pub fn leave_on_interrupt() {
    let watch = || {
        let Ok(runtime) = Builder::new_current_thread().enable_io().build() else { return };
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            std::process::exit(INTERRUPTED);
        }
    };
    let started = std::thread::Builder::new().name("interrupt".to_owned()).spawn(watch);
    if let Err(error) = started {
        tracing::debug!(%error, "no watcher for interrupts");
    }
}
