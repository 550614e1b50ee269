//! The running process: what is started, in which order, and who owns it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use kube::config::{KubeConfigOptions, Kubeconfig};
use prometheus::Registry;
use stella_api::admission::AdmissionMode;
use stella_authority::Authority;
use stella_blobs::OpenError;
use stella_domain::Timestamp;
use stella_registry::{AllowedHosts, Registries};
use stella_service::clock::Clock;
use stella_service::files;
use stella_service::health::{Health, Part};
use stella_service::listen;
use stella_service::shutdown;
use stella_service::supervise::Supervisor;
use stella_service::traces::Traces;
use stella_store::{Blobs, Store, StoreError};
use tokio::sync::Notify;

use crate::app::{App, Parts, Settings};
use crate::auth::Authenticator;
use crate::certificate::Certificate;
use crate::cli::Serve;
use crate::controllers::{cluster, folder, lease};
use crate::enforcing::{self, Enforcement};
use crate::judging::{Board, Compilations, Pending, Projections, Shelves};
use crate::limits::Rates;
use crate::metrics::Metrics;
use crate::namespaces::Namespaces;
use crate::scanning::{Progress, Uploads, WorkHub};
use crate::signatures::{self, Signatures};
use crate::{
    authority, coverage, decisions, exporting, feeds, http, installation, judging, reach, retention, scanning, signing,
};

/// What went wrong, for the person who started the process.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Observations that may wait to be worked on.
const OBSERVED: usize = 10_000;

/// Bytes, packed, from which on something becomes a blob, where blobs have a place.
const LARGE: usize = 32 * 1024;

/// Connections at a time: of agents, webhooks, and whoever follows a scan.
const CONNECTIONS: usize = 16 * 1024;

/// Runs until a signal says to stop, or something that must not end ends.
///
/// # Errors
/// What kept the process from starting, or ended it.
pub async fn serve(flags: Serve) -> Result<(), Failure> {
    let token = shutdown::on_signal()?;
    let (health, registry, clock) = (Health::new(), Registry::new(), Clock::system());
    let starting = health.part("start");
    let (traces, exporting) = Traces::from_environment("stella-operator")?;
    let cluster = if flags.manifests.is_some() { None } else { cluster_client(&flags).await? };
    let settings = settings(&flags, clock.now())?;
    std::fs::create_dir_all(&settings.data)?;
    std::fs::create_dir_all(&settings.exports)?;
    let keys = signing::keys(&settings.data, &flags.signing)?;
    let (observe, observed) = tokio::sync::mpsc::channel(OBSERVED);
    let store = database(&settings.data, flags.database_url.as_deref()).await?;
    let store = match place(flags.blobs.as_deref())? {
        Some(blobs) => store.with_blobs(blobs, LARGE),
        None => store,
    };
    let installation = installation::settle(&store, flags.take_blobs_from).await?;
    let folder = settings.data.join("authority");
    let file = flags.authority.as_deref();
    let authority =
        authority::open(file, &folder, &flags.instance, store.clone(), cluster.clone(), clock.clone()).await?;
    // The lock on the audit log is taken: no other process of this name works here.
    empty(&settings.work)?;
    let app = App::new(Parts {
        store,
        key: keys.active,
        retired_keys: keys.retired,
        auth: authenticator(&flags, authority.clone(), cluster.clone()),
        rates: Rates::new(flags.rate_limit),
        namespaces: Namespaces::default(),
        registries: registries(&flags)?,
        work: WorkHub::default(),
        uploads: Uploads::default(),
        board: Board::new(clock.now()),
        statements: Shelves::default(),
        projections: Projections::default(),
        metrics: Metrics::register(&registry)?,
        traces,
        cluster: cluster.clone(),
        index: RwLock::new(None),
        changes: RwLock::default(),
        scans_changed: Notify::new(),
        judge: Notify::new(),
        compilations: Compilations::default(),
        unjudged: Pending::default(),
        signatures: Signatures::open(flags.trusted_root.clone())?,
        progress: Progress::default(),
        observed: observe,
        settings,
        clock,
    });
    // What this replica was reading when it was killed is not under way any more.
    app.store.end_leases(&format!("{}/", flags.instance)).await?;
    let alone = flags.database_url.as_deref().is_none_or(str::is_empty);
    exporting::end_orphans(&app, alone).await?;
    let certificate = match (&flags.tls_certificate, &flags.tls_key) {
        (Some(chain), Some(key)) => Some(Certificate::read(chain, key)?),
        _ => None,
    };
    let tls = certificate.as_ref().map(Certificate::config).transpose()?;
    let listener = listen::bind(flags.listen).await?;
    tracing::info!(address = %listener.local_addr()?, data = %app.settings.data.display(), cluster = cluster.is_some(), %installation, "serving");

    let mut tasks = Supervisor::new(token.clone());
    let router = http::router(app.clone(), health.clone(), registry);
    let limits = listen::Limits { connections: CONNECTIONS, ..Default::default() }.within(files::raise());
    tasks.spawn("http", listen::serve(listener, tls, router, limits, token.clone()));
    if let Some(certificate) = certificate {
        tasks.spawn("certificate", certificate.watch(token.clone()));
    }
    if let Some(exporting) = exporting {
        tasks.spawn("traces", exporting.run(token.clone()));
    }
    tasks.spawn("feeds", feeds::run(app.clone(), health.part("advisories"), token.clone()));
    tasks.spawn("scan queue", scanning::run(app.clone(), token.clone()));
    tasks.spawn("scan hints", scanning::heed(app.clone(), token.clone()));
    tasks.spawn("signatures", signatures::run(app.clone(), token.clone()));
    tasks.spawn("reachability", reach::run(app.clone(), observed, token.clone()));
    tasks.spawn("authority", authority::sweep(authority, token.clone()));
    tasks.spawn("coverage", coverage::run(app.clone(), token.clone()));
    tasks.spawn("retention", retention::run(app.clone(), token.clone()));
    tasks.spawn("decisions", decisions::run(app.clone(), token.clone()));
    match (flags.manifests.clone(), cluster) {
        (Some(manifests), _) => {
            tasks.spawn("manifests", folder::run(app.clone(), manifests, token.clone()));
            tasks.spawn("verdicts", judging::run(app, token.clone()));
        }
        (None, Some(client)) => {
            let part = health.part("cluster");
            control(&mut tasks, &app, client, part, &flags);
        }
        (None, None) => tasks.spawn("verdicts", judging::run(app, token.clone())),
    }
    starting.ready();
    tasks.run(shutdown::GRACE).await?;
    Ok(())
}

