//! Metrics as text: the Prometheus format, and OpenMetrics for those who ask for it.

use prometheus::{Registry, TextEncoder};

/// Media type of the Prometheus text format 0.0.4.
pub const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Media type of OpenMetrics 1.0.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The registry's metrics in the Prometheus text format.
///
/// # Errors
/// A metric family that breaks the format's rules, such as one without samples.
pub fn prometheus(registry: &Registry) -> prometheus::Result<String> {
    TextEncoder::new().encode_to_string(&registry.gather())
}

/// Turns Prometheus text into OpenMetrics 1.0, where a counter's family is named without `_total` and the text ends
/// with `# EOF`. A counter whose samples lack the suffix becomes `unknown`: its name is not ours to change.
pub fn from_prometheus(text: &str) -> String {
    let mut lines = Vec::new();
    let mut help = None;
    for line in text.lines() {
        if line.starts_with("# HELP ") {
            help = Some(line);
        } else if let Some(declared) = line.strip_prefix("# TYPE ") {
            lines.extend(family(help.take(), declared));
        } else {
            lines.push(line.to_owned());
        }
    }
    lines.push("# EOF\n".to_owned());
    lines.join("\n")
}

/// The lines that declare one family; `HELP` comes before `TYPE` and has to use the same name.
fn family(help: Option<&str>, declared: &str) -> Vec<String> {
    let (name, kind) = declared.split_once(' ').unwrap_or((declared, "unknown"));
    let (family, kind) = match (kind, name.strip_suffix("_total")) {
        ("counter", Some(stem)) => (stem, "counter"),
        ("counter", None) | ("untyped", _) => (name, "unknown"),
        _ => (name, kind),
    };
    let words = help.and_then(|line| line.strip_prefix("# HELP ")?.strip_prefix(name));
    let help = words.map(|words| format!("# HELP {family}{words}"));
    help.into_iter().chain([format!("# TYPE {family} {kind}")]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{IntCounter, IntGauge};

    #[test]
    fn counters_lose_their_suffix_in_the_family_only() {
        let registry = Registry::new();
        let counter = IntCounter::new("reviews_total", "Reviews.").unwrap();
        registry.register(Box::new(counter.clone())).unwrap();
        registry.register(Box::new(IntGauge::new("entries", "Entries held.").unwrap())).unwrap();
        counter.inc();
        let text = from_prometheus(&prometheus(&registry).unwrap());
        let expected = "# HELP entries Entries held.\n# TYPE entries gauge\nentries 0\n\
                        # HELP reviews Reviews.\n# TYPE reviews counter\nreviews_total 1\n# EOF\n";
        assert_eq!(text, expected);
    }
}
