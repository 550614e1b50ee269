//! One accept loop for HTTP/1.1 and HTTPS, with limits on what a client may cost, and an orderly end.

mod pace;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub use pace::{Pace, TooSlow};

/// Files that a process has open beside connections.
const OTHER_FILES: u64 = 256;

/// What a client may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From the beginning of a connection to the end of its first request's headers.
    pub first: Duration,
    /// From the end of an answer to the end of the next request's headers.
    pub headers: Duration,
    /// How fast a body has to come at least.
    pub body: Pace,
    /// For a client to take in what was sent to it, or to show that it is still there.
    pub unread: Duration,
    /// Bytes of request line and headers, 8 KiB at least.
    pub header_bytes: usize,
    /// Number of headers.
    pub header_count: usize,
    /// Connections at a time; more wait in the kernel's queue.
    pub connections: usize,
    /// For running requests once the token is cancelled.
    pub drain: Duration,
}

impl Limits {
    /// With no more connections than a process can hold that may have `files` open; some it needs for other things.
    #[must_use]
    pub fn within(mut self, files: u64) -> Self {
        let most = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX);
        self.connections = self.connections.min(most.max(1));
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            first: Duration::from_secs(10),
            headers: Duration::from_secs(90),
            body: Pace { bytes: 16 * 1024, within: Duration::from_secs(20) },
            unread: Duration::from_secs(30),
            header_bytes: 64 * 1024,
            header_count: 100,
            connections: 4096,
            drain: crate::shutdown::GRACE,
        }
    }
}

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// Listens on `address`.
///
/// # Errors
/// The address is taken, or not one of this machine.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError::Bind { address, source })
}

