//! The answer to a review.

use serde_json::{Value, json};

use super::{API_VERSION, KIND};
use crate::decision::Decision;

/// HTTP status the API server shows for a refusal.
const FORBIDDEN: u16 = 403;

/// The `AdmissionReview` that answers the question `uid` with `decision`.
#[must_use]
pub fn answer(uid: &str, decision: &Decision) -> Value {
    let mut response = json!({ "uid": uid, "allowed": decision.allowed });
    if let Some(message) = &decision.message {
        response["status"] = json!({ "code": FORBIDDEN, "reason": "Forbidden", "message": message });
    }
    if !decision.warnings.is_empty() {
        response["warnings"] = json!(decision.warnings);
    }
    if !decision.audit.is_empty() {
        response["auditAnnotations"] = json!(decision.audit);
    }
    json!({ "apiVersion": API_VERSION, "kind": KIND, "response": response })
}
