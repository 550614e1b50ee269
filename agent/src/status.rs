//! `/metrics`, `/healthz` and `/status` over HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use stella_api::node_status::NodeStatus;

use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::pressure::PressureGauge;

const MOST_CONNECTIONS: usize = 32;

/// What the agent says of itself.
pub struct Status {
    /// How executable mappings are seen.
    pub hook: String,
    /// How openings of code files are seen, if they are.
    pub openings: Option<&'static str>,
    /// The node's name.
    pub node: String,
    /// What does not change while the agent runs; the counts in it are zero.
    pub unchanging: NodeStatus,
    /// Whether eBPF is in use.
    pub ebpf: bool,
    /// Where events wait, when there is a server.
    pub outbox: Option<Arc<Outbox>>,
    /// What the node is short of.
    pub pressure: Arc<PressureGauge>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    node: &'a str,
    version: &'static str,
    mode: &'static str,
    ebpf: bool,
    hook: &'a str,
    openings: &'a str,
    degraded: bool,
    containers: i64,
    waiting_events: u64,
    waiting_bytes: u64,
    reported: NodeStatus,
}

impl Status {
    /// Answers at `address` for ever.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn serve(self: Arc<Self>, address: SocketAddr) -> std::io::Result<()> {
        let listener = TcpListener::bind(address).await?;
        tracing::info!(address = %listener.local_addr()?, "metrics and health");
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if connections.len() < MOST_CONNECTIONS => {
                        let status = Arc::clone(&self);
                        connections.spawn(status.answer_all(TokioIo::new(stream)));
                    }
                    Ok(_) => tracing::debug!("too many connections to the status address"),
                    Err(error) => {
                        tracing::debug!(%error, "a connection was not accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    }

    async fn answer_all(self: Arc<Self>, stream: TokioIo<tokio::net::TcpStream>) {
        let answer = service_fn(|request: Request<Incoming>| {
            let response = self.answer(request.uri().path());
            async move { Ok::<_, Infallible>(response) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(10))
            .serve_connection(stream, answer)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "a status connection broke");
        }
    }

    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        let (status, kind, text) = match path {
            "/healthz" => (StatusCode::OK, "application/json", "\"ok\"".to_owned()),
            "/metrics" => (StatusCode::OK, "text/plain; version=0.0.4", self.rendered()),
            "/status" => (StatusCode::OK, "application/json", self.shown()),
            _ => (StatusCode::NOT_FOUND, "text/plain", "/metrics, /healthz, /status\n".to_owned()),
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
        response
    }

    fn rendered(&self) -> String {
        if let Some(outbox) = &self.outbox {
            let (events, bytes) = outbox.waiting();
            self.metrics.spool_events.set(i64::try_from(events).unwrap_or(i64::MAX));
            self.metrics.spool_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        self.metrics.render()
    }

    /// What the server is told at this moment.
    #[must_use]
    pub fn told(&self) -> NodeStatus {
        let (waiting_events, waiting_bytes) = self.outbox.as_ref().map_or((0, 0), |outbox| outbox.waiting());
        NodeStatus {
            losses: self.metrics.losses(),
            containers: u64::try_from(self.metrics.containers.get()).unwrap_or_default(),
            containers_seen: self.metrics.containers_seen.get(),
            unattributed: self.metrics.unattributed_so_far(),
            waiting_events,
            waiting_bytes,
            pressure: self.pressure.look(),
            ..self.unchanging.clone()
        }
    }

    fn shown(&self) -> String {
        let (waiting_events, waiting_bytes) = self.outbox.as_ref().map_or((0, 0), |outbox| outbox.waiting());
        let shown = Shown {
            node: &self.node,
            version: env!("CARGO_PKG_VERSION"),
            mode: "listen",
            ebpf: self.ebpf,
            hook: &self.hook,
            openings: self.openings.unwrap_or("unseen"),
            degraded: !self.ebpf,
            containers: self.metrics.containers.get(),
            waiting_events,
            waiting_bytes,
            reported: self.told(),
        };
        serde_json::to_string(&shown).unwrap_or_default()
    }
}
