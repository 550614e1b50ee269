//! Work the server has for this node: images to read, one at a time, each in a process of its own. While the node is under
//! pressure none is begun, and the one under way stands still.

use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use stella_api::client::{Client, ClientError};
use stella_api::node::NodeWork;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::backoff::{Backoff, random_share};
use crate::control_group::ControlGroup;
use crate::metrics::Metrics;
use crate::pressure::{PressureGauge, is_memory};
use crate::server::with_causes;

/// Longer than the server's heartbeat: silence beyond this is a broken connection.
const SILENCE: Duration = Duration::from_secs(45);
const MOST_QUEUED: usize = 256;
/// How often the node's pressure is looked at while an image is read or waits.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
const READ_WITHIN: Duration = Duration::from_secs(20 * 60);
/// How often the reading of one image is ended because memory is short, before it is given up.
const MOST_PUT_OFF: u32 = 3;

/// Why a connection to the stream ended.
struct Ended {
    reason: String,
    asked: Option<Duration>,
    was_open: bool,
}

impl Ended {
    /// Before it was open.
    fn unopened(error: &ClientError) -> Self {
        Self { reason: with_causes(error), asked: error.retry_after(), was_open: false }
    }
}

/// An image to read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reading {
    work_id: String,
    image_ref: Option<String>,
    digest: Option<stella_domain::Digest>,
    traceparent: Option<String>,
}

/// Listens for work and has it done.
pub struct Worker {
    /// Where work comes from.
    pub client: Arc<Client>,
    /// The node's name.
    pub node: String,
    /// Flags to hand to the process that reads.
    pub child_flags: Vec<std::ffi::OsString>,
    /// What that process is held by, where there can be one.
    pub group: Option<ControlGroup>,
    /// What the node is short of; while it is, nothing is begun.
    pub pressure: Arc<PressureGauge>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// What is being read, and what waits.
struct Desk {
    queue: VecDeque<Queued>,
    current: Option<Underway>,
    /// When the node is looked at again, for what waits or is being read.
    look_again: Instant,
}

impl Desk {
    fn new() -> Self {
        Self { queue: VecDeque::new(), current: None, look_again: Instant::now() }
    }
}

/// A reading that waits.
struct Queued {
    reading: Reading,
    /// How often it was begun and put off.
    put_off: u32,
}

/// A reading and its process.
struct Underway {
    reading: Reading,
    /// How often it was begun and put off before.
    put_off: u32,
    child: Child,
    /// When it has taken too long. What it stands still does not count.
    deadline: Instant,
    /// Since when it stands still.
    stopped: Option<Instant>,
    /// Why it was told to end, if it was.
    ending: Option<Ending>,
}

/// Why the agent ends a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Memory is short.
    PutOff,
    TooLong,
    /// The server wants it no longer.
    Cancelled,
}

impl Underway {
    fn stop(&mut self) {
        if self.stopped.is_none() && self.signal(Signal::STOP) {
            tracing::info!(work = self.reading.work_id, "the reading stands still");
            self.stopped = Some(Instant::now());
        }
    }

    fn go_on(&mut self) {
        if let Some(since) = self.stopped.take() {
            self.signal(Signal::CONT);
            self.deadline += since.elapsed();
            tracing::info!(work = self.reading.work_id, seconds = since.elapsed().as_secs(), "the reading goes on");
        }
    }

    /// Its end is noticed where every end is.
    fn end(&mut self, ending: Ending) {
        if self.ending.is_none() && self.child.start_kill().is_ok() {
            self.ending = Some(ending);
        }
    }

    /// Whatever it was told to end for before, it is not begun again.
    fn cancel(&mut self) {
        // Where it has ended already, nothing has to be done.
        let _ = self.child.start_kill();
        self.ending = Some(Ending::Cancelled);
    }

    /// `false` where it has ended.
    fn signal(&self, signal: Signal) -> bool {
        // Not waited for yet, so the number is still its own.
        let pid = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }
}

