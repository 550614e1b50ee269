//! One accept loop for HTTP/1.1 and HTTPS, with limits on what a client may cost, and an orderly end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
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

/// What a client may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From an idle connection to the end of a request's headers.
    pub headers: Duration,
    /// Bytes of request line and headers, 8 KiB at least.
    pub header_bytes: usize,
    /// Number of headers.
    pub header_count: usize,
    /// Connections at a time; more wait in the kernel's queue.
    pub connections: usize,
    /// For running requests once the token is cancelled.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(90),
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
        // Small answers must not wait for the next packet.
        let _ = stream.set_nodelay(true);
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
        let app = self.app.clone().map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
            if let Some(peer) = peer {
                request.extensions_mut().insert(ConnectInfo(peer));
            }
            request
        });
        let service = TowerToHyperService::new(app);
        let connection = self.builder().serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let served = tokio::select! {
            served = connection.as_mut() => Some(served),
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
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn start(token: CancellationToken) -> (SocketAddr, tokio::task::JoinHandle<Result<(), Infallible>>) {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let slow = get(|| async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            "done"
        });
        let app = Router::new().route("/slow", slow);
        (address, tokio::spawn(serve(listener, None, app, Limits::default(), token)))
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
}
