//! What registries have of an image: what is attached to it and to the indexes that list it, and what its names stand at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use stella_domain::{Digest, Tenant};
use stella_registry::credentials::Keyring;
use stella_registry::{Attachment, Client, Gathering, Kin, PullError, Reference};
use stella_store::{SignatureCheck, StoreError};

use super::evidence::is_evidence;
use crate::app::App;
use crate::scanning::{RegistryError, keyring_for};

/// Time for one repository.
const TIME: Duration = Duration::from_secs(30);
/// Repositories of an image that are asked. Where it goes by names in others, too, a look never tells all there is.
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
    pub(super) left_out: Vec<String>,
    /// What the places said that did not answer, and that some were not asked.
    pub(super) failures: Vec<String>,
    /// These places.
    pub(super) away: BTreeSet<String>,
    /// Tags that were looked up, be they there or not.
    pub(super) resolved: BTreeSet<String>,
    /// Digests that lead to the image and to no other: its own, that of its configuration, those of indexes that list nothing else.
    alone: BTreeSet<Digest>,
    /// Its references, and what they stand at.
    pub(super) stands_at: BTreeMap<String, Digest>,
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
    /// How many tags there are beyond those.
    further: usize,
}

/// What a place told, be it all or not.
#[derive(Debug, Default)]
struct Answer {
    kin: Kin,
    stands_at: BTreeMap<String, Digest>,
    resolved: BTreeSet<String>,
    /// Why it is not all.
    failure: Option<String>,
}

/// Places by how much they are worth asking before others: those where evidence lay come first, then those where a tag stood at it.
/// Whoever may give an image further names gives it none that goes before them.
#[derive(Debug, Default)]
pub(super) struct Worth(BTreeMap<String, u8>);

impl Worth {
    /// By what is known of an image.
    pub(super) fn of(checks: &[SignatureCheck]) -> Self {
        let mut worth = BTreeMap::new();
        for check in checks {
            let names = [&check.signed_names, &check.sbom_names].into_iter().flatten().flatten();
            let tags = names.filter_map(|name| reference(name)).filter(|reference| reference.digest().is_none());
            worth.extend(tags.map(|reference| (reference.place(), 1)));
        }
        let lay = checks.iter().flat_map(|check| check.signed_places.iter().chain(&check.sbom_places));
        worth.extend(lay.map(|place| (place.clone(), 0)));
        Self(worth)
    }

    fn rank(&self, place: &Place) -> u8 {
        self.0.get(&place.reference.place()).copied().unwrap_or(2)
    }
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
    worth: &Worth,
) -> Result<Gathered, RegistryError> {
    let keyring = keyring_for(app, tenant, image).await?;
    gather_with(&app.registries, image, names, worth, &keyring).await
}

/// The same with these credentials. The places are asked at the same time: one that does not answer holds up no other.
async fn gather_with(
    client: &Client,
    image: &Digest,
    names: &[String],
    worth: &Worth,
    keyring: &Keyring,
) -> Result<Gathered, RegistryError> {
    let (places, unasked) = places(names, worth);
    if places.is_empty() {
        return Err(RegistryError::NoRepository);
    }
    let others = names.iter().filter_map(|name| name.parse().ok()).filter(|name| name != image).collect();
    let asking = Asking { client, image: *image, others, keyring, gathering: Gathering::of(places.len()) };
    let answers = join_all(places.iter().map(|place| asking.ask(place))).await;
    let attached = asking.gathering.finish();
    let mut gathered = Gathered {
        parts: attached.parts,
        subjects: vec![*image],
        left_out: attached.left_out.into_iter().collect(),
        alone: BTreeSet::from([*image]),
        stands_at: by_digest(names),
        ..Gathered::default()
    };
    for (place, answer) in places.iter().zip(answers) {
        let Answer { kin, stands_at, resolved, failure } = answer;
        gathered.left_out.extend(left_out(place, &kin));
        gathered.stands_at.extend(stands_at);
        gathered.resolved.extend(resolved);
        gathered.alone.extend(kin.configuration);
        gathered.alone.extend(kin.indexes.iter().filter(|index| index.alone).map(|index| index.digest));
        gathered.subjects.extend(kin.indexes.iter().map(|index| index.digest));
        if let Some(failure) = failure {
            gathered.failures.push(failure);
            gathered.away.insert(place.reference.place());
        }
    }
    if !unasked.is_empty() {
        let (more, first) = (unasked.len(), &unasked[0]);
        gathered.failures.push(format!(
            "it goes by names in more than {REPOSITORIES} repositories: {more} are not asked, {first} among them"
        ));
        gathered.away.extend(unasked);
    }
    gathered.subjects.sort_unstable();
    gathered.subjects.dedup();
    Ok(gathered)
}

