//! Looks for the signatures of images when it is time, a few at once.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use stella_domain::{Digest, Tenant, Timestamp};
use stella_store::{StoreError, Unchecked};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::demand::Demand;
use super::gather::host;
use super::look::{Questions, look};
use crate::app::App;
use crate::judging::load;
use crate::scanning::{Running, Work, fair};

/// How often it is asked which images are due when nothing happens.
const ASK: Duration = Duration::from_secs(5);
/// How often the trust root is read again.
const REFRESH: Duration = Duration::from_secs(15);
/// Images that are looked at together.
const AT_ONCE: usize = 16;
/// How many of them from one registry: one that is slow leaves places for the others.
const OF_HOST: usize = 2;
/// Images of a tenant that wait in memory.
const WAITING: usize = 512;
/// How many of them of one registry: behind those of one that is slow the others are found.
const WAITING_OF_HOST: usize = 128;
/// Images that are asked for together, of each authority, and how often there are more.
const PAGE: i64 = 1024;
const PAGES: usize = 16;

/// An image that is due, and what is asked of it.
#[derive(Debug, Clone)]
struct Due {
    tenant: Tenant,
    image: Digest,
    since: Timestamp,
    /// The registry that it comes from.
    host: String,
    questions: Arc<Questions>,
}

impl Work for Due {
    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    fn since(&self) -> Timestamp {
        self.since
    }

    fn host(&self) -> Cow<'_, str> {
        self.host.as_str().into()
    }
}

/// Begins with those of `waiting` that have a place, the tenants in turns; gives the others.
fn begin<T: Future<Output = ()> + Send + 'static>(
    looks: &mut Running<Due>,
    waiting: Vec<Due>,
    look: impl Fn(Due) -> T,
) -> Vec<Due> {
    if looks.len() >= AT_ONCE {
        return waiting;
    }
    let (mut turns, mut later) = (fair(waiting, &looks.by_tenant()), Vec::new());
    while looks.len() < AT_ONCE {
        let Some(due) = turns.next() else { break };
        if looks.of_host(&due.host) < OF_HOST {
            looks.begin(due.clone(), look(due));
        } else {
            later.push(due);
        }
    }
    later.extend(turns.left());
    later
}

/// Those of `due` that are not being looked at.
fn unbegun(looks: &Running<Due>, mut due: Vec<Due>) -> Vec<Due> {
    due.retain(|due| !looks.has(|other| (&other.tenant, other.image) == (&due.tenant, due.image)));
    due
}

/// Runs until `token` is cancelled.
///
/// # Errors
/// Never: what cannot be looked at is looked at again.
pub async fn run(app: App, token: CancellationToken) -> Result<(), Infallible> {
    let (mut looks, mut waiting) = (Running::default(), Vec::new());
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
                Ok(due) => waiting = unbegun(&looks, due),
                Err(error) => tracing::warn!(%error, "it cannot be told which signatures are to be looked for"),
            }
        }
        waiting = begin(&mut looks, waiting, |due| one(app.clone(), due));
        tokio::select! {
            () = token.cancelled() => {
                looks.stop().await;
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
async fn due(app: &App) -> Result<Vec<Due>, StoreError> {
    let (set, now, root) = (load(app).await?, app.clock.now(), app.signatures.root());
    let mut found = Vec::new();
    for (tenant, policies) in &set.by_tenant {
        let demands: Vec<Arc<Demand>> = policies.iter().filter_map(|policy| policy.demand.clone()).collect();
        if demands.is_empty() {
            continue;
        }
        let mut due = OfTenant::new(tenant, Arc::new(Questions::new(demands, root.clone())));
        let questions = Arc::clone(&due.questions);
        for id in questions.ids() {
            let mut after = None;
            for _ in 0..PAGES {
                let page = app.store.unchecked_images(tenant, id, now, after.as_ref(), PAGE).await?;
                page.iter().for_each(|image| due.take(image));
                after = page.into_iter().next_back();
                if after.is_none() || due.found.len() >= WAITING {
                    break;
                }
            }
        }
        due.found.sort_by_key(|due| due.since);
        found.append(&mut due.found);
    }
    Ok(found)
}

/// What is due of one tenant.
struct OfTenant<'a> {
    tenant: &'a Tenant,
    questions: Arc<Questions>,
    found: Vec<Due>,
    seen: BTreeSet<Digest>,
    by_host: BTreeMap<String, usize>,
}

impl<'a> OfTenant<'a> {
    fn new(tenant: &'a Tenant, questions: Arc<Questions>) -> Self {
        Self { tenant, questions, found: Vec::new(), seen: BTreeSet::new(), by_host: BTreeMap::new() }
    }

    /// Takes an image, unless enough of its registry are waiting.
    fn take(&mut self, unchecked: &Unchecked) {
        let host = host(unchecked.reference.as_deref());
        let of_host = self.by_host.entry(host.clone()).or_default();
        if *of_host >= WAITING_OF_HOST || !self.seen.insert(unchecked.image) {
            return;
        }
        *of_host += 1;
        let (tenant, questions) = (self.tenant.clone(), Arc::clone(&self.questions));
        self.found.push(Due { tenant, image: unchecked.image, since: unchecked.since, host, questions });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unchecked(host: &str, number: usize) -> Unchecked {
        let reference = Some(format!("{host}/app:{number}"));
        Unchecked { image: Digest::of(format!("{host} {number}")), reference, since: Timestamp::from_millis(0) }
    }

    fn of<'a>(tenant: &'a Tenant, hosts: &[(&str, usize)]) -> OfTenant<'a> {
        let mut due = OfTenant::new(tenant, Arc::new(Questions::new(Vec::new(), None)));
        for (host, images) in hosts {
            (0..*images).for_each(|number| due.take(&unchecked(host, number)));
        }
        due
    }

    #[test]
    fn behind_the_images_of_one_registry_those_of_others_are_found() {
        let tenant = Tenant::default();
        let due = of(&tenant, &[("slow.example", 1000), ("slow.example", 5), ("fast.example", 3)]);
        let count = |host: &str| due.found.iter().filter(|due| due.host == host).count();
        assert_eq!((count("slow.example"), count("fast.example")), (WAITING_OF_HOST, 3));
    }

    #[tokio::test]
    async fn a_registry_that_stalls_and_a_tenant_with_many_images_hold_up_nobody() {
        let (many, few): (Tenant, Tenant) = ("many".parse().unwrap(), "few".parse().unwrap());
        let hosts: Vec<String> = (0..20).map(|number| format!("r{number}.example")).collect();
        let of_many: Vec<(&str, usize)> =
            [("slow.example", 100)].into_iter().chain(hosts.iter().map(|host| (host.as_str(), 1))).collect();
        let waiting = of(&many, &of_many).found.into_iter().chain(of(&few, &[("f.example", 3)]).found).collect();
        let mut looks = Running::default();
        let later = begin(&mut looks, waiting, |_| std::future::pending());
        assert_eq!((looks.len(), looks.of_host("slow.example"), looks.of_host("f.example")), (AT_ONCE, 2, 2));
        assert_eq!(later.len(), 123 - AT_ONCE);
        assert_eq!(begin(&mut looks, later, |_| std::future::pending()).len(), 123 - AT_ONCE, "no place is free");
        // What is looked at is not begun again.
        assert!(unbegun(&looks, of(&few, &[("f.example", 2)]).found).is_empty());
        assert_eq!(unbegun(&looks, of(&few, &[("f.example", 3)]).found).len(), 1);
    }
}
