//! Bodies of JSON.

use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::{Json, RequestExt as _};
use serde::de::DeserializeOwned;

/// A body as [`Json`] reads it, and refused in its words. `Json` keeps the path to each value in case that it is wrong, which doubles what
/// reading costs; here it is asked only when something is.
#[derive(Debug)]
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = JsonRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, JsonRejection> {
        // The limit of bodies is among the extensions of the request, and stays with it.
        let (parts, body) = request.into_parts();
        let bytes = Request::from_parts(parts.clone(), body).extract::<Bytes, _>().await?;
        if says_json(&parts.headers)
            && let Ok(value) = serde_json::from_slice(&bytes)
        {
            return Ok(Self(value));
        }
        let Json(value) = Json::from_request(Request::from_parts(parts, Body::from(bytes)), state).await?;
        Ok(Self(value))
    }
}

/// Whether the type of content is JSON beyond doubt; of others `Json` knows.
fn says_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Batch {
        #[serde(rename = "events")]
        _events: Vec<Event>,
    }

    #[derive(Debug, Deserialize)]
    struct Event {
        #[serde(rename = "at")]
        _at: i64,
    }

    fn request(kind: Option<&str>, body: &'static str) -> Request {
        let mut request = Request::builder();
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        request.body(Body::from(body)).unwrap()
    }

    async fn refused(kind: Option<&str>, body: &'static str) -> (String, String) {
        let ours = JsonBody::<Batch>::from_request(request(kind, body), &()).await.unwrap_err();
        let theirs = Json::<Batch>::from_request(request(kind, body), &()).await.unwrap_err();
        assert_eq!(ours.status(), theirs.status());
        (ours.body_text(), theirs.body_text())
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_as_ever() {
        let sound = r#"{"events":[{"at":1}]}"#;
        for kind in ["application/json", "application/json; charset=utf-8", "application/cloudevents+json"] {
            JsonBody::<Batch>::from_request(request(Some(kind), sound), &()).await.unwrap();
        }
        let wrong = r#"{"events":[{"at":1},{"at":"noon"}]}"#;
        let (ours, theirs) = refused(Some("application/json"), wrong).await;
        assert_eq!(ours, theirs);
        assert!(ours.contains("events[1].at"), "{ours}");
        for (kind, body) in
            [(None, sound), (Some("text/plain"), sound), (Some("application/json"), r#"{"events":[]} {}"#)]
        {
            let (ours, theirs) = refused(kind, body).await;
            assert_eq!(ours, theirs);
        }
    }
}
