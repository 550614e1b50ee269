//! Admission reviews: what the API server asks (`admission.k8s.io/v1`), and what it is answered.

mod answer;
mod images;
mod pruned;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stella_attest::canonical;
use stella_domain::Digest;

pub use answer::answer;
pub use images::{ImageUse, Place, Workload, extract};

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// Annotation with the reason of someone who has to get past a refusal.
pub const BREAK_GLASS: &str = "stella-ops.org/break-glass";
/// Set by the kubelet on the mirror of a static pod.
pub const MIRROR: &str = "kubernetes.io/config.mirror";
/// The group of all nodes, and what stands before the name of one (Kubernetes, node authorization).
const NODES: (&str, &str) = ("system:nodes", "system:node:");

/// Why a body is not an admission review. The text names the field.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReviewError {
    /// Not JSON, or a field of another type.
    #[error("the body is not an admission review: {0}")]
    Json(#[from] serde_json::Error),
    /// A field has another value than it must.
    #[error("{field} must be '{expected}', not '{found}'")]
    Field {
        /// JSONPath of the field.
        field: &'static str,
        /// What must stand there.
        expected: &'static str,
        /// What stands there, shortened.
        found: String,
    },
    /// A field is missing or empty.
    #[error("{0} is missing")]
    Missing(&'static str),
}

/// What is being done to an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// Anything else, which admission of images does not concern.
    #[default]
    #[serde(other)]
    Other,
}

/// Which resource is asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceName {
    /// API group; empty for the core group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// API version.
    pub version: String,
    /// Plural, lower case.
    pub resource: String,
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// Name.
    pub username: String,
    /// Unique id.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Further attributes.
    pub extra: std::collections::BTreeMap<String, Vec<String>>,
}

/// One question of the API server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// Names the question; stands in the answer.
    #[serde(default, skip_serializing)]
    pub uid: String,
    /// The resource.
    #[serde(default)]
    pub resource: ResourceName,
    /// The subresource; empty for none.
    #[serde(default, deserialize_with = "empty_for_null")]
    pub sub_resource: String,
    /// Name of the object; empty while the server has yet to make one.
    #[serde(default, deserialize_with = "empty_for_null")]
    pub name: String,
    /// Namespace of the object; empty for cluster-wide ones.
    #[serde(default, deserialize_with = "empty_for_null")]
    pub namespace: String,
    /// What is being done.
    #[serde(default)]
    pub operation: Operation,
    /// Who asks.
    #[serde(default, rename = "userInfo")]
    pub user: User,
    /// What decisions need of the object as it is to be; null for deletions.
    #[serde(default, deserialize_with = "pruned::object")]
    pub object: Value,
    /// What decisions need of the object as it was; null but for updates and deletions.
    #[serde(default, deserialize_with = "pruned::object")]
    pub old_object: Value,
    /// Whether nothing will be stored.
    #[serde(default, deserialize_with = "empty_for_null")]
    pub dry_run: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    request: Option<Review>,
}

impl Review {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// Anything but an `AdmissionReview` of `admission.k8s.io/v1` with a request that has a uid.
    pub fn read(body: &[u8]) -> Result<Self, ReviewError> {
        let body: Body = serde_json::from_slice(body)?;
        must_be("$.kind", KIND, &body.kind)?;
        must_be("$.apiVersion", API_VERSION, &body.api_version)?;
        let review = body.request.ok_or(ReviewError::Missing("$.request"))?;
        if review.uid.is_empty() {
            return Err(ReviewError::Missing("$.request.uid"));
        }
        Ok(review)
    }

