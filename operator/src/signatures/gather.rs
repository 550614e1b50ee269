//! What registries have of an image: what is attached to it and to the indexes that list it, and what its names stand at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use stella_domain::{Digest, Tenant};
use stella_registry::credentials::Keyring;
use stella_registry::{Attachment, Client, Gathering, Kin, PullError, Reference};
use stella_store::StoreError;

use super::evidence::is_evidence;
use crate::app::App;
use crate::scanning::{RegistryError, keyring_for};

/// Time for one repository.
const TIME: Duration = Duration::from_secs(30);
/// Repositories of an image that are asked.
const REPOSITORIES: usize = 8;
/// Indexes that list an image, of which it is looked what is attached to them, in one repository.
const INDEXES: usize = 4;
/// Tags of an image that are looked up in a repository. The others are as if nobody had signed what they stand at.
const TAGS: usize = 16;

/// What there is of an image.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// What is attached.
    pub(super) parts: Vec<Attachment>,
    /// To what: the image, and the indexes that list it.
    pub(super) subjects: Vec<Digest>,
    /// Why some of it is not here.
    pub(super) left_out: Option<String>,
    /// What the places said that did not answer.
    pub(super) failures: Vec<String>,
    /// Digests that lead to the image and to no other: its own, that of its configuration, those of indexes that list nothing else.
    alone: BTreeSet<Digest>,
    /// Its references, and what they stand at.
    stands_at: BTreeMap<String, Digest>,
}

impl Gathered {
    /// The names of the image that something is of which is of `subjects`: these themselves, as who signs an index signs what it
    /// lists; whatever leads to the image alone; and references that stand at one of all these. None where there are no subjects.
    ///
    /// An index that lists others, too, is not among them unless something is of itself.
    pub(super) fn names_of(&self, subjects: &BTreeSet<Digest>) -> BTreeSet<String> {
        if subjects.is_empty() {
            return BTreeSet::new();
        }
        let digests = &self.alone | subjects;
        let references = self.stands_at.iter().filter(|(_, digest)| digests.contains(*digest)).map(|(name, _)| name);
        digests.iter().map(ToString::to_string).chain(references.cloned()).collect()
    }
}

/// A repository that an image goes by.
#[derive(Debug)]
struct Place {
    /// One of its names there.
    reference: Reference,
    /// Those with a tag alone, as they are kept, and as they are asked for.
    tags: Vec<(String, Reference)>,
}

/// What a place told.
#[derive(Debug, Default)]
struct Answer {
    kin: Kin,
    stands_at: BTreeMap<String, Digest>,
}

/// The names of an image: the one that it was last read by first, as whoever may ask for scans may give it others, and then those
/// that were given to it last.
pub(super) async fn names(app: &App, tenant: &Tenant, image: &Digest) -> Result<Vec<String>, StoreError> {
    let read_by = app.store.image_summary(tenant, image).await?.and_then(|summary| summary.reference);
    Ok(read_by.into_iter().chain(app.store.recent_image_names(tenant, image).await?).collect())
}

/// Asks every place of an image for what there is.
pub(super) async fn gather(
    app: &App,
    tenant: &Tenant,
    image: &Digest,
    names: &[String],
) -> Result<Gathered, RegistryError> {
    let keyring = keyring_for(app, tenant, image).await?;
    gather_with(&app.registries, image, names, &keyring).await
}

