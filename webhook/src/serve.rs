//! The whole process: parts made, tasks started, and an orderly end.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use prometheus::Registry;
use stella_api::client::{self, ClientError};
use stella_service::clock::Clock;
use stella_service::files;
use stella_service::health::{self, Health};
use stella_service::listen::{self, Limits, ListenError};
use stella_service::shutdown::{self, GRACE};
use stella_service::supervise::{SuperviseError, Supervisor, chain};
use stella_service::tls::{CertificateSlot, TlsError, server_config};
use tokio_util::sync::CancellationToken;

use crate::break_glass::BreakGlass;
use crate::certificates::{CertificateTask, Configurations, FilePair, SharedSecret, Source};
use crate::cli::Serve;
use crate::metrics::Metrics;
use crate::server::{self, Admission};
use crate::set_back::SetBack;
use crate::verdicts::{self, BundleFile, Cache, Held, Stream, StreamSettings};
use crate::{records, refusals, scans};

/// Name of the file in the data folder.
const VERDICTS: &str = "verdicts.ndjson";
/// How often the age of the verdicts is counted anew.
const TICK: Duration = Duration::from_secs(5);
/// Open at a time. Whoever opens more keeps others waiting, and what is asked nothing is closed after 10 s.
const CONNECTIONS: usize = 16 * 1024;
/// From the signal to the closed door: that long it takes until nobody sends reviews here any more.
const STILL_OPEN: Duration = Duration::from_secs(5);

