//! Who may get past a refusal: those whom the API server allows the verb `breakglass` on `policies.stella-ops.org`.

use std::time::Duration;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

use crate::metrics::Metrics;
use crate::review::Review;

/// The API server waits for the review meanwhile.
const ANSWER: Duration = Duration::from_secs(3);

/// Asks the API server.
#[derive(Clone)]
pub struct BreakGlass(Api<SubjectAccessReview>);

impl std::fmt::Debug for BreakGlass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BreakGlass")
    }
}

impl BreakGlass {
    /// Asks through `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(Api::all(client))
    }

    /// Whether the user of `review` may get past a refusal in its namespace. Without an answer: no.
    pub async fn allows(&self, review: &Review, metrics: &Metrics) -> bool {
        let question = question(review);
        let parameters = PostParams::default();
        let asked = tokio::time::timeout(ANSWER, self.0.create(&parameters, &question)).await;
        let allowed = match asked {
            Ok(Ok(answer)) => Some(answer.status.is_some_and(|status| status.allowed)),
            Ok(Err(error)) => {
                tracing::warn!(%error, "who may break the glass cannot be asked");
                None
            }
            Err(_) => None,
        };
        let result = allowed.map_or("failed", |allowed| if allowed { "granted" } else { "denied" });
        metrics.break_glass.with_label_values(&[result]).inc();
        tracing::warn!(user = review.user.username, namespace = review.namespace, result, "break-glass asked for");
        allowed.unwrap_or(false)
    }
}

fn question(review: &Review) -> SubjectAccessReview {
    let user = &review.user;
    let attributes = ResourceAttributes {
        group: Some("stella-ops.org".to_owned()),
        resource: Some("policies".to_owned()),
        verb: Some("breakglass".to_owned()),
        namespace: Some(review.namespace.clone()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        resource_attributes: Some(attributes),
        user: Some(user.username.clone()),
        uid: Some(user.uid.clone()),
        groups: Some(user.groups.clone()),
        extra: Some(user.extra.clone()),
        ..SubjectAccessReviewSpec::default()
    };
    SubjectAccessReview { spec, ..SubjectAccessReview::default() }
}
