//! Requests a second and scans a day, on every route.

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use stella_authority::Caller;
use stella_authority::caller::How;
use stella_domain::{Digest, Timestamp};

use super::error::ApiError;
use crate::app::App;
use crate::limits::{Allowed, Quota, midnight_after, midnight_before};

/// What a request has spent, and what is left: the headers of its answer.
#[derive(Debug)]
pub(super) struct Spent {
    rate: Option<Allowed>,
    quota: Option<(Quota, u32)>,
    /// Whether one of the quota was taken.
    taken: bool,
    reset: Timestamp,
    expires: Option<Timestamp>,
}

/// Counts the request of `parts`. A refusal carries the same headers as an answer.
pub(super) async fn spend(app: &App, parts: &Parts, caller: &Caller) -> Result<Spent, Response> {
    let now = app.clock.now();
    let scan = is_scan(parts);
    let mut spent = Spent {
        rate: None,
        quota: None,
        taken: false,
        reset: midnight_after(now),
        expires: caller.expires.filter(|_| parts.uri.path() == "/scan"),
    };
    let refused = |spent: &Spent, error: ApiError| {
        let mut response = error.into_response();
        spent.tell(&mut response);
        response
    };
    let failed = |error: stella_store::StoreError| ApiError::from(error).into_response();
    let Some(token) = token(parts, caller) else { return Ok(spent) };
    let rate = app.rates.count(&app.store, &token, now).await.map_err(failed)?;
    spent.rate = rate;
    if let Some(Allowed { limit, wait: Some(wait), .. }) = rate {
        let detail = format!("{limit} requests a second are taken of a token");
        return Err(refused(&spent, ApiError::too_many("rate-limited", detail, wait)));
    }
    let Some(most) = caller.max_scans_per_day else { return Ok(spent) };
    let quota = Quota { token, most, day: midnight_before(now) };
    let left = if scan { quota.take(&app.store).await } else { quota.left(&app.store).await.map(Some) };
    match left.map_err(failed)? {
        Some(left) => {
            spent.taken = scan;
            spent.quota = Some((quota, left));
            Ok(spent)
        }
        None => {
            spent.quota = Some((quota, 0));
            let wait = u64::try_from(spent.reset.seconds_since(now)).unwrap_or(0) + 1;
            let detail = format!("the token's {most} scans of this day are used up");
            Err(refused(&spent, ApiError::too_many("quota-exceeded", detail, wait)))
        }
    }
}

impl Spent {
    /// What is left of today's scans; `None` where nothing limits them.
    pub(super) fn left(&self) -> Option<stella_api::scan::Quota> {
        let (_, left) = self.quota.as_ref()?;
        Some(stella_api::scan::Quota { remaining: u64::from(*left), reset: self.reset })
    }

    /// Puts what is left into the headers of the answer. Of a scan that was refused nothing is spent.
    pub(super) async fn settle(mut self, app: &App, response: &mut Response) {
        if let Some((quota, left)) = &mut self.quota
            && self.taken
            && !response.status().is_success()
        {
            match quota.give_back(&app.store).await {
                Ok(()) => *left += 1,
                Err(error) => tracing::warn!(%error, "a scan that was refused stays counted"),
            }
        }
        self.tell(response);
    }

    fn tell(&self, response: &mut Response) {
        let mut put = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        };
        if let Some(Allowed { limit, remaining, wait }) = self.rate {
            put("ratelimit-limit", limit.to_string());
            put("ratelimit-remaining", remaining.to_string());
            put("ratelimit-reset", wait.unwrap_or(1).to_string());
        }
        if let Some((_, left)) = &self.quota {
            put("x-stella-quota-remaining", left.to_string());
        }
        put("x-stella-reset", self.reset.to_string());
        if let Some(expires) = self.expires {
            put("x-stella-token-expires", expires.to_string());
        }
    }
}

fn is_scan(parts: &Parts) -> bool {
    parts.method == "POST" && ["/scan", "/api/v1/scans"].contains(&parts.uri.path())
}

/// The name of the request's token: its own, else its digest. None where nobody showed one.
fn token(parts: &Parts, caller: &Caller) -> Option<String> {
    if caller.how != How::Token {
        return None;
    }
    let shown = || parts.headers.get(header::AUTHORIZATION).map(|value| Digest::of(value.as_bytes()).hex());
    caller.token.clone().or_else(shown)
}
