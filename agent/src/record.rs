//! Events become complete here and are recorded: on standard output, in the spool, or both.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::collect::Due;
use crate::events::envelope;
use crate::library::LibraryReader;
use crate::lost_event::LostEvent;
use crate::metrics::Metrics;
use crate::observation::{LossReason, Observation};
use crate::outbox::Outbox;

/// Containers whose lost events are remembered until they can be told of.
const MOST_UNTOLD: usize = 4096;

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
    /// By the id of their container, events that were lost after they were made: one of each container.
    events: BTreeMap<String, LostEvent>,
}

impl Recorder {
    /// Works until the sender of `from` is gone. Blocks: files are read and written here.
    pub fn run(mut self, mut from: mpsc::Receiver<Due>) {
        while let Some(due) = from.blocking_recv() {
            self.record(due);
        }
    }

    fn record(&mut self, due: Due) {
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
                Ok(dropped) => {
                    if dropped.count > 0 {
                        dropped.records.iter().for_each(|record| self.remember(record, LossReason::SpoolFull));
                        self.lost(LossReason::SpoolFull, dropped.count);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "an event cannot be spooled");
                    self.remember(&line, LossReason::SpoolUnwritable);
                    return self.lost(LossReason::SpoolUnwritable, 1);
                }
            }
        }
        // What the observer says of a loss are events too: it is told when one could be written.
        self.tell();
        self.metrics.recorded.with_label_values(&[&kind]).inc();
    }

    fn lost(&mut self, reason: LossReason, count: u64) {
        self.metrics.count_lost(reason, count);
        self.untold.loss = Some(Observation::Lost { container: None, reason, count });
    }

    /// Keeps what is needed to tell of the gap that this record leaves.
    fn remember(&mut self, record: &[u8], reason: LossReason) {
        let Some(lost) = LostEvent::read(record, reason) else { return };
        let events = &mut self.untold.events;
        if let Some(known) = events.get_mut(lost.container()) {
            known.told_gap |= lost.told_gap;
        } else if events.len() < MOST_UNTOLD {
            events.insert(lost.container().to_owned(), lost);
        } else {
            tracing::error!(
                container = lost.container(),
                "too many containers lost events: of this one's gap nothing is told"
            );
        }
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
        // In a full spool each event that tells of a gap would displace one that does, for ever.
        if self.untold.events.is_empty() || self.outbox.as_ref().is_some_and(|outbox| !outbox.has_room()) {
            return;
        }
        while let Some((container, lost)) = self.untold.events.pop_first() {
            if let Err(TrySendError::Full(Observation::EventLost(lost))) = losses.try_send(Observation::EventLost(lost))
            {
                self.untold.events.insert(container, lost);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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
        let origin = Origin::of_tests();
        let membership = Membership { engine: Engine::Containerd, id: ID.to_owned(), pod_uid: None };
        let mut containers = Containers::default();
        let (container, _) = containers.meet(&membership, 5, true);
        container.gap = Some("ring-full".to_owned());
        let file = SeenFile { path, inode: 1, device: 1, opened: true, origin: FileOrigin::Image };
        Due { event: origin.gap(container, Timestamp::from_millis(0)), files: vec![file], pids: Vec::new() }
    }

    /// With a spool of so many bytes.
    fn recorder(folder: &Path, bytes: u64, losses: &mpsc::Sender<Observation>) -> Recorder {
        let (spool, _) = Spool::open(folder, Limits { bytes, sync_each: false }).unwrap();
        let metrics = Arc::new(Metrics::new());
        Recorder {
            libraries: LibraryReader::new(ProcFs::new(folder), 1 << 20, Arc::clone(&metrics)),
            print: false,
            outbox: Some(Arc::new(Outbox::new(spool))),
            losses: losses.downgrade(),
            untold: Untold::default(),
            metrics,
        }
    }

    /// Container, reason, and whether a gap was told by it, of the events that were told to be lost.
    fn events_lost(told: &mut mpsc::Receiver<Observation>) -> Vec<(String, &'static str, bool)> {
        let mut all = Vec::new();
        while let Ok(seen) = told.try_recv() {
            if let Observation::EventLost(lost) = seen {
                all.push((lost.container().to_owned(), lost.reason.name(), lost.told_gap));
            }
        }
        all
    }

    #[test]
    fn what_a_full_spool_dropped_is_told_once_the_server_has_taken_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let (losses, mut told) = mpsc::channel(4096);
        let mut recorder = recorder(folder.path(), 1 << 20, &losses);
        for n in 0..300 {
            recorder.record(due(format!("/{n}{}", "x".repeat(10_000))));
        }
        assert!(events_lost(&mut told).is_empty(), "what it led to would displace others");
        let outbox = recorder.outbox.clone().unwrap();
        while let Some(end) = outbox.peek(100, 1 << 20).unwrap().end {
            outbox.acknowledge(end).unwrap();
        }
        recorder.record(due("/srv/a.py".to_owned()));
        assert_eq!(events_lost(&mut told), [(ID.to_owned(), "spool-full", true)]);
        recorder.record(due("/srv/b.py".to_owned()));
        assert!(events_lost(&mut told).is_empty(), "each once");
    }

    #[test]
    fn a_loss_is_told_when_there_is_room_for_what_tells_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let (losses, mut told) = mpsc::channel(10);
        let mut recorder = recorder(folder.path(), 8 << 20, &losses);
        for _ in 0..3 {
            // More than a record may have.
            recorder.record(due("x".repeat(2 << 20)));
            assert!(told.try_recv().is_err(), "what it led to would be lost as well");
        }
        recorder.record(due("/srv/a.py".to_owned()));
        let loss = Observation::Lost { container: None, reason: LossReason::SpoolUnwritable, count: 1 };
        assert_eq!(told.try_recv(), Ok(loss));
        assert_eq!(events_lost(&mut told), [(ID.to_owned(), "spool-unwritable", true)]);
        recorder.record(due("/srv/b.py".to_owned()));
        assert!(told.try_recv().is_err(), "each once");
    }
}
