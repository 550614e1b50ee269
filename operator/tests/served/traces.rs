//! Spans of requests, as a collector gets them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use reqwest::Method;

use crate::images::Blobs;
use crate::running::Operator;

const FEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/feeds");

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A collector, which reads what it is sent.
#[derive(Clone, Default)]
struct Collector {
    taken: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    /// Batches that are turned away first.
    refused: Arc<Mutex<usize>>,
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let mut refused = collector.refused.lock().unwrap();
    if *refused > 0 {
        *refused -= 1;
        return StatusCode::BAD_REQUEST;
    }
    collector.taken.lock().unwrap().push(ExportTraceServiceRequest::decode(body).expect("spans in protobuf"));
    StatusCode::OK
}

impl Collector {
    async fn serve(&self) -> String {
        let router = Router::new().route("/v1/traces", post(take)).with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        url
    }

    /// All spans, with the attributes of who told of them.
    fn spans(&self) -> Vec<(Vec<KeyValue>, Span)> {
        let taken = self.taken.lock().unwrap();
        let told = taken.iter().flat_map(|request| &request.resource_spans);
        let spans = told.flat_map(|told| {
            let who = told.resource.clone().unwrap_or_default().attributes;
            told.scope_spans.iter().flat_map(|scope| &scope.spans).map(move |span| (who.clone(), span.clone()))
        });
        spans.collect()
    }

