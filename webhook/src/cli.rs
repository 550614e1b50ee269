//! The command line.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use stella_api::client::{Client, ClientError, Credential, Settings as ClientSettings};

use crate::decision::{AwayAction, Settings, WorkloadAction};
use crate::{replay, serve};

/// Answers the admission reviews of a Kubernetes API server from verdicts on images.
#[derive(Debug, Parser)]
#[command(name = "stella-webhook", version, propagate_version = true, after_help = EXAMPLES)]
pub struct Cli {
    /// Say more; twice, say everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  stella-webhook serve --server http://stella-operator:8080 --tls-secret stella-webhook-tls --dns-name stella-webhook.stella.svc
  stella-webhook serve --server http://localhost:8080 --tls-cert tls.crt --tls-key tls.key
  stella-webhook review review.json --verdicts verdicts.ndjson
  stella-webhook review decision.json";

/// What the process does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer reviews over HTTPS until told to stop.
    Serve(Box<Serve>),
    /// Print the answer to one review, or make a recorded decision again.
    Review(Review),
}

/// Where the operator is.
#[derive(Debug, Clone, Args)]
pub struct Operator {
    /// File with the bearer token; read anew for each connection.
    #[arg(long, env = "STELLA_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The token is a Kubernetes service account's: ask the operator for one of its authority in its place (RFC 7523), and use that.
    #[arg(long, env = "STELLA_EXCHANGE_TOKEN")]
    pub exchange_token: bool,
    /// File with the certificates that the operator's is checked against, instead of the system's.
    #[arg(long, env = "STELLA_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

impl Operator {
    /// The operator at `url`.
    ///
    /// # Errors
    /// Not an HTTP URL.
    pub fn at(&self, url: &str) -> Result<Client, ClientError> {
        let credential = Credential::in_file(self.token_file.clone(), self.exchange_token);
        Client::new(ClientSettings {
            server: url.to_owned(),
            credential,
            ca_file: self.ca_file.clone(),
            user_agent: concat!("stella-webhook/", env!("CARGO_PKG_VERSION")),
            ..ClientSettings::default()
        })
    }
}

const CLUSTER_NAMESPACE: &str = "kube-system";

/// What holds for all decisions.
#[derive(Debug, Clone, Args)]
pub struct Rules {
    /// Namespaces where everything is let through, besides kube-system and the process's own; may be repeated or
    /// separated by commas.
    #[arg(long, env = "STELLA_EXEMPT_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACE")]
    pub exempt_namespace: Vec<String>,
    /// What to do about images in objects that make pods (Deployment, Job, ...).
    #[arg(long, env = "STELLA_WORKLOADS", value_enum, default_value_t)]
    pub workloads: WorkloadAction,
    /// What to do while nobody vouches for the verdicts.
    #[arg(long, env = "STELLA_WITHOUT_VERDICTS", value_enum, default_value_t)]
    pub without_verdicts: AwayAction,
    /// How long verdicts hold after the operator was last heard.
    #[arg(long, env = "STELLA_VERDICT_TTL_SECONDS", value_name = "SECONDS", default_value_t = 3600)]
    pub verdict_ttl_seconds: u32,
    /// How long they are used after that.
    #[arg(long, env = "STELLA_VERDICT_GRACE_SECONDS", value_name = "SECONDS", default_value_t = 86_400)]
    pub verdict_grace_seconds: u32,
}

impl Rules {
    /// The settings of decisions. The cluster's namespace and the process's `own` are always exempt: neither may lock
    /// itself out.
    #[must_use]
    pub fn settings(&self, own: Option<&str>) -> Settings {
        let named = self.exempt_namespace.iter().map(|name| name.trim());
        let always = [Some(CLUSTER_NAMESPACE), own].into_iter().flatten();
        Settings {
            exempt_namespaces: named.chain(always).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            workloads: self.workloads,
            away: self.without_verdicts,
            fresh_seconds: i64::from(self.verdict_ttl_seconds),
            verdict_seconds: i64::from(self.verdict_ttl_seconds) + i64::from(self.verdict_grace_seconds),
        }
    }
}

/// `serve`.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Where the operator is; without one the verdicts of a bundle are all there is.
    #[arg(long, env = "STELLA_SERVER", value_name = "URL", required_unless_present = "bundle")]
    pub server: Option<String>,
    /// A signed bundle of verdicts, for the time without an operator; read again when it changes.
    #[arg(long, env = "STELLA_BUNDLE", value_name = "FILE", requires = "bundle_key")]
    pub bundle: Option<PathBuf>,
    /// Public key (PEM, Ed25519) that signs bundles; may be repeated or separated by commas.
    #[arg(long, env = "STELLA_BUNDLE_KEYS", value_delimiter = ',', value_name = "FILE")]
    pub bundle_key: Vec<PathBuf>,
    /// Credentials for the operator.
    #[command(flatten)]
    pub operator: Operator,
    /// Where reviews are answered (HTTPS), and probes.
    #[arg(long, env = "STELLA_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:8443")]
    pub listen: SocketAddr,
    /// Where probes and metrics are answered without TLS; not at all when absent.
    #[arg(long, env = "STELLA_METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,
    /// Folder where the verdicts are kept for the next start; not kept when absent.
    #[arg(long, env = "STELLA_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The namespace this process runs in; always exempt, and where its Secret is.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Name of this replica, for events.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub instance: Option<String>,
    /// Certificate chain to serve (PEM), read again every 15 s.
    #[arg(long, env = "STELLA_TLS_CERT", value_name = "FILE", requires = "tls_key", conflicts_with = "tls_secret")]
    pub tls_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, env = "STELLA_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Secret in which the replicas keep certificates they make themselves.
    #[arg(
        long,
        env = "STELLA_TLS_SECRET",
        value_name = "NAME",
        requires = "dns_name",
        required_unless_present = "tls_cert"
    )]
    pub tls_secret: Option<String>,
    /// Names the certificate is for; may be repeated or separated by commas.
    #[arg(long, env = "STELLA_DNS_NAMES", value_delimiter = ',', value_name = "NAME")]
    pub dns_name: Vec<String>,
    /// ValidatingWebhookConfigurations whose caBundle is kept in step; may be repeated or separated by commas.
    #[arg(long, env = "STELLA_WEBHOOK_CONFIGURATIONS", value_delimiter = ',', value_name = "NAME")]
    pub webhook_configuration: Vec<String>,
    /// Publish no events and ask nobody who may break the glass: there is no cluster.
    #[arg(long, env = "STELLA_NO_CLUSTER", conflicts_with = "tls_secret")]
    pub no_cluster: bool,
    /// What holds for all decisions.
    #[command(flatten)]
    pub rules: Rules,
}

