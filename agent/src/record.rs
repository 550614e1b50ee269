//! Events become complete here and are recorded: on standard output, in the spool, or both.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use stella_api::runtime::{GAP, RuntimeEvent};
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
    /// What the observer was not told of yet.
    pub untold: Untold,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// What the observer is to be told of.
#[derive(Debug, Default)]
pub struct Untold {
    /// That events were lost.
    loss: Option<Observation>,
    /// Ids of containers whose event was lost that told of their gap.
    gaps: BTreeSet<String>,
    /// Whether the last event could not be written. What the observer says of a loss are events too: it is told when there is room
    /// for them.
    is_unwritable: bool,
}

impl Recorder {
    /// Works until the sender of `from` is gone. Blocks: files are read and written here.
    pub fn run(mut self, mut from: mpsc::Receiver<Due>) {
        while let Some(due) = from.blocking_recv() {
            self.record(due);
        }
    }

    fn record(&mut self, due: Due) {
        if !self.untold.is_unwritable {
            self.tell();
        }
        let Due { mut event, files, pids } = due;
        let gap = gap_told_by(&event);
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
                Ok(dropped) => {
                    self.untold.is_unwritable = false;
                    if dropped > 0 {
                        self.lost(LossReason::SpoolFull, dropped);
                    }
                    self.tell();
                }
                Err(error) => {
                    tracing::error!(%error, "an event cannot be spooled");
                    self.untold.is_unwritable = true;
                    self.untold.gaps.extend(gap);
                    return self.lost(LossReason::SpoolUnwritable, 1);
                }
            }
        }
        self.metrics.recorded.with_label_values(&[&kind]).inc();
    }

    fn lost(&mut self, reason: LossReason, count: u64) {
        self.metrics.count_lost(reason, count);
        self.untold.loss = Some(Observation::Lost { container: None, reason, count });
    }

    /// Never waits: the observer may be waiting for this very thread. What finds no room is told with the next event.
    fn tell(&mut self) {
        let Some(losses) = self.losses.upgrade() else { return };
        if let Some(loss) = self.untold.loss.take()
            && let Err(TrySendError::Full(loss)) = losses.try_send(loss)
        {
            self.untold.loss = Some(loss);
            return;
        }
        while let Some(container) = self.untold.gaps.pop_first() {
            if let Err(TrySendError::Full(Observation::GapLost { container })) =
                losses.try_send(Observation::GapLost { container })
            {
                self.untold.gaps.insert(container);
                return;
            }
        }
    }
}

/// The id of the container whose gap the event tells of.
fn gap_told_by(event: &RuntimeEvent) -> Option<String> {
    event.annotations.get(GAP)?;
    let (_, id) = event.workload.container_id.split_once("://")?;
    Some(id.to_owned())
}

#[cfg(test)]
mod tests {
    use stella_domain::Timestamp;

    use super::*;
    use crate::cgroup::{Engine, Membership};
    use crate::containers::Containers;
    use crate::events::Origin;
    use crate::observation::{FileOrigin, SeenFile};
    use crate::procfs::ProcFs;
    use crate::spool::{Limits, Spool};

    const ID: &str = "abababababababababababababababababababababababababababababababab";

    /// An event that tells of a gap, with one file.
    fn due(path: String) -> Due {
        let origin = Origin {
            node: "n".to_owned(),
            tenant: "tenant-default".to_owned(),
            boot_id: "b".to_owned(),
            run: 1,
            runtime: None,
            hook: "tracepoint".to_owned(),
            openings: true,
        };
        let membership = Membership { engine: Engine::Containerd, id: ID.to_owned(), pod_uid: None };
        let mut containers = Containers::default();
        let (container, _) = containers.meet(&membership, 5, true);
        container.gap = Some("ring-full".to_owned());
        let file = SeenFile { path, inode: 1, device: 1, opened: true, origin: FileOrigin::Image };
        Due { event: origin.gap(container, Timestamp::from_millis(0)), files: vec![file], pids: Vec::new() }
    }

    #[test]
    fn a_loss_is_told_when_there_is_room_for_what_tells_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(folder.path(), Limits { bytes: 8 << 20, sync_each: false }).unwrap();
        let metrics = Arc::new(Metrics::new());
        let (losses, mut told) = mpsc::channel(10);
        let mut recorder = Recorder {
            libraries: LibraryReader::new(ProcFs::new(folder.path()), 1 << 20, Arc::clone(&metrics)),
            print: false,
            outbox: Some(Arc::new(Outbox::new(spool))),
            losses: losses.downgrade(),
            untold: Untold::default(),
            metrics,
        };
        for _ in 0..3 {
            // More than a record may have.
            recorder.record(due("x".repeat(2 << 20)));
            assert!(told.try_recv().is_err(), "what it led to would be lost as well");
        }
        recorder.record(due("/srv/a.py".to_owned()));
        let loss = Observation::Lost { container: None, reason: LossReason::SpoolUnwritable, count: 1 };
        assert_eq!(told.try_recv(), Ok(loss));
        assert_eq!(told.try_recv(), Ok(Observation::GapLost { container: ID.to_owned() }));
        recorder.record(due("/srv/b.py".to_owned()));
        assert!(told.try_recv().is_err(), "each once");
    }
}
