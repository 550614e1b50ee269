//! gRPC calls over a runtime's Unix socket.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::net::UnixStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Streaming};

use crate::codec::Protobuf;

/// containerd's namespace of what Kubernetes runs.
const KUBERNETES: &str = "k8s.io";
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A list of containers or images can be longer than tonic's default of 4 MiB.
const MOST_BYTES: usize = 32 << 20;

/// Why the runtime gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CriError {
    /// The endpoint's spelling is not understood.
    #[error("'{0}' is no runtime endpoint: expected unix:///path/to/socket")]
    Endpoint(String),
    /// The name of a namespace is not understood.
    #[error("'{0}' is no name of a namespace")]
    Namespace(String),
    /// The call failed.
    #[error("{method} at {socket}: {status}")]
    Call {
        /// The socket.
        socket: PathBuf,
        /// The method.
        method: &'static str,
        /// The runtime's answer.
        status: Box<tonic::Status>,
    },
}

impl CriError {
    /// Whether the runtime says that it has no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Call { status, .. } if status.code() == Code::NotFound)
    }
}

/// A connection that is made on first use and made again when it breaks.
#[derive(Debug, Clone)]
pub struct Connection {
    socket: PathBuf,
    channel: Channel,
    namespace: AsciiMetadataValue,
}

impl Connection {
    /// To a socket named `unix:///path` or `/path`.
    ///
    /// # Errors
    /// When the name is no path of a socket.
    pub fn new(endpoint: &str) -> Result<Self, CriError> {
        let socket = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
        if !socket.starts_with('/') {
            return Err(CriError::Endpoint(endpoint.to_owned()));
        }
        let socket = PathBuf::from(socket);
        let path = socket.clone();
        // The address is never looked at; the connector knows where to go.
        let channel = Endpoint::from_static("http://runtime").timeout(ANSWER_WITHIN).connect_with_connector_lazy(
            tower::service_fn(move |_| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            }),
        );
        Ok(Self { socket, channel, namespace: AsciiMetadataValue::from_static(KUBERNETES) })
    }

    /// The same connection, for images of another of containerd's namespaces than Kubernetes'.
    ///
    /// # Errors
    /// When `namespace` has characters that no namespace has.
    pub fn in_namespace(&self, namespace: &str) -> Result<Self, CriError> {
        let namespace = namespace.parse().map_err(|_| CriError::Namespace(namespace.chars().take(80).collect()))?;
        Ok(Self { namespace, ..self.clone() })
    }

    /// The process that listens at the socket, as this one's process namespace numbers it.
    ///
    /// # Errors
    /// When nobody listens there, or in a process namespace that cannot be seen from here.
    pub async fn listener(&self) -> io::Result<u32> {
        let pid = UnixStream::connect(&self.socket).await?.peer_cred()?.pid();
        let seen = pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
        seen.ok_or_else(|| io::Error::other("the runtime's process cannot be seen from here (hostPID)"))
    }

    /// One question, one answer.
    ///
    /// # Errors
    /// When the runtime does not answer within 5 s, or says no.
    pub async fn call<Q, A>(&self, method: &'static str, question: Q) -> Result<A, CriError>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let failed = |status| self.failed(method, status);
        let mut client = self.client().await.map_err(failed)?;
        let path = PathAndQuery::from_static(method);
        client
            .unary(self.request(question), path, Protobuf::<Q, A>::default())
            .await
            .map(tonic::Response::into_inner)
            .map_err(failed)
    }

    /// One question, many answers.
    ///
    /// # Errors
    /// As [`Self::call`], for the first of them.
    pub async fn stream<Q, A>(&self, method: &'static str, question: Q) -> Result<Streaming<A>, CriError>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let failed = |status| self.failed(method, status);
        let mut client = self.client().await.map_err(failed)?;
        let path = PathAndQuery::from_static(method);
        client
            .server_streaming(self.request(question), path, Protobuf::<Q, A>::default())
            .await
            .map(tonic::Response::into_inner)
            .map_err(failed)
    }

    /// The error for a call that ended with `status`.
    #[must_use]
    pub fn failed(&self, method: &'static str, status: tonic::Status) -> CriError {
        CriError::Call { socket: self.socket.clone(), method, status: Box::new(status) }
    }

    async fn client(&self) -> Result<Grpc<Channel>, tonic::Status> {
        let mut client = Grpc::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES);
        client.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
        Ok(client)
    }

    /// containerd's own services want to be told the namespace; CRI does not mind.
    fn request<Q>(&self, question: Q) -> Request<Q> {
        let mut request = Request::new(question);
        request.metadata_mut().insert("containerd-namespace", self.namespace.clone());
        request
    }
}