    /// Names what is asked: the digest of the canonical JSON (RFC 8785) of all that is read of the review, without its uid, which
    /// is another one each time the same is asked. `None` where an integer beyond 2^53 stands in place of a text, which no API
    /// server sends.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        canonical::digest(self).ok()
    }

    /// The name of the object, or the prefix the server makes one from.
    #[must_use]
    pub fn object_name(&self) -> &str {
        let generated = || text(&self.object, "/metadata/generateName");
        Some(self.name.as_str()).filter(|name| !name.is_empty()).or_else(generated).unwrap_or_default()
    }

    /// Whether the object is the mirror of a static pod, which runs whatever is answered. Everybody can set the annotation;
    /// only the pod's own node is believed.
    #[must_use]
    pub fn mirrors_static_pod(&self) -> bool {
        let (group, prefix) = NODES;
        let node = text(&self.object, "/spec/nodeName").filter(|node| !node.is_empty());
        let by_its_node = node.is_some() && self.user.username.strip_prefix(prefix) == node;
        by_its_node && self.user.groups.iter().any(|name| name == group) && self.annotation(MIRROR).is_some()
    }

    /// An annotation of the object.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.object.get("metadata")?.get("annotations")?.get(key)?.as_str()
    }
}

/// The text at a JSON pointer.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

fn must_be(field: &'static str, expected: &'static str, found: &str) -> Result<(), ReviewError> {
    match found {
        "" => Err(ReviewError::Missing(field)),
        found if found == expected => Ok(()),
        other => Err(ReviewError::Field { field, expected, found: other.chars().take(80).collect() }),
    }
}

fn empty_for_null<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(body: &str) -> String {
        Review::read(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(error("nonsense").contains("not an admission review"));
        assert_eq!(error("{}"), "$.kind is missing");
        assert_eq!(error(r#"{"kind":"Pod"}"#), "$.kind must be 'AdmissionReview', not 'Pod'");
        let old = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1"}"#;
        assert!(error(old).starts_with("$.apiVersion must be 'admission.k8s.io/v1'"));
        let bare = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}"#;
        assert_eq!(error(bare), "$.request is missing");
        let anonymous = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{}}"#;
        assert_eq!(error(anonymous), "$.request.uid is missing");
    }

    fn read(request: &str) -> Review {
        let body = format!(r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{request}}}"#);
        Review::read(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_digest_is_of_what_is_asked_and_not_of_how_it_is_spelled() {
        let asked = r#"{"uid":"1","operation":"CREATE","namespace":"shop","userInfo":{"username":"ann","groups":["a","b"]},
            "object":{"metadata":{"name":"x"},"spec":{"containers":[{"name":"a","image":"b:1"},{"name":"c","image":"d:1"}]}}}"#;
        let digest = read(asked).digest().unwrap();
        let spelled = r#"{ "object" : {"spec":{"containers":[{"image":"b:1","name":"a"}, {"image":"\u0064:1","name":"c"}]},
            "metadata":{"labels":{"unread":"1"},"name":"x"}}, "subResource":null, "namespace":"shop",
            "userInfo":{"groups":["a","b"],"username":"ann"}, "operation":"CREATE", "uid":"2" }"#;
        assert_eq!(read(spelled).digest(), Some(digest));
        let others =
            [("d:1", "d:2"), ("ann", "bob"), ("shop", "pay"), ("CREATE", "UPDATE"), (r#""a","b""#, r#""b","a""#)];
        for (from, to) in others {
            assert!(asked.contains(from));
            assert_ne!(read(&asked.replace(from, to)).digest(), Some(digest), "{from} {to}");
        }
        let dry = asked.replacen('{', r#"{"dryRun":true,"#, 1);
        assert_ne!(read(&dry).digest(), Some(digest));
    }

    #[test]
    fn what_has_no_canonical_form_has_no_digest_and_is_read() {
        let odd = read(r#"{"uid":"1","object":{"metadata":{"name":18446744073709551615}}}"#);
        assert_eq!(odd.digest(), None);
    }

    #[test]
    fn nulls_and_unknown_operations_are_taken() {
        let body = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":
            {"uid":"1","operation":"CONNECT","subResource":null,"dryRun":null,"namespace":null,"later":{}}}"#;
        let review = Review::read(body.as_bytes()).unwrap();
        assert_eq!(review.operation, Operation::Other);
        assert!(!review.dry_run && review.object.is_null());
    }
}
