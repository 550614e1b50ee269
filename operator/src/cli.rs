//! The command line of `stella-operator`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use stella_inventory::Limits;
use stella_store::Installation;

const EXAMPLES: &str = "\
Examples:
  # Without a cluster: objects from a folder, everything kept in ./data
  stella-operator serve --manifests ./manifests --data ./data --feeds ./feeds --allow-anonymous

  # In a cluster, as the chart runs it
  stella-operator serve --data /var/lib/stella --listen 0.0.0.0:8080 --feeds /feeds

  # Print the custom resource definitions
  stella-operator crd";

/// Controllers and the HTTP API of Stella.
#[derive(Debug, Parser)]
#[command(name = "stella-operator", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Say more; twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What the operator can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run until told to stop
    Serve(Box<Serve>),
    /// Print the custom resource definitions
    Crd,
    /// Print the OpenAPI document
    Openapi {
        /// As YAML.
        #[arg(long)]
        yaml: bool,
    },
    /// Bring the database schema up to date, and end
    Migrate {
        /// Folder with the database.
        #[arg(long, env = "STELLA_DATA", default_value = "data")]
        data: PathBuf,
        /// A PostgreSQL database, in place of the one in the folder.
        #[arg(long, env = "STELLA_DATABASE_URL", value_name = "URL", hide_env_values = true)]
        database_url: Option<String>,
    },
    /// Copy database and keys into a new folder, while the operator may go on (SQLite)
    Backup {
        /// Folder with the database.
        #[arg(long, env = "STELLA_DATA", default_value = "data")]
        data: PathBuf,
        /// The folder to make; it must not be there.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// Where its blobs lie, as `serve` has it.
        #[arg(long, env = "STELLA_BLOBS", value_name = "PLACE")]
        blobs: Option<String>,
    },
    /// Put a backup into a data folder without a database, while no operator runs
    Restore {
        /// The folder that `backup` made.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// Folder for the database.
        #[arg(long, env = "STELLA_DATA", default_value = "data")]
        data: PathBuf,
        /// Where its blobs are to lie, as `serve` will have it.
        #[arg(long, env = "STELLA_BLOBS", value_name = "PLACE")]
        blobs: Option<String>,
        /// Take the place for blobs over from this installation, which is gone for good; its name is in the refusal.
        #[arg(long, env = "STELLA_TAKE_BLOBS_FROM", value_name = "INSTALLATION")]
        take_blobs_from: Option<Installation>,
    },
    /// Print the version
    Version,
}