/// References that say themselves which digest they stand at.
fn by_digest(names: &[String]) -> BTreeMap<String, Digest> {
    names.iter().filter_map(|name| Some((name.clone(), reference(name)?.digest()?))).collect()
}

/// What a place was not asked about.
fn left_out(place: &Place, kin: &Kin) -> Option<String> {
    let (tags, digests) = (place.further, kin.unasked);
    let name = place.reference.place();
    (tags + digests > 0).then(|| format!("{name} is not asked about {tags} of the tags and {digests} of the digests"))
}

/// What repositories are asked about.
struct Asking<'a> {
    client: &'a Client,
    image: Digest,
    /// What else may be an index that lists the image, or its configuration.
    others: Vec<Digest>,
    keyring: &'a Keyring,
    gathering: Gathering,
}

impl Asking<'_> {
    /// What is in one repository, within its time.
    async fn ask(&self, place: &Place) -> Answer {
        let mut answer = Answer::default();
        let asked = self.at_place(place, &mut answer);
        let failure = match tokio::time::timeout(TIME, asked).await {
            Ok(asked) => asked.err().map(|error| error.to_string()),
            Err(_) => Some(format!("{}: not finished after {} s", place.reference.registry(), TIME.as_secs())),
        };
        Answer { failure, ..answer }
    }

    /// What is attached in one repository: to the image, and to the indexes that list it. What it told before it failed stays in
    /// `answer`.
    async fn at_place(&self, place: &Place, answer: &mut Answer) -> Result<(), PullError> {
        let mut repository = self.client.repository(&place.reference, self.keyring)?;
        let mut found = Vec::new();
        for (name, tag) in &place.tags {
            if let Some(digest) = repository.resolve(tag).await? {
                answer.stands_at.insert(name.clone(), digest);
                found.push(digest);
            }
            answer.resolved.insert(name.clone());
        }
        // A tag may stand at an index by now that the image does not go by yet. Those of the names that were given last are asked
        // about first.
        let mut seen = BTreeSet::from([self.image]);
        let candidates: Vec<Digest> =
            found.iter().chain(&self.others).copied().filter(|digest| seen.insert(*digest)).collect();
        answer.kin = repository.kin_of(self.image, &candidates, INDEXES).await?;
        let subjects: Vec<Digest> =
            [self.image].into_iter().chain(answer.kin.indexes.iter().map(|it| it.digest)).collect();
        for subject in subjects {
            repository.gather(subject, &self.gathering, &is_evidence).await?;
        }
        Ok(())
    }
}

/// The repositories of an image that are asked, those that are worth most first, else in the order of its names; and the others.
fn places(names: &[String], worth: &Worth) -> (Vec<Place>, Vec<String>) {
    let (mut places, mut at): (Vec<Place>, BTreeMap<String, usize>) = (Vec::new(), BTreeMap::new());
    for name in names {
        let Some(reference) = reference(name) else { continue };
        let at = *at.entry(reference.place()).or_insert(places.len());
        if at == places.len() {
            places.push(Place { reference: reference.clone(), tags: Vec::new(), further: 0 });
        }
        let Place { tags, further, .. } = &mut places[at];
        if reference.digest().is_some() || tags.iter().any(|(known, _)| known == name) {
            continue;
        }
        if tags.len() < TAGS {
            tags.push((name.clone(), reference));
        } else {
            *further += 1;
        }
    }
    places.sort_by_key(|place| worth.rank(place));
    let further = places.split_off(places.len().min(REPOSITORIES));
    (places, further.iter().map(|place| place.reference.place()).collect())
}

/// The reference that a name of an image is; `None` of a digest.
pub(super) fn reference(name: &str) -> Option<Reference> {
    if name.parse::<Digest>().is_ok() { None } else { name.parse().ok() }
}

/// The registry that an image comes from which was last read by `reference`, for taking turns.
pub(super) fn host(reference: Option<&str>) -> String {
    let reference = reference.and_then(|reference| reference.parse::<Reference>().ok());
    reference.map(|reference| reference.registry().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
