//! Batches into SQLite.
//!
//! Whoever gets the store's turn to write, its only write connection, writes the batches of all who wait for it: one transaction and
//! one sync for as many as came meanwhile. The rows go through the connection of [`FileWriter`] by statements that are prepared once:
//! the driver would carry each of the thirty values of an event through three forms of it and to a thread of its own.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rusqlite::{Connection, params};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyPool};
use stella_domain::Timestamp;
use tokio::sync::oneshot;

use super::Ingested;
use super::fold::{Batch, CONTAINER, KNOWN_LOADED, LOADED, known_container};
use crate::writing::FileWriter;
use crate::{ObservedEvent, StoreError};

/// Events that one transaction holds, unless a batch by itself has more: others wait for its end.
const MOST: usize = 4096;

const EVENT: &str = "
    INSERT INTO event (tenant, id, at, kind, body) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (tenant, id) DO NOTHING";

static STARTED: LazyLock<String> = LazyLock::new(|| container(true));
static OTHERS: LazyLock<String> = LazyLock::new(|| container(false));
static FILE: LazyLock<String> = LazyLock::new(|| format!("{LOADED} VALUES (?1, ?2, ?3, ?4, ?5) {KNOWN_LOADED}"));

fn container(started: bool) -> String {
    let known = known_container(started);
    format!("{CONTAINER} VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) {known}")
}

/// Where batches of events wait to be written into one database file. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Intake(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: Arc<FileWriter>,
    waiting: Mutex<VecDeque<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    events: Arc<[ObservedEvent]>,
    answer: oneshot::Sender<Result<Ingested, StoreError>>,
}

impl Intake {
    /// For the database that `file` writes into.
    pub(crate) fn new(file: Arc<FileWriter>) -> Self {
        Self(Arc::new(Shared { file, waiting: Mutex::default() }))
    }

    /// Keeps a batch, when it is its turn. The connection of `writer` is held meanwhile, so that nobody else writes.
    pub(super) async fn take(&self, writer: &AnyPool, events: Arc<[ObservedEvent]>) -> Result<Ingested, StoreError> {
        let (answer, mut answered) = oneshot::channel();
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(Waiting { events, answer });
        loop {
            tokio::select! {
                biased;
                answer = &mut answered => return answer.unwrap_or_else(|_| Err(sqlx::Error::WorkerCrashed.into())),
                turn = writer.acquire() => self.write(turn?).await,
            }
        }
    }

    /// Writes for those who wait. The turn ends with the writing, also where nobody waits for its outcome any more.
    async fn write(&self, turn: PoolConnection<Any>) {
        let (shared, batches) = (Arc::clone(&self.0), self.0.next());
        if batches.is_empty() {
            return;
        }
        let writing = tokio::task::spawn_blocking(move || {
            shared.write(batches);
            drop(turn);
        });
        // Whoever waits for what a panic left unwritten is told that by its answer, which nobody can give any more.
        let _ = writing.await;
    }
}

impl Shared {
    /// Batches for one transaction, in the order in which they came. Those that nobody waits for any more are not written.
    fn next(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|batch| !batch.answer.is_closed());
        let mut events = 0;
        let fitting = waiting.iter().take_while(|batch| {
            events += batch.events.len();
            events <= MOST
        });
        let fitting = fitting.count().max(1).min(waiting.len());
        waiting.drain(..fitting).collect()
    }

    fn write(&self, batches: Vec<Waiting>) {
        let kept = self.file.write(|connection| {
            let events: Vec<&[ObservedEvent]> = batches.iter().map(|batch| &*batch.events).collect();
            Ok(keep(connection, &events)?)
        });
        match kept {
            Ok(ingested) => batches.into_iter().zip(ingested).for_each(|(batch, ingested)| batch.tell(Ok(ingested))),
            // What one of them suffers from is nothing to the others.
            Err(_) if batches.len() > 1 => batches.into_iter().for_each(|batch| self.write(vec![batch])),
            Err(error) => {
                if let Some(batch) = batches.into_iter().next() {
                    batch.tell(Err(error));
                }
            }
        }
    }
}

impl Waiting {
    fn tell(self, ingested: Result<Ingested, StoreError>) {
        // Whoever asked may be gone.
        let _ = self.answer.send(ingested);
    }
}

fn keep(tx: &Connection, batches: &[&[ObservedEvent]]) -> Result<Vec<Ingested>, rusqlite::Error> {
    let (mut folded, mut ingested) = (Batch::default(), Vec::with_capacity(batches.len()));
    for events in batches {
        let before = folded.events;
        put_events(tx, events, &mut folded)?;
        let accepted = folded.events - before;
        ingested.push(Ingested { accepted, duplicates: events.len() - accepted });
    }
    put_containers(tx, &folded)?;
    put_loaded(tx, &folded)?;
    Ok(ingested)
}

/// Writes the events that are not known yet, and adds those to `new`.
fn put_events<'a>(tx: &Connection, events: &'a [ObservedEvent], new: &mut Batch<'a>) -> Result<(), rusqlite::Error> {
    let mut put = tx.prepare_cached(EVENT)?;
    for event in events {
        let ObservedEvent { tenant, id, at, kind, body, .. } = event;
        if put.execute(params![tenant.as_str(), id, at.as_millis(), kind, body])? > 0 {
            new.add(event);
        }
    }
    Ok(())
}

