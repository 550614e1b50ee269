//! Spans of the requests that a process answers, for a collector of OpenTelemetry (OTLP over HTTP, in protobuf).
//!
//! Off unless the environment names a collector, by the variables of the OpenTelemetry specification ("OpenTelemetry Protocol
//! Exporter"). The ids are those of `traceparent`: a span, an answer and the lines of a log find each other.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use reqwest::{Certificate, Client, redirect};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::spans::Kind;
use crate::traceparent;
use crate::version::Version;

/// Spans that wait for the collector; further ones are lost.
const WAITING: usize = 2048;
/// Spans that are sent together.
const BATCH: usize = 512;
/// For how long more of them are waited for, unless [`DELAY_VARIABLE`] says otherwise.
const DELAY: Duration = Duration::from_secs(5);
/// In which a connection has an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// In which a batch is taken, all tries together.
const PATIENCE: Duration = Duration::from_secs(15);
/// In which what waits at the end is taken.
const LAST: Duration = Duration::from_secs(5);
/// Bytes of a path that are told.
const LONGEST_PATH: usize = 1024;

/// Milliseconds, of the specification's batch span processor.
const DELAY_VARIABLE: &str = "OTEL_BSP_SCHEDULE_DELAY";
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const CERTIFICATES: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
const PROTOBUF: &str = "http/protobuf";

/// Methods that spans are named by (semantic conventions, "HTTP spans"); any other is `_OTHER`.
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TracesError {
    /// A protocol that is not spoken.
    #[error("OTEL_EXPORTER_OTLP_PROTOCOL: '{0}' is not spoken, only {PROTOBUF}")]
    Protocol(String),
    /// The authorities cannot be read.
    #[error("OTEL_EXPORTER_OTLP_CERTIFICATE: cannot read {path}: {source}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The authorities are none, or TLS cannot be set up.
    #[error("the client for the collector of traces: {0}")]
    Client(#[from] reqwest::Error),
    /// A variable does not say what it should.
    #[error("the collector of traces: {0}")]
    Exporter(#[from] ExporterBuildError),
}

/// Where requests that were answered are told of. Clones tell the same collector; the default tells nobody.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<Told>>);

#[derive(Debug)]
struct Told {
    spans: mpsc::Sender<SpanData>,
    lost: Arc<AtomicU64>,
}

/// Sends what is told, until told to stop.
#[derive(Debug)]
pub struct Exporting {
    exporter: SpanExporter,
    spans: mpsc::Receiver<SpanData>,
    lost: Arc<AtomicU64>,
    delay: Duration,
}

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// Its `traceparent`; the span in it is this one.
    pub trace: &'a str,
    /// The `traceparent` that it came with.
    pub caller: Option<&'a str>,
    /// Its method.
    pub method: &'a str,
    /// Its path.
    pub path: &'a str,
    /// The template of its path, where there is such a route.
    pub route: Option<&'a str>,
    /// The status of the answer.
    pub status: u16,
    /// How long the answer took, up to its head.
    pub took: Duration,
}

/// A step that was taken for a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'static str,
    /// Its `traceparent`.
    pub(crate) trace: &'a str,
    /// That of what it is a part of, in this process or another.
    pub(crate) parent: &'a str,
    pub(crate) begun: SystemTime,
    pub(crate) failed: bool,
}

impl Traces {
    /// As the environment says, for the service of this name. Without a collector there is nothing to run.
    ///
    /// # Errors
    /// A variable that names what is not there or not spoken.
    pub fn from_environment(service: &str) -> Result<(Self, Option<Exporting>), TracesError> {
        if !wanted(variable)? {
            return Ok((Self::default(), None));
        }
        let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
        let mut exporter = exporter.with_http_client(client()?).build()?;
        exporter.set_resource(&resource(service));
        let delay = variable(DELAY_VARIABLE).and_then(|text| text.parse().ok()).map_or(DELAY, Duration::from_millis);
        let (sender, spans) = mpsc::channel(WAITING);
        let lost = Arc::<AtomicU64>::default();
        let told = Told { spans: sender, lost: Arc::clone(&lost) };
        Ok((Self(Some(Arc::new(told))), Some(Exporting { exporter, spans, lost, delay })))
    }

    /// Whether somebody listens.
    #[must_use]
    pub fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// Tells of a request, unless its caller said that its trace is not recorded. Never waits: what the collector is too slow for is
    /// lost.
    pub fn answered(&self, request: &Answered<'_>) {
        self.tell(|| span(request, SystemTime::now()));
    }

    /// Tells of a step, as [`Self::answered`] does of a request.
    pub(crate) fn stepped(&self, step: &Step<'_>) {
        self.tell(|| span_of_step(step, SystemTime::now()));
    }

