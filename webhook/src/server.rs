//! Reviews over HTTP.

mod body;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use stella_service::clock::Clock;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::break_glass::BreakGlass;
use crate::decision::{Decision, Record, Rung, ScanWish, Settings, Undecided, decide};
use crate::metrics::Metrics;
use crate::problem::problem;
use crate::records::Records;
use crate::refusals::Refusals;
use crate::review::{Review, answer};
use crate::scans::Scans;
use crate::verdicts::{Bundled, Cache, Held, View};

use body::ReadBody;
pub use body::{BodyRoom, LARGEST_BODY};

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
    /// Where decisions are kept; absent without an operator.
    pub records: Option<Records>,
    /// Where refusals are shown as events; absent without a cluster.
    pub refusals: Option<Refusals>,
    /// Who says who may break the glass; absent without a cluster, and then nobody may.
    pub break_glass: Option<BreakGlass>,
    /// Room for the bodies of reviews.
    pub room: BodyRoom,
    /// Cancelled once this process is to end: from then on each answer asks its client to connect anew, and so to another replica,
    /// before connections are closed under those that are about to ask.
    pub ending: CancellationToken,
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
    let (result, mut response) = match admission.room.read(request.into_body()).await {
        Err(refused) => refused.into_parts(),
        Ok(body) => admission.answer(body).await,
    };
    admission.metrics.reviews.with_label_values(&[result]).inc();
    admission.metrics.seconds.observe(started.elapsed().as_secs_f64());
    if admission.ending.is_cancelled() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl Admission {
    async fn answer(&self, body: ReadBody) -> (&'static str, Response) {
        let review = Review::read(&body.bytes);
        // What follows may wait for others; the room is not theirs.
        drop(body);
        let review = match review {
            Ok(review) => review,
            Err(error) => {
                return ("invalid", problem(StatusCode::BAD_REQUEST, "validation", &error.to_string()));
            }
        };
        let (held, bundle) = (self.cache.held(), self.cache.bundle());
        let decided = decide(&review, &held, bundle.as_deref(), &self.settings, self.clock.now());
        self.count_rung(&review, &held, bundle.as_deref(), &decided);
        let decision = match decided {
            Ok(decision) => self.past_refusal(&review, decision).await,
            Err(Undecided { reason, scans }) => {
                self.wish(&scans);
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

    /// Whoever reaches the port may name any namespace, so that only those that were told of become labels.
    fn count_rung(
        &self,
        review: &Review,
        held: &Held,
        bundle: Option<&Bundled>,
        decided: &Result<Decision, Undecided>,
    ) {
        let rung = decided.as_ref().map_or(Some(Rung::Default), |decision| decision.rung);
        let Some(rung) = rung else { return };
        let told = |view: &View| view.has_namespace(&review.namespace);
        let known = told(&held.view) || bundle.is_some_and(|bundle| told(&bundle.view));
        let namespace = if known { review.namespace.as_str() } else { "(other)" };
        self.metrics.rungs.with_label_values(&[namespace, rung.name()]).inc();
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
            self.write_down(record);
        }
        self.wish(&decision.scans);
        if let Some(refusals) = &self.refusals {
            refusals.show(review, decision);
        }
    }

    /// Into the log, and to where it is kept.
    fn write_down(&self, record: &Record) {
        let text = match serde_json::to_string(record) {
            Ok(record) => ascii(record),
            Err(error) => {
                tracing::error!(%error, "a decision cannot be written down");
                return;
            }
        };
        tracing::info!(target: "stella_webhook::decision", record = text.as_str(), "decision");
        if let Some(records) = &self.records {
            records.keep(text);
        }
    }

    fn wish(&self, wishes: &[ScanWish]) {
        if let Some(scans) = &self.scans {
            wishes.iter().for_each(|wish| scans.ask(wish));
        }
    }
}

/// JSON in which every character beyond ASCII is escaped as JSON has it, so that no log's own way to escape changes it.
fn ascii(json: String) -> String {
    let fits = |character: char| character.is_ascii() && character != '\u{7f}';
    if json.chars().all(fits) {
        return json;
    }
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if fits(character) {
            text.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests;
