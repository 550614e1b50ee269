//! containerd's image and content stores.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use stella_domain::Digest;
use stella_inventory::image::BlobSource;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::Code;

use crate::messages::{
    GetImageRequest, GetImageResponse, Image, InfoRequest, InfoResponse, ListImagesRequest, ListImagesResponse,
    ReadContentRequest, ReadContentResponse,
};
use crate::{Connection, CriError};

const GET: &str = "/containerd.services.images.v1.Images/Get";
const LIST: &str = "/containerd.services.images.v1.Images/List";
const INFO: &str = "/containerd.services.content.v1.Content/Info";
const READ: &str = "/containerd.services.content.v1.Content/Read";

/// Pieces of a blob that are fetched ahead.
const AHEAD: usize = 8;
/// Questions whose answers are waited for at a time.
const AT_ONCE: usize = 16;
/// Bytes of a manifest or configuration at most.
const MOST_DOCUMENT: u64 = 8 << 20;

/// The content store, seen from blocking code.
#[derive(Debug, Clone)]
pub struct ContentStore {
    connection: Connection,
    handle: Handle,
}

impl ContentStore {
    /// Over a connection to containerd. What it asks runs on the runtime of `handle`, which needs threads of its own; who uses
    /// the store must not be one of its tasks.
    #[must_use]
    pub const fn new(connection: Connection, handle: Handle) -> Self {
        Self { connection, handle }
    }

    /// The name in the image store, and the digest it points at, for a reference or any digest of an image.
    ///
    /// # Errors
    /// When containerd does not answer.
    pub fn find(&self, image_ref: Option<&str>, digest: Option<&Digest>) -> Result<Option<(String, Digest)>, CriError> {
        let digest_name = digest.map(ToString::to_string);
        // CRI keeps every image under the digest of its configuration too.
        let names = digest_name.iter().cloned().chain(image_ref.into_iter().flat_map(spellings));
        for name in names {
            if let Some(found) = self.named(&name)? {
                return Ok(Some(found));
            }
        }
        let Some(digest) = digest else { return Ok(None) };
        let all: ListImagesResponse = self.handle.block_on(self.connection.call(LIST, ListImagesRequest {}))?;
        Ok(all
            .images
            .into_iter()
            .filter_map(target)
            .find(|(name, target)| target == digest || name.ends_with(&format!("@{digest}"))))
    }