/// `review`.
#[derive(Debug, Clone, Args)]
pub struct Review {
    /// An AdmissionReview or a recorded decision, JSON; `-` is standard input.
    pub file: PathBuf,
    /// Verdicts to judge by: what `serve` keeps in its folder, or saved updates (NDJSON).
    #[arg(long, value_name = "FILE")]
    pub verdicts: Option<PathBuf>,
    /// Where to fetch verdicts from when no file is given.
    #[arg(long, env = "STELLA_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// Credentials for the operator.
    #[command(flatten)]
    pub operator: Operator,
    /// Judge as of this instant (RFC 3339) rather than now.
    #[arg(long, value_name = "TIME")]
    pub at: Option<stella_domain::Timestamp>,
    /// What holds for all decisions.
    #[command(flatten)]
    pub rules: Rules,
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
        match self.command {
            Command::Serve(options) => Ok(serve::run(*options).await.map(|()| ExitCode::SUCCESS)?),
            Command::Review(options) => Ok(replay::run(options).await?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_clusters_namespaces_and_ones_own_are_exempt() {
        let line = "stella-webhook serve --server http://x --tls-cert c --tls-key k --exempt-namespace a,b".split(' ');
        let Command::Serve(serve) = Cli::parse_from(line).command else { unreachable!() };
        let settings = serve.rules.settings(Some("stella"));
        let expected = ["a", "b", "kube-system", "stella"];
        assert!(settings.exempt_namespaces.iter().eq(expected));
        assert_eq!(settings.verdict_seconds, 90_000);
    }

    #[test]
    fn a_certificate_has_to_come_from_somewhere() {
        assert!(Cli::try_parse_from(["stella-webhook", "serve", "--server", "http://x"]).is_err());
    }

    #[test]
    fn verdicts_have_to_come_from_somewhere() {
        let serve = |more: &[&str]| {
            let line = ["stella-webhook", "serve", "--no-cluster", "--tls-cert", "c", "--tls-key", "k"];
            Cli::try_parse_from(line.iter().chain(more)).is_ok()
        };
        assert!(serve(&["--server", "http://x"]) && serve(&["--bundle", "b", "--bundle-key", "k"]));
        assert!(!serve(&[]) && !serve(&["--bundle", "b"]));
    }
}
