//! What is attached to an image: its referrers (OCI distribution 1.1), or the tag that lists them where a registry has no such
//! API, and the tags where cosign before version 3 looks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use reqwest::header::LINK;
use serde::Deserialize;
use serde_json::Value;
use stella_domain::Digest;
use stella_inventory::image::{ManifestOrIndex, parse_manifest_or_index};

use crate::config::Registry;
use crate::credentials::Keyring;
use crate::document::{read_at_most, status_of};
use crate::endpoint::{Endpoint, Wanted, endpoints};
use crate::error::{Attempt, PullError, RequestError, is_passing_status};
use crate::image::{MANIFESTS, present, put_off};
use crate::reference::Reference;
use crate::transport::Transport;

const MANIFEST: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Suffixes of the tags where older tools look: signatures, attestations, SBOMs.
const OLD_TAGS: [&str; 3] = ["sig", "att", "sbom"];
/// Pages of a list of referrers that are read.
const PAGES: usize = 8;
/// Referrers of a list that are looked at.
const LISTED: usize = 1024;
/// Manifests of attachments that are fetched for one image.
const MANIFESTS_FETCHED: usize = 64;
/// Their parts that are fetched.
const PARTS_FETCHED: usize = 128;
/// Bytes of all parts of one image together.
const BYTES_FETCHED: usize = 64 << 20;

/// One part of something attached, verified against its digest. Whoever may write to the repository may have attached it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The kind of the part.
    pub media_type: String,
    /// The notes of the part.
    pub annotations: BTreeMap<String, String>,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What is attached to an image, as far as it was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachments {
    /// The parts, in the order of the list.
    pub parts: Vec<Attachment>,
    /// Why not all of them are here, where a limit was reached.
    pub left_out: Option<String>,
}

/// The manifest of an attachment.
#[derive(Debug, Deserialize)]
struct Attached {
    #[serde(default)]
    layers: Vec<Part>,
    #[serde(default)]
    subject: Option<Subject>,
}

#[derive(Debug, Deserialize)]
struct Subject {
    digest: Digest,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
struct List {
    #[serde(default)]
    manifests: Vec<Value>,
}

/// The hosts of an image, and what is asked of them.
struct Asking<'a> {
    endpoints: Vec<Endpoint>,
    reference: &'a Reference,
}

impl<'a> Asking<'a> {
    fn new(
        transport: &Arc<Transport>,
        registry: Option<&Registry>,
        reference: &'a Reference,
        keyring: &Keyring,
    ) -> Result<Self, PullError> {
        match endpoints(transport, registry, reference, keyring) {
            Ok(endpoints) => Ok(Self { endpoints, reference }),
            Err(error) => {
                let attempts = vec![Attempt { host: reference.registry().to_owned(), error }];
                Err(PullError::Failed {
                    reference: reference.to_string(),
                    what: "what is attached".to_owned(),
                    attempts,
                })
            }
        }
    }

    fn failed(&self, what: &str, attempts: Vec<Attempt>) -> PullError {
        PullError::Failed { reference: self.reference.to_string(), what: what.to_owned(), attempts }
    }

    /// A document from the first host that has it. `None` when the last of them, the registry itself, says that there is none.
    async fn document(&self, what: &str, wanted: &Wanted<'_>) -> Result<Option<Vec<u8>>, PullError> {
        let mut attempts = Vec::new();
        for endpoint in present(&self.endpoints) {
            match endpoint.document(wanted).await {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(error) => put_off(endpoint, error, &mut attempts),
            }
        }
        match attempts.last() {
            Some(Attempt { error: RequestError::Status { status: 404, .. }, .. }) => Ok(None),
            _ => Err(self.failed(what, attempts)),
        }
    }