/// Everything that needs a cluster. All replicas read; only the holder of the lease writes.
fn control(tasks: &mut Supervisor, app: &App, client: kube::Client, part: Part, flags: &Serve) {
    let token = tasks.token();
    tasks.spawn("namespaces", cluster::namespaces(app.clone(), client.clone(), token.clone()));
    let verdicts = app.clone();
    let stop = token.clone();
    tasks.spawn("verdicts", async move {
        // Verdicts without the namespaces' labels would be wrong ones.
        while verdicts.namespaces.all().is_empty() && !stop.is_cancelled() {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        part.ready();
        judging::run(verdicts, stop).await
    });
    let election = lease::Election::new(client.clone(), &flags.namespace, "stella-operator", &flags.instance);
    let enforcement = enforcement(flags);
    let app = app.clone();
    tasks.spawn("controllers", async move {
        if !election.acquire(&token).await {
            return Ok(());
        }
        tracing::info!("this replica writes to the cluster");
        let mut writers = Supervisor::new(token.child_token());
        let stop = writers.token();
        writers.spawn("lease", election.hold(stop.clone()));
        writers.spawn("scan jobs", cluster::scan_jobs(app.clone(), client.clone(), stop.clone()));
        writers.spawn("policies", cluster::policies(app.clone(), client.clone(), stop.clone()));
        writers.spawn("export profiles", cluster::export_profiles(app.clone(), client.clone(), stop.clone()));
        if let Some(enforcement) = enforcement {
            writers.spawn("enforcement", enforcing::run(app.clone(), client.clone(), enforcement, stop.clone()));
        }
        writers.spawn("deletions", cluster::deletions(app, client, stop));
        writers.run(shutdown::GRACE).await
    });
}

fn enforcement(flags: &Serve) -> Option<Enforcement> {
    let mode = match flags.enforce.as_str() {
        "dry-run" => enforcing::Mode::DryRun,
        "evict" => enforcing::Mode::Evict,
        _ => return None,
    };
    Some(Enforcement { mode, per_minute: flags.enforce_per_minute.into() })
}

/// The database at `url`, else the one in the folder `data`. An empty URL is none: a chart's value may be empty.
///
/// # Errors
/// When it cannot be opened or its schema cannot be brought up to date.
pub async fn database(data: &Path, url: Option<&str>) -> Result<Store, StoreError> {
    match url.filter(|url| !url.is_empty()) {
        Some(url) => Store::connect(url).await,
        None => Store::open(data).await,
    }
}

/// The place for blobs, where one is named. An empty name is none: a chart's value may be empty.
///
/// # Errors
/// When it cannot be used.
pub fn place(name: Option<&str>) -> Result<Option<Blobs>, OpenError> {
    name.filter(|name| !name.is_empty()).map(stella_blobs::open).transpose()
}

/// Makes a folder, without what a killed process left in it.
fn empty(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir_all(folder),
    }
}