    /// The first span of that name.
    async fn span(&self, name: &str) -> (Vec<KeyValue>, Span) {
        let begun = Instant::now();
        loop {
            if let Some(found) = self.spans().into_iter().find(|(_, span)| span.name == name) {
                return found;
            }
            let told: Vec<_> = self.spans().into_iter().map(|(_, span)| span.name).collect();
            assert!(begun.elapsed() < Duration::from_secs(30), "{name} is not among {told:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<Value> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value
}

fn text(text: &str) -> Option<Value> {
    Some(Value::StringValue(text.to_owned()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn start(data: &std::path::Path, url: &str) -> Operator {
    start_with(data, url, &[])
}

fn start_with(data: &std::path::Path, url: &str, flags: &[&str]) -> Operator {
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", url), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let flags: Vec<&str> = ["--allow-anonymous"].into_iter().chain(flags.iter().copied()).collect();
    tokio::task::block_in_place(|| Operator::start_in(data, &flags, &environment))
}

/// A registry with one image, by the tag `tag-1`.
async fn registry() -> String {
    let answer = |uri: Uri| async move {
        let mut blobs = Blobs::default();
        blobs.image("tag-1");
        blobs.answer(uri.path())
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
    host
}

async fn ask(operator: &Operator, path: &str, trace: Option<&str>) -> String {
    let request = operator.request(Method::GET, path);
    let answer = trace.into_iter().fold(request, |request, trace| request.header("traceparent", trace));
    let answer = answer.send().await.unwrap();
    answer.headers()["traceparent"].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_the_span_that_the_answer_and_the_log_name() {
    let (data, collector) = (tempfile::tempdir().unwrap(), Collector::default());
    let operator = start(data.path(), &collector.serve().await);
    let unrecorded = ask(&operator, "/policy/export", Some(&format!("00-{TRACE}-{CALLER}-00"))).await;
    ask(&operator, "/healthz", None).await;
    let answered = ask(&operator, "/api/v1/scans/none", Some(&format!("00-{TRACE}-{CALLER}-01"))).await;
    let begun = ask(&operator, "/api/v1/feeds", None).await;

    let (who, span) = collector.span("GET /api/v1/scans/{id}").await;
    assert_eq!(format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id)), answered);
    assert_eq!((hex(&span.trace_id).as_str(), hex(&span.parent_span_id).as_str()), (TRACE, CALLER));
    assert_eq!(span.kind, 2, "of a server");
    assert!(span.start_time_unix_nano > 0 && span.start_time_unix_nano <= span.end_time_unix_nano);
    assert_eq!(attribute(&span.attributes, "url.path"), text("/api/v1/scans/none"));
    assert_eq!(attribute(&span.attributes, "http.response.status_code"), Some(Value::IntValue(404)));
    assert_eq!(attribute(&who, "service.name"), text("stella-operator"));

    let (_, alone) = collector.span("GET /api/v1/feeds").await;
    assert_eq!(format!("00-{}-{}-01", hex(&alone.trace_id), hex(&alone.span_id)), begun);
    assert!(alone.parent_span_id.is_empty() || alone.parent_span_id == [0; 8], "{:?}", alone.parent_span_id);
    let told: Vec<_> = collector.spans().into_iter().map(|(_, span)| (span.name, hex(&span.span_id))).collect();
    assert!(told.iter().all(|(name, span)| !name.contains("healthz") && !unrecorded.contains(span)), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_takes_nothing_keeps_nothing_from_running() {
    let (data, collector) = (tempfile::tempdir().unwrap(), Collector::default());
    *collector.refused.lock().unwrap() = 1;
    let mut operator = start(data.path(), &collector.serve().await);
    ask(&operator, "/api/v1/feeds", None).await;
    let begun = Instant::now();
    while !operator.log().contains("the collector takes no spans") {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", operator.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ask(&operator, "/policy/history", None).await;
    collector.span("GET /policy/history").await;
    let begun = Instant::now();
    while !operator.log().contains("the collector takes spans again") {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", operator.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(operator.runs());
}

/// A span, and the names of what it is part of, from the inside.
fn path_of(spans: &[Span], name: &str) -> Option<Vec<String>> {
    let mut span = spans.iter().find(|span| span.name == name)?;
    let mut path = vec![span.name.clone()];
    while let Some(parent) = spans.iter().find(|other| other.span_id == span.parent_span_id) {
        path.push(parent.name.clone());
        span = parent;
    }
    (hex(&span.parent_span_id) == CALLER).then_some(path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_goes_on_with_the_trace_of_whoever_asked_for_it() {
    let (data, collector, host) = (tempfile::tempdir().unwrap(), Collector::default(), registry().await);
    let flags = ["--feeds", FEEDS, "--insecure-registry", &host];
    let operator = start_with(data.path(), &collector.serve().await, &flags);
    operator.until_ready().await;
    let image = serde_json::json!({"image": {"reference": format!("{host}/team/app:tag-1")}});
    let asked = operator.request(Method::POST, "/api/v1/scans").json(&image);
    let asked = asked.header("traceparent", format!("00-{TRACE}-{CALLER}-01")).send().await.unwrap();
    assert_eq!(asked.status(), 202);

    let begun = Instant::now();
    let asked = "POST /api/v1/scans";
    let wanted: [&[&str]; 5] = [
        &["store: queue a scan", asked],
        &["store: keep layers", "pull from a registry", "scan an image", asked],
        &["store: keep an image", "pull from a registry", "scan an image", asked],
        &["match", "scan an image", asked],
        &["store: keep findings", "scan an image", asked],
    ];
    loop {
        let spans: Vec<Span> = collector.spans().into_iter().map(|(_, span)| span).collect();
        let traced: Vec<Span> = spans.iter().filter(|span| hex(&span.trace_id) == TRACE).cloned().collect();
        let paths: Vec<_> = wanted.iter().map(|path| path_of(&traced, path[0])).collect();
        if paths.iter().zip(wanted).all(|(found, wanted)| found.as_deref().is_some_and(|found| found == wanted)) {
            let kind = |name: &str| traced.iter().find(|span| span.name == name).unwrap().kind;
            // Internal, client, consumer.
            assert_eq!(["match", "store: keep findings", "scan an image"].map(kind), [1, 3, 5]);
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{paths:?}\n{}", operator.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_request_asks_of_the_database_is_part_of_its_span() {
    let (data, collector) = (tempfile::tempdir().unwrap(), Collector::default());
    let operator = start(data.path(), &collector.serve().await);
    ask(&operator, "/api/v1/scans/none", Some(&format!("00-{TRACE}-{CALLER}-01"))).await;
    let (_, request) = collector.span("GET /api/v1/scans/{id}").await;
    let (_, read) = collector.span("store: read a scan").await;
    assert_eq!((&read.trace_id, &read.parent_span_id), (&request.trace_id, &request.span_id));
    assert!(request.start_time_unix_nano <= read.end_time_unix_nano);
}