fn put_containers(tx: &Connection, batch: &Batch<'_>) -> Result<(), rusqlite::Error> {
    let (mut started, mut others) = (tx.prepare_cached(&STARTED)?, tx.prepare_cached(&OTHERS)?);
    for folded in &batch.containers {
        let put = if folded.started { &mut started } else { &mut others };
        let container = &*folded.container;
        put.execute(params![
            folded.tenant,
            container.id,
            container.image,
            container.image_ref,
            container.node,
            container.namespace,
            container.pod,
            container.name,
            container.entrypoint,
            container.started_at.as_millis(),
            container.from_start,
            container.openings,
            container.gap,
            container.stopped_at.map(Timestamp::as_millis),
        ])?;
    }
    Ok(())
}

fn put_loaded(tx: &Connection, batch: &Batch<'_>) -> Result<(), rusqlite::Error> {
    let mut put = tx.prepare_cached(&FILE)?;
    for loaded in &batch.loaded {
        let (first_seen, file) = (loaded.first_seen.as_millis(), loaded.file);
        put.execute(params![loaded.tenant, loaded.container, file.path, first_seen, file.body])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use stella_domain::Tenant;

    use super::*;
    use crate::{ObservedContainer, Store};

    fn event(id: &str) -> ObservedEvent {
        let container = ObservedContainer {
            id: "containerd://c".into(),
            image: "sha256:1".into(),
            image_ref: String::new(),
            node: "n".into(),
            namespace: "shop".into(),
            pod: "p".into(),
            name: "c".into(),
            entrypoint: "/app".into(),
            started_at: Timestamp::from_millis(1),
            from_start: true,
            openings: false,
            gap: None,
            stopped_at: None,
        };
        ObservedEvent {
            tenant: Tenant::default(),
            id: id.into(),
            at: Timestamp::from_millis(1),
            container,
            started: true,
            loaded: Vec::new(),
            kind: String::new(),
            body: "{}".into(),
        }
    }

    type Answer = oneshot::Receiver<Result<Ingested, StoreError>>;

    impl Intake {
        fn wait(&self, ids: &[&str]) -> Answer {
            let (answer, answered) = oneshot::channel();
            let events = ids.iter().map(|id| event(id)).collect();
            self.0.waiting.lock().unwrap().push_back(Waiting { events, answer });
            answered
        }
    }

    fn told(mut answer: Answer) -> Result<(usize, usize), StoreError> {
        answer.try_recv().expect("an answer").map(|ingested| (ingested.accepted, ingested.duplicates))
    }

    async fn intake() -> (tempfile::TempDir, Store, Intake) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let intake = Intake::new(Arc::new(FileWriter::new(&folder.path().join("stella.db"))));
        (folder, store, intake)
    }

    #[tokio::test]
    async fn all_who_wait_are_written_at_once_and_each_is_told_of_its_own() {
        let (_folder, store, intake) = intake().await;
        let answers = [intake.wait(&["a", "b"]), intake.wait(&["b", "c", "c"]), intake.wait(&[])];
        drop(intake.wait(&["nobody waits for it"]));
        let batches = intake.0.next();
        assert_eq!(batches.len(), 3);
        intake.0.write(batches);
        assert_eq!(answers.map(|answer| told(answer).unwrap()), [(2, 0), (1, 2), (0, 0)]);
        let kept = store.events(&Tenant::default(), 9).await.unwrap();
        assert_eq!(kept.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(intake.0.next().is_empty());
    }

    #[tokio::test]
    async fn an_event_of_no_container_is_kept_alone() {
        let (_folder, store, _intake) = intake().await;
        let mut alone = event("a");
        alone.container.id.clear();
        assert_eq!(store.ingest([alone]).await.unwrap().accepted, 1);
        assert_eq!(store.events(&Tenant::default(), 9).await.unwrap().len(), 1);
        assert!(store.running_containers(&Tenant::default()).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn one_that_fails_takes_no_other_with_it() {
        let (_folder, store, intake) = intake().await;
        let refuse =
            "CREATE TRIGGER refuse BEFORE INSERT ON event WHEN new.id = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END";
        sqlx::query(refuse).execute(store.writer()).await.unwrap();
        let (good, bad, other) = (intake.wait(&["a"]), intake.wait(&["b", "bad"]), intake.wait(&["c"]));
        intake.0.write(intake.0.next());
        assert_eq!((told(good).unwrap(), told(other).unwrap()), ((1, 0), (1, 0)));
        assert!(told(bad).unwrap_err().to_string().contains("no"));
        let kept = store.events(&Tenant::default(), 9).await.unwrap();
        assert_eq!(kept.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["a", "c"], "nothing of the bad one");
    }

    #[tokio::test]
    async fn a_transaction_has_an_end_however_many_wait() {
        let (_folder, _store, intake) = intake().await;
        let ids: Vec<String> = (0..MOST - 1).map(|number| number.to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let answers = [intake.wait(&ids), intake.wait(&["a", "b"]), intake.wait(&["c"])];
        let sizes = || intake.0.next().iter().map(|batch| batch.events.len()).collect::<Vec<_>>();
        assert_eq!((sizes(), sizes(), sizes()), (vec![MOST - 1], vec![2, 1], vec![]));
        drop(answers);
    }
}
