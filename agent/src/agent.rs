//! Puts the parts together and ends with the first that ends.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use stella_api::client::Client;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::bpf::Settings;
use crate::cli::{Fsync, Mode, Output, Watch};
use crate::clock::{BootTime, since_boot};
use crate::collect::{Collector, Delays, Due};
use crate::control_group::{Bounds, ControlGroup, ControlGroupError};
use crate::cri::Cri;
use crate::events::Origin;
use crate::failure::Failure;
use crate::identity::{self, Resolver};
use crate::library::LibraryReader;
use crate::metrics::Metrics;
use crate::node_status::{self, Teller};
use crate::observation::{LossReason, Observation};
use crate::observe::Observer;
use crate::outbox::Outbox;
use crate::pressure::PressureGauge;
use crate::procfs::ProcFs;
use crate::record::{Recorder, Untold};
use crate::send::Sender;
use crate::server;
use crate::source::Source;
use crate::spool::{Limits, Spool};
use crate::status::Status;
use crate::sweep::Sweeper;
use crate::work::Worker;

/// Observations on their way to the collector. When they back up, the kernel's ring fills and counts.
const OBSERVATIONS: usize = 4096;
/// Events on their way to the recorder.
const EVENTS: usize = 1024;
/// Files the kernel side remembers as sent.
const SEEN_FILES: u32 = 65_536;
/// What is still in the spool gets this long at the end; what is left is sent by the next run.
const LAST_FLUSH: Duration = Duration::from_secs(3);

type Tasks = JoinSet<Result<(), Failure>>;

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
    let boot_id = proc
        .boot_id()
        .map_err(|source| Failure::Proc { path: watch.proc_root.join("sys/kernel/random/boot_id"), source })?;
    let metrics = Arc::new(Metrics::new());
    let (resolver, sweeper) = identities(&watch, &proc, &boot_id).await?;
    let source = if watch.once { None } else { Some(source(&watch, &proc, &sweeper)?) };
    let client = server::client(&watch.server, None)?.map(Arc::new);
    let outbox = match &client {
        Some(_) => Some(Arc::new(open_outbox(&watch, &metrics)?)),
        None => None,
    };

    let (observations, observed) = mpsc::channel(OBSERVATIONS);
    let (due, to_record) = mpsc::channel::<Due>(EVENTS);
    let runtime = resolver.runtime().cloned();
    let observer = observer(&watch, boot_id, source.as_ref(), resolver, sweeper.clone(), &metrics);
    let recorder = Recorder {
        libraries: LibraryReader::new(proc.clone(), watch.hash_rate, Arc::clone(&metrics)),
        print: watch.output == Some(Output::Json),
        outbox: outbox.clone(),
        losses: observations.downgrade(),
        untold: Untold::default(),
        metrics: Arc::clone(&metrics),
    };
    let sender = client.as_ref().zip(outbox.as_ref()).map(|(client, outbox)| {
        Arc::new(Sender {
            client: Arc::clone(client),
            outbox: Arc::clone(outbox),
            refused_file: watch.spool_dir.join("refused.jsonl"),
            losses: observations.downgrade(),
            metrics: Arc::clone(&metrics),
        })
    });
    let observing = tokio::spawn(observer.run(observed, due));
    let recording = tokio::task::spawn_blocking(move || recorder.run(to_record));

    let mut tasks = JoinSet::new();
    let outcome = match source {
        None => report_once(&sweeper, &observations).await,
        Some(source) => {
            let bounds = Bounds { cpu_percent: watch.reader_cpu_percent, memory_bytes: watch.reader_memory_bytes };
            let group = client.as_ref().map(|_| reader_group(bounds));
            let image_reader = group.as_ref().map(|group| node_status::image_reader(bounds, group));
            let status = Arc::new(Status {
                hook: source.hook().to_owned(),
                openings: source.openings(),
                node: watch.node.clone(),
                unchanging: node_status::unchanging(&watch, &source, runtime, image_reader),
                ebpf: source.uses_ebpf(),
                outbox: outbox.clone(),
                pressure: Arc::new(PressureGauge::new(&watch.proc_root, watch.pressure, Arc::clone(&metrics))),
                metrics: Arc::clone(&metrics),
            });
            start_side_parts(&mut tasks, &watch, status, client, sender.clone(), group.and_then(Result::ok));
            let databases_every = Duration::from_secs(watch.database_seconds);
            source.start(&mut tasks, proc, observations.clone(), metrics, databases_every).await?;
            until_ended(&mut tasks, &observing, &recording).await
        }
    };
    // Without senders the observer hands on what it has, and the recorder ends after it.
    tasks.shutdown().await;
    drop(observations);
    observing.await?;
    recording.await?;
    let left = match (&sender, &outbox) {
        (Some(sender), Some(outbox)) => flush(sender, outbox).await?,
        _ => 0,
    };
    match outcome {
        Ok(()) if watch.once && left > 0 => Err(Failure::NotSent(left)),
        outcome => outcome,
    }
}

fn observer(
    watch: &Watch,
    boot_id: String,
    source: Option<&Source>,
    resolver: Resolver,
    sweeper: Sweeper,
    metrics: &Arc<Metrics>,
) -> Observer {
    let origin = Origin {
        node: watch.node.clone(),
        tenant: watch.tenant.to_string(),
        boot_id,
        run: since_boot(),
        runtime: resolver.runtime().cloned(),
        hook: source.map_or("proc-pass", Source::hook).to_owned(),
        openings: source.is_some_and(|source| source.openings().is_some()),
    };
    let complete_since = source.and_then(Source::complete_since);
    let collector = Collector::new(origin, BootTime::now(), Delays::default(), complete_since);
    Observer { collector, resolver: Arc::new(resolver), sweeper, metrics: Arc::clone(metrics) }
}

