//! Puts the parts together and ends with the first that ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::bpf::Settings;
use crate::cli::{Mode, Output, Watch};
use crate::clock::{BootTime, since_boot};
use crate::collect::{Collector, Delays, Due};
use crate::cri::Cri;
use crate::events::Origin;
use crate::failure::Failure;
use crate::identity::{self, Resolver};
use crate::library::LibraryReader;
use crate::metrics::Metrics;
use crate::observation::Observation;
use crate::observe::Observer;
use crate::procfs::ProcFs;
use crate::record::Recorder;
use crate::source::Source;
use crate::sweep::Sweeper;

/// Observations on their way to the collector. When they back up, the kernel's ring fills and counts.
const OBSERVATIONS: usize = 4096;
/// Events on their way to the recorder.
const EVENTS: usize = 1024;
/// Files the kernel side remembers as sent.
const SEEN_FILES: u32 = 65_536;

/// Watches the node until a signal comes or a part fails.
///
/// # Errors
/// When a part cannot start, or ends.
pub async fn run(watch: Watch) -> Result<(), Failure> {
    if watch.mode == Mode::Enforce {
        return Err(Failure::Enforce);
    }
    if watch.server.server.is_none() && watch.output.is_none() {
        return Err(Failure::NoDestination);
    }
    let proc = ProcFs::new(&watch.proc_root);
    let boot_id = proc.boot_id().map_err(|source| Failure::Proc {
        path: watch.proc_root.join("sys/kernel/random/boot_id"),
        source,
    })?;
    let metrics = Arc::new(Metrics::new());
    let (resolver, sweeper) = identities(&watch, &proc, &boot_id).await?;
    let resolver = Arc::new(resolver);
    let source = if watch.once { None } else { Some(source(&watch, &proc, &sweeper)?) };
    let origin = Origin {
        node: watch.node.clone(),
        tenant: watch.tenant.to_string(),
        boot_id,
        run: since_boot(),
        runtime: resolver.runtime().cloned(),
        hook: source.as_ref().map_or("proc-pass", Source::hook).to_owned(),
    };
    let complete_since = source.as_ref().and_then(Source::complete_since);
    let collector = Collector::new(origin, BootTime::now(), Delays::default(), complete_since);
    let observer = Observer { collector, resolver, sweeper: sweeper.clone(), metrics: Arc::clone(&metrics) };

    let (observations, observed) = mpsc::channel(OBSERVATIONS);
    let (due, to_record) = mpsc::channel::<Due>(EVENTS);
    let recorder = Recorder {
        libraries: LibraryReader::new(proc.clone(), watch.hash_rate, Arc::clone(&metrics)),
        print: watch.output == Some(Output::Json),
        outbox: None,
        losses: observations.downgrade(),
        metrics: Arc::clone(&metrics),
    };
    let observing = tokio::spawn(observer.run(observed, due));
    let recording = tokio::task::spawn_blocking(move || recorder.run(to_record));

    let mut tasks = JoinSet::new();
    let outcome = match source {
        None => report_once(&sweeper, &observations).await,
        Some(source) => {
            source.start(&mut tasks, proc, observations.clone(), metrics).await?;
            until_ended(&mut tasks, &observing, &recording).await
        }
    };
    // Without senders the observer hands on what it has, and the recorder ends after it.
    tasks.shutdown().await;
    drop(observations);
    observing.await?;
    recording.await?;
    outcome
}

async fn report_once(sweeper: &Sweeper, to: &mpsc::Sender<Observation>) -> Result<(), Failure> {
    for seen in sweeper.pass() {
        to.send(seen).await.map_err(|_| Failure::Died("the observer"))?;
    }
    Ok(())
}

/// Waits for a signal, or for a part that ends though nobody asked it to.
async fn until_ended(
    tasks: &mut JoinSet<Result<(), Failure>>,
    observing: &JoinHandle<()>,
    recording: &JoinHandle<()>,
) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Signals)?;
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            Some(ended) = tasks.join_next() => {
                ended??;
                return Err(Failure::Died("a source of observations"));
            }
            _ = look.tick() => {
                if observing.is_finished() {
                    return Err(Failure::Died("the observer"));
                }
                if recording.is_finished() {
                    return Err(Failure::Died("the recorder"));
                }
            }
        }
    }
}

fn source(watch: &Watch, proc: &ProcFs, sweeper: &Sweeper) -> Result<Source, Failure> {
    let settings = Settings {
        ring_bytes: watch.ring_bytes,
        seen_files: SEEN_FILES,
        deduplicate: !watch.every_occurrence,
    };
    Ok(Source::choose(watch.observe, settings, proc, sweeper.clone())?)
}

/// Who tells whose containers are, and what counts as one beside cgroups.
async fn identities(watch: &Watch, proc: &ProcFs, boot_id: &str) -> Result<(Resolver, Sweeper), Failure> {
    let mut listed = match &watch.containers {
        Some(path) => identity::read_file(path)?,
        None => Default::default(),
    };
    let mut named = Vec::new();
    for process in &watch.host_process {
        let (process, workload) = process.as_container(proc, boot_id)?;
        listed.insert(process.id.clone(), workload);
        named.push(process);
    }
    let cri = match (&watch.runtime_endpoint, Cri::usual_endpoint()) {
        (Some(endpoint), _) => Some(Cri::connect(endpoint).await?),
        (None, Some(usual)) => Cri::connect(usual)
            .await
            .inspect_err(|error| tracing::warn!(%error, "the container runtime does not answer: pods stay unknown"))
            .ok(),
        (None, None) => None,
    };
    match cri.as_ref().map(Cri::runtime) {
        Some(runtime) => tracing::info!(engine = runtime.engine, version = runtime.version, "container runtime"),
        None => tracing::info!("no container runtime to ask: containers are known by their cgroups and --containers"),
    }
    Ok((Resolver::new(cri, listed, watch.filter_image.clone()), Sweeper::new(proc.clone(), named)))
}
