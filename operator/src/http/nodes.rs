//! Work for nodes.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;

use super::caller::Caller;
use super::error::ApiError;
use super::sse;
use crate::app::App;

/// The stream of work of one node: images to read. Work that was not answered is sent again on a new connection.
#[utoipa::path(get, path = "/api/v1/nodes/{node}/work", tag = "runtime", params(("node" = String, Path)),
    responses((status = 200, content_type = "text/event-stream", body = stella_api::node::NodeWork)))]
pub(super) async fn work(
    State(app): State<App>,
    caller: Caller,
    Path(node): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.speaks_for_all()?;
    if sse::last_event_id(&headers).is_some_and(|id| id.len() > 64) {
        return Err(ApiError::invalid("Last-Event-ID is longer than 64 characters"));
    }
    let stream = async_stream::stream! {
        let mut sequence = 0;
        loop {
            let changed = app.work.changed();
            for (at, work) in app.work.after(&node, sequence) {
                sequence = at;
                if let Ok(event) = Event::default().event("read").id(at.to_string()).json_data(&work) {
                    yield Ok(event);
                }
            }
            // What was offered between looking and waiting must not wait for the next offer.
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(std::time::Duration::from_secs(2)) => {}
            }
        }
    };
    Ok(sse::answer(stream))
}
