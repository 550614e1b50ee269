//! Blobs as objects of a bucket: `PREFIX/abcd...`, by the hex digits of their digest, and beside them `PREFIX/owner`.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Certificate, Client, Method, Response, StatusCode, Url, redirect};
use stella_domain::Digest;
use stella_service::clock::Clock;
use stella_service::supervise::chain;
use stella_store::{BlobError, Doing, Place};

use crate::signature::{Credentials, Signed};
use crate::{LONGEST_MARK, MOST, OWNER, OpenError};

/// In which a connection comes to be.
const CONNECTION: Duration = Duration::from_secs(5);
/// In which a blob comes or goes.
const ANSWER: Duration = Duration::from_secs(60);
/// How long is waited before each try.
const TRIES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(200), Duration::from_secs(1)];
/// Bytes of a refusal that are looked at.
const REFUSAL: usize = 4096;

/// Where a bucket is, and who asks.
#[derive(Debug, Clone)]
pub struct BucketSettings {
    /// The server, as `https://host:port`.
    pub endpoint: String,
    /// Its region.
    pub region: String,
    /// Name of the bucket and, after a `/`, what its objects' names begin with.
    pub bucket: String,
    /// Who asks.
    pub credentials: Credentials,
}

impl BucketSettings {
    /// `bucket`, which is `BUCKET` or `BUCKET/PREFIX`, on the server of the environment, by the variables that tools for S3 have in
    /// common (AWS SDKs and Tools Reference Guide): `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
    /// `AWS_REGION`, and for another server than Amazon's `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`.
    ///
    /// # Errors
    /// When there is no key.
    pub fn from_environment(bucket: &str) -> Result<Self, OpenError> {
        let needed = |name| variable(name).ok_or(OpenError::Missing(name));
        let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = variable("AWS_ENDPOINT_URL_S3").or_else(|| variable("AWS_ENDPOINT_URL"));
        Ok(Self {
            endpoint: endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com")),
            region,
            bucket: bucket.trim_matches('/').to_owned(),
            credentials: Credentials {
                id: needed("AWS_ACCESS_KEY_ID")?,
                secret: needed("AWS_SECRET_ACCESS_KEY")?,
                token: variable("AWS_SESSION_TOKEN"),
            },
        })
    }
}

/// The value of an environment variable; an empty one counts as not set.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// A bucket. Several processes may use one.
#[derive(Debug, Clone)]
pub struct Bucket {
    http: Client,
    settings: BucketSettings,
    url: Url,
    /// As requests name it.
    host: String,
    clock: Clock,
}

