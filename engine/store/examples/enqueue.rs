//! Scans put into the queue by askers at the same time, beside one bare durable insert each into the same kind of database:
//! `enqueue FOLDER|URL [SCANS]`

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, Executor as _};
use stella_domain::{Tenant, Timestamp};
use stella_store::{NewScan, Store, StoreError};
use tokio::task::JoinSet;

const ASKERS: usize = 8;

/// Does `work` for the numbers below `times`, `ASKERS` at a time, and gives how many a second.
async fn rate<F: Future<Output = Result<(), StoreError>> + Send + 'static>(
    times: usize,
    work: impl Fn(usize) -> F + Send + Sync + 'static,
) -> Result<f64, Box<dyn std::error::Error>> {
    let (next, work, began) = (Arc::new(AtomicUsize::new(0)), Arc::new(work), Instant::now());
    let mut askers = JoinSet::new();
    for _ in 0..ASKERS {
        let (next, work) = (Arc::clone(&next), Arc::clone(&work));
        askers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= times {
                    return Ok::<_, StoreError>(());
                }
                work(number).await?;
            }
        });
    }
    while let Some(done) = askers.join_next().await {
        done??;
    }
    Ok(times as f64 / began.elapsed().as_secs_f64())
}

/// Connections as the store has them, to a table without anything that is not needed.
async fn bare(place: &str) -> Result<AnyPool, sqlx::Error> {
    let (url, connections, setup) = if place.starts_with("postgres") {
        (place.to_owned(), 12, "SELECT 1")
    } else {
        let url = format!("sqlite://{}?mode=rwc", Path::new(place).join("bare.db").display());
        (url, 1, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
    };
    let options = AnyPoolOptions::new().max_connections(connections);
    let set_up =
        options.after_connect(move |connection, _| Box::pin(async move { connection.execute(setup).await.map(drop) }));
    let pool = set_up.connect(&url).await?;
    pool.execute("CREATE TABLE bare (id TEXT PRIMARY KEY, body TEXT NOT NULL)").await?;
    Ok(pool)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = std::env::args().nth(1).ok_or("usage: enqueue FOLDER|URL [SCANS]")?;
    let scans: usize = std::env::args().nth(2).map_or(Ok(2000), |text| text.parse())?;
    let store = if place.starts_with("postgres") {
        Store::connect(&place).await?
    } else {
        Store::open(Path::new(&place)).await?
    };
    let pool = bare(&place).await?;
    let inserted = rate(scans, move |number| {
        let pool = pool.clone();
        async move {
            let insert = sqlx::query("INSERT INTO bare (id, body) VALUES ($1, $2)");
            insert.bind(format!("scan-{number}")).bind("x".repeat(200)).execute(&pool).await?;
            Ok(())
        }
    });
    let inserted = inserted.await?;
    let queued = rate(scans, move |number| {
        let store = store.clone();
        async move {
            let reference = Some(format!("registry.example/app:{number}"));
            let new = NewScan { reference, timeout_seconds: 600, ..NewScan::default() };
            store.submit_scan(&Tenant::default(), &new, Timestamp::from_millis(0)).await.map(drop)
        }
    });
    println!("{{\"queued\": {:.1}, \"inserted\": {inserted:.1}}}", queued.await?);
    Ok(())
}
