//! The body of `POST /scan`: the thing itself, or a form with it and a policy.

use std::path::Path;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest as _, Multipart, Request};
use axum::http::{HeaderMap, header};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use stella_policy::Document;
use tokio::io::AsyncWriteExt as _;

use super::POLICY_LIMIT;
use super::error::ApiError;
use super::policy_text;
use crate::app::App;
use crate::scanning::{Body, HeldBody, MAX_UPLOAD, Room, is_document};

/// The part of a form that is a policy.
const POLICY: &str = "policy";
/// Bytes of a body that are held before any of it is written to a file. Every connection may hold as many.
const AT_ONCE: usize = 256 << 10;

/// What was sent.
#[derive(Debug)]
pub(super) struct Sent {
    /// Where it lies.
    pub(super) body: Body,
    /// How many bytes it has.
    pub(super) size: u64,
    /// The policy that came with it.
    pub(super) policy: Option<Document>,
    /// The folder of its file, where it lies in one: both go with this.
    pub(super) folder: Option<tempfile::TempDir>,
}

impl Sent {
    /// Takes the body in, counting as it comes.
    pub(super) async fn take(app: &App, request: Request) -> Result<Self, ApiError> {
        let expected = expected(request.headers());
        let keeping = Keeping { room: app.uploads.room(), work: &app.settings.work, expected };
        let sent = if is_form(request.headers()) {
            let form = Multipart::from_request(request, &()).await.map_err(|e| ApiError::invalid(e.body_text()))?;
            take_form(app, form, &keeping).await?
        } else {
            Some(keeping.take(stream_of(request)).await?)
        };
        let nothing = || ApiError::invalid("the body is empty: an SBOM, an image archive or a reference is needed");
        sent.filter(|sent| sent.size > 0).ok_or_else(nothing)
    }

    fn in_file(path: &Path, size: usize, folder: tempfile::TempDir) -> Self {
        Self { body: Body::File(path.to_owned()), size: size as u64, policy: None, folder: Some(folder) }
    }
}

/// Bytes that the sender says to send; nothing rests on it.
fn expected(headers: &HeaderMap) -> usize {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    length.unwrap_or_default()
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data")
}

fn stream_of(request: Request) -> impl Stream<Item = Result<Bytes, ApiError>> + Unpin {
    request.into_body().into_data_stream().map_err(|e| ApiError::invalid(format!("the body broke off: {e}")))
}

/// What the form brings, with the policy in it.
async fn take_form(app: &App, mut form: Multipart, keeping: &Keeping<'_>) -> Result<Option<Sent>, ApiError> {
    let (mut sent, mut policy) = (None, None);
    while let Some(part) = form.next_field().await.map_err(broken)? {
        match part.name().unwrap_or_default() {
            POLICY if policy.is_none() => policy = Some(policy_of(app, part).await?),
            POLICY => return Err(ApiError::invalid("the form has two parts named policy")),
            _ if sent.is_none() => sent = Some(keeping.take(part.map_err(broken)).await?),
            other => {
                let message = format!("the form has more than one thing to scan; the part {other:?} is one too many");
                return Err(ApiError::invalid(message));
            }
        }
    }
    Ok(sent.map(|sent| Sent { policy, ..sent }))
}

fn broken(error: MultipartError) -> ApiError {
    ApiError::invalid(format!("the form cannot be read: {}", error.body_text()))
}

async fn policy_of(app: &App, mut part: Field<'_>) -> Result<Document, ApiError> {
    let (headers, mut text) = (part.headers().clone(), Vec::new());
    while let Some(chunk) = part.chunk().await.map_err(broken)? {
        if text.len() + chunk.len() > POLICY_LIMIT {
            return Err(ApiError::too_large(format!("the policy has more than {POLICY_LIMIT} bytes")));
        }
        text.extend_from_slice(&chunk);
    }
    Ok(policy_text::body(&headers, &text, app.clock.now())?.accept()?.document)
}

/// Where a body is kept until it is read: a small document in memory as long as there is room, anything else in a file.
struct Keeping<'a> {
    room: &'a Room,
    work: &'a Path,
    /// Bytes that are expected.
    expected: usize,
}

