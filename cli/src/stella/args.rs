//! Flags of `stella` (cli.md).

use std::path::PathBuf;

use clap::{ArgAction, Parser, ValueEnum};
use clap_complete::Shell;
use stella_api::client::Token;
use stella_domain::Severity;
use stella_inventory::Limits;
use stella_inventory::sbom::SbomFormat;

use crate::client::DEFAULT_SERVER;
use crate::render::Format;

const EXAMPLES: &str = "\
Examples:
  stella --local --feeds feeds image.tar           scan a `docker save` archive without a server
  stella --local --feeds feeds --format sarif bom.json > results.sarif
  stella --local --feeds feeds /mnt/root           scan what is installed below a folder
  stella --server https://stella.example registry.example/shop/web:1.4
  stella --threshold high --policy-file policy.yaml --output-json result.json image.tar

Exit codes:
  0  passed
  1  a finding at or over the threshold, or refused by policy; ignored and quieted findings do not count
  2  anything else
  130  interrupted";

/// Finds the vulnerabilities of an image or SBOM.
#[derive(Debug, Parser)]
#[command(name = "stella", version, after_help = EXAMPLES)]
pub struct Args {
    /// An image archive (docker or OCI), an OCI layout, any other folder as the root of a file system, an SBOM, an image of this
    /// machine (`docker://NAME`, `containerd://NAME`, `containers-storage:NAME`), or with a server a registry reference.
    #[arg(value_name = "IMAGE_OR_SBOM", required_unless_present_any = ["completions", "man"])]
    pub target: Option<String>,

    /// Address of the server.
    #[arg(long, value_name = "URL", default_value = DEFAULT_SERVER, conflicts_with = "local")]
    pub server: String,

    /// Bearer token for the server.
    #[arg(long, value_name = "TOKEN", env = "STELLA_TOKEN", hide_env_values = true)]
    pub token: Option<Token>,

    /// Format of the SBOM.
    #[arg(long, value_enum, default_value_t = SbomType::Auto)]
    pub sbom_type: SbomType,

    /// Read the image here and send only the inventories of layers that the server lacks.
    #[arg(long, conflicts_with = "local")]
    pub delta: bool,

    /// Rules to judge the findings by, as YAML, JSON or Rego.
    #[arg(long, value_name = "FILE")]
    pub policy_file: Option<PathBuf>,

    /// What others say of the findings: an OpenVEX, CSAF or CycloneDX document; may be repeated.
    #[arg(long, value_name = "FILE", requires = "local")]
    pub vex: Vec<PathBuf>,

    /// The least severity that fails.
    #[arg(long, value_enum, default_value_t = Threshold::Critical)]
    pub threshold: Threshold,

    /// What is written to standard output.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,

    /// The same as --format json.
    #[arg(long, conflicts_with = "format")]
    pub json: bool,

    /// Also write the result as JSON to this file.
    #[arg(long, value_name = "FILE")]
    pub output_json: Option<PathBuf>,

    /// When the server has had enough (429), wait as long as it says, once.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub wait_quota: bool,

    /// Scan in this process, without server and network.
    #[arg(long, requires = "feeds")]
    pub local: bool,

    /// Folder of the feeds.
    #[arg(long, value_name = "DIR", requires = "local")]
    pub feeds: Option<PathBuf>,

    /// Where the index of the feeds is kept, instead of beside them.
    #[arg(long, value_name = "DIR", requires = "local")]
    pub cache_dir: Option<PathBuf>,

    /// Read an image again though its file is unchanged since it was read last.
    #[arg(long, requires = "local")]
    pub no_cache: bool,

    /// Print completions for a shell and leave.
    #[arg(long, value_name = "SHELL")]
    pub completions: Option<Shell>,

    /// Print the manual page and leave: `stella --man | man -l -`.
    #[arg(long)]
    pub man: bool,

    /// How much an image or SBOM may make this program do: `entries=5000000,layer-bytes=64GiB`. See the documentation.
    #[arg(long, value_name = "NAME=VALUE,...", env = "STELLA_LIMITS", default_value = "", hide_default_value = true)]
    pub limits: Limits,

    /// Say more on standard error; twice for even more.
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}

impl Args {
    /// The format of standard output, `--json` considered.
    #[must_use]
    pub const fn output(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// Formats of an SBOM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SbomType {
    /// Told by the content.
    Auto,
    /// Trivy's report.
    #[value(name = "trivy-json-v2")]
    Trivy,
    /// SPDX.
    #[value(name = "spdx-json")]
    Spdx,
    /// CycloneDX.
    #[value(name = "cyclonedx-json")]
    CycloneDx,
}

impl SbomType {
    /// The format, unless it is to be told by the content.
    #[must_use]
    pub const fn format(self) -> Option<SbomFormat> {
        match self {
            Self::Auto => None,
            Self::Trivy => Some(SbomFormat::Trivy),
            Self::Spdx => Some(SbomFormat::Spdx),
            Self::CycloneDx => Some(SbomFormat::CycloneDx),
        }
    }
}

/// Severities that a pipeline may be failed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Threshold {
    /// Everything that is rated.
    Low,
    /// Medium and worse.
    Medium,
    /// High and worse.
    High,
    /// Critical only.
    Critical,
}

impl Threshold {
    /// The severity.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::Low => Severity::Low,
            Self::Medium => Severity::Medium,
            Self::High => Severity::High,
            Self::Critical => Severity::Critical,
        }
    }
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
    fn feeds_and_local_need_each_other() {
        assert!(Args::try_parse_from(["stella", "--local", "x"]).is_err());
        assert!(Args::try_parse_from(["stella", "--feeds", "f", "x"]).is_err());
        let args = Args::try_parse_from(["stella", "--local", "--feeds", "f", "--json", "x"]).unwrap();
        assert_eq!((args.output(), args.wait_quota), (Format::Json, true));
        assert!(!Args::try_parse_from(["stella", "--wait-quota", "false", "x"]).unwrap().wait_quota);
    }
}
