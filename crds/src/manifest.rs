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
    bound_selectors(schema);
    if name.starts_with("scanjobs.") {
        schema["x-kubernetes-validations"] = ["image", "workloads"].map(unchanged_once_started).to_vec().into();
    }
    crd
}

/// Bounds the values of a map of texts.
pub(crate) fn bound_values(schema: &mut schemars::Schema) {
    schema.insert("additionalProperties".to_owned(), serde_json::json!({"type": "string", "maxLength": 256}));
}

/// Label selectors are the API's own type, which bounds nothing and takes any word for an operator. A selector with a typo would
/// select nothing, so a policy that carries it would silently act nowhere.
fn bound_selectors(schema: &mut serde_json::Value) {
    if schema["properties"]["matchExpressions"].is_object() {
        schema["x-kubernetes-map-type"] = "atomic".into();
        let labels = &mut schema["properties"]["matchLabels"];
        labels["maxProperties"] = 32.into();
        labels["additionalProperties"]["maxLength"] = 63.into();
        let expressions = &mut schema["properties"]["matchExpressions"];
        expressions["maxItems"] = 32.into();
        expressions["x-kubernetes-list-type"] = "atomic".into();
        let item = &mut expressions["items"];
        item["properties"]["operator"]["enum"] = serde_json::json!(["In", "NotIn", "Exists", "DoesNotExist"]);
        item["properties"]["key"]["maxLength"] = 317.into();
        let values = &mut item["properties"]["values"];
        values["maxItems"] = 64.into();
        values["items"]["maxLength"] = 63.into();
        values["x-kubernetes-list-type"] = "atomic".into();
        item["x-kubernetes-validations"] = serde_json::json!([{
            "rule": "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0",
            "message": "In and NotIn need values; Exists and DoesNotExist have none",
        }]);
        return;
    }
    // Asked by `get_mut`: indexing would leave a null behind in every schema that has no such key.
    let properties = schema.get_mut("properties").and_then(serde_json::Value::as_object_mut);
    properties.into_iter().flat_map(serde_json::Map::values_mut).for_each(bound_selectors);
    schema.get_mut("items").into_iter().for_each(bound_selectors);
}

/// What identifies the work stays the same from the moment the scan has an id.
fn unchanged_once_started(field: &str) -> serde_json::Value {
    let rule = format!(
        "!has(oldSelf.status) || !has(oldSelf.status.scanId) || (has(self.spec.{field}) == has(oldSelf.spec.{field}) \
         && (!has(self.spec.{field}) || self.spec.{field} == oldSelf.spec.{field}))"
    );
    serde_json::json!({"rule": rule, "message": format!("{field} cannot change once the scan has started; make another ScanJob")})
}
