//! Tells the server how the node is watched: at the start, and every half minute from then on.

use std::sync::Arc;
use std::time::Duration;

use stella_api::client::Client;
use stella_api::node_status::{ImageReader, NodeStatus};
use stella_api::runtime::RuntimeInfo;
use tokio::time::MissedTickBehavior;

use crate::cli::Watch;
use crate::clock::{BootTime, since_boot};
use crate::control_group::{Bounds, ControlGroup, ControlGroupError};
use crate::server::with_causes;
use crate::source::Source;
use crate::status::Status;

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
    pub client: Arc<Client>,
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
            match self.client.tell_status(&self.status.node, &self.status.told()).await {
                Ok(()) => heard = true,
                // Once a silence: an older server has no place for it, and one that is away is told of by the sender.
                Err(error) => {
                    if std::mem::replace(&mut heard, false) {
                        tracing::warn!(reason = with_causes(&error), "the server does not take the node's status");
                    }
                }
            }
        }
    }
}