/// Serves `app` on every connection, with TLS where `tls` is given, until `token` is cancelled; then lets running
/// requests finish within [`Limits::drain`] and drops the rest.
///
/// # Errors
/// None today: a failing connection is that client's matter, and a failing accept (out of file descriptors) is tried
/// again.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    app: Router,
    limits: Limits,
    token: CancellationToken,
) -> Result<(), Infallible> {
    let server = Arc::new(Server { acceptor: tls.map(TlsAcceptor::from), app, limits, token });
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    while let Some((stream, place)) = server.next_connection(&listener, &places).await {
        connections.spawn(Arc::clone(&server).connection(stream, place));
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

struct Server {
    acceptor: Option<TlsAcceptor>,
    app: Router,
    limits: Limits,
    token: CancellationToken,
}

impl Server {
    /// The next connection and its place; `None` once the token is cancelled.
    async fn next_connection(
        &self,
        listener: &TcpListener,
        places: &Arc<Semaphore>,
    ) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        self.token.run_until_cancelled(accept(listener, places)).await.flatten()
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, place: OwnedSemaphorePermit) {
        let peer = stream.peer_addr().ok();
        if let Err(error) = self.set_up(&stream) {
            tracing::debug!(%error, "a connection cannot be set up");
        }
        match &self.acceptor {
            None => self.requests(stream, peer).await,
            Some(acceptor) => match tokio::time::timeout(self.limits.handshake, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => self.requests(stream, peer).await,
                Ok(Err(error)) => tracing::debug!(%error, "tls handshake failed"),
                Err(_) => tracing::debug!("tls handshake took too long"),
            },
        }
        drop(place);
    }

    async fn requests(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Option<SocketAddr>) {
        let (asked, pace) = (Arc::new(AtomicBool::new(false)), self.limits.body);
        let app = self.app.clone().map_request({
            let asked = Arc::clone(&asked);
            move |mut request: hyper::Request<hyper::body::Incoming>| {
                asked.store(true, Ordering::Relaxed);
                if let Some(peer) = peer {
                    request.extensions_mut().insert(ConnectInfo(peer));
                }
                request.map(|body| pace.of(body))
            }
        });
        let service = TowerToHyperService::new(app);
        let connection = self.builder().serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let served = tokio::select! {
            served = connection.as_mut() => Some(served),
            () = self.silent(&asked) => {
                tracing::debug!("a connection was closed on which nothing was asked");
                return;
            }
            () = self.token.cancelled() => None,
        };
        let served = match served {
            Some(served) => served,
            None => {
                connection.as_mut().graceful_shutdown();
                let Ok(served) = tokio::time::timeout(self.limits.drain, connection).await else {
                    tracing::warn!("a request did not finish in time");
                    return;
                };
                served
            }
        };
        if let Err(error) = served {
            tracing::debug!(%error, "connection ended");
        }
    }

    /// Ends when nothing was asked on a connection in time.
    async fn silent(&self, asked: &AtomicBool) {
        tokio::time::sleep(self.limits.first).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    /// Small answers must not wait for the next packet, and nobody for a client that is gone or takes nothing in.
    fn set_up(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let socket = socket2::SockRef::from(stream);
        let alive = socket2::TcpKeepalive::new().with_time(self.limits.unread).with_interval(self.limits.unread / 3);
        socket.set_tcp_keepalive(&alive)?;
        socket.set_tcp_user_timeout(Some(self.limits.unread))
    }

    fn builder(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.headers)
            .max_buf_size(self.limits.header_bytes.max(8 * 1024))
            .max_headers(self.limits.header_count);
        builder
    }
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Some((stream, place)),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn start(token: CancellationToken) -> (SocketAddr, tokio::task::JoinHandle<Result<(), Infallible>>) {
        start_with(Limits::default(), token).await
    }

    async fn start_with(
        limits: Limits,
        token: CancellationToken,
    ) -> (SocketAddr, tokio::task::JoinHandle<Result<(), Infallible>>) {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let slow = get(|| async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            "done"
        });
        let app =
            Router::new().route("/slow", slow).route("/length", post(async |body: String| body.len().to_string()));
        (address, tokio::spawn(serve(listener, None, app, limits, token)))
    }

    async fn request(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let text = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_running_request_finishes_after_the_signal() {
        let token = CancellationToken::new();
        let (address, server) = start(token.clone()).await;
        let asked = tokio::spawn(request(address, "/slow"));
        tokio::time::sleep(Duration::from_millis(50)).await;
        token.cancel();
        assert!(asked.await.unwrap().ends_with("done"));
        server.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn headers_without_end_are_refused() {
        let token = CancellationToken::new();
        let (address, _server) = start(token).await;
        let answer = request(address, &format!("/{}", "x".repeat(80 * 1024))).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }

    /// What a server with short limits answers to somebody who sends `head`, and then a byte at a time.
    async fn drip(head: &str) -> String {
        let limits = Limits {
            first: Duration::from_millis(300),
            body: Pace { bytes: 1000, within: Duration::from_millis(300) },
            ..Limits::default()
        };
        let (address, _server) = start_with(limits, CancellationToken::new()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut reading, mut writing) = stream.split();
        let mut answer = Vec::new();
        let drip = async {
            while writing.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        // The end of the connection may come as a reset, for it is closed on what is still being sent.
        tokio::select! {
            _ = reading.read_to_end(&mut answer) => {}
            () = drip => {}
        }
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn whoever_sends_a_byte_at_a_time_is_not_waited_for() {
        assert_eq!(drip("").await, "", "no request");
        assert_eq!(drip("GET /slow HTTP/1.1\r\nHost: x\r\nX-Long: ").await, "", "no end of the headers");
        let answer = drip("POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("too slowly"), "{answer}");
    }

    #[tokio::test]
    async fn a_body_that_comes_fast_enough_is_taken_however_long_it_takes() {
        let body = Pace { bytes: 100, within: Duration::from_millis(500) };
        let limits = Limits { body, first: Duration::from_millis(300), ..Limits::default() };
        let (address, _server) = start_with(limits, CancellationToken::new()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = "POST /length HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..20 {
            stream.write_all(&[b'x'; 100]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("\r\n\r\n2000"), "{answer}");
    }
}
