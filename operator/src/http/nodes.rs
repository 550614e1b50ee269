//! Work for nodes.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::caller::Caller;
use super::error::ApiError;
use super::stream::{self, Form, Readers, Told};
use crate::app::App;

/// The stream of work of one node: images to read. Work that was not answered is sent again on a new connection.
#[utoipa::path(get, path = "/api/v1/nodes/{node}/work", tag = "runtime", params(("node" = String, Path)),
    responses((status = 200, content((stella_api::node::NodeWork = "text/event-stream"),
        (stella_api::node::NodeWork = "application/x-ndjson")))))]
pub(super) async fn work(
    State(app): State<App>,
    caller: Caller,
    Path(node): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.speaks_for_all()?;
    stream::last_event_id(&headers)?;
    let form = Form::preferred(&headers);
    let events = async_stream::stream! {
        let mut sequence = 0;
        loop {
            let changed = app.work.changed();
            for (at, work) in app.work.after(&node, sequence) {
                sequence = at;
                yield Told { id: at.to_string(), event: "read".to_owned(), body: work };
            }
            // What was offered between looking and waiting must not wait for the next offer.
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(std::time::Duration::from_secs(2)) => {}
            }
        }
    };
    Ok(stream::answer(form, Readers::Product, events))
}
