//! Work the server has for this node: images to read, one at a time, each in a process of its own.

use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use reqwest::{Method, StatusCode};
use stella_api::node::NodeWork;
use tokio::process::{Child, Command};

use crate::backoff::{Backoff, random_share, retry_after};
use crate::metrics::Metrics;
use crate::pressure::PressureGauge;
use crate::server::{Server, with_causes};
use crate::sse::Parser;

/// Longer than the server's heartbeat: silence beyond this is a broken connection.
const SILENCE: Duration = Duration::from_secs(45);
const MOST_QUEUED: usize = 256;
/// How soon a node that was under pressure is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
const READ_WITHIN: Duration = Duration::from_secs(20 * 60);

/// Why a connection to the stream ended.
struct Ended {
    reason: String,
    asked: Option<Duration>,
    was_open: bool,
}

/// An image to read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reading {
    work_id: String,
    image_ref: Option<String>,
    digest: Option<stella_domain::Digest>,
}

/// Listens for work and has it done.
pub struct Worker {
    /// Where work comes from.
    pub server: Arc<Server>,
    /// The node's name.
    pub node: String,
    /// Flags to hand to the process that reads.
    pub child_flags: Vec<std::ffi::OsString>,
    /// What the node is short of; while it is, nothing is begun.
    pub pressure: Arc<PressureGauge>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// What is being read, and what waits.
struct Desk {
    queue: VecDeque<Reading>,
    current: Option<(Reading, Child, tokio::time::Instant)>,
    /// When what waits for the pressure to be over is tried again.
    look_again: tokio::time::Instant,
}

impl Worker {
    /// Works for ever.
    pub async fn run(self) {
        let mut desk = Desk { queue: VecDeque::new(), current: None, look_again: tokio::time::Instant::now() };
        let mut backoff = Backoff::default();
        let mut last_id = None;
        loop {
            let ended = self.listen(&mut desk, &mut last_id).await;
            if ended.was_open {
                backoff.succeeded();
            }
            let wait = backoff.failed(ended.asked, random_share());
            tracing::debug!(reason = ended.reason, wait_ms = wait.as_millis(), "the work stream ended");
            let resume = tokio::time::Instant::now() + wait;
            while tokio::time::timeout_at(resume, self.finished(&mut desk)).await.is_ok() {}
        }
    }

    /// Follows the stream until it ends.
    async fn listen(&self, desk: &mut Desk, last_id: &mut Option<String>) -> Ended {
        let closed = |reason: String| Ended { reason, asked: None, was_open: false };
        let path = format!("api/v1/nodes/{}/work", self.node);
        let request = match self.server.request(Method::GET, &path).await {
            Ok(request) => request.header("Accept", "text/event-stream"),
            Err(error) => return closed(error.to_string()),
        };
        let request = match last_id {
            Some(id) => request.header("Last-Event-ID", id.as_str()),
            None => request,
        };
        let answer = tokio::select! {
            answer = request.send() => answer,
            () = self.finished_for_ever(desk) => return closed("never".to_owned()),
        };
        let answer = match answer {
            Ok(answer) if answer.status() == StatusCode::OK => answer,
            Ok(answer) => {
                self.server.noticed(answer.status()).await;
                let asked = retry_after(answer.headers());
                return Ended { reason: answer.status().to_string(), asked, was_open: false };
            }
            Err(error) => return closed(with_causes(&error)),
        };
        let mut pieces = answer.bytes_stream();
        let mut parser = Parser::default();
        let mut silent_until = tokio::time::Instant::now() + SILENCE;
        loop {
            let ended = |reason: &str, parser: &Parser| Ended {
                reason: reason.to_owned(),
                asked: parser.retry().map(Duration::from_millis),
                was_open: true,
            };
            tokio::select! {
                piece = pieces.next() => {
                    let bytes = match piece {
                        Some(Ok(bytes)) => bytes,
                        Some(Err(error)) => return ended(&with_causes(&error), &parser),
                        None => return ended("the server closed it", &parser),
                    };
                    silent_until = tokio::time::Instant::now() + SILENCE;
                    let messages = match parser.feed(&bytes) {
                        Ok(messages) => messages,
                        Err(error) => return ended(&error.to_string(), &parser),
                    };
                    for message in messages {
                        self.take(desk, &message.data).await;
                        *last_id = message.id.or(last_id.take());
                    }
                }
                () = self.finished(desk) => {}
                () = tokio::time::sleep_until(silent_until) => return ended("nothing was heard for 45 s", &parser),
            }
        }
    }