/// Flags of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Work on the manifests of this folder instead of a cluster's objects.
    #[arg(long, value_name = "DIR")]
    pub manifests: Option<PathBuf>,
    /// Everything that is kept: database, keys, index; made when absent.
    #[arg(long, env = "STELLA_DATA", value_name = "DIR", default_value = "data")]
    pub data: PathBuf,
    /// A PostgreSQL database to keep things in, as postgres://user:password@host/database?sslmode=verify-full; SQLite in the
    /// data folder without it.
    #[arg(long, env = "STELLA_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Where blobs lie that the database is not to hold: a folder, or s3://BUCKET/PREFIX with the usual AWS variables; in the
    /// database without it.
    #[arg(long, env = "STELLA_BLOBS", value_name = "PLACE")]
    pub blobs: Option<String>,
    /// Take the place for blobs over from this installation, which is gone for good; its name is in the refusal.
    #[arg(long, env = "STELLA_TAKE_BLOBS_FROM", value_name = "INSTALLATION")]
    pub take_blobs_from: Option<Installation>,
    /// Address to listen on.
    #[arg(long, env = "STELLA_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Advisory feeds; FOLDER/feeds of the data folder without it.
    #[arg(long, env = "STELLA_FEEDS", value_name = "DIR")]
    pub feeds: Option<PathBuf>,
    /// Folder for exports to the file system; exports of the data folder without it.
    #[arg(long, env = "STELLA_EXPORTS", value_name = "DIR")]
    pub exports: Option<PathBuf>,
    /// Cluster to work on, when not running in one.
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The namespace the operator runs in.
    #[arg(long, env = "POD_NAMESPACE", default_value = "stella-system")]
    pub namespace: String,
    /// The name of this replica: letters, digits, `-` and `.`. Folders of the data folder are called by it.
    #[arg(long, env = "POD_NAME", default_value = "stella-operator", value_parser = instance)]
    pub instance: String,
    /// Policies of this namespace act on the whole tenant; the operator's own without it.
    #[arg(long, env = "STELLA_POLICY_NAMESPACE")]
    pub policy_namespace: Option<String>,
    /// Namespaces that admission always lets through, besides kube-system and the operator's own.
    #[arg(long, env = "STELLA_EXEMPT_NAMESPACES", value_delimiter = ',')]
    pub exempt_namespace: Vec<String>,
    /// What admission does in a namespace that neither a label nor a policy says anything about.
    #[arg(long, env = "STELLA_DEFAULT_ADMISSION_MODE", default_value = "audit", value_parser = ["audit", "warn", "enforce"])]
    pub default_admission_mode: String,
    /// What is done about containers that run though their image is blocked and their namespace enforces.
    #[arg(long, env = "STELLA_ENFORCE", default_value = "off", value_parser = ["off", "dry-run", "evict"])]
    pub enforce: String,
    /// Evictions a minute at most.
    #[arg(long, env = "STELLA_ENFORCE_PER_MINUTE", value_name = "COUNT", default_value_t = 6)]
    pub enforce_per_minute: u16,
    /// Seconds a container is watched before what it did not load counts as not used.
    #[arg(long, env = "STELLA_SETTLE_SECONDS", default_value_t = 86_400)]
    pub settle_seconds: i64,
    /// Do not scan running images by themselves.
    #[arg(long, env = "STELLA_NO_COVERAGE")]
    pub no_coverage: bool,
    /// Registries that are spoken to without TLS, as host:port.
    #[arg(long, env = "STELLA_INSECURE_REGISTRIES", value_delimiter = ',')]
    pub insecure_registry: Vec<String>,
    /// Mirrors, authorities and plain HTTP of registries, as YAML; read at start.
    #[arg(long, env = "STELLA_REGISTRIES", value_name = "FILE")]
    pub registries: Option<PathBuf>,
    /// Credentials for registries, as Docker's config.json; read again for every pull. Without it that of `$DOCKER_CONFIG` or
    /// `~/.docker`, where it is there at the start.
    #[arg(long, env = "STELLA_REGISTRY_CONFIG", value_name = "FILE")]
    pub registry_config: Option<PathBuf>,
    /// Whom keyless signatures of images are believed by: a `trusted_root.json` of sigstore; read again when it changes. Without it
    /// no policy may name identities.
    #[arg(long, env = "STELLA_TRUSTED_ROOT", value_name = "FILE")]
    pub trusted_root: Option<PathBuf>,
    /// Hosts that `POST /scan` may fetch archives and SBOMs from by URL, as host or host:port; none without it.
    #[arg(long, env = "STELLA_IMAGE_URL_HOSTS", value_name = "HOST", value_delimiter = ',')]
    pub image_url_host: Vec<String>,
    /// How much an image or SBOM may make the operator do: `entries=5000000,layer-bytes=64GiB`. See the documentation.
    #[arg(long, env = "STELLA_LIMITS", value_name = "NAME=VALUE,...", default_value = "", hide_default_value = true)]
    pub limits: Limits,
    /// Whether schema, diagnostics and preview of policies are served (`scanner.features.enablePolicyPreview`).
    #[arg(long, env = "SCANNER__FEATURES__ENABLEPOLICYPREVIEW", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub enable_policy_preview: bool,
    /// File with a token that is let in; read again for every request.
    #[arg(long, env = "STELLA_STATIC_TOKEN_FILE", value_name = "FILE")]
    pub static_token_file: Option<PathBuf>,
    /// Further service accounts that are let in, as namespace/name; all of the operator's own namespace are.
    #[arg(long, env = "STELLA_ALLOW_SERVICE_ACCOUNTS", value_delimiter = ',')]
    pub allow_service_account: Vec<String>,
    /// Service accounts without a rule of the authority that may change rules, waivers and VEX documents over the API, as
    /// namespace/name or namespace/*.
    #[arg(long, env = "STELLA_POLICY_WRITERS", value_delimiter = ',', value_name = "NAMESPACE/NAME")]
    pub policy_writer: Vec<String>,
    /// What reports are signed with.
    #[command(flatten)]
    pub signing: Signing,
    /// Settings of the authority, as YAML; the defaults without it.
    #[arg(long, env = "STELLA_AUTHORITY", value_name = "FILE")]
    pub authority: Option<PathBuf>,
    /// Certificate chain of the API, as PEM; read again when it changes. Plain HTTP without it.
    #[arg(long, env = "STELLA_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// The key of the certificate, as PEM.
    #[arg(long, env = "STELLA_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// Requests a second of each token; 0 is no limit.
    #[arg(long, env = "STELLA_RATE_LIMIT", value_name = "N", default_value_t = 40)]
    pub rate_limit: u32,
    /// How long what nobody uses is kept.
    #[command(flatten)]
    pub keep: Keep,
    /// Let everybody in. For trying things out; said loudly at start and on every use.
    #[arg(long, env = "STELLA_ALLOW_ANONYMOUS")]
    pub allow_anonymous: bool,
}

