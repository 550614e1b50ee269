//! Flags of `stellopsctl` (cli.md).

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args as Flags, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use stella_api::client::Token;
use stella_domain::{Severity, Tenant};

use super::since::Since;
use crate::client::DEFAULT_SERVER;

const EXAMPLES: &str = "\
Examples:
  stellopsctl findings --namespace shop --in-use --severity critical --severity high
  stellopsctl report get 0123456789abcdef0123456789abcdef -o report.json
  stellopsctl report verify report.json --key report-signing.pub.pem
  stellopsctl report show report.json --format html -o report.html
  stellopsctl policy validate policy.yaml
  stellopsctl client add ci --scope scanner.scans.enqueue --scope scanner.scans.read
  stellopsctl audit verify data/authority/audit/stella-operator
  stellopsctl verdicts export --key signing.pem --valid-days 14 -o verdicts.bundle.json
  stellopsctl runtime policy replay decisions.ndjson
  stellopsctl runtime policy replay --since 7d --against policy.yaml --replaces stella-system/base
  stellopsctl doctor

Exit codes:
  0  done
  1  the answer is no: a policy is invalid, would newly block something or fails a case, a decision would end otherwise, a report or an
     audit log does not verify, the server is not well
  2  anything else
  130  interrupted";

/// Asks a Stella server what it knows.
#[derive(Debug, Parser)]
#[command(name = "stellopsctl", version, after_help = EXAMPLES)]
pub struct Args {
    /// Whom to ask.
    #[command(flatten)]
    pub connection: Connection,

    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,

    /// Say more on standard error; twice for even more.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Whom to ask and as whom.
#[derive(Debug, Flags)]
pub struct Connection {
    /// Address of the server.
    #[arg(long, global = true, value_name = "URL", default_value = DEFAULT_SERVER)]
    pub server: String,

    /// Bearer token.
    #[arg(long, global = true, value_name = "TOKEN", env = "STELLA_TOKEN", hide_env_values = true)]
    pub token: Option<Token>,

    /// File with the bearer token; goes before --token.
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Tenant; without it the token's own.
    #[arg(long, global = true, value_name = "TENANT")]
    pub tenant: Option<Tenant>,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List findings, worst first, with the workloads that use the package.
    Findings(FindingsArgs),
    /// The policy in force.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Signed reports.
    #[command(subcommand)]
    Report(ReportCommand),
    /// Feeds of advisories.
    #[command(subcommand)]
    Feed(FeedCommand),
    /// Signed bundles of verdicts, for webhooks without a server.
    #[command(subcommand)]
    Verdicts(VerdictsCommand),
    /// What was decided at run time.
    #[command(subcommand)]
    Runtime(RuntimeCommand),
    /// List the nodes, how well each is watched, and what its agent lost or lacks.
    Nodes,
    /// Say what is wrong with the server, if anything.
    Doctor,
    /// People who use the API.
    #[command(subcommand)]
    User(UserCommand),
    /// Programs that use the API.
    #[command(subcommand)]
    Client(ClientCommand),
    /// Tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Tenants.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// The audit log.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page: `stellopsctl man | man -l -`.
    Man,
}

/// Which findings.
#[derive(Debug, Default, Flags)]
pub struct FindingsArgs {
    /// Of images that run in this namespace.
    #[arg(long, value_name = "NS")]
    pub namespace: Option<String>,

    /// Of this image: a reference or digest.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,

    /// Only of packages that are in use.
    #[arg(long)]
    pub in_use: bool,

