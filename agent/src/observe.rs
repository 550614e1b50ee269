//! Drives the collector: feeds it observations, asks whose containers are, and hands on what is due.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::cgroup::Membership;
use crate::clock::{BootTime, since_boot};
use crate::collect::{Collector, Due, Follow};
use crate::identity::{Answer, Resolver};
use crate::metrics::Metrics;
use crate::observation::Observation;
use crate::sweep::Sweeper;

const TICK: Duration = Duration::from_millis(100);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(300);
const TAKE_AT_ONCE: usize = 256;

/// Everything around a [`Collector`].
pub struct Observer {
    /// The collector.
    pub collector: Collector,
    /// Tells whose containers are.
    pub resolver: Arc<Resolver>,
    /// Looks at the mappings of a process.
    pub sweeper: Sweeper,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl Observer {
    /// Works until the senders of `from` are gone; then hands on everything that waits.
    pub async fn run(mut self, mut from: mpsc::Receiver<Observation>, to: mpsc::Sender<Due>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut questions: JoinSet<(Membership, Answer)> = JoinSet::new();
        let mut taken = Vec::with_capacity(TAKE_AT_ONCE);
        loop {
            tokio::select! {
                count = from.recv_many(&mut taken, TAKE_AT_ONCE) => {
                    if count == 0 {
                        break;
                    }
                    for observation in taken.drain(..) {
                        self.take(observation);
                    }
                }
                Some(answer) = questions.join_next(), if !questions.is_empty() => self.answered(answer),
                _ = tick.tick() => {
                    if !self.hand_on(&to, false).await {
                        return;
                    }
                }
            }
            self.ask(&mut questions);
        }
        self.finish(questions, &to).await;
    }

    fn take(&mut self, observation: Observation) {
        if let Follow::LookAt(process) = self.collector.observe(observation)
            && let Some(seen) = self.sweeper.look_at(process.started, process.pid, process.container)
        {
            self.collector.observe(seen);
        }
    }

    fn ask(&mut self, questions: &mut JoinSet<(Membership, Answer)>) {
        for membership in self.collector.wanted() {
            let resolver = Arc::clone(&self.resolver);
            questions.spawn(async move {
                let answer = resolver.ask(&membership).await;
                if answer == Answer::NotYet {
                    tokio::time::sleep(ASK_AGAIN_AFTER).await;
                }
                (membership, answer)
            });
        }
    }

    fn answered(&mut self, answer: Result<(Membership, Answer), tokio::task::JoinError>) {
        match answer {
            Ok((membership, answer)) => self.collector.answered(&membership.id, answer, since_boot()),
            Err(error) => tracing::error!(%error, "asking the runtime failed"),
        }
    }

    /// Hands on what is due; `false` when nobody takes it any more.
    async fn hand_on(&mut self, to: &mpsc::Sender<Due>, all: bool) -> bool {
        if let Some(by) = self.collector.follow_clock(BootTime::now()) {
            tracing::warn!(seconds = by / 1000, "the clock was set: events are stamped by it from now on");
        }
        for due in self.collector.due(since_boot(), all) {
            if to.send(due).await.is_err() {
                return false;
            }
        }
        for (reason, count) in self.collector.take_losses() {
            self.metrics.count_lost(reason, count);
        }
        let (met, ownerless) = self.collector.take_met();
        self.metrics.containers_seen.inc_by(met);
        self.metrics.unattributed.with_label_values(&["owner-unknown"]).inc_by(ownerless);
        self.metrics.containers.set(i64::try_from(self.collector.len()).unwrap_or(i64::MAX));
        true
    }

    async fn finish(&mut self, mut questions: JoinSet<(Membership, Answer)>, to: &mpsc::Sender<Due>) {
        while self.collector.is_waiting() {
            self.ask(&mut questions);
            let Some(answer) = questions.join_next().await else { break };
            self.answered(answer);
        }
        self.hand_on(to, true).await;
    }
}
