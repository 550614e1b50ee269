//! Taking in what nodes observed: a batch is folded first and then written in few statements, each row once.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Any, Row as _, Transaction};
use stella_domain::Timestamp;

use crate::database::Connection;
use crate::sql::Sql;
use crate::{LoadedFile, ObservedContainer, ObservedEvent, Store, StoreError};

/// Rows a statement. With fourteen values a row this stays below what either database binds, and statements of full length are
/// prepared once.
const ROWS: usize = 250;

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Events that were new.
    pub accepted: usize,
    /// Events that were known.
    pub duplicates: usize,
}

impl Store {
    /// Keeps a batch, all of it or nothing. When this returns, it is on disk.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn ingest(&self, events: &[ObservedEvent]) -> Result<Ingested, StoreError> {
        // Rows in one order, so that two batches with the same events do not wait for each other both ways.
        let mut sorted: Vec<_> = events.iter().collect();
        sorted.sort_by_key(|event| (event.tenant.as_str(), event.id.as_str()));
        match self.ingest_new(&sorted, events).await? {
            Some(ingested) => Ok(ingested),
            None => self.ingest_some(&sorted, events).await,
        }
    }

    /// Keeps a batch of events that are all new, as nearly every one is: the database need not tell them apart, which costs as
    /// much as keeping them. `None`, and nothing kept, when some were known.
    async fn ingest_new(
        &self,
        sorted: &[&ObservedEvent],
        events: &[ObservedEvent],
    ) -> Result<Option<Ingested>, StoreError> {
        let mut tx = self.begin().await?;
        for chunk in sorted.chunks(ROWS) {
            let written = new_events(&mut tx, chunk).build().execute(&mut *tx).await?;
            if written.rows_affected() != chunk.len() as u64 {
                tx.rollback().await?;
                return Ok(None);
            }
        }
        self.keep(tx, events.len(), events.iter()).await.map(Some)
    }

    /// Keeps those of a batch that are new.
    async fn ingest_some(&self, sorted: &[&ObservedEvent], events: &[ObservedEvent]) -> Result<Ingested, StoreError> {
        let mut tx = self.begin().await?;
        let mut new: BTreeSet<(String, String)> = BTreeSet::new();
        for chunk in sorted.chunks(ROWS) {
            let mut sql = new_events(&mut tx, chunk);
            let rows = sql.push(" RETURNING tenant, id").build().fetch_all(&mut *tx).await?;
            new.extend(rows.iter().map(|row| (row.get(0), row.get(1))));
        }
        let key = |event: &ObservedEvent| (event.tenant.as_str().to_owned(), event.id.clone());
        self.keep(tx, events.len(), events.iter().filter(|event| new.remove(&key(event)))).await
    }

    /// Writes what `new` events, of `all` in their batch, say about containers, and ends the transaction that wrote them.
    async fn keep<'a>(
        &self,
        mut tx: Transaction<'static, Any>,
        all: usize,
        new: impl Iterator<Item = &'a ObservedEvent>,
    ) -> Result<Ingested, StoreError> {
        let mut batch = Batch::default();
        new.for_each(|event| batch.add(event));
        self.be_alone(&mut tx, &["observed"]).await?;
        batch.put_containers(&mut tx).await?;
        batch.put_loaded(&mut tx).await?;
        tx.commit().await?;
        Ok(Ingested { accepted: batch.events, duplicates: all - batch.events })
    }
}

/// Writes the events that are not known yet.
fn new_events(tx: &mut Connection, events: &[&ObservedEvent]) -> Sql {
    let mut sql = Sql::on(tx, "INSERT INTO event (tenant, id, at, kind, body) ");
    sql.push_values(events, |mut row, event| {
        row.push_bind(event.tenant.as_str())
            .push_bind(&event.id)
            .push_bind(event.at.as_millis())
            .push_bind(&event.kind)
            .push_bind(&event.body);
    });
    sql.push(" ON CONFLICT (tenant, id) DO NOTHING");
    sql
}

/// New events, folded to one row a container and one a file that it loaded.
#[derive(Default)]
struct Batch<'a> {
    events: usize,
    containers: BTreeMap<(&'a str, &'a str), Folded>,
    loaded: BTreeMap<(&'a str, &'a str, &'a str), (Timestamp, &'a LoadedFile)>,
}

impl<'a> Batch<'a> {
    fn add(&mut self, event: &'a ObservedEvent) {
        self.events += 1;
        let (tenant, container) = (event.tenant.as_str(), event.container.id.as_str());
        match self.containers.entry((tenant, container)) {
            Entry::Vacant(place) => {
                place.insert(Folded { container: event.container.clone(), started: event.started });
            }
            Entry::Occupied(mut known) => known.get_mut().fold(&event.container, event.started),
        }
        for file in &event.loaded {
            let known = self.loaded.entry((tenant, container, &file.path)).or_insert((file.first_seen, file));
            known.0 = known.0.min(file.first_seen);
        }
    }

