//! What is attached to an image: a manifest with its subject, and the list of them where the registry keeps none.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stella_domain::Digest;

use crate::push::{PushError, Pusher};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Kinds that can be a subject.
const SUBJECTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";
/// The configuration of artifacts that have none (image specification, "Guidance for an Empty Descriptor").
const EMPTY: &[u8] = b"{}";
const EMPTY_KIND: &str = "application/vnd.oci.empty.v1+json";
const CONFIG_KIND: &str = "application/vnd.oci.image.config.v1+json";
/// What cosign calls a DSSE envelope.
const ENVELOPE_KIND: &str = "application/vnd.dsse.envelope.v1+json";
/// Referrers of one image that a list holds at most.
const MOST: usize = 5_000;
/// Times that a list is written when others write it too.
const TRIES: u32 = 4;

/// Something to attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// What it is.
    pub artifact_type: String,
    /// What it consists of.
    pub blobs: Vec<ArtifactBlob>,
    /// Notes by which it is found.
    pub annotations: BTreeMap<String, String>,
}

/// A part of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactBlob {
    /// What it is.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Where an artifact went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Digest of its manifest.
    pub manifest: Digest,
    /// The tag that lists it, where the registry has no referrers API.
    pub tag: Option<String>,
}

pub(crate) async fn attach(pusher: &Pusher, subject: Digest, artifact: &Artifact) -> Result<Attached, PushError> {
    let subject = self::subject(pusher, subject).await?;
    let config = pusher.blob(EMPTY).await?;
    let mut layers = Vec::new();
    for blob in &artifact.blobs {
        let digest = pusher.blob(&blob.bytes).await?;
        layers.push(descriptor(&blob.media_type, digest, blob.bytes.len()));
    }
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact.artifact_type,
        "config": descriptor(EMPTY_KIND, config, EMPTY.len()),
        "layers": layers,
        "subject": subject,
    });
    if !artifact.annotations.is_empty() {
        manifest["annotations"] = json!(artifact.annotations);
    }
    let bytes = manifest.to_string().into_bytes();
    let digest = Digest::of(&bytes);
    if pusher.put_manifest(&digest.to_string(), MANIFEST, &bytes).await? {
        return Ok(Attached { manifest: digest, tag: None });
    }
    let mut entry = descriptor(MANIFEST, digest, bytes.len());
    entry["artifactType"] = json!(artifact.artifact_type);
    if !artifact.annotations.is_empty() {
        entry["annotations"] = json!(artifact.annotations);
    }
    let tag = tag_of(&subject);
    list(pusher, &tag, &entry).await?;
    Ok(Attached { manifest: digest, tag: Some(tag) })
}

fn descriptor(kind: &str, digest: Digest, size: usize) -> Value {
    json!({"mediaType": kind, "digest": digest, "size": size})
}

/// The image that is attached to, as the registry has it.
async fn subject(pusher: &Pusher, digest: Digest) -> Result<Value, PushError> {
    let name = digest.to_string();
    let bytes = pusher.manifest(&name, SUBJECTS).await?;
    let bytes = bytes.ok_or_else(|| pusher.unusable(format!("the image {name}"), "it is not there"))?;
    let manifest: Value =
        serde_json::from_slice(&bytes).map_err(|error| pusher.unusable(format!("the image {name}"), error))?;
    // The field may be left out in manifests of OCI.
    let guess = if manifest.get("manifests").is_some() { INDEX } else { MANIFEST };
    let kind = manifest["mediaType"].as_str().unwrap_or(guess);
    Ok(descriptor(kind, digest, bytes.len()))
}

/// The tag with the list of referrers (distribution specification, "Referrers Tag Schema").
fn tag_of(subject: &Value) -> String {
    subject["digest"].as_str().unwrap_or_default().replace(':', "-")
}

/// Puts an entry into the list. Nobody can lock a tag, so what was written is looked at again, each time.
async fn list(pusher: &Pusher, tag: &str, entry: &Value) -> Result<(), PushError> {
    let what = || format!("the list of referrers {tag}");
    for tries in 0..=TRIES {
        let mut index: Value = match pusher.manifest(tag, INDEX).await? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| pusher.unusable(what(), error))?,
            None => json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}),
        };
        let entries = index.get_mut("manifests").and_then(Value::as_array_mut);
        let entries = entries.ok_or_else(|| pusher.unusable(what(), "it is no index"))?;
        if entries.iter().any(|known| known["digest"] == entry["digest"]) {
            return Ok(());
        }
        if tries == TRIES {
            break;
        }
        if entries.len() >= MOST {
            return Err(pusher.unusable(what(), format!("it has {MOST} entries")));
        }
        entries.push(entry.clone());
        pusher.put_manifest(tag, INDEX, index.to_string().as_bytes()).await?;
    }
    Err(pusher.contended(what()))
}

pub(crate) async fn attach_for_old_cosign(
    pusher: &Pusher,
    subject: Digest,
    envelope: &[u8],
    predicate_type: &str,
) -> Result<Digest, PushError> {
    let subject = self::subject(pusher, subject).await?;
    let tag = format!("{}.att", tag_of(&subject));
    let what = || format!("the attestations {tag}");
    let digest = pusher.blob(envelope).await?;
    let mut layer = descriptor(ENVELOPE_KIND, digest, envelope.len());
    layer["annotations"] = json!({"dev.cosignproject.cosign/signature": "", "predicateType": predicate_type});
    for tries in 0..=TRIES {
        let known = pusher.manifest(&tag, MANIFEST).await?;
        let found: Value = match &known {
            Some(bytes) => serde_json::from_slice(bytes).map_err(|error| pusher.unusable(what(), error))?,
            None => json!({"layers": []}),
        };
        let mut layers =
            found["layers"].as_array().ok_or_else(|| pusher.unusable(what(), "it is no manifest"))?.clone();
        if layers.iter().any(|known| known["digest"] == layer["digest"]) {
            return Ok(Digest::of(known.unwrap_or_default()));
        }
        if tries == TRIES {
            break;
        }
        if layers.len() >= MOST {
            return Err(pusher.unusable(what(), format!("it has {MOST} entries")));
        }
        layers.push(layer.clone());
        let config = config(&layers);
        let config_digest = pusher.blob(config.as_bytes()).await?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG_KIND, config_digest, config.len()),
            "layers": layers,
        });
        pusher.put_manifest(&tag, MANIFEST, manifest.to_string().as_bytes()).await?;
    }
    Err(pusher.contended(what()))
}

/// Old readers take the tag for an image, which has a configuration with as many layers.
fn config(layers: &[Value]) -> String {
    let digests: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
    json!({"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": digests}}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_those_of_the_specification() {
        let subject = descriptor(MANIFEST, Digest::of("x"), 1);
        assert_eq!(tag_of(&subject), format!("sha256-{}", Digest::of("x").hex()));
    }

    #[test]
    fn the_empty_configuration_is_the_one_that_everybody_has() {
        let known = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(Digest::of(EMPTY).to_string(), known);
    }
}