    fn named(&self, name: &str) -> Result<Option<(String, Digest)>, CriError> {
        let question = GetImageRequest { name: name.to_owned() };
        match self.handle.block_on(self.connection.call::<_, GetImageResponse>(GET, question)) {
            Ok(answer) => Ok(answer.image.and_then(target)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A small document, verified.
    ///
    /// # Errors
    /// When it is missing, too large, or not what its digest says.
    pub fn document(&self, digest: &Digest) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // Of no size all is read: nobody has to be asked for it first.
        self.read(digest, 0).take(MOST_DOCUMENT + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST_DOCUMENT || Digest::of(&bytes) != *digest {
            let reason = format!("{digest} is too large for a manifest, or its content was changed");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok(bytes)
    }

    /// Whether the store has all of these blobs; it is asked for a few at once, and for no more when one is missing.
    #[must_use]
    pub fn has(&self, digests: impl IntoIterator<Item = Digest>) -> bool {
        let questions = digests.into_iter().map(|digest| {
            let connection = self.connection.clone();
            async move { size(&connection, &digest).await.is_ok() }
        });
        self.handle.block_on(all(questions))
    }

    fn read(&self, digest: &Digest, size: i64) -> Pieces {
        let question = ReadContentRequest { digest: digest.to_string(), offset: 0, size };
        let (to, from) = mpsc::channel(AHEAD);
        let connection = self.connection.clone();
        self.handle.spawn(async move {
            let pieces = connection.stream::<_, ReadContentResponse>(READ, question).await;
            let mut pieces = match pieces {
                Ok(pieces) => pieces,
                Err(error) => return drop(to.send(Err(into_io(&error))).await),
            };
            loop {
                let piece = match pieces.message().await {
                    Ok(Some(piece)) => Ok(piece.data),
                    Ok(None) => return,
                    Err(status) => Err(into_io(&connection.failed(READ, status))),
                };
                // The reader is gone, or was told of the error: nothing more to fetch.
                if piece.is_err() | to.send(piece).await.is_err() {
                    return;
                }
            }
        });
        Pieces { from, current: Bytes::new() }
    }
}

/// Whether all of these are answered by yes. Whoever made an image chooses how many there are.
async fn all<Q>(mut questions: impl Iterator<Item = Q>) -> bool
where
    Q: Future<Output = bool> + Send + 'static,
{
    let mut asked = JoinSet::new();
    for question in questions.by_ref().take(AT_ONCE) {
        asked.spawn(question);
    }
    while let Some(answer) = asked.join_next().await {
        // With the set go those that are not answered yet.
        if !answer.unwrap_or(false) {
            return false;
        }
        if let Some(question) = questions.next() {
            asked.spawn(question);
        }
    }
    true
}

async fn size(connection: &Connection, digest: &Digest) -> io::Result<i64> {
    let question = InfoRequest { digest: digest.to_string() };
    let answer: InfoResponse = connection.call(INFO, question).await.map_err(|error| into_io(&error))?;
    Ok(answer.info.map_or(0, |info| info.size))
}

impl BlobSource for ContentStore {
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>> {
        let size = self.handle.block_on(size(&self.connection, digest))?;
        Ok(Box::new(self.read(digest, size)))
    }
}

/// Pieces that arrive, as a stream of bytes.
struct Pieces {
    from: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.from.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let count = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

fn target(image: Image) -> Option<(String, Digest)> {
    let digest = image.target?.digest.parse().ok()?;
    Some((image.name, digest))
}

fn into_io(error: &CriError) -> io::Error {
    let kind = match error {
        CriError::Call { status, .. } if status.code() == Code::NotFound => io::ErrorKind::NotFound,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error.to_string())
}

/// A reference as given, and as containerd spells it in full.
fn spellings(reference: &str) -> Vec<String> {
    let (first, rest) = reference.split_once('/').unwrap_or(("", reference));
    let names_host = first.contains(['.', ':']) || first == "localhost";
    let mut full = if names_host {
        reference.to_owned()
    } else if first.is_empty() {
        format!("docker.io/library/{rest}")
    } else {
        format!("docker.io/{reference}")
    };
    let name_start = full.rfind('/').map_or(0, |slash| slash + 1);
    if !full[name_start..].contains([':', '@']) {
        full.push_str(":latest");
    }
    if full == reference { vec![full] } else { vec![reference.to_owned(), full] }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);

    async fn answer(is_there: bool) -> bool {
        MOST.fetch_max(NOW.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        NOW.fetch_sub(1, Ordering::SeqCst);
        is_there
    }

    #[test]
    fn few_questions_are_asked_at_once_and_none_after_the_first_no() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert!(runtime.block_on(all((0..1000).map(|_| answer(true)))));
        assert_eq!(MOST.load(Ordering::SeqCst), AT_ONCE);
        let mut asked = 0;
        let missing = (0..1000).map(|number| {
            asked += 1;
            answer(number != 20)
        });
        assert!(!runtime.block_on(all(missing)));
        // Those asked together with the missing one may each be answered, and followed by another, before it is.
        assert!((21..=21 + 2 * AT_ONCE).contains(&asked), "{asked} of 1000");
    }

    #[test]
    fn references_are_spelt_out() {
        let full = |reference: &str| spellings(reference).pop().unwrap();
        assert_eq!(full("nginx"), "docker.io/library/nginx:latest");
        assert_eq!(full("a/b:1"), "docker.io/a/b:1");
        assert_eq!(full("localhost/a:1"), "localhost/a:1");
        assert_eq!(full("r.example:5000/a"), "r.example:5000/a:latest");
        assert_eq!(full("r.example/a@sha256:00"), "r.example/a@sha256:00");
    }
}
