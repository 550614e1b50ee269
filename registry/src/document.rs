//! Small answers, held whole.

use reqwest::Response;
use reqwest::header::RETRY_AFTER;
use serde::Deserialize;

use crate::error::RequestError;
use crate::limits::Limits;

/// Bytes of an error that are looked at.
const LONGEST_ERROR: u64 = 16 << 10;

/// The whole body, which ends at `max` bytes.
pub(crate) async fn read_at_most(mut response: Response, max: u64, limits: &Limits) -> Result<Vec<u8>, RequestError> {
    if response.content_length().is_some_and(|length| length > max) {
        return Err(RequestError::TooLong { max });
    }
    let mut bytes = Vec::new();
    let read = async {
        while let Some(chunk) = response.chunk().await.map_err(|_| RequestError::Cut)? {
            if (bytes.len() + chunk.len()) as u64 > max {
                return Err(RequestError::TooLong { max });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(())
    };
    let timeout = RequestError::Timeout { seconds: limits.document.as_secs() };
    tokio::time::timeout(limits.document, read).await.map_err(|_| timeout)??;
    Ok(bytes)
}

/// The error that an answer other than a success is. Of its body, only the code is kept.
pub(crate) async fn status_of(response: Response) -> RequestError {
    let status = response.status().as_u16();
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let short = Limits { document: std::time::Duration::from_secs(5), ..Limits::default() };
    let code = read_at_most(response, LONGEST_ERROR, &short).await.ok().and_then(|bytes| code(&bytes));
    RequestError::Status { status, code, retry_after: seconds }
}

/// The first code of an error body (distribution specification, "Error Codes").
fn code(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Error>,
    }
    #[derive(Deserialize)]
    struct Error {
        code: String,
    }
    let errors: Errors = serde_json::from_slice(bytes).ok()?;
    let code = errors.errors.into_iter().next()?.code;
    let known = (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    known.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_error_the_code_alone_is_kept() {
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"geheim"}]}"#;
        assert_eq!(code(body).as_deref(), Some("MANIFEST_UNKNOWN"));
        for body in [r#"{"errors":[]}"#, r#"{"errors":[{"code":"<script>"}]}"#, "no", r#"{"errors":[{"code":""}]}"#] {
            assert_eq!(code(body.as_bytes()), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = code(&bytes);
        }
    }
}
