//! Whose turn it is.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use stella_domain::{Tenant, Timestamp};

/// Work at an image that waits for its turn and for a registry.
pub(crate) trait Work {
    /// For whom it is done.
    fn tenant(&self) -> &Tenant;
    /// Since when it waits.
    fn since(&self) -> Timestamp;
    /// The host, with its port, that has the image; empty when nobody knows one.
    fn host(&self) -> Cow<'_, str>;
}

/// The first `most` of `waiting`, which come oldest first, in turns: always the tenant of which least is running, and of those
/// the one that waits longest. Nobody's thousand images keep another's one waiting.
pub(crate) fn fair<W: Work>(waiting: Vec<W>, mut running: BTreeMap<Tenant, usize>, most: usize) -> Vec<W> {
    let mut queues: BTreeMap<Tenant, VecDeque<W>> = BTreeMap::new();
    for work in waiting {
        queues.entry(work.tenant().clone()).or_default().push_back(work);
    }
    let mut turns = Vec::new();
    while turns.len() < most {
        let next = queues
            .iter()
            .filter_map(|(tenant, queue)| {
                Some((running.get(tenant).copied().unwrap_or(0), queue.front()?.since(), tenant))
            })
            .min()
            .map(|(_, _, tenant)| tenant.clone());
        let Some(tenant) = next else { break };
        turns.extend(queues.get_mut(&tenant).and_then(VecDeque::pop_front));
        *running.entry(tenant).or_default() += 1;
    }
    turns
}

#[cfg(test)]
mod tests {
    use stella_store::{Scan, ScanSource, ScanStatus};

    use super::*;

    fn scan(tenant: &str, number: i64) -> Scan {
        Scan {
            tenant: tenant.parse().unwrap(),
            id: format!("{tenant}{number}"),
            attempt: 1,
            status: ScanStatus::Pending,
            reference: None,
            asked_digest: None,
            digest: None,
            source: ScanSource::Auto,
            node: None,
            force: false,
            metadata: BTreeMap::new(),
            failure: None,
            created_at: Timestamp::from_millis(number),
            updated_at: Timestamp::from_millis(number),
            deadline: Timestamp::from_millis(number),
        }
    }

    #[test]
    fn tenants_take_turns_and_the_oldest_of_each_goes_first() {
        let waiting: Vec<Scan> =
            (0..100).map(|number| scan("a", number)).chain([scan("b", 200), scan("c", 150)]).collect();
        let ids = |running: &[(&str, usize)], most| {
            let running = running.iter().map(|(tenant, count)| (tenant.parse().unwrap(), *count)).collect();
            fair(waiting.clone(), running, most).into_iter().map(|scan| scan.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(&[], 5), ["a0", "c150", "b200", "a1", "a2"]);
        assert_eq!(ids(&[("a", 2), ("c", 1)], 3), ["b200", "c150", "a0"]);
        assert_eq!(ids(&[], 1000).len(), 102);
    }
}