    async fn take(&self, desk: &mut Desk, data: &str) {
        match serde_json::from_str(data) {
            Ok(NodeWork::Read { work_id, image_ref, digest }) => {
                let reading = Reading { work_id, image_ref, digest };
                let current = desk.current.as_ref().map(|(reading, ..)| reading);
                if current == Some(&reading) || desk.queue.contains(&reading) {
                    return;
                }
                if desk.queue.len() == MOST_QUEUED {
                    // The server gives unanswered work again.
                    tracing::warn!(work = reading.work_id, "too much work is waiting: not taken");
                    self.metrics.images.with_label_values(&["not-taken"]).inc();
                    return;
                }
                desk.queue.push_back(reading);
                self.begin_next(desk);
            }
            Ok(NodeWork::Cancel { work_id }) => {
                desk.queue.retain(|reading| reading.work_id != work_id);
                if let Some((reading, child, _)) = &mut desk.current
                    && reading.work_id == work_id
                {
                    // Its end is noticed and counted where every end is.
                    let _ = child.start_kill();
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
            && let Some(reading) = desk.queue.pop_front()
        {
            match self.spawn(&reading) {
                Ok(child) => {
                    tracing::info!(work = reading.work_id, image = reading.image_ref, "reading an image");
                    desk.current = Some((reading, child, tokio::time::Instant::now() + READ_WITHIN));
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
            desk.look_again = tokio::time::Instant::now() + LOOK_AGAIN;
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
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn()
    }

    /// Waits for the current reading to end, or for the pressure to be over that keeps one from beginning, and begins the next;
    /// for ever when there is none.
    async fn finished(&self, desk: &mut Desk) {
        let Some((reading, child, deadline)) = &mut desk.current else {
            if desk.queue.is_empty() {
                return std::future::pending().await;
            }
            tokio::time::sleep_until(desk.look_again).await;
            return self.begin_next(desk);
        };
        let outcome = match tokio::time::timeout_at(*deadline, child.wait()).await {
            Ok(Ok(status)) => outcome(status),
            Ok(Err(error)) => {
                tracing::error!(%error, "cannot wait for the reading process");
                "failed"
            }
            Err(_) => {
                tracing::error!(work = reading.work_id, "reading took too long and is ended");
                let _ = child.kill().await;
                "too-long"
            }
        };
        self.metrics.images.with_label_values(&[outcome]).inc();
        tracing::info!(work = reading.work_id, outcome, "reading ended");
        desk.current = None;
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
mod tests {
    use super::*;
    use crate::pressure::fixture::Proc;

    fn worker(proc: &Proc) -> Worker {
        let flags = crate::cli::Server {
            server: "http://127.0.0.1:9/".parse().ok(),
            token_file: None,
            exchange_token: false,
            ca_file: None,
        };
        Worker {
            server: Arc::new(Server::new(&flags).unwrap()),
            node: "node-1".to_owned(),
            // What is begun is this test program, and shall end at once.
            child_flags: vec!["--list".into()],
            pressure: Arc::new(proc.gauge("")),
            metrics: Arc::new(Metrics::new()),
        }
    }

    #[tokio::test]
    async fn nothing_is_begun_under_pressure_and_what_waited_begins_after_it() {
        let proc = Proc::new().stalled("io", "99.00");
        let worker = worker(&proc);
        let mut desk = Desk { queue: VecDeque::new(), current: None, look_again: tokio::time::Instant::now() };
        let work = r#"{"type":"read","workId":"w1","imageRef":"registry.example/app:1"}"#;
        worker.take(&mut desk, work).await;
        assert!(desk.look_again > tokio::time::Instant::now());
        let look = async |desk: &mut Desk| {
            desk.look_again = tokio::time::Instant::now();
            worker.finished(desk).await;
        };
        look(&mut desk).await;
        assert!(desk.current.is_none() && desk.queue.len() == 1, "looked again, and it lasts");
        let _calm = proc.stalled("io", "1.00");
        look(&mut desk).await;
        let begun = desk.current.as_ref().map(|(reading, ..)| reading.work_id.as_str());
        assert_eq!((begun, desk.queue.len()), (Some("w1"), 0));
    }
}