    /// Digests of the manifests that refer to `image`, in the order of the list, and whether the list goes on.
    async fn referrers(&self, image: Digest) -> Result<(Vec<Digest>, bool), PullError> {
        let what = format!("the referrers of {image}");
        let mut attempts = Vec::new();
        for endpoint in present(&self.endpoints) {
            match api(endpoint, image).await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => break,
                Err(error) => put_off(endpoint, error, &mut attempts),
            }
        }
        if attempts.len() == self.endpoints.len() {
            return Err(self.failed(&what, attempts));
        }
        // No such API: the list is a tag (distribution specification, "Referrers Tag Schema").
        let wanted =
            Wanted { path: format!("manifests/{}", tag_of(image)), accept: Some(INDEX), digest: None, size: 0 };
        let bytes = self.document(&what, &wanted).await?;
        Ok(bytes.and_then(|bytes| entries(&bytes)).map(cut).unwrap_or_default())
    }
}

/// The tag of an image's referrers.
fn tag_of(image: Digest) -> String {
    format!("sha256-{}", image.hex())
}

/// The digests of a list. An entry that has none, or one by another algorithm, is left out.
fn entries(bytes: &[u8]) -> Option<Vec<Digest>> {
    let list: List = serde_json::from_slice(bytes).ok()?;
    Some(list.manifests.iter().filter_map(|entry| entry["digest"].as_str()?.parse().ok()).collect())
}

/// As many entries as are looked at, and whether there are more.
fn cut(mut found: Vec<Digest>) -> (Vec<Digest>, bool) {
    let more = found.len() > LISTED;
    found.truncate(LISTED);
    (found, more)
}

/// The list by the API of referrers. `None` when the host has no such API.
async fn api(endpoint: &Endpoint, image: Digest) -> Result<Option<(Vec<Digest>, bool)>, RequestError> {
    let limits = &endpoint.transport().limits;
    let (mut found, mut query) = (Vec::new(), String::new());
    for _ in 0..PAGES {
        let response = endpoint.get(&format!("referrers/{image}{query}"), Some(INDEX), None).await?;
        let status = response.status().as_u16();
        match status {
            200 => {}
            400..=499 if !is_passing_status(status) => return Ok(None),
            // The answer of registries that know nothing of it.
            501 => return Ok(None),
            _ => return Err(status_of(response).await),
        }
        let next = response.headers().get(LINK).and_then(|link| next_page(link.to_str().ok()?));
        let bytes = read_at_most(response, limits.document_bytes, limits).await?;
        let Some(entries) = entries(&bytes) else { return Ok(None) };
        found.extend(entries);
        match next {
            Some(next) if found.len() <= LISTED => query = next,
            _ => return Ok(Some(cut(found))),
        }
    }
    let (found, _) = cut(found);
    Ok(Some((found, true)))
}

/// The query of the next page. Its host and path are not followed: the list is this one.
fn next_page(link: &str) -> Option<String> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\"") || part.contains("rel=next"))?;
    let (target, _) = next.trim().strip_prefix('<')?.split_once('>')?;
    let (_, query) = target.split_once('?')?;
    Some(format!("?{}", query.split('#').next()?))
}

/// Everything attached to `image` whose parts are of a kind that `wants` takes: by the list of referrers, then under the old
/// tags. A part that is listed twice comes once.
pub(crate) async fn attachments(
    transport: &Arc<Transport>,
    registry: Option<&Registry>,
    reference: &Reference,
    image: Digest,
    keyring: &Keyring,
    wants: &(dyn Fn(&str) -> bool + Sync),
) -> Result<Attachments, PullError> {
    let asking = Asking::new(transport, registry, reference, keyring)?;
    let (mut found, mut seen, mut bytes_left) = (Attachments::default(), BTreeSet::new(), BYTES_FETCHED);
    let (listed, more) = asking.referrers(image).await?;
    if more || listed.len() > MANIFESTS_FETCHED {
        found.left_out = Some(format!("more than {MANIFESTS_FETCHED} manifests refer to {image}"));
    }
    let by_digest = listed.iter().take(MANIFESTS_FETCHED).map(|digest| (digest.to_string(), Some(*digest)));
    let by_tag = OLD_TAGS.iter().map(|suffix| (format!("{}.{suffix}", tag_of(image)), None));
    for (name, digest) in by_digest.chain(by_tag).collect::<Vec<_>>() {
        let what = format!("the manifest {name}");
        let wanted = Wanted { path: format!("manifests/{name}"), accept: Some(MANIFEST), digest, size: 0 };
        let Some(bytes) = asking.document(&what, &wanted).await? else { continue };
        // What is no manifest is attached to nothing.
        let Ok(manifest) = serde_json::from_slice::<Attached>(&bytes) else { continue };
        // A list may name anything.
        if digest.is_some() && manifest.subject.is_none_or(|subject| subject.digest != image) {
            continue;
        }
        for part in manifest.layers.into_iter().filter(|part| wants(&part.media_type)) {
            let Part { media_type, digest, size, annotations } = part;
            let annotations = annotations.unwrap_or_default();
            if !seen.insert((digest, annotations.clone())) {
                continue;
            }
            if found.parts.len() == PARTS_FETCHED || bytes_left == 0 {
                let most = BYTES_FETCHED >> 20;
                found.left_out = Some(format!("more than {PARTS_FETCHED} parts or {most} MiB are attached to {image}"));
                return Ok(found);
            }
            let what = format!("the blob {digest}");
            let wanted = Wanted { path: format!("blobs/{digest}"), accept: None, digest: Some(digest), size };
            let Some(bytes) = asking.document(&what, &wanted).await? else { continue };
            bytes_left = bytes_left.saturating_sub(bytes.len());
            found.parts.push(Attachment { media_type, annotations, bytes });
        }
    }
    Ok(found)
}

