//! Verdicts for webhooks.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use stella_api::admission::AdmissionUpdate;

use super::caller::Caller;
use super::error::ApiError;
use super::sse;
use crate::app::App;

/// The stream of verdicts: a snapshot, then changes.
#[utoipa::path(get, path = "/api/v1/admission/verdicts", tag = "runtime",
    responses((status = 200, content_type = "text/event-stream", body = AdmissionUpdate)))]
pub(super) async fn verdicts(State(app): State<App>, caller: Caller, headers: HeaderMap) -> Result<Response, ApiError> {
    caller.speaks_for_all()?;
    let mut cursor = sse::last_event_id(&headers);
    let stream = async_stream::stream! {
        let subscription = app.board.subscribe();
        loop {
            let changed = subscription.changed();
            for (at, update) in subscription.after(cursor.as_deref()) {
                if let Ok(event) = Event::default().event(name(&update)).id(at.clone()).json_data(&update) {
                    yield Ok(event);
                }
                cursor = Some(at);
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
            }
        }
    };
    Ok(sse::answer(stream))
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
