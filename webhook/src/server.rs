//! Reviews over HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use stella_service::clock::Clock;
use tower_http::catch_panic::CatchPanicLayer;

use crate::break_glass::BreakGlass;
use crate::decision::{Decision, Settings, decide};
use crate::metrics::Metrics;
use crate::problem::problem;
use crate::refusals::Refusals;
use crate::review::{Review, answer};
use crate::scans::Scans;
use crate::verdicts::Cache;

/// An update of the largest object etcd takes, twice, in JSON.
pub const LARGEST_BODY: usize = 7 * 1024 * 1024;
/// The API server gives up after 30 s at most.
const BODY_TIME: Duration = Duration::from_secs(10);

/// What reviews are answered with.
#[derive(Debug)]
pub struct Admission {
    /// The verdicts.
    pub cache: Cache,
    /// What holds for all decisions.
    pub settings: Settings,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Metrics,
    /// Where scans are asked for; absent in a replay.
    pub scans: Option<Scans>,
    /// Where refusals are shown as events; absent without a cluster.
    pub refusals: Option<Refusals>,
    /// Who says who may break the glass; absent without a cluster, and then nobody may.
    pub break_glass: Option<BreakGlass>,
}

/// `POST /validate`.
pub fn router(admission: Arc<Admission>) -> Router {
    Router::new()
        .route("/validate", post(validate))
        .method_not_allowed_fallback(|| async {
            problem(StatusCode::METHOD_NOT_ALLOWED, "validation", "reviews are sent with POST")
        })
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "not-found", "there is only /validate") })
        .layer(CatchPanicLayer::new())
        .with_state(admission)
}

async fn validate(State(admission): State<Arc<Admission>>, request: Request) -> Response {
    let started = Instant::now();
    let (result, response) = match read_body(request.into_body()).await {
        Err(refused) => refused.into_parts(),
        Ok(body) => admission.answer(&body).await,
    };
    admission.metrics.reviews.with_label_values(&[result]).inc();
    admission.metrics.seconds.observe(started.elapsed().as_secs_f64());
    response
}

enum BodyRefused {
    TooLarge,
    Slow,
    Broken(String),
}

async fn read_body(body: Body) -> Result<Bytes, BodyRefused> {
    match tokio::time::timeout(BODY_TIME, Limited::new(body, LARGEST_BODY).collect()).await {
        Err(_) => Err(BodyRefused::Slow),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyRefused::TooLarge),
        Ok(Err(error)) => Err(BodyRefused::Broken(error.to_string())),
    }
}

impl BodyRefused {
    fn into_parts(self) -> (&'static str, Response) {
        match self {
            Self::TooLarge => {
                let detail = format!("a review has at most {LARGEST_BODY} bytes");
                ("too-large", problem(StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large", &detail))
            }
            Self::Slow => ("invalid", problem(StatusCode::REQUEST_TIMEOUT, "validation", "the body took too long")),
            Self::Broken(reason) => ("invalid", problem(StatusCode::BAD_REQUEST, "validation", &reason)),
        }
    }
}

impl Admission {
    async fn answer(&self, body: &[u8]) -> (&'static str, Response) {
        let review = match Review::read(body) {
            Ok(review) => review,
            Err(error) => {
                return ("invalid", problem(StatusCode::BAD_REQUEST, "validation", &error.to_string()));
            }
        };
        let decided = decide(&review, &self.cache.held(), &self.settings, self.clock.now());
        let decision = match decided {
            Ok(decision) => self.past_refusal(&review, decision).await,
            Err(reason) => {
                tracing::warn!(%reason, uid = review.uid, "review not answered: its failure policy decides");
                let detail = reason.to_string();
                return ("unavailable", problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", &detail));
            }
        };
        if !review.dry_run {
            self.follow_up(&review, &decision);
        }
        (decision.outcome.name(), Json(answer(&review.uid, &decision)).into_response())
    }

    /// A refusal that someone asks to get past, and may.
    async fn past_refusal(&self, review: &Review, decision: Decision) -> Decision {
        let (Some(reason), Some(judge)) = (decision.break_glass.clone(), &self.break_glass) else { return decision };
        if judge.allows(review, &self.metrics).await {
            decision.break_glass(&review.user.username, &reason)
        } else {
            decision
        }
    }

    /// Everything that waits for nobody.
    fn follow_up(&self, review: &Review, decision: &Decision) {
        if let Some(record) = &decision.record {
            log(record);
        }
        if let Some(scans) = &self.scans {
            decision.scans.iter().for_each(|wish| scans.ask(wish));
        }
        if let Some(refusals) = &self.refusals {
            refusals.show(review, decision);
        }
    }
}

fn log(record: &crate::decision::Record) {
    match serde_json::to_string(record) {
        Ok(record) => tracing::info!(target: "stella_webhook::decision", record, "decision"),
        Err(error) => tracing::error!(%error, "a decision cannot be written down"),
    }
}

#[cfg(test)]
mod tests;
