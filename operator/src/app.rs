//! What every part of the operator shares.

use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use stella_advisory::Index;
use stella_api::admission::AdmissionMode;
use stella_attest::{SigningKey, VerifyingKey};
use stella_domain::{Digest, Tenant};
use stella_inventory::Limits;
use stella_registry::AllowedHosts;
use stella_service::clock::Clock;
use stella_service::traces::Traces;
use stella_store::Store;
use tokio::sync::Notify;

use crate::auth::Authenticator;
use crate::cli::Keep;
use crate::judging::{Board, Compilations, Ground, Pending, Projections, Shelves};
use crate::limits::Rates;
use crate::metrics::Metrics;
use crate::namespaces::Namespaces;
use crate::scanning::{Changes, Progress, Uploads, WorkHub};
use crate::signatures::Signatures;

/// The operator's settings, as the command line gave them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Everything the operator keeps.
    pub data: PathBuf,
    /// Folder of this process alone for what lies somewhere while it is read; empty at the start.
    pub work: PathBuf,
    /// Folder of this instance alone for its index of the feeds.
    pub index: PathBuf,
    /// The name of this process among all that share the database.
    pub worker: String,
    /// Feeds to match against.
    pub feeds: PathBuf,
    /// Folder that filesystem exports go to.
    pub exports: PathBuf,
    /// The namespace whose policies act on the whole tenant.
    pub policy_namespace: String,
    /// Namespaces that admission always lets through.
    pub exempt_namespaces: Vec<String>,
    /// The admission mode where neither a label nor a policy names one.
    pub default_mode: AdmissionMode,
    /// Seconds for which a container is watched before what it did not load counts as not used.
    pub settle_seconds: i64,
    /// Whether running images are scanned by themselves.
    pub coverage: bool,
    /// Docker's config.json with credentials for registries, read anew for each pull.
    pub registry_config: Option<PathBuf>,
    /// Hosts that archives and SBOMs are fetched from by URL.
    pub url_hosts: AllowedHosts,
    /// How much an image or SBOM may make the operator do.
    pub limits: Limits,
    /// Whether the endpoints for schema, diagnostics and preview of policies are there.
    pub policy_preview: bool,
    /// How long what nobody uses is kept.
    pub keep: Keep,
}

impl Settings {
    /// What shapes admission beside the policies.
    #[must_use]
    pub fn ground(&self) -> Ground<'_> {
        Ground {
            policy_namespace: &self.policy_namespace,
            exempt: &self.exempt_namespaces,
            default_mode: self.default_mode,
        }
    }
}

/// The shared state. Cloning it is cheap.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What an [`App`] consists of.
pub struct Parts {
    /// Settings.
    pub settings: Settings,
    /// The database.
    pub store: Store,
    /// The clock.
    pub clock: Clock,
    /// Key that signs reports and manifests.
    pub key: SigningKey,
    /// Keys that signed before, and verify what was signed with them.
    pub retired_keys: Vec<VerifyingKey>,
    /// How often a token may ask.
    pub rates: Rates,
    /// Who is asking.
    pub auth: Authenticator,
    /// Namespaces and their tenants.
    pub namespaces: Namespaces,
    /// Registries that images are pulled from.
    pub registries: stella_registry::Client,
    /// Work for nodes.
    pub work: WorkHub,
    /// Uploads that are read while nobody waits.
    pub uploads: Uploads,
    /// Verdicts for webhooks.
    pub board: Board,
    /// What others say of findings.
    pub statements: Shelves,
    /// What policies do, as worked out last.
    pub projections: Projections,
    /// Figures.
    pub metrics: Metrics,
    /// Who is told of requests that were answered.
    pub traces: Traces,
    /// A client of the cluster, where there is one.
    pub cluster: Option<kube::Client>,
    /// The index in use; absent until the first one is built.
    pub index: RwLock<Option<Arc<Index>>>,
    /// What the index in use changed.
    pub changes: RwLock<Arc<Changes>>,
    /// Something was put into the scan queue, or an inventory came in.
    pub scans_changed: Notify,
    /// Policies that were compiled.
    pub compilations: Compilations,
    /// All verdicts have to be worked out anew.
    pub judge: Notify,
    /// Images whose verdicts have to be worked out anew.
    pub unjudged: Pending,
    /// Whom signatures are believed by, and who asks for them.
    pub signatures: Signatures,
    /// Scans that move, for those who follow them.
    pub progress: Progress,
    /// Images whose use has to be worked out anew.
    pub observed: tokio::sync::mpsc::Sender<(Tenant, Digest)>,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The index in use.
    #[must_use]
    pub fn index(&self) -> Option<Arc<Index>> {
        self.index.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// What the index in use changed; of the first one after a start, nothing is known.
    #[must_use]
    pub fn changes(&self) -> Arc<Changes> {
        Arc::clone(&self.changes.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Puts a new index in place of the old one.
    pub fn swap_index(&self, index: Arc<Index>, changes: Changes) {
        *self.changes.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(changes);
        *self.index.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(index);
    }
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