    /// Only of this severity; may be repeated.
    #[arg(long, value_name = "LEVEL", value_delimiter = ',')]
    pub severity: Vec<Severity>,
}

/// What can be done with policies.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Print the live rules as YAML.
    Export {
        /// Of this policy; needed where several are in force.
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Check a file of rules here, without a server.
    Validate {
        /// YAML, JSON or Rego.
        file: PathBuf,
    },
    /// Put a file of rules into force, in place of those imported before.
    Import {
        /// YAML, JSON or Rego.
        file: PathBuf,
        /// Only if the live rules have this digest.
        #[arg(long, value_name = "DIGEST")]
        if_match: Option<String>,
        /// What the change is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// List the revisions.
    History,
    /// Show what a file of rules would change over everything the server knows.
    Diff {
        /// YAML, JSON or Rego.
        file: PathBuf,
        /// The policy whose place it would take; without it all that act on the whole tenant.
        #[arg(long, value_name = "NAMESPACE/NAME")]
        replaces: Option<String>,
    },
    /// Put an earlier revision into force again.
    Rollback {
        /// Such as rev-3.
        revision: String,
        /// What the change is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Run the cases of a folder against the policies in it, without a server.
    Test {
        /// Folder with `NAME_test.json`, `.yaml` or `.rego` beside the policy `NAME`; folders within it count too.
        folder: PathBuf,
        /// Only tests whose name this regular expression matches.
        #[arg(long, value_name = "REGEX")]
        run: Option<regex::Regex>,
    },
}

/// What can be done with reports.
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// Fetch the signed report of a scan, or of an image by its digest.
    Get {
        /// Id of the scan, or `sha256:...`.
        #[arg(value_name = "SCAN_ID|DIGEST")]
        subject: String,
        /// Write it to this file.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check the signature of a report, without a server.
    Verify {
        /// The report as `report get` writes it, or its DSSE envelope.
        file: PathBuf,
        /// Public key as PEM, several in one file or the shared secret of hs256, by the name of the key where it is to be
        /// told; may be repeated.
        #[arg(long, value_name = "[ID=]FILE", required = true)]
        key: Vec<KeyArg>,
    },
    /// Show a report as a page for people, without a server. The signature is not looked at.
    Show {
        /// The report as `report get` writes it, or its DSSE envelope.
        file: PathBuf,
        /// What to write.
        #[arg(long, value_enum, default_value_t = PageFormat::Markdown)]
        format: PageFormat,
        /// Write it to this file.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Attach a report to its image in the registry, as an attestation that cosign verifies.
    Attach {
        /// Id of the report, `report-...`.
        #[arg(value_name = "REPORT_ID")]
        report: String,
        /// Registry and repository with the image; without it those it was scanned by.
        #[arg(long, value_name = "REFERENCE")]
        image: Option<String>,
    },
    /// Print the public keys that reports are or were signed with, as PEM.
    Keys,
}

/// A key file, and the name of the key where it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyArg {
    /// The name in signatures.
    pub id: Option<String>,
    /// The file.
    pub path: PathBuf,
}

impl FromStr for KeyArg {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.split_once('=') {
            Some((id, path)) if !id.is_empty() && !id.contains('/') => {
                Self { id: Some(id.to_owned()), path: path.into() }
            }
            _ => Self { id: None, path: text.into() },
        })
    }
}

/// A page for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PageFormat {
    /// One HTML file.
    Html,
    /// GitHub Flavored Markdown.
    Markdown,
}