/// Keys of reports.
#[derive(Debug, Clone, Default, Args)]
pub struct Signing {
    /// Private key that signs reports: PKCS#8 or SEC1 PEM (Ed25519, P-256), or a shared secret; without it one is made and
    /// kept in the data folder.
    #[arg(long, env = "STELLA_SIGNING_KEY", value_name = "FILE")]
    pub signing_key: Option<PathBuf>,
    /// The name of that key in signatures.
    #[arg(long, env = "STELLA_SIGNING_KEY_ID", value_name = "ID", default_value = stella_attest::DEFAULT_KEY_ID)]
    pub signing_key_id: String,
    /// A key that signed before: its public half as PEM. Public halves that this data folder has seen
    /// need not be named.
    #[arg(long, env = "STELLA_RETIRED_KEYS", value_name = "FILE", value_delimiter = ',')]
    pub retired_key: Vec<PathBuf>,
}

/// Days for which things are kept that nobody uses any more; 0 is for ever.
#[derive(Debug, Clone, Copy, Args)]
pub struct Keep {
    /// Days for which an image is kept that does not run, that nobody asks for, and that is not the newest of its repository; 0
    /// for ever.
    #[arg(long, env = "STELLA_KEEP_IMAGES_DAYS", value_name = "DAYS", default_value_t = Keep::default().keep_images_days)]
    pub keep_images_days: u16,
    /// Days for which a scan is kept that has no result any more, and steps of scans that are repeated; 0 for ever.
    #[arg(long, env = "STELLA_KEEP_SCANS_DAYS", value_name = "DAYS", default_value_t = Keep::default().keep_scans_days)]
    pub keep_scans_days: u16,
    /// Days for which a report is kept that nobody asks for and that is not the last one of its image; 0 for ever.
    #[arg(long, env = "STELLA_KEEP_REPORTS_DAYS", value_name = "DAYS", default_value_t = Keep::default().keep_reports_days)]
    pub keep_reports_days: u16,
}

impl Default for Keep {
    fn default() -> Self {
        Self { keep_images_days: 90, keep_scans_days: 30, keep_reports_days: 365 }
    }
}

/// A name as pods have, so that a folder called by it lies where it should.
fn instance(name: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if name.is_empty() || name.len() > 253 || name.starts_with('.') || !name.chars().all(allowed) {
        return Err("1 to 253 letters, digits, `-` and `.`, the first not `.`".to_owned());
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::instance;

    #[test]
    fn an_instance_names_one_folder() {
        for name in ["stella-operator", "stella-operator-7c9f-x2", "a.b"] {
            assert_eq!(instance(name).as_deref(), Ok(name));
        }
        for name in ["", ".", "..", "../x", "a/b", "a b", &"a".repeat(254)] {
            assert!(instance(name).is_err(), "{name}");
        }
    }
}