/// Why the process could not start, or did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The operator's address is wrong.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The cluster cannot be reached.
    #[error("no cluster to connect to (--no-cluster does without): {0}")]
    Cluster(#[from] Box<kube::Error>),
    /// The Secret has no namespace to stand in.
    #[error("--tls-secret needs --namespace")]
    Namespace,
    /// The data folder cannot be made.
    #[error("cannot make {path}: {source}")]
    Data {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key of bundles cannot be read.
    #[error("--bundle-key: {0}")]
    BundleKey(#[from] stella_attest::key_file::KeyFileError),
    /// Signals cannot be listened for.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    /// An address is taken.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Metrics cannot be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A task ended.
    #[error(transparent)]
    Task(#[from] SuperviseError),
}

/// Everything the tasks share.
struct Parts {
    options: Serve,
    operator: Option<Arc<client::Client>>,
    cluster: Option<Client>,
    cache: Cache,
    clock: Clock,
    set_back: SetBack,
    metrics: Metrics,
    registry: Registry,
    health: Health,
}

/// Serves until a signal comes.
///
/// # Errors
/// What kept it from starting, or the task that ended.
pub async fn run(options: Serve) -> Result<(), ServeError> {
    let signal = shutdown::on_signal().map_err(ServeError::Signals)?;
    let parts = Parts::new(options).await?;
    let mut tasks = Supervisor::new(CancellationToken::new());
    parts.start_verdicts(&mut tasks)?;
    let slot = parts.start_certificates(&mut tasks)?;
    parts.start_listeners(&mut tasks, slot, signal.clone()).await?;
    parts.start_clockwork(&mut tasks, signal);
    Ok(tasks.run(GRACE + Duration::from_secs(5)).await?)
}

impl Parts {
    async fn new(options: Serve) -> Result<Self, ServeError> {
        let operator = options.server.as_ref().map(|url| options.operator.at(url)).transpose()?.map(Arc::new);
        let cluster = if options.no_cluster { None } else { Some(Client::try_default().await.map_err(Box::new)?) };
        let registry = Registry::new();
        let metrics = Metrics::register(&registry)?;
        let (clock, set_back) = SetBack::watched(Clock::system());
        let held = held_before(&options)?;
        metrics.describe(&held, clock.now());
        let (cache, health) = (Cache::new(held), Health::new());
        Ok(Self { options, operator, cluster, cache, clock, set_back, metrics, registry, health })
    }

    /// The stream, and the file it is kept in. Verdicts of an earlier life count as loaded, whatever their age: what
    /// age they may have is decided for each review.
    fn start_verdicts(&self, tasks: &mut Supervisor) -> Result<(), ServeError> {
        let ready = self.health.part("verdicts");
        if self.cache.held().heard_at.is_some() {
            ready.ready();
        }
        let (cache, clock, metrics) = (self.cache.clone(), self.clock.clone(), self.metrics.clone());
        if let Some(path) = &self.options.bundle {
            let (cache, clock, metrics) = (cache.clone(), clock.clone(), metrics.clone());
            let keys = &self.options.bundle_key;
            let file = BundleFile::new(path.clone(), keys, cache, clock, metrics, ready.clone())?;
            tasks.spawn("verdict bundle", file.run(tasks.token()));
        }
        if let Some(operator) = self.operator.clone() {
            let settings = StreamSettings { seed: RandomState::new().hash_one("stream"), ..StreamSettings::default() };
            let stream = Stream::new(operator, cache, clock, settings, metrics, ready);
            tasks.spawn("verdict stream", stream.run(tasks.token()));
        }
        if let Some(folder) = &self.options.data {
            tasks.spawn("verdict file", verdicts::keep(folder.join(VERDICTS), self.cache.clone(), tasks.token()));
        }
        Ok(())
    }

    fn start_certificates(&self, tasks: &mut Supervisor) -> Result<Arc<CertificateSlot>, ServeError> {
        let slot = CertificateSlot::new();
        let task = CertificateTask {
            source: self.certificate_source()?,
            slot: Arc::clone(&slot),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            ready: self.health.part("certificate"),
        };
        tasks.spawn("certificate", task.run(tasks.token()));
        Ok(slot)
    }

    fn certificate_source(&self) -> Result<Source, ServeError> {
        let options = &self.options;
        if let (Some(chain), Some(key)) = (&options.tls_cert, &options.tls_key) {
            return Ok(Source::Files(FilePair { chain: chain.clone(), key: key.clone() }));
        }
        let (Some(client), Some(name), Some(namespace)) = (&self.cluster, &options.tls_secret, &options.namespace)
        else {
            return Err(ServeError::Namespace);
        };
        let secret = SharedSecret::new(client.clone(), namespace, name, options.dns_name.clone());
        let configurations = Configurations::new(client.clone(), options.webhook_configuration.clone());
        Ok(Source::Cluster(Box::new(secret), configurations))
    }

    async fn start_listeners(
        &self,
        tasks: &mut Supervisor,
        slot: Arc<CertificateSlot>,
        ending: CancellationToken,
    ) -> Result<(), ServeError> {
        let admission = self.admission(tasks, ending);
        let probes = health::router(self.health.clone(), self.registry.clone());
        let app = server::router(Arc::new(admission)).merge(probes.clone());
        let listener = listen::bind(self.options.listen).await?;
        tracing::info!(address = %self.options.listen, "answering reviews");
        let tls = Some(server_config(slot)?);
        let limits = Limits { connections: CONNECTIONS, ..Limits::default() }.within(files::raise());
        tasks.spawn("reviews", listen::serve(listener, tls, app, limits, tasks.token()));
        if let Some(address) = self.options.metrics_listen {
            let listener = listen::bind(address).await?;
            tasks.spawn("metrics", listen::serve(listener, None, probes, Limits::default(), tasks.token()));
        }
        Ok(())
    }

    /// What reviews are answered with, and the queues behind it.
    fn admission(&self, tasks: &mut Supervisor, ending: CancellationToken) -> Admission {
        let wishes = self.operator.clone().map(|operator| {
            let pace = scans::Pace { seed: RandomState::new().hash_one("scans"), ..scans::Pace::default() };
            let (wishes, requests) = scans::queue(operator, self.clock.clone(), self.metrics.clone(), pace);
            tasks.spawn("scan requests", requests.run(tasks.token()));
            wishes
        });
        let kept = self.operator.clone().map(|operator| {
            let pace = records::Pace { seed: RandomState::new().hash_one("records"), ..records::Pace::default() };
            let (kept, deliveries) = records::queue(operator, self.metrics.clone(), pace);
            tasks.spawn("decision records", deliveries.run(tasks.token()));
            kept
        });
        let shown = self.cluster.clone().map(|client| {
            let (shown, events) = refusals::queue(client, self.options.instance.clone(), self.metrics.clone());
            tasks.spawn("refusal events", events.run(tasks.token()));
            shown
        });
        Admission {
            cache: self.cache.clone(),
            settings: self.options.rules.settings(self.options.namespace.as_deref()),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            scans: wishes,
            records: kept,
            refusals: shown,
            break_glass: self.cluster.clone().map(BreakGlass::new),
            room: server::BodyRoom::default(),
            ending,
        }
    }

    /// Counts the verdicts' age, and passes the signal on once nobody sends reviews here any more.
    fn start_clockwork(self, tasks: &mut Supervisor, signal: CancellationToken) {
        tasks.spawn("set-back clock", self.set_back.run(self.cache.clone(), tasks.token()));
        let (cache, clock, metrics) = (self.cache.clone(), self.clock.clone(), self.metrics.clone());
        let (health, token) = (self.health.clone(), tasks.token());
        tasks.spawn("clockwork", async move {
            while token.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
                metrics.describe(&cache.held(), clock.now());
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let token = tasks.token();
        tasks.spawn("signals", async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = signal.cancelled() => {
                    health.drain();
                    tokio::time::sleep(STILL_OPEN).await;
                    token.cancel();
                }
            }
            Ok::<(), std::convert::Infallible>(())
        });
    }
}

/// The verdicts of an earlier life. A file that cannot be read is as good as none.
fn held_before(options: &Serve) -> Result<Held, ServeError> {
    let Some(folder) = &options.data else { return Ok(Held::default()) };
    std::fs::create_dir_all(folder).map_err(|source| ServeError::Data { path: folder.clone(), source })?;
    Ok(load(&folder.join(VERDICTS)))
}

fn load(path: &Path) -> Held {
    match verdicts::load(path) {
        Ok(Some(held)) => {
            tracing::info!(images = held.view.image_count(), heard_at = ?held.heard_at, "verdicts loaded");
            held
        }
        Ok(None) => Held::default(),
        Err(error) => {
            tracing::warn!(error = %chain(&error), path = %path.display(), "the kept verdicts cannot be used");
            Held::default()
        }
    }
}
