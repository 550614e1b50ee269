//! Whose turn it is.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

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

/// Work in turns: always for the tenant of which least is running, and of those the one that waits longest. Nobody's thousand images
/// keep another's one waiting.
///
/// A turn costs the logarithm of how many tenants wait.
#[derive(Debug)]
pub(crate) struct Turns<W> {
    queues: BTreeMap<Tenant, VecDeque<W>>,
    /// What runs or has had its turn, since when the next one waits, and whose it is.
    order: BTreeSet<(usize, Timestamp, Tenant)>,
}

/// `waiting`, which of each tenant come oldest first, in turns, while so much is `running`.
pub(crate) fn fair<W: Work>(waiting: Vec<W>, running: &BTreeMap<Tenant, usize>) -> Turns<W> {
    let mut queues: BTreeMap<Tenant, VecDeque<W>> = BTreeMap::new();
    for work in waiting {
        match queues.get_mut(work.tenant()) {
            Some(queue) => queue.push_back(work),
            None => drop(queues.insert(work.tenant().clone(), VecDeque::from([work]))),
        }
    }
    let order = queues.iter().filter_map(|(tenant, queue)| {
        Some((running.get(tenant).copied().unwrap_or(0), queue.front()?.since(), tenant.clone()))
    });
    Turns { order: order.collect(), queues }
}

impl<W> Turns<W> {
    /// What has had no turn yet, of each tenant the oldest first.
    pub(crate) fn left(self) -> impl Iterator<Item = W> {
        self.queues.into_values().flatten()
    }
}

impl<W: Work> Iterator for Turns<W> {
    type Item = W;

    fn next(&mut self) -> Option<W> {
        let (running, _, tenant) = self.order.pop_first()?;
        let queue = self.queues.get_mut(&tenant)?;
        let work = queue.pop_front();
        if let Some(next) = queue.front() {
            self.order.insert((running + 1, next.since(), tenant));
        }
        work
    }
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
            fair(waiting.clone(), &running).take(most).map(|scan| scan.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(&[], 5), ["a0", "c150", "b200", "a1", "a2"]);
        assert_eq!(ids(&[("a", 2), ("c", 1)], 3), ["b200", "c150", "a0"]);
        assert_eq!(ids(&[], 1000).len(), 102);
    }

    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Waiting(Tenant, Timestamp, usize);

    impl Work for Waiting {
        fn tenant(&self) -> &Tenant {
            &self.0
        }

        fn since(&self) -> Timestamp {
            self.1
        }

        fn host(&self) -> Cow<'_, str> {
            "".into()
        }
    }

    fn tenant(number: u64) -> Tenant {
        format!("t{number}").parse().unwrap()
    }

    /// As one would say it: at each turn all tenants are asked whose it is.
    fn slowly(mut waiting: Vec<Waiting>, mut running: BTreeMap<Tenant, usize>) -> Vec<Waiting> {
        let mut turns = Vec::new();
        while !waiting.is_empty() {
            let first = |tenant: &Tenant| waiting.iter().position(|work| work.0 == *tenant);
            let tenants: BTreeSet<&Tenant> = waiting.iter().map(|work| &work.0).collect();
            let key = |tenant: &Tenant| {
                let at = first(tenant)?;
                Some((running.get(tenant).copied().unwrap_or(0), waiting[at].1, tenant.clone(), at))
            };
            let (_, _, tenant, at) = tenants.into_iter().filter_map(key).min().unwrap();
            turns.push(waiting.remove(at));
            *running.entry(tenant).or_default() += 1;
        }
        turns
    }

    #[test]
    fn the_order_is_that_of_asking_all_tenants_at_each_turn() {
        let mut state = 1_u64;
        let mut below = |limit: u64| {
            // Knuth's constants for a linear congruential generator.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % limit
        };
        for _ in 0..200 {
            let (tenants, most) = (1 + below(6), usize::try_from(below(40)).unwrap());
            let mut waiting: Vec<Waiting> = (0..most)
                .map(|number| {
                    let since = i64::try_from(below(8)).unwrap();
                    Waiting(tenant(below(tenants)), Timestamp::from_millis(since), number)
                })
                .collect();
            waiting.sort_by_key(Work::since);
            let running: BTreeMap<Tenant, usize> =
                (0..tenants).map(|number| (tenant(number), usize::try_from(below(4)).unwrap())).collect();
            let in_turns: Vec<Waiting> = fair(waiting.clone(), &running).collect();
            assert_eq!(in_turns, slowly(waiting.clone(), running.clone()), "{waiting:?} {running:?}");
            let mut turns = fair(waiting, &running);
            let begun: Vec<Waiting> = turns.by_ref().take(most / 2).collect();
            let left: Vec<Waiting> = turns.left().collect();
            assert_eq!(begun, in_turns[..most / 2]);
            assert!(in_turns[most / 2..].iter().all(|work| left.contains(work)) && begun.len() + left.len() == most);
        }
    }

    #[test]
    fn of_a_hundred_thousand_every_tenant_has_a_turn_before_one_has_two() {
        let waiting: Vec<Waiting> = (0..1000)
            .flat_map(|of| (0..100).map(move |number| Waiting(tenant(of), Timestamp::from_millis(0), number)))
            .collect();
        let turns: Vec<Waiting> = fair(waiting, &BTreeMap::new()).collect();
        assert_eq!(turns.len(), 100_000);
        for (round, turns) in turns.chunks(1000).enumerate() {
            assert!(turns.iter().all(|work| work.2 == round), "round {round}");
        }
    }
}