/// Everything beside observing and recording.
fn start_side_parts(
    tasks: &mut Tasks,
    watch: &Watch,
    status: Arc<Status>,
    client: Option<Arc<Client>>,
    sender: Option<Arc<Sender>>,
    group: Option<ControlGroup>,
) {
    let metrics = Arc::clone(&status.metrics);
    let pressure = Arc::clone(&status.pressure);
    let outbox = status.outbox.clone();
    if let Some(address) = watch.metrics_listen {
        let status = Arc::clone(&status);
        tasks.spawn(async move { status.serve(address).await.map_err(|source| Failure::Listen { address, source }) });
    }
    if let Some(outbox) = outbox.filter(|_| watch.spool_fsync == Fsync::Interval) {
        tasks.spawn(sync_every_second(outbox));
    }
    if let Some(sender) = sender {
        tasks.spawn(async move { Ok(sender.run().await?) });
    }
    if let Some(client) = client {
        let teller = Teller { client: Arc::clone(&client), status, every: Duration::from_secs(watch.status_seconds) };
        tasks.spawn(async move {
            teller.run().await;
            Ok(())
        });
        let (node, child_flags) = (watch.node.clone(), child_flags(watch));
        let worker = Worker { client, node, child_flags, group, pressure, metrics };
        tasks.spawn(async move {
            worker.run().await;
            Ok(())
        });
    }
}

/// The control group for processes that read images; where there can be none, they have their own limits alone.
fn reader_group(bounds: Bounds) -> Result<ControlGroup, ControlGroupError> {
    let group = ControlGroup::make(bounds);
    match &group {
        Ok(group) => tracing::info!(folders = ?group.folders(), ?bounds, "images are read in a control group"),
        Err(reason) => tracing::warn!(
            %reason,
            "images are read without a control group: what holds their reader is lowest priority, its limits of data and \
             processor time, and whatever holds the agent"
        ),
    }
    group
}

/// The flags a process that reads an image needs of ours.
fn child_flags(watch: &Watch) -> Vec<OsString> {
    let flag = |name: &str, value: Option<OsString>| value.map(|value| [OsString::from(name), value]);
    let server = &watch.server;
    [
        flag("--server", server.server.as_ref().map(|url| url.as_str().into())),
        flag("--token-file", server.token_file.clone().map(Into::into)),
        flag("--ca-file", server.ca_file.clone().map(Into::into)),
        flag("--node", Some((&watch.node).into())),
        flag("--runtime-endpoint", watch.runtime_endpoint.as_ref().map(Into::into)),
        flag("--proc-root", Some(watch.proc_root.clone().into())),
        flag("--limits", Some(watch.limits.to_string().into())),
    ]
    .into_iter()
    .flatten()
    .flatten()
    .chain(server.exchange_token.then(|| "--exchange-token".into()))
    .collect()
}

async fn report_once(sweeper: &Sweeper, to: &mpsc::Sender<Observation>) -> Result<(), Failure> {
    for seen in sweeper.pass() {
        to.send(seen).await.map_err(|_| Failure::Died("the observer"))?;
    }
    Ok(())
}

async fn sync_every_second(outbox: Arc<Outbox>) -> Result<(), Failure> {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut works = true;
    loop {
        tick.tick().await;
        match outbox.sync() {
            Ok(()) => works = true,
            // Once until it works again. What was written is still there unless the power fails.
            Err(error) if std::mem::replace(&mut works, false) => {
                tracing::error!(%error, "the spool cannot be forced to the disk");
            }
            Err(_) => {}
        }
    }
}

/// Sends what can be sent in a short time; returns how many events stay.
async fn flush(sender: &Sender, outbox: &Outbox) -> Result<u64, Failure> {
    if let Ok(flushed) = tokio::time::timeout(LAST_FLUSH, sender.flush()).await {
        flushed?;
    }
    if let Err(error) = outbox.sync() {
        tracing::error!(%error, "the spool cannot be forced to the disk");
    }
    Ok(outbox.waiting().0)
}

/// Waits for a signal, or for a part that ends though nobody asked it to.
async fn until_ended(tasks: &mut Tasks, observing: &JoinHandle<()>, recording: &JoinHandle<()>) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Signals)?;
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Err(Failure::Interrupted),
            Some(ended) = tasks.join_next() => {
                ended??;
                return Err(Failure::Died("a part of the agent"));
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

fn open_outbox(watch: &Watch, metrics: &Metrics) -> Result<Outbox, Failure> {
    let limits = Limits { bytes: watch.spool_bytes, sync_each: watch.spool_fsync == Fsync::Always };
    let (spool, recovered) = Spool::open(&watch.spool_dir, limits)?;
    metrics.recovered.inc_by(recovered.records);
    metrics.count_lost(LossReason::SpoolDamaged, recovered.damaged);
    if recovered.records > 0 || recovered.damaged_bytes > 0 {
        tracing::info!(
            events = recovered.records,
            torn_bytes = recovered.damaged_bytes,
            "events of an earlier run wait in the spool"
        );
    }
    Ok(Outbox::new(spool))
}

fn source(watch: &Watch, proc: &ProcFs, sweeper: &Sweeper) -> Result<Source, Failure> {
    let settings = Settings {
        ring_bytes: watch.ring_bytes,
        seen_files: SEEN_FILES,
        openings: watch.opened_files,
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
    let cri = match (&watch.runtime_endpoint, stella_cri::usual_endpoint()) {
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
