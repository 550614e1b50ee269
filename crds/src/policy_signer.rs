//! Whose signatures count.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Somebody whose signatures count: by a key, or by an identity that a certificate names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    json!({"rule": "has(self.key) != has(self.keyless)", "message": "exactly one of key and keyless is needed"}),
]))]
pub struct PolicySigner {
    /// Name, unique in the policy; refusals say it.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// The public key as PEM: ECDSA over P-256 or P-384, Ed25519, RSA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub key: Option<String>,
    /// The identity, by the word of the operator's trust root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyless: Option<KeylessIdentity>,
}

/// Whom the certificate of a signature names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    json!({"rule": "has(self.issuer) != has(self.issuerRegExp)", "message": "exactly one of issuer and issuerRegExp is needed"}),
    json!({"rule": "has(self.subject) != has(self.subjectRegExp)", "message": "exactly one of subject and subjectRegExp is needed"}),
]))]
pub struct KeylessIdentity {
    /// Who vouches for the identity: the URL of an OpenID provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub issuer: Option<String>,
    /// The same as a regular expression, which has to match all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub issuer_reg_exp: Option<String>,
    /// The identity: an e-mail address, or the URI of a workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub subject: Option<String>,
    /// The same as a regular expression, which has to match all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub subject_reg_exp: Option<String>,
}
