//! Batches to a PostgreSQL server: few statements of many rows each, for a round trip costs more than a row.

use std::collections::BTreeSet;

use sqlx::{Any, Row as _, Transaction};
use stella_domain::Timestamp;

use super::Ingested;
use super::fold::{Batch, CONTAINER, Folded, KNOWN_LOADED, LOADED, Loaded, known_container};
use crate::database::Connection;
use crate::sql::Sql;
use crate::{ObservedEvent, Store, StoreError};

/// Rows a statement. With fourteen values a row this stays below what the database binds, and statements of full length are
/// prepared once.
const ROWS: usize = 250;

impl Store {
    pub(super) async fn ingest_by_server(&self, events: &[ObservedEvent]) -> Result<Ingested, StoreError> {
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
        for started in [true, false] {
            let rows: Vec<_> = batch.containers.iter().filter(|folded| folded.started == started).collect();
            for chunk in rows.chunks(ROWS) {
                put_containers(&mut tx, chunk, started).await?;
            }
        }
        put_loaded(&mut tx, &batch).await?;
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

async fn put_containers(tx: &mut Connection, rows: &[&Folded<'_>], started: bool) -> Result<(), StoreError> {
    let mut sql = Sql::on(tx, CONTAINER);
    sql.push_values(rows, |mut row, Folded { tenant, container, .. }| {
        row.push_bind(*tenant).push_bind(&container.id).push_bind(&container.image).push_bind(&container.image_ref);
        row.push_bind(&container.node).push_bind(&container.namespace).push_bind(&container.pod);
        row.push_bind(&container.name).push_bind(&container.entrypoint).push_bind(container.started_at.as_millis());
        row.push_bind(i64::from(container.from_start)).push_bind(i64::from(container.openings));
        row.push_bind(container.gap.as_deref());
        row.push_bind(container.stopped_at.map(Timestamp::as_millis));
    });
    sql.push(known_container(started)).build().execute(tx).await?;
    Ok(())
}

async fn put_loaded(tx: &mut Connection, batch: &Batch<'_>) -> Result<(), StoreError> {
    for chunk in batch.loaded.chunks(ROWS) {
        let mut sql = Sql::on(tx, LOADED);
        sql.push_values(chunk, |mut row, Loaded { tenant, container, first_seen, file }| {
            row.push_bind(*tenant).push_bind(*container).push_bind(&file.path);
            row.push_bind(first_seen.as_millis()).push_bind(&file.body);
        });
        sql.push(KNOWN_LOADED).build().execute(&mut *tx).await?;
    }
    Ok(())
}
