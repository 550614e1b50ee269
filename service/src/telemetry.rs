//! Logs on standard error, as text or JSON lines, with UTC times.

use std::fmt;
use std::io::{IsTerminal as _, stderr};
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Environment variable with filter directives (`info,stella_webhook=debug`); goes before `-v`.
pub const FILTER_VARIABLE: &str = "STELLA_LOG";
/// Environment variable with the format: `text` (default) or `json`.
pub const FORMAT_VARIABLE: &str = "STELLA_LOG_FORMAT";

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; coloured on a terminal, unless `NO_COLOR` is set.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = TelemetryError;

    fn from_str(text: &str) -> Result<Self, TelemetryError> {
        match text {
            "" | "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(TelemetryError::Format(other.chars().take(40).collect())),
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The format is neither `text` nor `json`.
    #[error("{FORMAT_VARIABLE}: '{0}' is neither text nor json")]
    Format(String),
    /// The filter cannot be read.
    #[error("{FILTER_VARIABLE}: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something else took the logs first.
    #[error("logging is set up already")]
    Installed,
}

/// Sends the process's logs to standard error, as the environment says.
///
/// `verbosity` counts the `-v` flags: 0 is `info`, 1 `debug`, more `trace`; for the product's own crates only, all
/// others stay at `warn`, or `info` from the second on.
///
/// # Errors
/// An unreadable variable, or logging that is set up already.
pub fn install(verbosity: u8) -> Result<(), TelemetryError> {
    let format = std::env::var(FORMAT_VARIABLE).unwrap_or_default().parse()?;
    let directives = std::env::var(FILTER_VARIABLE).ok().filter(|text| !text.is_empty());
    let filter = EnvFilter::builder().parse(directives.unwrap_or_else(|| filter_for(verbosity)))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_timer(UtcMillis);
    let installed = match format {
        LogFormat::Text => lines.with_ansi(colours()).finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    };
    installed.map_err(|_| TelemetryError::Installed)
}

fn filter_for(verbosity: u8) -> String {
    const OURS: [&str; 6] =
        ["stella_service", "stella_operator", "stella_authority", "stella_webhook", "stella_zastava", "stella_cli"];
    let (others, ours) = match verbosity {
        0 => ("warn", "info"),
        1 => ("warn", "debug"),
        _ => ("info", "trace"),
    };
    OURS.iter().fold(others.to_owned(), |filter, name| format!("{filter},{name}={ours}"))
}

fn colours() -> bool {
    stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

struct UtcMillis;

impl FormatTime for UtcMillis {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{:.3}", jiff::Timestamp::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verbosity_is_a_filter() {
        for verbosity in 0..4 {
            assert!(EnvFilter::builder().parse(filter_for(verbosity)).is_ok());
        }
        assert!(filter_for(1).contains("stella_webhook=debug"));
    }

    #[test]
    fn an_unknown_format_is_named() {
        assert_eq!("json".parse::<LogFormat>().ok(), Some(LogFormat::Json));
        assert!("xml".parse::<LogFormat>().unwrap_err().to_string().contains("'xml'"));
    }

    #[test]
    fn times_are_utc_with_milliseconds() {
        let mut line = String::new();
        UtcMillis.format_time(&mut Writer::new(&mut line)).unwrap();
        assert!(line.ends_with('Z') && line.as_bytes()[line.len() - 5] == b'.', "{line}");
    }
}