impl Keeping<'_> {
    async fn take(&self, mut body: impl Stream<Item = Result<Bytes, ApiError>> + Unpin) -> Result<Sent, ApiError> {
        let mut held = self.room.body(self.expected);
        while let Some(chunk) = body.try_next().await? {
            if !held.take(&chunk) {
                return self.spool(held, stream::iter([Ok::<_, ApiError>(chunk)]).chain(body)).await;
            }
        }
        // There is nothing in an empty one to be written.
        if held.is_empty() || is_document(&held) {
            let size = held.len() as u64;
            return Ok(Sent { body: Body::Held(Arc::new(held)), size, policy: None, folder: None });
        }
        self.spool(held, stream::empty()).await
    }

    /// Writes to a file what was held so far and what comes. The first of it is written at once: each write by the runtime is a
    /// change of threads, which takes longer than writing so little.
    async fn spool(
        &self,
        mut held: HeldBody,
        mut rest: impl Stream<Item = Result<Bytes, ApiError>> + Unpin,
    ) -> Result<Sent, ApiError> {
        let folder = tempfile::tempdir_in(self.work).map_err(ApiError::failed)?;
        let path = folder.path().join("upload");
        while held.len() < AT_ONCE {
            let Some(chunk) = rest.try_next().await? else {
                std::fs::write(&path, &*held).map_err(ApiError::failed)?;
                return Ok(Sent::in_file(&path, held.len(), folder));
            };
            held.take_anyway(&chunk);
        }
        let mut file = tokio::fs::File::create(&path).await.map_err(ApiError::failed)?;
        file.write_all(&held).await.map_err(ApiError::failed)?;
        let mut size = held.len();
        drop(held);
        while let Some(chunk) = rest.try_next().await? {
            size += chunk.len();
            if size as u64 > MAX_UPLOAD {
                return Err(ApiError::too_large(format!("more than {MAX_UPLOAD} bytes")));
            }
            file.write_all(&chunk).await.map_err(ApiError::failed)?;
        }
        file.flush().await.map_err(ApiError::failed)?;
        Ok(Sent::in_file(&path, size, folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// A document of that many bytes.
    fn document(size: usize) -> Vec<u8> {
        let mut text = vec![b' '; size];
        text[0] = b'{';
        text
    }

    /// What becomes of a body that comes in pieces: whether it is held, and its bytes.
    async fn taken(room: &Room, body: &[u8]) -> (bool, Vec<u8>) {
        let work = tempfile::tempdir().unwrap();
        let pieces = body.chunks(50_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect::<Vec<_>>();
        let sent = Keeping { room, work: work.path(), expected: 0 }.take(stream::iter(pieces)).await.unwrap();
        assert_eq!(sent.size, body.len() as u64);
        let files = std::fs::read_dir(work.path()).unwrap().count();
        match &sent.body {
            Body::Held(bytes) => {
                assert!(files == 0 && sent.folder.is_none());
                (true, bytes.to_vec())
            }
            Body::File(path) => {
                assert!(files == 1 && sent.folder.is_some());
                (false, std::fs::read(path).unwrap())
            }
        }
    }

    #[tokio::test]
    async fn documents_are_held_up_to_a_mebibyte_and_images_never() {
        let room = Room::default();
        for size in [1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, MIB - 1, MIB, MIB + 1, 3 * MIB] {
            for (body, is_held) in [(document(size), size <= MIB), (vec![0x1f_u8; size], false)] {
                let (held, bytes) = taken(&room, &body).await;
                assert!(bytes == body && held == is_held, "{size}");
            }
        }
        assert_eq!(taken(&room, b"").await, (true, Vec::new()));
    }

    #[tokio::test]
    async fn without_room_a_document_goes_to_a_file_from_whichever_byte_on() {
        for most in [0, 1, 49_999, 50_000, 150_000, AT_ONCE, 700_000] {
            for size in [40_000, AT_ONCE - 1, AT_ONCE, 900_000] {
                let (room, text) = (Room::of(most), document(size));
                let (held, bytes) = taken(&room, &text).await;
                assert!(bytes == text && (held || most < 2 * size), "{most} {size}");
                assert!(!held || size <= most, "{most} {size}");
                assert!(room.body(most).take(&vec![0; most]), "the room is given back: {most} {size}");
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_leaves_nothing() {
        let (room, work) = (Room::of(100_000), tempfile::tempdir().unwrap());
        for before in [10_000, 90_000, 400_000] {
            let broken = Err(ApiError::invalid("the body broke off"));
            let pieces = [Ok(Bytes::from(document(before))), broken];
            let keeping = Keeping { room: &room, work: work.path(), expected: 0 };
            keeping.take(stream::iter(pieces)).await.unwrap_err();
            assert_eq!(std::fs::read_dir(work.path()).unwrap().count(), 0, "{before}");
            assert!(room.body(0).take(&[0; 100_000]), "{before}");
        }
    }
}