/// The same with these credentials. The places are asked at the same time: one that does not answer holds up no other.
async fn gather_with(
    client: &Client,
    image: &Digest,
    names: &[String],
    keyring: &Keyring,
) -> Result<Gathered, RegistryError> {
    let places = places(names);
    if places.is_empty() {
        return Err(RegistryError::NoRepository);
    }
    let others: Vec<Digest> = names.iter().filter_map(|name| name.parse().ok()).filter(|name| name != image).collect();
    let gathering = Gathering::of(places.len());
    let asked: Vec<_> = places.iter().map(|place| ask(client, place, image, &others, keyring, &gathering)).collect();
    let answers = join_all(asked).await;
    let attached = gathering.finish();
    let mut gathered = Gathered {
        parts: attached.parts,
        subjects: vec![*image],
        left_out: attached.left_out,
        alone: BTreeSet::from([*image]),
        stands_at: by_digest(names),
        ..Gathered::default()
    };
    for answer in answers {
        match answer {
            Ok(Answer { kin, stands_at }) => {
                gathered.stands_at.extend(stands_at);
                gathered.alone.extend(kin.configuration);
                gathered.alone.extend(kin.indexes.iter().filter(|index| index.alone).map(|index| index.digest));
                gathered.subjects.extend(kin.indexes.iter().map(|index| index.digest));
            }
            Err(failure) => gathered.failures.push(failure),
        }
    }
    gathered.subjects.sort_unstable();
    gathered.subjects.dedup();
    Ok(gathered)
}

/// References that say themselves which digest they stand at.
fn by_digest(names: &[String]) -> BTreeMap<String, Digest> {
    let digest = |name: &String| Some((name.clone(), name.parse::<Reference>().ok()?.digest()?));
    names.iter().filter(|name| name.parse::<Digest>().is_err()).filter_map(digest).collect()
}

/// What is in one repository, within its time.
async fn ask(
    client: &Client,
    place: &Place,
    image: &Digest,
    others: &[Digest],
    keyring: &Keyring,
    gathering: &Gathering,
) -> Result<Answer, String> {
    match tokio::time::timeout(TIME, at_place(client, place, image, others, keyring, gathering)).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("{}: not finished after {} s", place.reference.registry(), TIME.as_secs())),
    }
}

/// What is attached in one repository: to the image, and to the indexes that list it.
async fn at_place(
    client: &Client,
    place: &Place,
    image: &Digest,
    others: &[Digest],
    keyring: &Keyring,
    gathering: &Gathering,
) -> Result<Answer, PullError> {
    let repository = client.repository(&place.reference, keyring)?;
    let mut stands_at = BTreeMap::new();
    for (name, tag) in &place.tags {
        if let Some(digest) = repository.resolve(tag).await? {
            stands_at.insert(name.clone(), digest);
        }
    }
    // A tag may stand at an index by now that the image does not go by yet.
    let mut seen = BTreeSet::from([*image]);
    let candidates: Vec<Digest> =
        stands_at.values().chain(others).copied().filter(|digest| seen.insert(*digest)).collect();
    let kin = repository.kin_of(*image, &candidates, INDEXES).await?;
    let subjects: Vec<Digest> = [*image].into_iter().chain(kin.indexes.iter().map(|index| index.digest)).collect();
    for subject in subjects {
        repository.gather(subject, gathering, &is_evidence).await?;
    }
    Ok(Answer { kin, stands_at })
}

/// The repositories that an image goes by, in the order of its names.
fn places(names: &[String]) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for name in names.iter().filter(|name| name.parse::<Digest>().is_err()) {
        let Ok(reference) = name.parse::<Reference>() else { continue };
        let is_of = |place: &Place| {
            (place.reference.registry(), place.reference.repository()) == (reference.registry(), reference.repository())
        };
        let at = match places.iter().position(is_of) {
            Some(at) => at,
            None if places.len() == REPOSITORIES => continue,
            None => {
                places.push(Place { reference: reference.clone(), tags: Vec::new() });
                places.len() - 1
            }
        };
        let tags = &mut places[at].tags;
        if reference.digest().is_none() && tags.len() < TAGS && tags.iter().all(|(known, _)| known != name) {
            tags.push((name.clone(), reference));
        }
    }
    places
}

/// The registry that an image comes from which was last read by `reference`, for taking turns.
pub(super) fn host(reference: Option<&str>) -> String {
    let reference = reference.and_then(|reference| reference.parse::<Reference>().ok());
    reference.map(|reference| reference.registry().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
