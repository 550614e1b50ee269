//! Work waiting for nodes, and the streams that carry it to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use stella_api::node::NodeWork;
use tokio::sync::Notify;

/// Work by node. Clones share it. Work stays until it is answered or called off, so that an agent that was away gets it.
#[derive(Debug, Clone, Default)]
pub struct WorkHub(Arc<Hub>);

#[derive(Debug, Default)]
struct Hub {
    nodes: Mutex<BTreeMap<String, Waiting>>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Grows with every piece of work of this node.
    sequence: u64,
    work: BTreeMap<u64, (String, NodeWork)>,
}

impl WorkHub {
    /// Gives `work` to a node, once an id.
    pub fn offer(&self, node: &str, work_id: &str, work: NodeWork) {
        let mut nodes = self.0.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = nodes.entry(node.to_owned()).or_default();
        if waiting.work.values().any(|(id, _)| id == work_id) {
            return;
        }
        waiting.sequence += 1;
        waiting.work.insert(waiting.sequence, (work_id.to_owned(), work));
        drop(nodes);
        self.0.changed.notify_waiters();
    }

    /// Forgets a piece of work wherever it waits.
    pub fn done(&self, work_id: &str) {
        let mut nodes = self.0.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        for waiting in nodes.values_mut() {
            waiting.work.retain(|_, (id, _)| id != work_id);
        }
    }

    /// Forgets all work but that of these ids: what another replica took the answer of, or called off, would be sent for ever.
    pub fn keep(&self, open: &BTreeSet<String>) {
        let mut nodes = self.0.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        for waiting in nodes.values_mut() {
            waiting.work.retain(|_, (id, _)| open.contains(id));
        }
    }

    /// Work of a node after `sequence`, oldest first.
    #[must_use]
    pub fn after(&self, node: &str, sequence: u64) -> Vec<(u64, NodeWork)> {
        let nodes = self.0.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(waiting) = nodes.get(node) else { return Vec::new() };
        waiting.work.range(sequence + 1..).map(|(at, (_, work))| (*at, work.clone())).collect()
    }

    /// Waits until some node has new work.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_ended_elsewhere_is_not_sent_again() {
        let hub = WorkHub::default();
        for id in ["a", "b"] {
            hub.offer("n1", id, NodeWork::Cancel { work_id: id.to_owned() });
        }
        hub.keep(&BTreeSet::from(["b".to_owned()]));
        let left = hub.after("n1", 0);
        assert_eq!(left, [(2, NodeWork::Cancel { work_id: "b".to_owned() })]);
        hub.keep(&BTreeSet::new());
        assert!(hub.after("n1", 0).is_empty());
    }
}
