//! The body of `POST /scan`: the thing itself, or a form with it and a policy.

use std::path::{Path, PathBuf};

use axum::body::{Body, Bytes};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest as _, Multipart, Request};
use axum::http::{HeaderMap, header};
use futures::{Stream, TryStreamExt as _};
use stella_policy::Document;
use tokio::io::AsyncWriteExt as _;

use super::POLICY_LIMIT;
use super::error::ApiError;
use super::policy_text;
use crate::app::App;
use crate::scanning::MAX_UPLOAD;

/// The part of a form that is a policy.
const POLICY: &str = "policy";
/// Bytes of a body that are held before any of it is written. Every connection may hold as many.
const AT_ONCE: usize = 256 << 10;

/// What was sent. The file goes with this.
pub(super) struct Sent {
    /// Where it lies.
    pub(super) path: PathBuf,
    /// How many bytes it has.
    pub(super) size: u64,
    /// The policy that came with it.
    pub(super) policy: Option<Document>,
    /// Its folder.
    pub(super) folder: tempfile::TempDir,
}

impl Sent {
    /// Takes the body in, counting as it comes.
    pub(super) async fn take(app: &App, request: Request) -> Result<Self, ApiError> {
        let folder = tempfile::tempdir_in(&app.settings.work).map_err(ApiError::failed)?;
        let path = folder.path().join("upload");
        let (size, policy) = if is_form(request.headers()) {
            let form = Multipart::from_request(request, &()).await.map_err(|e| ApiError::invalid(e.body_text()))?;
            take_form(app, form, &path).await?
        } else {
            (spool(stream_of(request.into_body()), &path).await?, None)
        };
        if size == 0 {
            return Err(ApiError::invalid("the body is empty: an SBOM, an image archive or a reference is needed"));
        }
        Ok(Self { path, size, policy, folder })
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data")
}

fn stream_of(body: Body) -> impl Stream<Item = Result<Bytes, ApiError>> + Unpin {
    body.into_data_stream().map_err(|e| ApiError::invalid(format!("the body broke off: {e}")))
}

/// Size of what the form brings, and the policy in it.
async fn take_form(app: &App, mut form: Multipart, path: &Path) -> Result<(u64, Option<Document>), ApiError> {
    let (mut size, mut policy) = (None, None);
    while let Some(part) = form.next_field().await.map_err(broken)? {
        match part.name().unwrap_or_default() {
            POLICY if policy.is_none() => policy = Some(policy_of(app, part).await?),
            POLICY => return Err(ApiError::invalid("the form has two parts named policy")),
            _ if size.is_none() => size = Some(spool(part.map_err(broken), path).await?),
            other => {
                let message = format!("the form has more than one thing to scan; the part {other:?} is one too many");
                return Err(ApiError::invalid(message));
            }
        }
    }
    Ok((size.unwrap_or_default(), policy))
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

/// Writes what comes to a file. The first of it is written at once: each write by the runtime is a change of threads, which for most
/// SBOMs takes longer than writing them.
async fn spool(mut stream: impl Stream<Item = Result<Bytes, ApiError>> + Unpin, path: &Path) -> Result<u64, ApiError> {
    let mut first = Vec::new();
    while first.len() < AT_ONCE {
        let Some(chunk) = stream.try_next().await? else {
            std::fs::write(path, &first).map_err(ApiError::failed)?;
            return Ok(first.len() as u64);
        };
        first.extend_from_slice(&chunk);
    }
    let mut file = tokio::fs::File::create(path).await.map_err(ApiError::failed)?;
    file.write_all(&first).await.map_err(ApiError::failed)?;
    let mut size = first.len() as u64;
    drop(first);
    while let Some(chunk) = stream.try_next().await? {
        size += chunk.len() as u64;
        if size > MAX_UPLOAD {
            return Err(ApiError::too_large(format!("more than {MAX_UPLOAD} bytes")));
        }
        file.write_all(&chunk).await.map_err(ApiError::failed)?;
    }
    file.flush().await.map_err(ApiError::failed)?;
    Ok(size)
}
