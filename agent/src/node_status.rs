//! Tells the server how the node is watched: at the start, and every half minute from then on.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use stella_api::node_status::{ImageReader, NodeStatus};
use stella_api::runtime::RuntimeInfo;
use tokio::time::MissedTickBehavior;

use crate::cli::Watch;
use crate::clock::{BootTime, since_boot};
use crate::control_group::{Bounds, ControlGroup, ControlGroupError};
use crate::server::{Server, with_causes};
use crate::source::Source;
use crate::status::Status;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What does not change while the agent runs.
#[must_use]
pub fn unchanging(
    watch: &Watch,
    source: &Source,
    runtime: Option<RuntimeInfo>,
    image_reader: Option<ImageReader>,
) -> NodeStatus {
    let (system, boot) = (rustix::system::uname(), BootTime::now());
    NodeStatus {
        tenant: watch.tenant.to_string(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: system.release().to_string_lossy().into_owned(),
        architecture: system.machine().to_string_lossy().into_owned(),
        runtime,
        since: boot.timestamp(since_boot()),
        complete_since: source.complete_since().map(|at| boot.timestamp(at)),
        hooks: source.hooks(),
        refused: source.refused().to_vec(),
        losses: Vec::new(),
        containers: 0,
        containers_seen: 0,
        unattributed: 0,
        waiting_events: 0,
        waiting_bytes: 0,
        pressure: Vec::new(),
        image_reader,
    }
}

/// What is said of the process that reads images.
#[must_use]
pub fn image_reader(bounds: Bounds, group: &Result<ControlGroup, ControlGroupError>) -> ImageReader {
    let held = group.is_ok();
    ImageReader {
        control_group: held,
        cpu_percent: held.then_some(bounds.cpu_percent),
        memory_bytes: held.then_some(bounds.memory_bytes),
        reason: group.as_ref().err().map(ToString::to_string),
    }
}

/// Sends the status.
pub struct Teller {
    /// Where to.
    pub server: Arc<Server>,
    /// What to tell.
    pub status: Arc<Status>,
    /// How often.
    pub every: Duration,
}

impl Teller {
    /// Tells for ever. What the server does not take is not kept: the next status says more.
    pub async fn run(self) {
        let mut tick = tokio::time::interval(self.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = true;
        loop {
            tick.tick().await;
            match self.tell().await {
                Ok(()) => heard = true,
                // Once a silence: an older server has no place for it, and one that is away is told of by the sender.
                Err(reason) => {
                    if std::mem::replace(&mut heard, false) {
                        tracing::warn!(reason, "the server does not take the node's status");
                    }
                }
            }
        }
    }

    async fn tell(&self) -> Result<(), String> {
        let path = format!("api/v1/nodes/{}/status", self.status.node);
        let request = self.server.request(Method::POST, &path).await.map_err(|error| error.to_string())?;
        let sent = request.timeout(ANSWER_WITHIN).json(&self.status.told()).send().await;
        let answer = sent.map_err(|error| with_causes(&error))?;
        self.server.noticed(answer.status()).await;
        match answer.status() {
            StatusCode::NO_CONTENT | StatusCode::OK => Ok(()),
            status => Err(status.to_string()),
        }
    }
}
