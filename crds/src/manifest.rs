//! The manifests of the kinds.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

use crate::{ExportProfile, Policy, ScanJob};

/// File name and definition of each kind, in a fixed order.
///
/// # Panics
/// Never: the definitions are made from types at hand.
#[must_use]
pub fn manifests() -> Vec<(&'static str, serde_json::Value)> {
    [
        ("exportprofiles.stella-ops.org.yaml", ExportProfile::crd()),
        ("policies.stella-ops.org.yaml", Policy::crd()),
        ("scanjobs.stella-ops.org.yaml", ScanJob::crd()),
    ]
    .into_iter()
    .map(|(name, crd)| (name, finish(name, &crd)))
    .collect()
}

/// A manifest as YAML.
///
/// # Panics
/// Never for a value that [`manifests`] made.
#[must_use]
pub fn yaml(manifest: &serde_json::Value) -> String {
    let text = serde_saphyr::to_string(manifest).expect("a JSON value can be written as YAML");
    format!("# Generated from the Rust types by `make generate`. Do not edit.\n{text}")
}

/// Adds what the derive cannot say: the default of the status, and rules that compare with the object as it was.
fn finish(name: &str, crd: &CustomResourceDefinition) -> serde_json::Value {
    let mut crd = serde_json::to_value(crd).expect("a definition can be written as JSON");
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["properties"]["status"]["default"] = serde_json::json!({"observedGeneration": -1});
    schema["properties"]["status"]["description"] = "What the operator observed.".into();
    if name.starts_with("scanjobs.") {
        schema["x-kubernetes-validations"] = ["image", "workloads"].map(unchanged_once_started).to_vec().into();
    }
    crd
}

/// What identifies the work stays the same from the moment the scan has an id.
fn unchanged_once_started(field: &str) -> serde_json::Value {
    let rule = format!(
        "!has(oldSelf.status) || !has(oldSelf.status.scanId) || (has(self.spec.{field}) == has(oldSelf.spec.{field}) \
         && (!has(self.spec.{field}) || self.spec.{field} == oldSelf.spec.{field}))"
    );
    serde_json::json!({"rule": rule, "message": format!("{field} cannot change once the scan has started; make another ScanJob")})
}
