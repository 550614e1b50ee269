//! Every place of an object where an image can stand.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Review;

/// An object that runs images, by where its pod stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// A pod itself.
    Pod,
    /// Something that makes pods from a template.
    Template,
    /// Something that makes jobs, which make pods.
    JobTemplate,
}

/// The role of an image in a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// A container.
    Container,
    /// An init container, or a sidecar.
    InitContainer,
    /// An ephemeral container.
    EphemeralContainer,
    /// A volume of type image.
    Volume,
}

/// An image where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageUse {
    /// JSONPath in the object.
    pub path: String,
    /// Its role.
    pub place: Place,
    /// Name of the container or volume.
    pub holder: String,
    /// The image as written.
    pub image: String,
}

impl Workload {
    /// What the review is about, if it is something that runs images: pods, their ephemeral containers, and the kinds
    /// that make pods. Other subresources (`status`, `scale`, `binding`, `resize`, ...) change no image.
    #[must_use]
    pub fn of(review: &Review) -> Option<Self> {
        let resource = &review.resource;
        match (resource.group.as_str(), resource.resource.as_str(), review.sub_resource.as_str()) {
            ("", "pods", "" | "ephemeralcontainers") => Some(Self::Pod),
            ("", "replicationcontrollers", "")
            | ("apps", "deployments" | "statefulsets" | "daemonsets" | "replicasets", "")
            | ("batch", "jobs", "") => Some(Self::Template),
            ("batch", "cronjobs", "") => Some(Self::JobTemplate),
            _ => None,
        }
    }

    /// Whether it is a pod, rather than something that makes pods.
    #[must_use]
    pub const fn is_pod(self) -> bool {
        matches!(self, Self::Pod)
    }

    /// The object whose metadata and spec are the pod's, and its JSONPath.
    #[must_use]
    pub fn pod(self, object: &Value) -> Option<(&Value, &'static str)> {
        let (pointer, path) = match self {
            Self::Pod => ("", "$"),
            Self::Template => ("/spec/template", "$.spec.template"),
            Self::JobTemplate => ("/spec/jobTemplate/spec/template", "$.spec.jobTemplate.spec.template"),
        };
        Some((object.pointer(pointer)?, path))
    }
}

/// The images of an object, in the order in which they stand. Whatever is not where the Kubernetes API has it is
/// passed over; nothing is ever refused here.
#[must_use]
pub fn extract(workload: Workload, object: &Value) -> Vec<ImageUse> {
    const CONTAINERS: [(&str, Place); 3] = [
        ("initContainers", Place::InitContainer),
        ("containers", Place::Container),
        ("ephemeralContainers", Place::EphemeralContainer),
    ];
    let Some((pod, path)) = workload.pod(object) else { return Vec::new() };
    let Some(spec) = pod.get("spec") else { return Vec::new() };
    let containers = CONTAINERS.iter().flat_map(|(field, place)| {
        items(spec, field).enumerate().filter_map(move |(n, container)| {
            image_use(container, container.get("image")?, *place, || format!("{path}.spec.{field}[{n}].image"))
        })
    });
    let volumes = items(spec, "volumes").enumerate().filter_map(|(n, volume)| {
        let reference = volume.get("image")?.get("reference")?;
        image_use(volume, reference, Place::Volume, || format!("{path}.spec.volumes[{n}].image.reference"))
    });
    containers.chain(volumes).collect()
}

fn items<'a>(spec: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    spec.get(field).and_then(Value::as_array).into_iter().flatten()
}

/// An image that is left empty (a template whose image someone else fills in) is no image yet.
fn image_use(holder: &Value, image: &Value, place: Place, path: impl FnOnce() -> String) -> Option<ImageUse> {
    let image = image.as_str().filter(|image| !image.is_empty())?;
    let name = holder.get("name").and_then(Value::as_str).unwrap_or_default();
    Some(ImageUse { path: path(), place, holder: name.to_owned(), image: image.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn spec() -> Value {
        json!({ "spec": {
            "initContainers": [{"name": "setup", "image": "init:1"}, {"name": "mesh", "image": "side:1", "restartPolicy": "Always"}],
            "containers": [{"name": "app", "image": "app:1"}],
            "ephemeralContainers": [{"name": "debug", "image": "debug:1"}],
            "volumes": [{"name": "none", "emptyDir": {}}, {"name": "model", "image": {"reference": "vol:1"}}],
        }})
    }

    fn found(workload: Workload, object: &Value) -> Vec<(String, String)> {
        extract(workload, object).into_iter().map(|used| (used.path, used.image)).collect()
    }

    #[test]
    fn a_pod_has_five_places() {
        let expected = [
            ("$.spec.initContainers[0].image", "init:1"),
            ("$.spec.initContainers[1].image", "side:1"),
            ("$.spec.containers[0].image", "app:1"),
            ("$.spec.ephemeralContainers[0].image", "debug:1"),
            ("$.spec.volumes[1].image.reference", "vol:1"),
        ];
        assert_eq!(found(Workload::Pod, &spec()), expected.map(|(path, image)| (path.to_owned(), image.to_owned())));
    }

    #[test]
    fn templates_are_found_where_they_stand() {
        let deployment = json!({"spec": {"template": spec()}});
        let paths = found(Workload::Template, &deployment);
        assert_eq!(paths[2].0, "$.spec.template.spec.containers[0].image");
        let cron = json!({"spec": {"jobTemplate": {"spec": {"template": spec()}}}});
        let paths = found(Workload::JobTemplate, &cron);
        assert_eq!(paths[4].0, "$.spec.jobTemplate.spec.template.spec.volumes[1].image.reference");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let key = prop_oneof![
            Just("spec"),
            Just("template"),
            Just("jobTemplate"),
            Just("containers"),
            Just("initContainers"),
            Just("ephemeralContainers"),
            Just("volumes"),
            Just("image"),
            Just("reference"),
            Just("name"),
            Just("x"),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from)
        ];
        leaf.prop_recursive(8, 128, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((key.clone(), inner), 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_json_makes_it_panic(object in any_json()) {
            for workload in [Workload::Pod, Workload::Template, Workload::JobTemplate] {
                for used in extract(workload, &object) {
                    prop_assert!(!used.image.is_empty() && used.path.starts_with("$."));
                }
            }
        }
    }
}
