//! Who is asking: service accounts of the cluster, a static token, or anybody where that is switched on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::Api;
use kube::api::PostParams;
use stella_domain::Digest;

/// The audience that tokens for the API carry.
pub const AUDIENCE: &str = "stella-ops";
/// How long the answer to a token review is believed.
const BELIEVED: Duration = Duration::from_secs(60);
/// The most answers that are kept.
const MAX_KEPT: usize = 10_000;

/// How callers are told apart.
#[derive(Clone, Default)]
pub struct Authenticator(Arc<Inner>);

#[derive(Default)]
struct Inner {
    reviews: Option<Reviews>,
    static_token: Option<PathBuf>,
    anonymous: bool,
}

struct Reviews {
    client: kube::Client,
    /// Service accounts that are let in, `namespace/name`, or `namespace/*`.
    allowed: BTreeSet<String>,
    kept: Mutex<Answers>,
}

/// Answers by digest of the token, with the moment of asking.
type Answers = BTreeMap<Digest, (Instant, Result<Identity, Denied>)>;

/// Someone who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name for logs and histories.
    pub subject: String,
    /// Whether it may speak for every tenant.
    pub all_tenants: bool,
}

/// Why someone was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No credential was sent.
    #[error("a bearer token is needed")]
    Missing,
    /// The credential is not valid.
    #[error("the token is not valid: {0}")]
    Invalid(String),
    /// The credential is valid, and its owner is not let in.
    #[error("service account {0} may not use this API")]
    NotAllowed(String),
    /// Nobody can tell.
    #[error("tokens cannot be checked now: {0}")]
    Unavailable(String),
}

impl Authenticator {
    /// Nobody is let in until something is switched on.
    #[must_use]
    pub fn new(static_token: Option<PathBuf>, anonymous: bool) -> Self {
        Self(Arc::new(Inner { reviews: None, static_token, anonymous }))
    }

    /// Lets service accounts in: those of `allowed`, as `namespace/name` or `namespace/*`.
    #[must_use]
    pub fn with_service_accounts(self, client: kube::Client, allowed: BTreeSet<String>) -> Self {
        let reviews = Reviews { client, allowed, kept: Mutex::default() };
        Self(Arc::new(Inner {
            reviews: Some(reviews),
            static_token: self.0.static_token.clone(),
            anonymous: self.0.anonymous,
        }))
    }

    /// Whether callers without a credential are let in.
    #[must_use]
    pub fn allows_anonymous(&self) -> bool {
        self.0.anonymous
    }

    /// Who sent `token`.
    ///
    /// # Errors
    /// Why they are not let in.
    pub async fn identify(&self, token: Option<&str>) -> Result<Identity, Denied> {
        let Some(token) = token else {
            return if self.0.anonymous { Ok(anonymous()) } else { Err(Denied::Missing) };
        };
        if let Some(path) = &self.0.static_token {
            // Read each time: a mounted Secret changes under us.
            let wanted = tokio::fs::read_to_string(path).await.map_err(|e| Denied::Unavailable(e.to_string()))?;
            if same(wanted.trim(), token) {
                return Ok(Identity { subject: "static-token".to_owned(), all_tenants: true });
            }
        }
        match &self.0.reviews {
            Some(reviews) => reviews.identify(token).await,
            None if self.0.anonymous => Ok(anonymous()),
            None => Err(Denied::Invalid("it is not the configured one".to_owned())),
        }
    }
}

fn anonymous() -> Identity {
    Identity { subject: "anonymous".to_owned(), all_tenants: true }
}

/// Compares digests, so that the time taken tells nothing about the token.
fn same(a: &str, b: &str) -> bool {
    !a.is_empty() && Digest::of(a) == Digest::of(b)
}

impl Reviews {
    async fn identify(&self, token: &str) -> Result<Identity, Denied> {
        let key = Digest::of(token);
        if let Some((at, answer)) = self.kept().get(&key)
            && at.elapsed() < BELIEVED
        {
            return answer.clone();
        }
        let answer = self.review(token).await;
        if !matches!(answer, Err(Denied::Unavailable(_))) {
            let mut kept = self.kept();
            kept.retain(|_, (at, _)| at.elapsed() < BELIEVED);
            if kept.len() < MAX_KEPT {
                kept.insert(key, (Instant::now(), answer.clone()));
            }
        }
        answer
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Answers> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn review(&self, token: &str) -> Result<Identity, Denied> {
        let review = TokenReview {
            spec: TokenReviewSpec { token: token.to_owned(), audiences: Some(vec![AUDIENCE.to_owned()]) },
            ..TokenReview::default()
        };
        let api = Api::<TokenReview>::all(self.client.clone());
        let asked = tokio::time::timeout(Duration::from_secs(10), api.create(&PostParams::default(), &review)).await;
        let unavailable = |reason: String| Denied::Unavailable(reason);
        let review = asked.map_err(|_| unavailable("the API server does not answer".to_owned()))?;
        let status = review.map_err(|e| unavailable(e.to_string()))?.status.unwrap_or_default();
        let right_audience = status.audiences.iter().flatten().any(|audience| audience == AUDIENCE);
        if status.authenticated != Some(true) || !right_audience {
            return Err(Denied::Invalid(
                status.error.unwrap_or_else(|| format!("it is not for the audience {AUDIENCE}")),
            ));
        }
        let user = status.user.and_then(|user| user.username).unwrap_or_default();
        let account = user.strip_prefix("system:serviceaccount:").map(|name| name.replacen(':', "/", 1));
        let Some(account) = account else { return Err(Denied::NotAllowed(user)) };
        let whole_namespace = account.split('/').next().map(|namespace| format!("{namespace}/*")).unwrap_or_default();
        if self.allowed.contains(&account) || self.allowed.contains(&whole_namespace) {
            Ok(Identity { subject: account, all_tenants: true })
        } else {
            Err(Denied::NotAllowed(account))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_static_token_is_read_from_its_file_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "first\n").unwrap();
        let auth = Authenticator::new(Some(path.clone()), false);
        assert!(auth.identify(Some("first")).await.is_ok());
        assert!(matches!(auth.identify(Some("second")).await, Err(Denied::Invalid(_))));
        assert_eq!(auth.identify(None).await, Err(Denied::Missing));
        std::fs::write(&path, "second\n").unwrap();
        assert!(auth.identify(Some("second")).await.is_ok());
        std::fs::write(&path, "").unwrap();
        assert!(auth.identify(Some("")).await.is_err(), "an empty file lets nobody in");
    }
}
