//! Verdicts for webhooks.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use stella_api::admission::AdmissionUpdate;

use super::caller::Caller;
use super::error::ApiError;
use super::stream::{self, Form, Readers, Told};
use crate::app::App;

/// The stream of verdicts: a snapshot, then changes.
#[utoipa::path(get, path = "/api/v1/admission/verdicts", tag = "runtime",
    responses((status = 200, content((AdmissionUpdate = "text/event-stream"), (AdmissionUpdate = "application/x-ndjson")))))]
pub(super) async fn verdicts(State(app): State<App>, caller: Caller, headers: HeaderMap) -> Result<Response, ApiError> {
    caller.speaks_for_all()?;
    let mut cursor = stream::last_event_id(&headers)?;
    let form = Form::preferred(&headers);
    let events = async_stream::stream! {
        let subscription = app.board.subscribe();
        loop {
            let changed = subscription.changed();
            for (at, update) in subscription.after(cursor.as_deref()) {
                cursor = Some(at.clone());
                yield Told { id: at, event: name(&update).to_owned(), body: update };
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
            }
        }
    };
    Ok(stream::answer(form, Readers::Product, events))
}

const fn name(update: &AdmissionUpdate) -> &'static str {
    match update {
        AdmissionUpdate::Begin => "begin",
        AdmissionUpdate::Namespace(_) => "namespace",
        AdmissionUpdate::NamespaceGone { .. } => "namespacegone",
        AdmissionUpdate::Image(_) => "image",
        AdmissionUpdate::ImageGone { .. } => "imagegone",
        AdmissionUpdate::Ready { .. } => "ready",
    }
}