/// The digest of the configuration of the image `manifest` in the repository of `reference`; `None` where it is no image's or not
/// there.
pub(crate) async fn configuration(
    transport: &Arc<Transport>,
    registry: Option<&Registry>,
    reference: &Reference,
    manifest: Digest,
    keyring: &Keyring,
) -> Result<Option<Digest>, PullError> {
    let asking = Asking::new(transport, registry, reference, keyring)?;
    let what = format!("the manifest {manifest}");
    let wanted =
        Wanted { path: format!("manifests/{manifest}"), accept: Some(MANIFESTS), digest: Some(manifest), size: 0 };
    let Some(bytes) = asking.document(&what, &wanted).await? else { return Ok(None) };
    Ok(match parse_manifest_or_index(&bytes) {
        Ok(ManifestOrIndex::Manifest(manifest)) => Some(manifest.config.digest),
        _ => None,
    })
}

/// Whether `index` is an index in the repository of `reference` that lists `manifest`.
pub(crate) async fn lists(
    transport: &Arc<Transport>,
    registry: Option<&Registry>,
    reference: &Reference,
    index: Digest,
    manifest: Digest,
    keyring: &Keyring,
) -> Result<bool, PullError> {
    let asking = Asking::new(transport, registry, reference, keyring)?;
    let what = format!("the index {index}");
    let wanted = Wanted { path: format!("manifests/{index}"), accept: Some(MANIFESTS), digest: Some(index), size: 0 };
    let Some(bytes) = asking.document(&what, &wanted).await? else { return Ok(false) };
    Ok(match parse_manifest_or_index(&bytes) {
        Ok(ManifestOrIndex::Index(index)) => index.manifests.iter().any(|entry| entry.digest == manifest),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_next_page_the_query_alone_is_followed() {
        for (link, query) in [
            ("</v2/a/referrers/sha256:0?n=2&last=x>; rel=\"next\"", Some("?n=2&last=x")),
            ("<https://elsewhere.example/x?last=y#z>; rel=next", Some("?last=y")),
            ("</first?a>; rel=\"first\", </next?b>; rel=\"next\"", Some("?b")),
            ("</v2/a/referrers/sha256:0>; rel=\"next\"", None),
            ("</v2/a?x>; rel=\"last\"", None),
            ("?x; rel=\"next\"", None),
        ] {
            assert_eq!(next_page(link).as_deref(), query, "{link}");
        }
    }

    #[test]
    fn entries_of_other_algorithms_are_left_out() {
        let digest = Digest::of("a");
        let list = format!(r#"{{"manifests": [{{"digest": "sha512:00"}}, {{"digest": "{digest}", "size": 3}}, 7]}}"#);
        assert_eq!(entries(list.as_bytes()), Some(vec![digest]));
        assert_eq!(entries(b"<html>"), None);
    }
}
