//! What is being done at images, a few at once.

use std::collections::BTreeMap;

use stella_domain::Tenant;
use tokio::task::{self, JoinSet};

use super::fair::Work;

/// The tasks that run, each with what it works at. They end when this goes.
#[derive(Debug)]
pub(crate) struct Running<W> {
    tasks: JoinSet<()>,
    all: Vec<(task::Id, W)>,
}

impl<W> Default for Running<W> {
    fn default() -> Self {
        Self { tasks: JoinSet::new(), all: Vec::new() }
    }
}

impl<W: Work> Running<W> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether one works at something that `is` it.
    pub(crate) fn has(&self, is: impl Fn(&W) -> bool) -> bool {
        self.all.iter().any(|(_, work)| is(work))
    }

    /// How many ask `host`.
    pub(crate) fn of_host(&self, host: &str) -> usize {
        self.all.iter().filter(|(_, work)| work.host() == host).count()
    }

    /// How many there are for each tenant.
    pub(crate) fn by_tenant(&self) -> BTreeMap<Tenant, usize> {
        let mut counts = BTreeMap::new();
        self.all.iter().for_each(|(_, work)| *counts.entry(work.tenant().clone()).or_default() += 1);
        counts
    }

    /// Begins to work.
    pub(crate) fn begin(&mut self, work: W, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(task);
        self.all.push((task.id(), work));
    }

    /// Waits until one has ended; for ever while there is none.
    pub(crate) async fn one_ended(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(ended) => {
                let ended = ended.map_or_else(|error| error.id(), |(id, ())| id);
                self.all.retain(|(task, _)| *task != ended);
            }
            None => std::future::pending().await,
        }
    }

    /// Ends all of them, and gives what they worked at.
    pub(crate) async fn stop(mut self) -> Vec<W> {
        self.tasks.shutdown().await;
        self.all.into_iter().map(|(_, work)| work).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use stella_domain::Timestamp;

    use super::*;

    struct At(Tenant, &'static str);

    impl Work for At {
        fn tenant(&self) -> &Tenant {
            &self.0
        }

        fn since(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }

        fn host(&self) -> Cow<'_, str> {
            self.1.into()
        }
    }

    async fn broken() {
        panic!("a broken image")
    }

    #[tokio::test]
    async fn what_has_ended_leaves_its_place_also_when_it_panicked() {
        let mut running = Running::default();
        let (a, b): (Tenant, Tenant) = ("a".parse().unwrap(), "b".parse().unwrap());
        running.begin(At(a.clone(), "one"), std::future::pending());
        running.begin(At(a.clone(), "two"), async {});
        running.begin(At(b.clone(), "one"), broken());
        assert_eq!((running.len(), running.of_host("one"), running.of_host("three")), (3, 2, 0));
        assert_eq!(running.by_tenant(), BTreeMap::from([(a.clone(), 2), (b.clone(), 1)]));
        running.one_ended().await;
        running.one_ended().await;
        assert!(running.has(|at| at.0 == a && at.1 == "one") && !running.has(|at| at.0 == b));
        assert_eq!(running.stop().await.len(), 1);
    }
}