/// What can be done with verdicts.
#[derive(Debug, Subcommand)]
pub enum VerdictsCommand {
    /// Fetch all verdicts and sign them.
    Export {
        /// Private key, Ed25519, as PEM, by the name it is to have in the signature; nobody else may read the file.
        #[arg(long, value_name = "[ID=]FILE")]
        key: KeyArg,
        /// For how many days they may be used.
        #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=366))]
        valid_days: u32,
        /// Write them to this file; `verdicts.bundle.json` without it.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check a bundle and put it where the webhook's --bundle looks.
    Import {
        /// The bundle.
        bundle: PathBuf,
        /// Public key, Ed25519, as PEM; may be repeated.
        #[arg(long, value_name = "[ID=]FILE", required = true)]
        key: Vec<KeyArg>,
        /// The file that the webhook reads. A newer bundle there stays.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
}

/// What can be done with what happened at run time.
#[derive(Debug, Subcommand)]
pub enum RuntimeCommand {
    /// Decisions of policies.
    #[command(subcommand)]
    Policy(RuntimePolicyCommand),
}

/// What can be done with decisions of policies.
#[derive(Debug, Subcommand)]
pub enum RuntimePolicyCommand {
    /// Make recorded admission decisions again, and print them; or print what would have been decided otherwise.
    Replay(ReplayArgs),
}

/// Which decisions are made again, and by what.
#[derive(Debug, Flags)]
pub struct ReplayArgs {
    /// Records (`zastava.admission.decision@v1`), one a line, or the webhook's log; `-` is standard input. Without it, those of the
    /// last week that the server keeps.
    pub file: Option<PathBuf>,
    /// Judge by a proposed policy (YAML, JSON or Rego), which the server is asked about; or by verdicts: a bundle (with --key), or
    /// what the webhook keeps (NDJSON). Exit code 1 when something would have ended otherwise.
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Public key of the bundle.
    #[arg(long, value_name = "[ID=]FILE", requires = "against")]
    pub key: Vec<KeyArg>,
    /// The policy in whose place the proposed one would stand; everything that acts on the whole tenant without it.
    #[arg(long, value_name = "NAMESPACE/NAME", requires = "against", conflicts_with = "key")]
    pub replaces: Option<String>,
    /// Only decisions made since: `7d`, `12h` or `30m` ago, or at a time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub since: Option<Since>,
}

/// What can be asked of feeds.
#[derive(Debug, Subcommand)]
pub enum FeedCommand {
    /// List the feeds and how new they are.
    Status,
}

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make a user.
    Add {
        /// Its name.
        name: String,
        /// What it may do.
        #[arg(long, value_name = "ROLE", value_parser = ["viewer", "operator", "admin"])]
        role: String,
        /// File with the password; `-` reads it from standard input.
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
        /// For whom it may speak; `*` is everybody. The default tenant without it.
        #[arg(long = "for", value_name = "TENANT")]
        tenants: Vec<String>,
    },
    /// List the users.
    List,
    /// Let a user in no more. Its tokens end at once.
    Disable {
        /// Its name.
        name: String,
    },
}

/// What can be done with clients.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Make a client, and print its secret, which is kept nowhere.
    Add {
        /// Its name.
        id: String,
        /// What it may ask for; may be repeated.
        #[arg(long = "scope", value_name = "SCOPE", required = true)]
        scopes: Vec<String>,
        /// For whom it may speak; `*` is everybody. The default tenant without it.
        #[arg(long = "for", value_name = "TENANT")]
        tenants: Vec<String>,
        /// Scans a day for each of its tokens.
        #[arg(long, value_name = "N")]
        max_scans_per_day: Option<u32>,
    },
    /// List the clients.
    List,
    /// Give a client another secret, and print it.
    Rotate {
        /// Its name.
        id: String,
    },
    /// Let a client in no more. Its tokens end at once.
    Disable {
        /// Its name.
        id: String,
    },
}

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token for use without the authority, and print it.
    Offline {
        /// Days it is good for, 1 to 90.
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        days: u32,
        /// Scans a day; what the server is set to without it.
        #[arg(long, value_name = "N")]
        max_scans_per_day: Option<u32>,
    },
}

/// What can be asked of tenants.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// List the tenants.
    List,
}

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check the chain of an audit log, without a server.
    Verify {
        /// The files in their order, or the folder of the log.
        #[arg(required = true, value_name = "FILE|FOLDER")]
        paths: Vec<PathBuf>,
        /// File with the head that was kept elsewhere: finds an end that was cut off.
        #[arg(long, value_name = "FILE")]
        head: Option<PathBuf>,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_key_may_be_named() {
        let key = |text: &str| text.parse::<KeyArg>().unwrap();
        assert_eq!(key("a=b.pem"), KeyArg { id: Some("a".into()), path: "b.pem".into() });
        assert_eq!(key("/x=y/b.pem"), KeyArg { id: None, path: "/x=y/b.pem".into() });
        assert_eq!(key("b.pem"), KeyArg { id: None, path: "b.pem".into() });
    }

    #[test]
    fn severities_may_be_repeated_and_connections_stand_anywhere() {
        let line = ["stellopsctl", "findings", "--severity", "critical,high", "--severity", "Low", "--tenant", "acme"];
        let args = Args::try_parse_from(line).unwrap();
        assert_eq!(args.connection.tenant.unwrap().as_str(), "acme");
        let Command::Findings(findings) = args.command else { panic!("another command") };
        assert_eq!(findings.severity, [Severity::Critical, Severity::High, Severity::Low]);
    }
}
