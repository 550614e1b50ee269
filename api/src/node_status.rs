//! What the agent of a node says of itself (`/api/v1/nodes/{node}/status`), and what the server says of nodes (`/api/v1/nodes`).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use stella_domain::Timestamp;
use utoipa::ToSchema;

use crate::runtime::RuntimeInfo;

/// Seconds between two reports of an agent by default.
pub const REPORT_SECONDS: u64 = 30;

/// A node that was not heard for this many seconds is stale.
pub const STALE_SECONDS: i64 = 120;

/// The body of `POST /api/v1/nodes/{node}/status`. Counts are those of one run of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The tenant that the agent reports for where a namespace does not name one.
    pub tenant: String,
    /// Version of the agent.
    pub agent_version: String,
    /// Release of the kernel.
    pub kernel: String,
    /// The machine, as the kernel names it (`x86_64`).
    pub architecture: String,
    /// The container runtime, where one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeInfo>,
    /// When this run of the agent began.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Since when the kernel tells of every start and mapping; absent where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub complete_since: Option<Timestamp>,
    /// By what starts, mappings and openings are seen. What is missing here is not seen.
    pub hooks: Vec<HookInUse>,
    /// What the agent tried and was refused, or lacks.
    #[serde(default)]
    pub refused: Vec<Refused>,
    /// Events lost, by stage and reason; only those that happened.
    #[serde(default)]
    pub losses: Vec<Loss>,
    /// Containers that run now, as the agent has them.
    pub containers: u64,
    /// Containers seen since this run began.
    pub containers_seen: u64,
    /// Occurrences in containers that could be given to no workload.
    #[serde(default)]
    pub unattributed: u64,
    /// Events that wait to be sent.
    pub waiting_events: u64,
    /// Bytes of them.
    pub waiting_bytes: u64,
    /// By what the node is under pressure; while it is, the agent reads no images.
    #[serde(default)]
    pub pressure: Vec<Pressure>,
    /// What holds the process that reads images; absent where none are read, and from agents that did not say it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_reader: Option<ImageReader>,
}

/// What holds the process that reads images on a node, beside limits of its own: lowest priority, bytes of data, seconds of processor
/// time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageReader {
    /// Whether it has a control group with limits.
    pub control_group: bool,
    /// Percent of one processor that the group may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<u32>,
    /// Bytes of memory that it may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Why it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something that a node is short of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pressure {
    /// What: `cpu`, `memory` or `io`, for which some task waited; `available-memory` where the kernel tells of no waiting.
    pub resource: String,
    /// Percent of the last ten seconds in which some task waited; of `available-memory`, percent of all memory.
    pub percent: u8,
    /// From which percentage on that is pressure; of `available-memory`, below which.
    pub threshold: u8,
}

impl fmt::Display for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} % (threshold {} %)", self.resource, self.percent, self.threshold)
    }
}

/// A way in which something is seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct HookInUse {
    /// What: `starts`, `mappings`, `mprotect` (mappings made executable later) or `openings`.
    pub sees: String,
    /// By what: `raw-tracepoint`, `fentry`, `lsm`, `tracepoint`, `proc-passes`, `proc-poll`.
    pub hook: String,
    /// Its kind.
    pub family: HookFamily,
}

/// Kinds of hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HookFamily {
    /// At the very function of the kernel: misses nothing and costs least.
    Preferred,
    /// Tracepoints, which every kernel has.
    Portable,
    /// No hook: passes over `/proc`, which miss what comes and goes between them.
    Passes,
}

/// What an agent does without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refused {
    /// What would be seen by it: `starts`, `mappings`, `mprotect`, `openings`, `processes`, `files`.
    pub sees: String,
    /// What was tried.
    pub hook: String,
    /// What the system answered.
    pub reason: String,
    /// The right, mount or kernel option that is missing, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// Events lost for one reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Loss {
    /// Where: `kernel`, `read`, `table`, `spool` or `send`.
    pub stage: String,
    /// Why, as in the metric `zastava_events_lost_total`.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// A node in the answer to `GET /api/v1/nodes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its name.
    pub node: String,
    /// How well it is watched.
    pub state: NodeState,
    /// When its agent was heard last.
    #[schema(value_type = String, format = DateTime)]
    pub last_heard: Timestamp,
    /// Containers of this tenant that run on it, as far as events tell.
    pub running: u64,
    /// Of these, those whose observation has a gap, by its reason.
    pub gaps: BTreeMap<String, u64>,
    /// What the agent said.
    pub agent: NodeStatus,
}

/// How well a node is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// By hooks in the kernel.
    Watching,
    /// Something is seen by passes only, or lost.
    Degraded,
    /// Its agent was not heard for two minutes: nothing is known of now.
    Stale,
}

impl NodeStatus {
    /// How well the node is watched, when this was said `silent` seconds ago.
    #[must_use]
    pub fn state(&self, silent: i64) -> NodeState {
        if silent > STALE_SECONDS {
            NodeState::Stale
        } else if !self.losses.is_empty() || self.hooks.iter().any(|hook| hook.family == HookFamily::Passes) {
            NodeState::Degraded
        } else {
            NodeState::Watching
        }
    }
}

/// A page of nodes, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Nodes {
    /// The nodes.
    pub items: Vec<Node>,
    /// Token of the next page.
    pub next_page_token: Option<String>,
}
