//! Keeps the `caBundle` of webhook configurations in step with the keyring.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::SourceError;
use super::secret::answered;

/// The configurations this process may patch: those it was given by name, and no others.
#[derive(Clone)]
pub struct Configurations {
    api: Api<ValidatingWebhookConfiguration>,
    names: Vec<String>,
}

impl Configurations {
    /// The configurations called `names`.
    #[must_use]
    pub fn new(client: Client, names: Vec<String>) -> Self {
        Self { api: Api::all(client), names }
    }

    /// Makes all of them trust `bundle` (PEM). One that does not exist is passed over: it may be switched off.
    ///
    /// # Errors
    /// The API server refuses or does not answer.
    pub async fn trust(&self, bundle: &str) -> Result<(), SourceError> {
        for name in &self.names {
            let object = || format!("validatingwebhookconfiguration {name}");
            let Some(configuration) = answered(self.api.get_opt(name), object).await? else {
                tracing::debug!(name, "no such webhook configuration");
                continue;
            };
            if let Some(patch) = patch(&configuration, bundle) {
                answered(self.api.patch(name, &PatchParams::default(), &Patch::Strategic(patch)), object).await?;
                tracing::info!(name, "the webhook configuration trusts another bundle");
            }
        }
        Ok(())
    }
}

/// What has to change in a configuration; webhooks are told apart by name (Kubernetes API, `patchMergeKey`).
fn patch(configuration: &ValidatingWebhookConfiguration, bundle: &str) -> Option<Value> {
    let wanted = ByteString(bundle.as_bytes().to_vec());
    let webhooks = configuration.webhooks.as_deref().unwrap_or_default();
    let differing = webhooks.iter().filter(|webhook| webhook.client_config.ca_bundle.as_ref() != Some(&wanted));
    let changes: Vec<_> =
        differing.map(|webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": wanted}})).collect();
    // The version makes sure that nobody changed the list of webhooks meanwhile.
    let version = &configuration.metadata.resource_version;
    (!changes.is_empty()).then(|| json!({"metadata": {"resourceVersion": version}, "webhooks": changes}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(bundles: &[&str]) -> ValidatingWebhookConfiguration {
        let webhook = |(n, bundle): (usize, &&str)| {
            json!({"name": format!("w{n}"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "clientConfig": {"caBundle": ByteString(bundle.as_bytes().to_vec())}})
        };
        let webhooks: Vec<_> = bundles.iter().enumerate().map(webhook).collect();
        let body = json!({"metadata": {"name": "stella", "resourceVersion": "7"}, "webhooks": webhooks});
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn only_what_differs_is_patched() {
        assert_eq!(patch(&configuration(&["new", "new"]), "new"), None);
        let change = patch(&configuration(&["new", "old"]), "new").unwrap();
        assert_eq!(change["webhooks"], json!([{"name": "w1", "clientConfig": {"caBundle": "bmV3"}}]));
        assert_eq!(change["metadata"]["resourceVersion"], "7");
    }
}