    fn tell(&self, span: impl FnOnce() -> Option<SpanData>) {
        if let Some(told) = &self.0
            && let Some(span) = span()
            && told.spans.try_send(span).is_err()
        {
            told.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One that is told, and what it is told.
    #[cfg(test)]
    pub(crate) fn for_tests() -> (Self, mpsc::Receiver<SpanData>) {
        let (spans, told) = mpsc::channel(WAITING);
        (Self(Some(Arc::new(Told { spans, lost: Arc::default() }))), told)
    }
}

impl Exporting {
    /// Sends spans until `token` is cancelled; what waits then is still sent, within a few seconds. A collector that does not take them
    /// keeps nothing from running: they are lost, which the log says.
    ///
    /// # Errors
    /// Never.
    pub async fn run(mut self, token: CancellationToken) -> Result<(), Infallible> {
        let mut fails = false;
        loop {
            let batch = self.next(&token).await;
            if batch.is_empty() || token.is_cancelled() {
                let _ = timeout(LAST, self.rest(batch, fails)).await;
                return Ok(());
            }
            fails = self.export(batch, fails).await;
        }
    }

    /// Sends a last batch, and what waits behind it.
    async fn rest(&mut self, mut batch: Vec<SpanData>, mut fails: bool) {
        while !batch.is_empty() {
            fails = self.export(batch, fails).await;
            batch = std::iter::from_fn(|| self.spans.try_recv().ok()).take(BATCH).collect();
        }
    }

    /// What came within the delay of the first one; nothing at the end.
    async fn next(&mut self, token: &CancellationToken) -> Vec<SpanData> {
        let first = tokio::select! {
            biased;
            span = self.spans.recv() => span,
            () = token.cancelled() => None,
        };
        let (mut batch, until) = (Vec::from_iter(first), Instant::now() + self.delay);
        while !batch.is_empty() && batch.len() < BATCH {
            let next = tokio::select! {
                biased;
                span = self.spans.recv() => span,
                () = token.cancelled() => None,
                () = sleep_until(until) => None,
            };
            match next {
                Some(span) => batch.push(span),
                None => break,
            }
        }
        batch
    }

    /// Sends a batch, and gives whether that failed; `failed` tells whether the one before did.
    async fn export(&self, batch: Vec<SpanData>, failed: bool) -> bool {
        let spans = batch.len() as u64;
        let reason = match timeout(PATIENCE, self.exporter.export(batch)).await {
            Ok(Ok(())) => {
                let lost = self.lost.swap(0, Ordering::Relaxed);
                if failed {
                    tracing::info!(lost, "the collector takes spans again");
                } else if lost > 0 {
                    tracing::warn!(lost, "spans are lost: there are more than the collector takes in time");
                }
                return false;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        self.lost.fetch_add(spans, Ordering::Relaxed);
        if !failed {
            tracing::warn!(reason, "the collector takes no spans; they are lost until it does");
        }
        true
    }
}

/// The value of an environment variable. An empty one counts as not set (specification, "Environment Variable Specification").
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn first(names: &[&str], variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    names.iter().find_map(|name| variable(name))
}

/// Whether there is a collector, and spans are wanted.
fn wanted(variable: impl Fn(&str) -> Option<String>) -> Result<bool, TracesError> {
    let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let other = variable("OTEL_TRACES_EXPORTER").is_some_and(|text| text.trim() == "none");
    if disabled || other || first(&ENDPOINTS, &variable).is_none() {
        return Ok(false);
    }
    match first(&PROTOCOLS, &variable) {
        Some(protocol) if protocol != PROTOBUF => Err(TracesError::Protocol(protocol)),
        _ => Ok(true),
    }
}

fn client() -> Result<Client, TracesError> {
    let builder = Client::builder().timeout(ANSWER).redirect(redirect::Policy::none());
    let builder = match first(&CERTIFICATES, variable) {
        Some(path) => {
            let read = std::fs::read(&path);
            let pem = read.map_err(|source| TracesError::Certificate { path: path.into(), source })?;
            builder.tls_certs_only(Certificate::from_pem_bundle(&pem)?)
        }
        // Without TLS no certificate of the system is needed, and a minimal image has none.
        None if first(&ENDPOINTS, variable).is_some_and(|url| url.starts_with("http://")) => builder.tls_certs_only([]),
        None => builder,
    };
    Ok(builder.build()?)
}

/// Who tells; `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` go before what the process says of itself.
fn resource(service: &str) -> Resource {
    let version = KeyValue::new("service.version", Version::current().version);
    let told = Resource::builder_empty().with_service_name(service.to_owned()).with_attribute(version);
    let told = told.with_detector(Box::new(EnvResourceDetector::new()));
    match variable("OTEL_SERVICE_NAME") {
        Some(name) => told.with_service_name(name).build(),
        None => told.build(),
    }
}

/// The span of a request (semantic conventions, "HTTP server"); `None` when its trace is not recorded.
fn span(request: &Answered<'_>, ended: SystemTime) -> Option<SpanData> {
    if !traceparent::is_recorded(request.trace) {
        return None;
    }
    let caller = request.caller.and_then(traceparent::parts).and_then(|[_, id, _]| SpanId::from_hex(id).ok());
    let method = METHODS.into_iter().find(|known| *known == request.method).unwrap_or("_OTHER");
    let path: String = request.path.chars().take(LONGEST_PATH).collect();
    let mut attributes = vec![
        KeyValue::new("http.request.method", method),
        KeyValue::new("url.path", path),
        KeyValue::new("http.response.status_code", i64::from(request.status)),
    ];
    attributes.extend(request.route.map(|route| KeyValue::new("http.route", route.to_owned())));
    let failed = request.status >= 500;
    attributes.extend(failed.then(|| KeyValue::new("error.type", request.status.to_string())));
    let begun = ended.checked_sub(request.took).unwrap_or(ended);
    Some(SpanData {
        parent_span_id: caller.unwrap_or(SpanId::INVALID),
        parent_span_is_remote: caller.is_some(),
        span_kind: SpanKind::Server,
        name: request.route.map_or_else(|| method.into(), |route| format!("{method} {route}").into()),
        attributes,
        ..bare(request.trace, begun, ended, failed)?
    })
}

/// The span of a step.
fn span_of_step(step: &Step<'_>, ended: SystemTime) -> Option<SpanData> {
    let [_, parent, _] = traceparent::parts(step.parent)?;
    Some(SpanData {
        parent_span_id: SpanId::from_hex(parent).ok()?,
        span_kind: step.kind.into(),
        name: step.name.into(),
        ..bare(step.trace, step.begun.min(ended), ended, step.failed)?
    })
}

/// The span that `trace` names, without what it is and who asked.
fn bare(trace: &str, begun: SystemTime, ended: SystemTime, failed: bool) -> Option<SpanData> {
    let [trace, id, flags] = traceparent::parts(trace)?;
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let (trace, id) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(id).ok()?);
    Some(SpanData {
        span_context: SpanContext::new(trace, id, flags, false, TraceState::default()),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: "".into(),
        start_time: begun,
        end_time: ended,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if failed { Status::error("") } else { Status::Unset },
        instrumentation_scope: InstrumentationScope::builder("stella").build(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
    const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn request() -> Answered<'static> {
        Answered {
            trace: TRACE,
            caller: Some(CALLER),
            method: "GET",
            path: "/api/v1/scans/x",
            route: Some("/api/v1/scans/{id}"),
            status: 404,
            took: Duration::from_millis(20),
        }
    }

    #[test]
    fn a_span_has_the_ids_of_traceparent() {
        let ended = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
        let told = span(&request(), ended).unwrap();
        assert_eq!(told.span_context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(told.span_context.span_id().to_string(), "00f067aa0ba902b7");
        assert_eq!((told.parent_span_id.to_string().as_str(), told.parent_span_is_remote), ("b7ad6b7169203331", true));
        assert_eq!(told.name, "GET /api/v1/scans/{id}");
        assert_eq!(told.end_time.duration_since(told.start_time).unwrap(), Duration::from_millis(20));
        assert_eq!(told.status, Status::Unset, "what the caller did wrong is no error of ours");
        let alone = span(&Answered { caller: None, route: None, method: "BREW", status: 503, ..request() }, ended);
        let alone = alone.unwrap();
        assert_eq!((alone.parent_span_id, &*alone.name), (SpanId::INVALID, "_OTHER"));
        assert!(matches!(alone.status, Status::Error { .. }));
    }

    #[test]
    fn what_the_caller_does_not_record_is_not_told() {
        let unrecorded = TRACE.replace("-01", "-00");
        assert!(span(&Answered { trace: &unrecorded, ..request() }, SystemTime::now()).is_none());
        assert!(span(&Answered { trace: "00-none", ..request() }, SystemTime::now()).is_none());
    }

    #[test]
    fn spans_are_sent_only_where_a_collector_is_named() {
        let told = |set: &'static [(&'static str, &'static str)]| {
            wanted(move |name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert!(!told(&[]).unwrap());
        assert!(told(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")]).unwrap());
        assert!(told(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318/v1/traces")]).unwrap());
        for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
            let set: &'static [_] = Box::leak(Box::new([("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), off]));
            assert!(!told(set).unwrap(), "{off:?}");
        }
        let grpc = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
        let error = told(Box::leak(Box::new(grpc))).unwrap_err().to_string();
        assert!(error.contains("OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc'"), "{error}");
    }

    #[test]
    fn nobody_is_told_without_a_collector() {
        let traces = Traces::default();
        assert!(!traces.are_on());
        traces.answered(&request());
    }
}
