//! Events become complete here and are recorded: on standard output, in the spool, or both.

use std::io::Write;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::collect::Due;
use crate::events::envelope;
use crate::library::LibraryReader;
use crate::metrics::Metrics;
use crate::observation::{LossReason, Observation};
use crate::outbox::Outbox;

/// Describes libraries and records events.
pub struct Recorder {
    /// Reads hashes and build ids.
    pub libraries: LibraryReader,
    /// Whether events are printed.
    pub print: bool,
    /// Where events wait for the server.
    pub outbox: Option<Arc<Outbox>>,
    /// Told of losses, so that containers get their gap.
    pub losses: mpsc::WeakSender<Observation>,
    /// Losses the observer had no room for yet.
    pub untold: Option<Observation>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl Recorder {
    /// Works until the sender of `from` is gone. Blocks: files are read and written here.
    pub fn run(mut self, mut from: mpsc::Receiver<Due>) {
        while let Some(due) = from.blocking_recv() {
            self.record(due);
        }
    }

    fn record(&mut self, due: Due) {
        self.tell();
        let Due { mut event, files, pids } = due;
        event.loaded_libs = files.into_iter().map(|file| self.libraries.describe(file, &pids)).collect();
        event.loaded_libs.sort_unstable();
        let kind = format!("{:?}", event.kind);
        let envelope = envelope(event);
        let line = match serde_json::to_vec(&envelope) {
            Ok(line) => line,
            Err(error) => {
                tracing::error!(%error, "an event cannot be written as JSON");
                return self.lost(LossReason::SpoolUnwritable, 1);
            }
        };
        if self.print {
            let mut out = std::io::stdout().lock();
            if let Err(error) = out.write_all(&line).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()) {
                tracing::error!(%error, "cannot print events any more");
                self.print = false;
            }
        }
        if let Some(outbox) = &self.outbox {
            match outbox.put(&line) {
                Ok(0) => {}
                Ok(dropped) => self.lost(LossReason::SpoolFull, dropped),
                Err(error) => {
                    tracing::error!(%error, "an event cannot be spooled");
                    self.lost(LossReason::SpoolUnwritable, 1);
                    return;
                }
            }
        }
        self.metrics.recorded.with_label_values(&[&kind]).inc();
    }

    fn lost(&mut self, reason: LossReason, count: u64) {
        self.metrics.count_lost(reason, count);
        self.untold = Some(Observation::Lost { container: None, reason, count });
        self.tell();
    }

    /// Never waits: the observer may be waiting for this very thread. What finds no room is told with the next event.
    fn tell(&mut self) {
        if let Some(loss) = self.untold.take()
            && let Some(losses) = self.losses.upgrade()
            && let Err(TrySendError::Full(loss)) = losses.try_send(loss)
        {
            self.untold = Some(loss);
        }
    }
}
