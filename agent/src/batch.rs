//! The body of a batch, put together from records without reading them again.

use std::collections::HashSet;

use serde::Deserialize;
use stella_domain::Digest;

/// Bytes around and between events, with room to spare.
pub const FRAME: usize = 256;

#[derive(Deserialize)]
struct Record {
    event: Named,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    event_id: String,
}

/// The body of a batch, and what of its records is not in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// The JSON; empty when nothing remains.
    pub text: Vec<u8>,
    /// Records that are no envelopes.
    pub unreadable: u64,
    /// Records of an occurrence that is in it already.
    pub repeated: u64,
}

/// Puts envelopes into the body of `POST /api/v1/runtime/events`. An occurrence that was recorded twice goes once,
/// and what is no envelope not at all: either would make the server refuse the whole batch.
#[must_use]
pub fn body(records: &[Vec<u8>]) -> Body {
    let mut ids = HashSet::new();
    let mut events = Vec::with_capacity(records.iter().map(Vec::len).sum::<usize>() + FRAME);
    let (mut unreadable, mut repeated) = (0, 0);
    for record in records {
        let Ok(named) = serde_json::from_slice::<Record>(record) else {
            unreadable += 1;
            continue;
        };
        if !ids.insert(named.event.event_id) {
            repeated += 1;
            continue;
        }
        if !events.is_empty() {
            events.push(b',');
        }
        events.extend(record);
    }
    if events.is_empty() {
        return Body { text: Vec::new(), unreadable, repeated };
    }
    let mut text = format!(r#"{{"batchId":"{}","events":["#, Digest::of(&events).short()).into_bytes();
    text.append(&mut events);
    text.extend(b"]}");
    Body { text, unreadable, repeated }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stella_api::runtime::{EventBatch, RuntimeEvent};

    fn record(id: &str) -> Vec<u8> {
        let event = RuntimeEvent {
            event_id: id.to_owned(),
            when: stella_domain::Timestamp::from_millis(0),
            kind: stella_api::runtime::EventKind::ContainerStop,
            tenant: String::new(),
            node: String::new(),
            runtime: Default::default(),
            workload: Default::default(),
            process: None,
            loaded_libs: Vec::new(),
            posture: None,
            delta: None,
            evidence: Vec::new(),
            annotations: Default::default(),
        };
        serde_json::to_vec(&crate::events::envelope(event)).unwrap()
    }

    #[test]
    fn is_the_contracts_batch_and_the_same_for_the_same_records() {
        let records = [record("a"), record("b"), record("a"), b"{rubbish".to_vec()];
        let Body { text, unreadable, repeated } = body(&records);
        let batch: EventBatch = serde_json::from_slice(&text).unwrap();
        let ids: Vec<_> = batch.events.iter().map(|e| e.event.event_id.as_str()).collect();
        assert_eq!((ids, unreadable, repeated), (vec!["a", "b"], 1, 1));
        assert_eq!(body(&records).text, text);
        assert!(text.len() < records.iter().map(Vec::len).sum::<usize>() + FRAME);
    }

    #[test]
    fn nothing_readable_is_no_batch() {
        assert_eq!(body(&[b"x".to_vec()]), Body { unreadable: 1, ..Body::default() });
    }
}
