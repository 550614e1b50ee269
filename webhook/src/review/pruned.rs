//! Reads of an object only what decisions need. The rest, which may be megabytes of the smallest values there are, is passed
//! over without being kept: an object must not be able to take the memory of the process that judges it.

use std::cell::Cell;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{BREAK_GLASS, MIRROR};

/// No object that the API server can store has more containers and volumes than this, in all its lists together.
const MOST_ITEMS: usize = 65_536;
/// Owners beyond these play no part.
const MOST_OWNERS: usize = 256;

/// A place of an object, which tells what is kept there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// An object, a template, or a template of a job.
    Object,
    Metadata,
    Annotations,
    Owners,
    Owner,
    Spec,
    Containers,
    Container,
    Volumes,
    Volume,
    VolumeImage,
    /// A text, a number, a truth value, or null.
    Scalar,
}

impl Part {
    /// What stands under a key; `None` for what is not kept.
    fn under(self, key: &str) -> Option<Self> {
        use Part::{
            Annotations, Container, Containers, Metadata, Object, Owner, Owners, Scalar, Spec, Volume, VolumeImage,
            Volumes,
        };
        match (self, key) {
            (Object, "metadata") => Some(Metadata),
            (Object, "spec") => Some(Spec),
            (Metadata, "annotations") => Some(Annotations),
            (Metadata, "ownerReferences") => Some(Owners),
            (Spec, "containers" | "initContainers" | "ephemeralContainers") => Some(Containers),
            (Spec, "volumes") => Some(Volumes),
            (Spec, "template" | "jobTemplate") => Some(Object),
            (Volume, "image") => Some(VolumeImage),
            (Object, "apiVersion" | "kind")
            | (Metadata, "name" | "generateName" | "namespace" | "uid" | "deletionTimestamp")
            | (Annotations, MIRROR | BREAK_GLASS)
            | (Owner, "apiVersion" | "kind" | "name" | "uid" | "controller")
            | (Spec, "nodeName")
            | (Container, "name" | "image")
            | (Volume, "name")
            | (VolumeImage, "reference") => Some(Scalar),
            _ => None,
        }
    }

    /// What the items of a list are.
    const fn item(self) -> Option<Self> {
        match self {
            Self::Owners => Some(Self::Owner),
            Self::Containers => Some(Self::Container),
            Self::Volumes => Some(Self::Volume),
            _ => None,
        }
    }

    const fn has_keys(self) -> bool {
        self.item().is_none() && !matches!(self, Self::Scalar)
    }
}

/// Reads an object for a field of a review.
pub(super) fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    Reader { part: Part::Object, left: &Cell::new(MOST_ITEMS) }.deserialize(deserializer)
}

/// Reads a place of an object.
#[derive(Debug, Clone, Copy)]
struct Reader<'l> {
    part: Part,
    /// Containers and volumes that the object may have yet.
    left: &'l Cell<usize>,
}

impl Reader<'_> {
    const fn at(self, part: Part) -> Self {
        Self { part, ..self }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        let Some(part) = self.part.item() else {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        };
        if part == Part::Owner {
            while items.len() < MOST_OWNERS {
                let Some(item) = list.next_element_seed(self.at(part))? else { return Ok(Value::Array(items)) };
                items.push(item);
            }
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Array(items));
        }
        while let Some(item) = list.next_element_seed(self.at(part))? {
            let Some(left) = self.left.get().checked_sub(1) else {
                let message = format_args!("more than {MOST_ITEMS} containers and volumes");
                return Err(A::Error::custom(message));
            };
            self.left.set(left);
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match self.part.under(&key) {
                Some(part) => {
                    let value = map.next_value_seed(self.at(part))?;
                    fields.insert(key.into_owned(), value);
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        // Each map kept takes some 600 bytes; what names no image only has to keep its place in the list.
        let of_no_use = matches!(self.part, Part::Container | Part::Volume) && !fields.contains_key("image");
        Ok(if self.part.has_keys() && !of_no_use { Value::Object(fields) } else { Value::Null })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Value {
        object(&mut serde_json::Deserializer::from_str(text)).unwrap()
    }

    #[test]
    fn what_decisions_need_is_kept_and_nothing_else() {
        let text = json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "status": {"active": [1]},
            "metadata": {"name": "x", "managedFields": [{"a": 1}], "labels": {"app": "shop"},
                "annotations": {BREAK_GLASS: "why", "other": "x"}, "ownerReferences": [{"kind": "Node", "x": 1}]},
            "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": {
                "containers": [{"name": "a", "image": "b", "env": [{"name": "c"}]}],
                "volumes": [{"name": "v", "image": {"reference": "r", "pullPolicy": "p"}, "secret": {}}]}}}}},
        });
        let kept = json!({
            "apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": {"name": "x", "annotations": {BREAK_GLASS: "why"},
                "ownerReferences": [{"kind": "Node"}]},
            "spec": {"jobTemplate": {"spec": {"template": {"spec": {
                "containers": [{"name": "a", "image": "b"}], "volumes": [{"name": "v", "image": {"reference": "r"}}]}}}}},
        });
        assert_eq!(read(&text.to_string()), kept);
    }

    #[test]
    fn what_stands_elsewhere_than_the_api_has_it_is_passed_over() {
        let text = r#"{"metadata":[{"a":1}],"spec":{"containers":{"image":"x"},"volumes":[[1],null,{"image":"y"}]}}"#;
        let kept = json!({"metadata": null, "spec": {"containers": null, "volumes": [null, null, {"image": "y"}]}});
        assert_eq!(read(text), kept);
    }

    #[test]
    fn what_names_no_image_keeps_nothing_but_its_place() {
        let text = r#"{"spec":{"containers":[{"name":"a"},{"image":"x"}],"volumes":[{"name":"v","secret":{}}]}}"#;
        let kept = json!({"spec": {"containers": [null, {"image": "x"}], "volumes": [null]}});
        assert_eq!(read(text), kept);
    }

    #[test]
    fn owners_without_end_are_passed_over() {
        let many = format!(r#"{{"metadata":{{"ownerReferences":[{}0]}}}}"#, "0,".repeat(2 * MOST_ITEMS));
        assert_eq!(read(&many)["metadata"]["ownerReferences"].as_array().unwrap().len(), MOST_OWNERS);
    }

    #[test]
    fn lists_are_bounded() {
        let many = format!(r#"{{"spec":{{"containers":[{}0]}}}}"#, "0,".repeat(MOST_ITEMS));
        let error = object(&mut serde_json::Deserializer::from_str(&many)).unwrap_err().to_string();
        assert!(error.contains("more than 65536"), "{error}");
        // All lists together, also those of templates within templates.
        let half = format!("[{}0]", "0,".repeat(MOST_ITEMS / 2));
        let many = format!(r#"{{"spec":{{"volumes":{half},"template":{{"spec":{{"containers":{half}}}}}}}}}"#);
        assert!(object(&mut serde_json::Deserializer::from_str(&many)).is_err());
    }
}
