//! Looks for the signatures of images when it is time, a few at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use stella_domain::{Digest, Tenant};
use stella_store::StoreError;
use tokio::task::{self, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::demand::Demand;
use super::look::{Questions, host, look};
use crate::app::App;
use crate::judging::load;

/// How often it is asked which images are due when nothing happens.
const ASK: Duration = Duration::from_secs(5);
/// How often the trust root is read again.
const REFRESH: Duration = Duration::from_secs(15);
/// Images that are looked at together.
const AT_ONCE: usize = 16;
/// How many of them from one registry: one that is slow leaves places for the others.
const OF_HOST: usize = 2;
/// Images that are asked for together, of each authority.
const DUE: i64 = 256;

/// An image that is due, and what is asked of it.
#[derive(Debug, Clone)]
struct Due {
    tenant: Tenant,
    image: Digest,
    questions: Arc<Questions>,
}

/// What is being looked at.
#[derive(Default)]
struct Looks {
    tasks: JoinSet<()>,
    running: BTreeMap<(Tenant, Digest), (String, task::Id)>,
}

impl Looks {
    fn of_host(&self, host: &str) -> usize {
        self.running.values().filter(|(other, _)| other == host).count()
    }

    /// Begins with those of `waiting` that have a place; the others stay.
    async fn begin(&mut self, app: &App, waiting: &mut VecDeque<Due>) -> Result<(), StoreError> {
        let mut later = VecDeque::new();
        while self.running.len() < AT_ONCE
            && let Some(due) = waiting.pop_front()
        {
            let key = (due.tenant.clone(), due.image);
            if self.running.contains_key(&key) {
                continue;
            }
            let host = host(&app.store.image_names(&due.tenant, &due.image).await?);
            if self.of_host(&host) >= OF_HOST {
                later.push_back(due);
                continue;
            }
            let task = self.tasks.spawn(one(app.clone(), due));
            self.running.insert(key, (host, task.id()));
        }
        waiting.append(&mut later);
        Ok(())
    }

    /// Waits until one has ended; for ever while there is none.
    async fn one_ended(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(ended) => {
                let ended = ended.map_or_else(|error| error.id(), |(id, ())| id);
                self.running.retain(|_, (_, task)| *task != ended);
            }
            None => std::future::pending().await,
        }
    }
}

/// Runs until `token` is cancelled.
///
/// # Errors
/// Never: what cannot be looked at is looked at again.
pub async fn run(app: App, token: CancellationToken) -> Result<(), Infallible> {
    let (mut looks, mut waiting) = (Looks::default(), VecDeque::new());
    let (mut asked, mut refreshed) = (None::<Instant>, Instant::now());
    loop {
        if refreshed.elapsed() >= REFRESH {
            refreshed = Instant::now();
            if app.signatures.refresh() {
                app.judge.notify_one();
                asked = None;
            }
        }
        if asked.is_none_or(|at| at.elapsed() >= ASK) {
            asked = Some(Instant::now());
            match due(&app).await {
                Ok(due) => waiting = due,
                Err(error) => tracing::warn!(%error, "it cannot be told which signatures are to be looked for"),
            }
        }
        if let Err(error) = looks.begin(&app, &mut waiting).await {
            tracing::warn!(%error, "signatures cannot be looked for");
        }
        tokio::select! {
            () = token.cancelled() => {
                looks.tasks.shutdown().await;
                return Ok(());
            }
            () = app.signatures.wanted() => asked = None,
            () = looks.one_ended() => {}
            () = tokio::time::sleep(ASK) => {}
        }
    }
}

async fn one(app: App, due: Due) {
    match look(&app, &due.tenant, &due.image, &due.questions).await {
        Ok(true) => app.unjudged.add(&due.tenant, &due.image),
        Ok(false) => {}
        Err(error) => tracing::warn!(image = %due.image, %error, "what was found of signatures cannot be kept"),
    }
}

/// The images of every tenant that are due, those that were never looked at first.
async fn due(app: &App) -> Result<VecDeque<Due>, StoreError> {
    let (set, now, root) = (load(app).await?, app.clock.now(), app.signatures.root());
    let mut found = VecDeque::new();
    for (tenant, policies) in &set.by_tenant {
        let demands: Vec<Arc<Demand>> = policies.iter().filter_map(|policy| policy.demand.clone()).collect();
        if demands.is_empty() {
            continue;
        }
        let questions = Arc::new(Questions::new(demands, root.clone()));
        let mut seen = BTreeSet::new();
        for id in questions.ids() {
            for image in app.store.unchecked_images(tenant, id, now, DUE).await? {
                if seen.insert(image) {
                    found.push_back(Due { tenant: tenant.clone(), image, questions: Arc::clone(&questions) });
                }
            }
        }
    }
    Ok(found)
}
