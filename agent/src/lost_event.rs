//! An event that is lost for good: what of it is needed to tell of the gap in its container's observation.
//!
//! The container itself may be forgotten by then. It ended, and the disk or the server was away for longer than it was remembered.

use stella_api::runtime::{EventEnvelope, EventKind, GAP, IMAGE_DIGEST, RuntimeEvent};

use crate::observation::LossReason;

/// A lost event without what it told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostEvent {
    /// Whose it was: tenant, node, workload, and the image's digest.
    pub event: Box<RuntimeEvent>,
    /// Whether it told of a gap, which then is not known to the server.
    pub told_gap: bool,
    /// Whether it was made for the gap only.
    pub gap_alone: bool,
    /// Why it was lost.
    pub reason: LossReason,
}

impl LostEvent {
    /// Of a record as it stands in the spool; `None` when it is no envelope.
    #[must_use]
    pub fn read(record: &[u8], reason: LossReason) -> Option<Self> {
        let EventEnvelope { mut event, .. } = serde_json::from_slice(record).ok()?;
        let told_gap = event.annotations.contains_key(GAP);
        let carries_nothing = match event.kind {
            EventKind::LibrariesLoaded => event.loaded_libs.is_empty(),
            // The end of a container that is not forgotten tells of no gap.
            EventKind::ContainerStop => true,
            _ => false,
        };
        let gap_alone = told_gap && carries_nothing;
        event.annotations.retain(|name, _| name == IMAGE_DIGEST);
        // What is kept may wait for hours, of thousands of containers.
        let event = RuntimeEvent {
            process: None,
            loaded_libs: Vec::new(),
            posture: None,
            delta: None,
            evidence: Vec::new(),
            ..event
        };
        Some(Self { event: Box::new(event), told_gap, gap_alone, reason })
    }

    /// The id of its container.
    #[must_use]
    pub fn container(&self) -> &str {
        let id = self.event.workload.container_id.as_str();
        id.split_once("://").map_or(id, |(_, id)| id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(kind: &str, libraries: usize, gap: Option<&str>) -> LostEvent {
        let library = json!({"path": "/lib/a.so", "inode": 1});
        let mut event = json!({
            "eventId": "e", "when": "2026-01-01T00:00:00.000Z", "kind": kind, "tenant": "t", "node": "n",
            "runtime": {"engine": "containerd", "version": "2"},
            "workload": {"platform": "host", "containerId": "containerd://abc"},
            "loadedLibs": vec![library; libraries], "annotations": {IMAGE_DIGEST: "sha256:x", "other": "y"},
        });
        if let Some(gap) = gap {
            event["annotations"][GAP] = json!(gap);
        }
        let record = json!({"schemaVersion": "zastava.runtime.event@v1", "event": event}).to_string();
        LostEvent::read(record.as_bytes(), LossReason::Refused).unwrap()
    }

    #[test]
    fn whose_it_was_is_kept_and_what_it_told_is_not() {
        let lost = read("LibrariesLoaded", 3, Some("ring-full"));
        assert_eq!((lost.container(), lost.told_gap, lost.gap_alone), ("abc", true, false));
        assert!(lost.event.loaded_libs.is_empty());
        assert_eq!(lost.event.annotations.keys().collect::<Vec<_>>(), [IMAGE_DIGEST]);
        assert_eq!(LostEvent::read(b"{torn", LossReason::Refused), None);
    }

    #[test]
    fn an_event_for_the_gap_alone_is_told_apart() {
        assert!(read("LibrariesLoaded", 0, Some("ring-full")).gap_alone);
        assert!(read("ContainerStop", 0, Some("ring-full")).gap_alone);
        assert!(!read("ContainerStop", 0, None).gap_alone);
        assert!(!read("ContainerStart", 0, Some("ring-full")).gap_alone);
        assert!(!read("LibrariesLoaded", 1, None).told_gap);
    }
}