fn settings(flags: &Serve, started: Timestamp) -> Result<Settings, Failure> {
    let mut exempt = vec!["kube-system".to_owned(), flags.namespace.clone()];
    exempt.extend(flags.exempt_namespace.iter().cloned());
    Ok(Settings {
        url_hosts: AllowedHosts::new(&flags.image_url_host)?,
        limits: flags.limits,
        feeds: flags.feeds.clone().unwrap_or_else(|| flags.data.join("feeds")),
        exports: flags.exports.clone().unwrap_or_else(|| flags.data.join("exports")),
        work: flags.data.join("work").join(&flags.instance),
        index: flags.data.join("index").join(&flags.instance),
        data: flags.data.clone(),
        // A process that comes after a crash is another one.
        worker: format!("{}/{}/{}", flags.instance, std::process::id(), started.as_millis()),
        policy_namespace: flags.policy_namespace.clone().unwrap_or_else(|| flags.namespace.clone()),
        exempt_namespaces: exempt,
        default_mode: match flags.default_admission_mode.as_str() {
            "enforce" => AdmissionMode::Enforce,
            "warn" => AdmissionMode::Warn,
            _ => AdmissionMode::Audit,
        },
        settle_seconds: flags.settle_seconds,
        coverage: !flags.no_coverage,
        registry_config: flags.registry_config.clone().or_else(dockers_config),
        policy_preview: flags.enable_policy_preview,
        keep: flags.keep,
    })
}

/// The file with credentials that Docker keeps for whoever starts the operator.
fn dockers_config() -> Option<PathBuf> {
    let named = std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = named.or_else(|| Some(std::env::home_dir()?.join(".docker")))?;
    let file = folder.join("config.json");
    if !file.is_file() {
        return None;
    }
    tracing::info!(file = %file.display(), "credentials for registries are Docker's");
    Some(file)
}

fn registries(flags: &Serve) -> Result<stella_registry::Client, Failure> {
    let settings = flags.registries.as_deref().map(Registries::read).transpose()?.unwrap_or_default();
    let settings = settings.with_insecure(&flags.insecure_registry);
    Ok(stella_registry::Client::new(&settings, stella_registry::Limits::from(&flags.limits))?)
}

fn authenticator(flags: &Serve, authority: Authority, cluster: Option<kube::Client>) -> Authenticator {
    if flags.allow_anonymous {
        tracing::warn!("everybody is let in without authentication, because --allow-anonymous is set");
    }
    let auth = Authenticator::new(flags.static_token_file.clone(), flags.allow_anonymous).with_authority(authority);
    match cluster {
        Some(client) => {
            let own = format!("{}/*", flags.namespace);
            let allowed: BTreeSet<String> = flags.allow_service_account.iter().cloned().chain([own]).collect();
            let writers = flags.policy_writer.iter().cloned().collect();
            auth.with_service_accounts(client, allowed).with_writers(writers)
        }
        None => auth,
    }
}

/// The cluster of `--kubeconfig`, or the one this process runs in; none elsewhere.
async fn cluster_client(flags: &Serve) -> Result<Option<kube::Client>, Failure> {
    let config = match &flags.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)?;
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
        }
        None if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => kube::Config::incluster()?,
        None => return Ok(None),
    };
    Ok(Some(kube::Client::try_from(config)?))
}
