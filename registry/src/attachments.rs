//! What is attached to an image: its referrers (OCI distribution 1.1), or the tag that lists them where a registry has no such
//! API, and the tags where cosign before version 3 looks.

use std::collections::BTreeMap;
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
use crate::gathering::{Attachment, Gathering, Share};
use crate::image::{MANIFESTS, named, present, put_off};
use crate::kin::{Kin, Listing, leads_to, plain_index};
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
/// Manifests of attachments that are fetched for one image in one repository.
const MANIFESTS_FETCHED: usize = 64;
/// Digests that are asked about, whether they are indexes that list an image.
const INDEXES_ASKED: usize = 32;

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

/// A repository that is asked about images: its hosts, at each of which one logs in once.
#[derive(Debug)]
pub struct Repository<'a> {
    endpoints: Vec<Endpoint>,
    reference: &'a Reference,
    /// What it has brought.
    used: Share,
}

impl<'a> Repository<'a> {
    pub(crate) fn new(
        transport: &Arc<Transport>,
        registry: Option<&Registry>,
        reference: &'a Reference,
        keyring: &Keyring,
    ) -> Result<Self, PullError> {
        match endpoints(transport, registry, reference, keyring) {
            Ok(endpoints) => Ok(Self { endpoints, reference, used: Share { parts: 0, bytes: 0 } }),
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

    /// The digest that the tag of `name`, a reference in this repository, stands at now; `None` when there is no such tag.
    ///
    /// # Errors
    /// [`PullError`] with what each host said. None is asked twice.
    pub async fn resolve(&self, name: &Reference) -> Result<Option<Digest>, PullError> {
        let mut attempts = Vec::new();
        for endpoint in present(&self.endpoints) {
            match endpoint.digest(&named(name)).await {
                Ok(digest) => return Ok(Some(digest)),
                Err(error) => put_off(endpoint, error, &mut attempts),
            }
        }
        if is_not_there(&attempts) { Ok(None) } else { Err(self.failed(&format!("the digest of {name}"), attempts)) }
    }

    /// What of `others` stands for the image `manifest`: its configuration, and at most `most` indexes that list it, in the order of
    /// `others`, of which the first 32 are asked about. One that is not there lists nothing.
    ///
    /// # Errors
    /// [`PullError`] with what each host said.
    pub async fn kin_of(&self, manifest: Digest, others: &[Digest], most: usize) -> Result<Kin, PullError> {
        let mut kin = Kin::default();
        if others.is_empty() {
            return Ok(kin);
        }
        let bytes = self.by_digest("manifest", manifest).await?;
        kin.configuration = match bytes.map(|bytes| parse_manifest_or_index(&bytes)) {
            Some(Ok(ManifestOrIndex::Manifest(manifest))) => Some(manifest.config.digest),
            _ => None,
        };
        // Some registries fail when they are asked for a manifest by the digest of a configuration.
        let is_index = |other: &&Digest| **other != manifest && Some(**other) != kin.configuration;
        let mut others: Vec<Digest> = others.iter().filter(is_index).copied().collect();
        kin.unasked = others.len().saturating_sub(INDEXES_ASKED);
        others.truncate(INDEXES_ASKED);
        for (at, index) in others.iter().copied().enumerate() {
            if kin.indexes.len() == most {
                kin.unasked += others.len() - at;
                break;
            }
            let Some(bytes) = self.by_digest("index", index).await? else { continue };
            let alone = plain_index(&bytes).and_then(|listed| leads_to(&listed, manifest));
            kin.indexes.extend(alone.map(|alone| Listing { digest: index, alone }));
        }
        Ok(kin)
    }

    /// Gathers what is attached to `image` and of a kind that `wants` takes: by the list of referrers, then under the old tags.
    /// What is larger than a document may be is left out, and said.
    ///
    /// # Errors
    /// [`PullError`] with what each host said, when it cannot be told what is attached.
    pub async fn gather(
        &mut self,
        image: Digest,
        gathering: &Gathering,
        wants: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<(), PullError> {
        let (listed, more) = self.referrers(image).await?;
        if more || listed.len() > MANIFESTS_FETCHED {
            gathering.leave_out(format!("more than {MANIFESTS_FETCHED} manifests refer to {image}"));
        }
        let by_digest = listed.iter().take(MANIFESTS_FETCHED).map(|digest| (digest.to_string(), Some(*digest)));
        let by_tag = OLD_TAGS.iter().map(|suffix| (format!("{}.{suffix}", tag_of(image)), None));
        for (name, digest) in by_digest.chain(by_tag).collect::<Vec<_>>() {
            let what = format!("the manifest {name}");
            let wanted = Wanted { path: format!("manifests/{name}"), accept: Some(MANIFEST), digest, size: 0 };
            let Some(bytes) = self.short(&what, &wanted, gathering).await? else { continue };
            // What is no manifest is attached to nothing.
            let Ok(manifest) = serde_json::from_slice::<Attached>(&bytes) else { continue };
            // A list may name anything.
            if digest.is_some() && manifest.subject.is_none_or(|subject| subject.digest != image) {
                continue;
            }
            for part in manifest.layers.into_iter().filter(|part| wants(&part.media_type)) {
                if !self.part(image, part, gathering).await? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Gathers one part. Whether there may be more of them.
    async fn part(&mut self, subject: Digest, part: Part, gathering: &Gathering) -> Result<bool, PullError> {
        let Part { media_type, digest, size, annotations } = part;
        let annotations = annotations.unwrap_or_default();
        let name = (subject, digest, annotations.clone());
        let place = self.reference.place();
        if gathering.has(&name, &place) {
            return Ok(true);
        }
        let Share { parts, bytes: most } = gathering.share();
        let used = self.used;
        if used.parts >= parts || used.bytes >= most {
            let host = self.reference.registry();
            gathering.leave_out(format!("{host} has more than {parts} parts or {} MiB that are attached", most >> 20));
            return Ok(false);
        }
        let what = format!("the blob {digest}");
        let wanted = Wanted { path: format!("blobs/{digest}"), accept: None, digest: Some(digest), size };
        let Some(bytes) = self.short(&what, &wanted, gathering).await? else { return Ok(true) };
        self.used = Share { parts: used.parts + 1, bytes: used.bytes.saturating_add(bytes.len()) };
        gathering.put(name, Attachment { subject, media_type, annotations, bytes, places: [place].into() });
        Ok(true)
    }

    /// A document of whoever may write to the repository: one that is too long is left out, and spoils no other.
    async fn short(
        &self,
        what: &str,
        wanted: &Wanted<'_>,
        gathering: &Gathering,
    ) -> Result<Option<Vec<u8>>, PullError> {
        match self.document(what, wanted).await {
            Err(PullError::Failed { attempts, .. }) if is_too_long(&attempts) => {
                let last = attempts.last().map(ToString::to_string).unwrap_or_default();
                gathering.leave_out(format!("{what} is left out: {last}"));
                Ok(None)
            }
            answer => answer,
        }
    }

    /// A manifest or index by its digest; `None` where it is not there.
    async fn by_digest(&self, kind: &str, digest: Digest) -> Result<Option<Vec<u8>>, PullError> {
        let wanted =
            Wanted { path: format!("manifests/{digest}"), accept: Some(MANIFESTS), digest: Some(digest), size: 0 };
        self.document(&format!("the {kind} {digest}"), &wanted).await
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
        if is_not_there(&attempts) { Ok(None) } else { Err(self.failed(what, attempts)) }
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

/// Whether the last host that was asked, the registry itself, says that there is no such thing.
fn is_not_there(attempts: &[Attempt]) -> bool {
    matches!(attempts.last(), Some(Attempt { error: RequestError::Status { status: 404, .. }, .. }))
}

/// Whether it has more bytes than are read.
fn is_too_long(attempts: &[Attempt]) -> bool {
    matches!(attempts.last(), Some(Attempt { error: RequestError::TooLong { .. }, .. }))
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