    async fn put_containers(&self, tx: &mut Connection) -> Result<(), StoreError> {
        for (started, sets) in [(true, SET_BY_START), (false, SET_BY_OTHERS)] {
            let rows: Vec<_> = self.containers.iter().filter(|(_, folded)| folded.started == started).collect();
            for chunk in rows.chunks(ROWS) {
                put_containers(tx, chunk, sets).await?;
            }
        }
        Ok(())
    }

    async fn put_loaded(&self, tx: &mut Connection) -> Result<(), StoreError> {
        let rows: Vec<_> = self.loaded.iter().collect();
        for chunk in rows.chunks(ROWS) {
            let mut sql = Sql::on(tx, "INSERT INTO loaded (tenant, container, path, first_seen, body) ");
            sql.push_values(chunk, |mut row, ((tenant, container, path), (first_seen, file))| {
                row.push_bind(*tenant).push_bind(*container).push_bind(*path);
                row.push_bind(first_seen.as_millis()).push_bind(&file.body);
            });
            sql.push(
                " ON CONFLICT (tenant, container, path) DO UPDATE SET first_seen = excluded.first_seen
                  WHERE excluded.first_seen < loaded.first_seen",
            );
            sql.build().execute(&mut *tx).await?;
        }
        Ok(())
    }
}

/// A container as all the new events of a batch have it.
struct Folded {
    container: ObservedContainer,
    /// Whether one of them was its start.
    started: bool,
}

impl Folded {
    /// What the statement below does to a row that is there, done in memory.
    fn fold(&mut self, later: &ObservedContainer, started: bool) {
        let known = &mut self.container;
        let fill = |place: &mut String, value: &String| {
            if !value.is_empty() {
                place.clone_from(value);
            }
        };
        fill(&mut known.image, &later.image);
        fill(&mut known.image_ref, &later.image_ref);
        if started {
            fill(&mut known.entrypoint, &later.entrypoint);
            known.from_start = later.from_start;
            known.openings = later.openings;
            known.started_at = later.started_at;
        } else {
            known.started_at = known.started_at.min(later.started_at);
        }
        if known.gap.is_none() {
            known.gap.clone_from(&later.gap);
        }
        known.stopped_at = later.stopped_at.or(known.stopped_at);
        self.started |= started;
    }
}

/// The start of a container is what says how and since when it runs.
const SET_BY_START: &str = "
    entrypoint = CASE WHEN excluded.entrypoint <> '' THEN excluded.entrypoint ELSE observed.entrypoint END,
    from_start = excluded.from_start,
    openings = excluded.openings,
    started_at = excluded.started_at,";

const SET_BY_OTHERS: &str = "
    started_at = CASE WHEN excluded.started_at < observed.started_at THEN excluded.started_at ELSE observed.started_at END,";

/// A later event may know more: what is empty is filled, a gap stays, a container that began unwatched stays so.
async fn put_containers(tx: &mut Connection, rows: &[(&(&str, &str), &Folded)], sets: &str) -> Result<(), StoreError> {
    let mut sql = Sql::on(
        tx,
        "INSERT INTO observed (tenant, container, image, image_ref, node, namespace, pod, name, entrypoint, started_at,
           from_start, openings, gap, stopped_at) ",
    );
    sql.push_values(rows, |mut row, ((tenant, id), Folded { container, .. })| {
        row.push_bind(*tenant).push_bind(*id).push_bind(&container.image).push_bind(&container.image_ref);
        row.push_bind(&container.node).push_bind(&container.namespace).push_bind(&container.pod);
        row.push_bind(&container.name).push_bind(&container.entrypoint).push_bind(container.started_at.as_millis());
        row.push_bind(i64::from(container.from_start)).push_bind(i64::from(container.openings));
        row.push_bind(container.gap.as_deref());
        row.push_bind(container.stopped_at.map(Timestamp::as_millis));
    });
    sql.push(" ON CONFLICT (tenant, container) DO UPDATE SET").push(sets).push(
        "
           image = CASE WHEN excluded.image <> '' THEN excluded.image ELSE observed.image END,
           image_ref = CASE WHEN excluded.image_ref <> '' THEN excluded.image_ref ELSE observed.image_ref END,
           gap = coalesce(observed.gap, excluded.gap),
           stopped_at = coalesce(excluded.stopped_at, observed.stopped_at)",
    );
    sql.build().execute(tx).await?;
    Ok(())
}
