//! Measures how many runtime events a database takes in: `ingest FOLDER|URL [BATCHES]`.
//!
//! Four writers send batches of 256 events, each event with its container and two loaded files, and wait for each answer.

use std::time::Instant;

use stella_domain::{Tenant, Timestamp};
use stella_store::{LoadedFile, ObservedContainer, ObservedEvent, Store};

const WRITERS: usize = 4;
const BATCH: usize = 256;

fn event(writer: usize, number: usize) -> ObservedEvent {
    let container = number / 64;
    let at = Timestamp::from_millis(1_700_000_000_000 + i64::try_from(number).unwrap_or_default());
    ObservedEvent {
        tenant: Tenant::default(),
        id: format!("{writer:08x}{number:024x}"),
        at,
        container: ObservedContainer {
            id: format!("containerd://{writer}-{container}"),
            image: format!("sha256:{container:064x}"),
            image_ref: format!("registry.example/app:{container}"),
            node: "node-1".into(),
            namespace: "shop".into(),
            pod: format!("web-{container}"),
            name: "web".into(),
            entrypoint: "/usr/bin/app".into(),
            started_at: at,
            from_start: true,
            openings: false,
            gap: None,
            stopped_at: None,
        },
        started: number.is_multiple_of(64),
        loaded: (0..2)
            .map(|file| LoadedFile {
                path: format!("/usr/lib/lib{}-{file}.so", number % 64),
                first_seen: at,
                body: "{}".into(),
            })
            .collect(),
        kind: String::new(),
        body: format!("{{\"kind\":\"load\",\"number\":{number},\"padding\":\"{}\"}}", "x".repeat(300)),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = std::env::args().nth(1).ok_or("usage: ingest FOLDER|URL [BATCHES]")?;
    let batches: usize = std::env::args().nth(2).map_or(Ok(100), |text| text.parse())?;
    let store = match place.starts_with("postgres") {
        true => Store::connect(&place).await?,
        false => Store::open(std::path::Path::new(&place)).await?,
    };
    let began = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            for batch in 0..batches {
                let events: Vec<_> = (0..BATCH).map(|at| event(writer, batch * BATCH + at)).collect();
                store.ingest(events).await?;
            }
            Ok::<_, stella_store::StoreError>(())
        });
    }
    while let Some(done) = writers.join_next().await {
        done??;
    }
    let seconds = began.elapsed().as_secs_f64();
    let events = WRITERS * BATCH * batches;
    println!("{events} events in {seconds:.2} s: {:.0} events/s", events as f64 / seconds);
    Ok(())
}