impl Worker {
    /// Works for ever.
    pub async fn run(self) {
        let mut desk = Desk::new();
        let mut backoff = Backoff::default();
        let mut last_id = None;
        loop {
            let ended = self.listen(&mut desk, &mut last_id).await;
            if ended.was_open {
                backoff.succeeded();
            }
            let wait = backoff.failed(ended.asked, random_share());
            tracing::debug!(reason = ended.reason, wait_ms = wait.as_millis(), "the work stream ended");
            let resume = Instant::now() + wait;
            while tokio::time::timeout_at(resume, self.finished(&mut desk)).await.is_ok() {}
        }
    }

    /// Follows the stream until it ends.
    async fn listen(&self, desk: &mut Desk, last_id: &mut Option<String>) -> Ended {
        let opened = tokio::select! {
            opened = self.client.node_work(&self.node, last_id.as_deref(), SILENCE) => opened,
            () = self.finished_for_ever(desk) => {
                return Ended { reason: "never".to_owned(), asked: None, was_open: false };
            }
        };
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) => return Ended::unopened(&error),
        };
        let reason = loop {
            let events = tokio::select! {
                events = stream.more() => events,
                () = self.finished(desk) => continue,
            };
            match events {
                Ok(Some(events)) => {
                    for event in events {
                        self.take(desk, &event.data).await;
                        *last_id = event.id.or(last_id.take());
                    }
                }
                Ok(None) => break "the server closed it".to_owned(),
                Err(error) => break with_causes(&error),
            }
        };
        Ended { reason, asked: stream.retry(), was_open: true }
    }

    async fn take(&self, desk: &mut Desk, data: &str) {
        match serde_json::from_str(data) {
            Ok(NodeWork::Read { work_id, image_ref, digest, traceparent }) => {
                let reading = Reading { work_id, image_ref, digest, traceparent };
                let current = desk.current.as_ref().map(|underway| &underway.reading);
                if current == Some(&reading) || desk.queue.iter().any(|queued| queued.reading == reading) {
                    return;
                }
                if desk.queue.len() == MOST_QUEUED {
                    // The server gives unanswered work again.
                    tracing::warn!(work = reading.work_id, "too much work is waiting: not taken");
                    self.metrics.images.with_label_values(&["not-taken"]).inc();
                    return;
                }
                desk.queue.push_back(Queued { reading, put_off: 0 });
                self.begin_next(desk);
            }
            Ok(NodeWork::Cancel { work_id }) => {
                desk.queue.retain(|queued| queued.reading.work_id != work_id);
                if let Some(underway) = &mut desk.current
                    && underway.reading.work_id == work_id
                {
                    underway.cancel();
                }
            }
            Err(error) => tracing::warn!(%error, "work that is not understood"),
        }
    }

    /// Begins what waits, unless the node is under pressure.
    fn begin_next(&self, desk: &mut Desk) {
        while desk.current.is_none()
            && !desk.queue.is_empty()
            && self.has_room(desk)
            && let Some(Queued { reading, put_off }) = desk.queue.pop_front()
        {
            match self.spawn(&reading) {
                Ok(child) => {
                    tracing::info!(work = reading.work_id, image = reading.image_ref, "reading an image");
                    let deadline = Instant::now() + READ_WITHIN;
                    desk.current = Some(Underway { reading, put_off, child, deadline, stopped: None, ending: None });
                    desk.look_again = Instant::now() + LOOK_AGAIN;
                }
                Err(error) => {
                    tracing::error!(%error, "cannot start a process to read an image");
                    self.metrics.images.with_label_values(&["failed"]).inc();
                }
            }
        }
    }

    fn has_room(&self, desk: &mut Desk) -> bool {
        let has_room = self.pressure.look().is_empty();
        if !has_room {
            desk.look_again = Instant::now() + LOOK_AGAIN;
        }
        has_room
    }

    fn spawn(&self, reading: &Reading) -> std::io::Result<Child> {
        // The program itself, even when its file was replaced meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command.arg("read-image").args(&self.child_flags).args(["--work-id", &reading.work_id]);
        if let Some(image_ref) = &reading.image_ref {
            command.args(["--image-ref", image_ref]);
        }
        if let Some(digest) = &reading.digest {
            command.args(["--digest", &digest.to_string()]);
        }
        if let Some(traceparent) = &reading.traceparent {
            // One argument, for it may begin with anything.
            command.arg(format!("--traceparent={traceparent}"));
        }
        for folder in self.group.iter().flat_map(ControlGroup::folders) {
            command.arg("--control-group").arg(folder);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn()
    }

    /// Waits for the current reading to end, or for the next look at the node, and begins the next reading when it may; for ever
    /// when there is none.
    async fn finished(&self, desk: &mut Desk) {
        let look_again = desk.look_again;
        let Some(underway) = &mut desk.current else {
            if desk.queue.is_empty() {
                return std::future::pending().await;
            }
            tokio::time::sleep_until(look_again).await;
            return self.begin_next(desk);
        };
        let Ok(ended) = tokio::time::timeout_at(look_again, underway.child.wait()).await else {
            return self.look_after(desk);
        };
        match (ended, underway.ending) {
            // It was done before it heard that it should end.
            (Ok(status), _) if status.success() => self.ended(desk, outcome(status)),
            (_, Some(Ending::PutOff)) => self.put_off(desk),
            (_, Some(Ending::TooLong)) => self.ended(desk, "too-long"),
            (_, Some(Ending::Cancelled)) => self.ended(desk, "cancelled"),
            (Ok(status), None) => self.ended(desk, outcome(status)),
            (Err(error), None) => {
                tracing::error!(%error, "cannot wait for the reading process");
                self.ended(desk, "failed");
            }
        }
    }

    /// Looks at the node while an image is read: it stands still as long as the node is under pressure. Where memory is short that
    /// would help nobody, so it is ended and begun again later.
    fn look_after(&self, desk: &mut Desk) {
        desk.look_again = Instant::now() + LOOK_AGAIN;
        let Some(underway) = &mut desk.current else { return };
        let over = self.pressure.look();
        if over.iter().any(is_memory) {
            return underway.end(Ending::PutOff);
        }
        if !over.is_empty() {
            return underway.stop();
        }
        underway.go_on();
        if Instant::now() >= underway.deadline {
            tracing::error!(work = underway.reading.work_id, "reading took too long and is ended");
            underway.end(Ending::TooLong);
        }
    }

    fn put_off(&self, desk: &mut Desk) {
        if desk.current.as_ref().is_some_and(|underway| underway.put_off + 1 >= MOST_PUT_OFF) {
            // The server gives unanswered work again, or reads the image elsewhere.
            tracing::error!("an image is given up: the node is short of memory whenever it is read");
            return self.ended(desk, "given-up");
        }
        let Some(Underway { reading, put_off, .. }) = desk.current.take() else { return };
        tracing::warn!(work = reading.work_id, "reading ended for now: the node is short of memory");
        self.metrics.images.with_label_values(&["put-off"]).inc();
        desk.queue.push_front(Queued { reading, put_off: put_off + 1 });
    }

    fn ended(&self, desk: &mut Desk, outcome: &str) {
        self.metrics.images.with_label_values(&[outcome]).inc();
        if let Some(Underway { reading, .. }) = desk.current.take() {
            tracing::info!(work = reading.work_id, outcome, "reading ended");
        }
        self.begin_next(desk);
    }

    async fn finished_for_ever(&self, desk: &mut Desk) {
        loop {
            self.finished(desk).await;
        }
    }
}

fn outcome(status: ExitStatus) -> &'static str {
    match status.code() {
        Some(0) => "read",
        Some(_) => "failed",
        None => "killed",
    }
}

#[cfg(test)]
mod tests;