impl Bucket {
    /// That bucket, which has to be there when something is kept in it.
    ///
    /// # Errors
    /// When settings are wrong or TLS cannot be set up.
    pub fn new(settings: BucketSettings) -> Result<Self, OpenError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let part = |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(plain);
        if !settings.bucket.split('/').all(part) {
            return Err(OpenError::Bucket(settings.bucket));
        }
        let url: Url = settings.endpoint.parse().map_err(|_| OpenError::Endpoint)?;
        let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")).ok_or(OpenError::Endpoint)?;
        // A base path would be one more thing to sign, and no server is known to have one.
        if !matches!(url.path(), "" | "/") || url.query().is_some() || !url.username().is_empty() {
            return Err(OpenError::Endpoint);
        }
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let http = client(url.scheme() == "http")?;
        Ok(Self { http, host, url, settings, clock: Clock::system() })
    }

    /// The path of an object, which needs no escapes.
    fn path(&self, name: &str) -> String {
        format!("/{}/{name}", self.settings.bucket)
    }

    fn away(&self, reason: String) -> BlobError {
        BlobError::Away { place: self.name(), reason }
    }

    fn refused(&self, digest: &Digest, reason: String) -> BlobError {
        BlobError::Refused { digest: *digest, place: self.name(), reason }
    }

    fn unseen(&self, reason: String) -> BlobError {
        BlobError::Unseen { place: self.name(), reason }
    }

    /// Asks until there is an answer that stays the same.
    async fn ask(&self, name: &str, question: &Question) -> Result<Response, BlobError> {
        let mut reason = String::new();
        for wait in TRIES {
            tokio::time::sleep(wait).await;
            match self.once(name, question).await {
                Ok(answer) if passes(answer.status()) => reason = format!("it answers {}", answer.status()),
                Ok(answer) => return Ok(answer),
                Err(error) => reason = chain(&error.without_url()),
            }
        }
        Err(self.away(reason))
    }

    async fn once(&self, name: &str, question: &Question) -> Result<Response, reqwest::Error> {
        let path = self.path(name);
        let (method, hash) = (question.method(), question.hash());
        let signed = Signed {
            method: method.as_str(),
            host: &self.host,
            path: &path,
            query: "",
            body: &hash,
            region: &self.settings.region,
            at: self.clock.now(),
        };
        let headers = signed.headers(&self.settings.credentials);
        let mut url = self.url.clone();
        url.set_path(&path);
        let mut request = self.http.request(method, url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Question::Put { bytes, anew, .. } = question {
            request = if *anew { request } else { request.header("if-none-match", "*") };
            request = request.body(bytes.clone());
        }
        request.send().await
    }

    /// Writes an object where there is none, and where there is one only if the server knows no such condition.
    async fn put_once(&self, name: &str, bytes: &Bytes, hash: Digest) -> Result<Response, BlobError> {
        let question = |anew| Question::Put { bytes: bytes.clone(), hash, anew };
        let answer = self.ask(name, &question(false)).await?;
        if knows_no_condition(answer.status()) { self.ask(name, &question(true)).await } else { Ok(answer) }
    }

    async fn write(&self, digest: &Digest, bytes: Vec<u8>) -> Result<(), BlobError> {
        let bytes = Bytes::from(bytes);
        let name = digest.hex();
        // Written once. A server that passes over the condition writes the same bytes again.
        let mut answer = self.put_once(&name, &bytes, *digest).await?;
        if answer.status() == StatusCode::PRECONDITION_FAILED {
            if self.has(digest).await? {
                return Ok(());
            }
            // Other bytes are damage.
            answer = self.ask(&name, &Question::Put { bytes, hash: *digest, anew: true }).await?;
        }
        if answer.status().is_success() {
            return Ok(());
        }
        Err(self.refused(digest, refusal(answer).await))
    }

    /// Whether the object has the bytes of its name.
    async fn has(&self, digest: &Digest) -> Result<bool, BlobError> {
        match self.read(digest).await {
            Ok(present) => Ok(present.is_some_and(|present| Digest::of(&present) == *digest)),
            // It is too large, or only its writer may read.
            Err(BlobError::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn read(&self, digest: &Digest) -> Result<Option<Vec<u8>>, BlobError> {
        self.fetch(&digest.hex(), MOST).await?.map_err(|why| self.refused(digest, why.to_string()))
    }

    /// The bytes of an object, of which there may be so many; `None` when there is none. Inside, why it is not given.
    async fn fetch(&self, name: &str, most: u64) -> Result<Result<Option<Vec<u8>>, Ungiven>, BlobError> {
        let mut answer = self.ask(name, &Question::Get).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(Ok(None));
        }
        if !answer.status().is_success() {
            return Ok(Err(Ungiven::Refused(refusal(answer).await)));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.away(chain(&error.without_url())))? {
            if (bytes.len() + piece.len()) as u64 > most {
                return Ok(Err(Ungiven::TooLarge(most)));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Ok(Some(bytes)))
    }

    async fn delete(&self, digest: &Digest) -> Result<(), BlobError> {
        let answer = self.ask(&digest.hex(), &Question::Delete).await?;
        if answer.status().is_success() || answer.status() == StatusCode::NOT_FOUND {
            return Ok(());
        }
        Err(self.refused(digest, refusal(answer).await))
    }

    async fn read_mark(&self) -> Result<Option<Vec<u8>>, BlobError> {
        self.fetch(OWNER, LONGEST_MARK).await?.map_err(|why| match why {
            Ungiven::Refused(reason) => self.unseen(reason),
            large @ Ungiven::TooLarge(_) => BlobError::Mark { place: self.name(), reason: large.to_string() },
        })
    }

    async fn write_mark(&self, mark: Vec<u8>, anew: bool) -> Result<(), BlobError> {
        let (hash, bytes) = (Digest::of(&mark), Bytes::from(mark));
        let answer = if anew {
            self.ask(OWNER, &Question::Put { bytes, hash, anew }).await?
        } else {
            self.put_once(OWNER, &bytes, hash).await?
        };
        if answer.status().is_success() || answer.status() == StatusCode::PRECONDITION_FAILED {
            return Ok(());
        }
        Err(self.unseen(refusal(answer).await))
    }
}

/// Why an object that is there is not given.
#[derive(Debug, thiserror::Error)]
enum Ungiven {
    #[error("{0}")]
    Refused(String),
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
}

/// What is asked for of an object.
enum Question {
    /// Its bytes.
    Get,
    /// To keep bytes, whose digest is `hash`: where it is not there, or `anew` in place of what is.
    Put { bytes: Bytes, hash: Digest, anew: bool },
    /// To remove it.
    Delete,
}

impl Question {
    fn method(&self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Put { .. } => Method::PUT,
            Self::Delete => Method::DELETE,
        }
    }

    /// The digest of its body.
    fn hash(&self) -> Digest {
        match self {
            Self::Put { hash, .. } => *hash,
            Self::Get | Self::Delete => Digest::of(""),
        }
    }
}

/// Why the server does not do it: its status, and the code in its document.
async fn refusal(mut answer: Response) -> String {
    let mut text = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await
        && text.len() < REFUSAL
    {
        text.extend_from_slice(&piece);
    }
    let text = String::from_utf8_lossy(&text);
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    let code: String = code.unwrap_or("no code").chars().filter(char::is_ascii_alphanumeric).take(60).collect();
    format!("{} ({code})", answer.status())
}

impl Place for Bucket {
    fn name(&self) -> String {
        format!("s3://{} at {}", self.settings.bucket, self.host)
    }

    fn put<'a>(&'a self, digest: &'a Digest, bytes: Vec<u8>) -> Doing<'a, ()> {
        Box::pin(self.write(digest, bytes))
    }

    fn get<'a>(&'a self, digest: &'a Digest) -> Doing<'a, Option<Vec<u8>>> {
        Box::pin(self.read(digest))
    }

    fn remove<'a>(&'a self, digest: &'a Digest) -> Doing<'a, ()> {
        Box::pin(self.delete(digest))
    }

    fn owner(&self) -> Doing<'_, Option<Vec<u8>>> {
        Box::pin(self.read_mark())
    }

    fn mark(&self, mark: Vec<u8>, anew: bool) -> Doing<'_, ()> {
        Box::pin(self.write_mark(mark, anew))
    }
}

/// Whether a server says so that takes no `If-None-Match` on a PUT: it is not implemented (RFC 9110, section 15.6.2), or a bad request.
fn knows_no_condition(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_IMPLEMENTED | StatusCode::BAD_REQUEST)
}

/// Whether the same request may get another answer later. 409 is said to whoever writes an object while another does.
fn passes(status: StatusCode) -> bool {
    (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
        || matches!(status, StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS)
}

fn client(plain: bool) -> Result<Client, OpenError> {
    let builder = Client::builder().connect_timeout(CONNECTION).timeout(ANSWER).redirect(redirect::Policy::none());
    let builder = match variable("AWS_CA_BUNDLE") {
        Some(path) => {
            let read = std::fs::read(&path);
            let pem = read.map_err(|source| OpenError::Certificate { path: path.into(), source })?;
            builder.tls_certs_only(Certificate::from_pem_bundle(&pem)?)
        }
        // Without TLS no certificate of the system is needed, and a minimal image has none.
        None if plain => builder.tls_certs_only([]),
        None => builder,
    };
    Ok(builder.build()?)
}
