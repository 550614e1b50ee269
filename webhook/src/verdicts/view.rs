//! The verdicts as they stand at one moment.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use stella_api::admission::{ImageAdmission, ImageDecision, NamespaceAdmission};
use stella_attest::canonical;
use stella_domain::{Digest, Timestamp};

use super::holding::Holding;
use crate::reference::ImageName;

/// Stands for every namespace without an entry of its own.
const ANY_NAMESPACE: &str = "*";

/// A set of verdicts. Copies share what they have in common, so that publishing one after a change is cheap.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The revision of the policies that all verdicts come from; `None` before the first snapshot.
    pub policy_revision: Option<String>,
    /// When the server sent that revision.
    pub sent_at: Option<Timestamp>,
    namespaces: Arc<HashMap<String, NamespaceAdmission>>,
    scopes: HashMap<String, Arc<Scope>>,
    /// Entries of all scopes, which are asked for with every update.
    images: usize,
}

/// An image with the names of its verdicts. They are made when it comes, since a review has no time for them.
#[derive(Debug, Clone)]
pub struct KnownImage {
    /// What the server said.
    pub admission: ImageAdmission,
    verdict_id: Option<Digest>,
    next_id: Option<Digest>,
}

impl KnownImage {
    fn new(admission: ImageAdmission) -> Self {
        let id = |decision: &ImageDecision| verdict_id(&admission, decision);
        let (verdict_id, next_id) = (id(&admission.decision), admission.next.as_ref().and_then(id));
        Self { admission, verdict_id, next_id }
    }

    /// Names the verdict that holds: the digest of the canonical JSON (RFC 8785) of its scope, the digest it is filed under and the
    /// decision. The same verdict has the same name wherever it is kept.
    #[must_use]
    pub const fn verdict_id(&self, holding: &Holding<'_>) -> Option<Digest> {
        if holding.followed { self.next_id } else { self.verdict_id }
    }
}

/// The images of one set of policies, by every name they have.
#[derive(Debug, Clone, Default)]
struct Scope {
    filed: HashMap<Digest, Arc<KnownImage>>,
    digests: HashMap<Digest, Digest>,
    references: HashMap<String, Digest>,
}

impl View {
    /// How admission works in a namespace: its own entry, else the one for all.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&NamespaceAdmission> {
        self.namespaces.get(name).or_else(|| self.namespaces.get(ANY_NAMESPACE))
    }

    /// Whether a namespace has an entry of its own.
    #[must_use]
    pub fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains_key(name)
    }

    /// What is known of an image in a scope.
    #[must_use]
    pub fn image(&self, scope: &str, name: &ImageName) -> Option<&KnownImage> {
        let scope = self.scopes.get(scope)?;
        let filed = match name.digest() {
            Some(digest) => scope.digests.get(&digest)?,
            None => scope.references.get(&name.tagged()?)?,
        };
        scope.filed.get(filed).map(Arc::as_ref)
    }

    /// Entries of all scopes.
    #[must_use]
    pub const fn image_count(&self) -> usize {
        self.images
    }

    /// Namespaces with an entry of their own, and the one for all.
    #[must_use]
    pub fn namespace_count(&self) -> usize {
        self.namespaces.len()
    }

    /// Every namespace entry, by name.
    #[must_use]
    pub fn namespaces(&self) -> Vec<&NamespaceAdmission> {
        let mut all: Vec<_> = self.namespaces.values().collect();
        all.sort_by(|a, b| a.namespace.cmp(&b.namespace));
        all
    }

    /// Every image entry, by scope and digest.
    #[must_use]
    pub fn images(&self) -> Vec<&ImageAdmission> {
        let filed = self.scopes.values().flat_map(|scope| scope.filed.values());
        let mut all: Vec<_> = filed.map(|known| &known.admission).collect();
        all.sort_by(|a, b| (&a.scope, a.image).cmp(&(&b.scope, b.image)));
        all
    }

    pub(super) fn put_namespace(&mut self, namespace: NamespaceAdmission) {
        Arc::make_mut(&mut self.namespaces).insert(namespace.namespace.clone(), namespace);
    }

    pub(super) fn drop_namespace(&mut self, name: &str) {
        Arc::make_mut(&mut self.namespaces).remove(name);
    }

    pub(super) fn put_image(&mut self, image: ImageAdmission) {
        let scope = Arc::make_mut(self.scopes.entry(image.scope.clone()).or_default());
        let before = scope.filed.len();
        scope.put(image);
        self.images += scope.filed.len() - before;
    }

    pub(super) fn drop_image(&mut self, scope: &str, image: Digest) {
        let Some(held) = self.scopes.get_mut(scope) else { return };
        let held = Arc::make_mut(held);
        let before = held.filed.len();
        held.remove(image);
        self.images -= before - held.filed.len();
        if held.filed.is_empty() {
            self.scopes.remove(scope);
        }
    }
}

impl Scope {
    fn put(&mut self, image: ImageAdmission) {
        self.remove(image.image);
        self.digests.extend(image.digests.iter().map(|digest| (*digest, image.image)));
        self.digests.insert(image.image, image.image);
        self.references.extend(tagged(&image).map(|reference| (reference, image.image)));
        self.filed.insert(image.image, Arc::new(KnownImage::new(image)));
    }

    /// Removes an image and those of its names that no other image has taken since.
    fn remove(&mut self, image: Digest) {
        let Some(old) = self.filed.remove(&image) else { return };
        let old = &old.admission;
        for digest in old.digests.iter().chain([&old.image]) {
            if self.digests.get(digest) == Some(&image) {
                self.digests.remove(digest);
            }
        }
        for reference in tagged(old) {
            if self.references.get(&reference) == Some(&image) {
                self.references.remove(&reference);
            }
        }
    }
}

fn verdict_id(image: &ImageAdmission, decision: &ImageDecision) -> Option<Digest> {
    #[derive(Serialize)]
    struct Said<'a> {
        scope: &'a str,
        image: Digest,
        decision: &'a ImageDecision,
    }
    canonical::digest(&Said { scope: &image.scope, image: image.image, decision }).ok()
}

/// The tags of an image. References that name it by digest are covered by its digests.
fn tagged(image: &ImageAdmission) -> impl Iterator<Item = String> {
    image.references.iter().filter_map(|reference| ImageName::parse(reference).ok()?.tagged())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::verdicts::holding;

    fn named(text: &str) -> ImageName {
        ImageName::parse(text).unwrap()
    }

    #[test]
    fn an_image_is_found_by_each_of_its_names() {
        let mut view = View::default();
        let image = fixture::blocked("nginx:1.25");
        let (filed, other) = (image.image, image.digests[1]);
        view.put_image(image);
        for name in ["nginx:1.25", "docker.io/library/nginx:1.25", &filed.to_string(), &format!("x/nginx@{other}")] {
            assert!(view.image(fixture::SCOPE, &named(name)).is_some(), "{name}");
        }
        assert!(view.image(fixture::SCOPE, &named("nginx:1.26")).is_none());
        assert!(view.image("other", &named("nginx:1.25")).is_none());
        view.drop_image(fixture::SCOPE, filed);
        assert_eq!(view.image_count(), 0);
        assert!(view.image(fixture::SCOPE, &named("nginx:1.25")).is_none());
    }

    #[test]
    fn a_reference_stands_at_its_newest_holder() {
        let mut view = View::default();
        let old = fixture::blocked("app:1");
        let mut new = fixture::passing("app:1");
        new.image = Digest::of("rebuilt");
        new.digests = vec![new.image];
        let (old_digest, new_digest) = (old.image, new.image);
        view.put_image(old);
        view.put_image(new);
        assert_eq!(view.image(fixture::SCOPE, &named("app:1")).unwrap().admission.image, new_digest);
        view.drop_image(fixture::SCOPE, old_digest);
        assert_eq!(view.image(fixture::SCOPE, &named("app:1")).unwrap().admission.image, new_digest);
    }

    #[test]
    fn a_verdict_and_what_follows_on_it_have_names_of_their_own() {
        let now = fixture::now();
        let name = |image: ImageAdmission, at: Timestamp| {
            let mut view = View::default();
            view.put_image(image);
            let known = view.image(fixture::SCOPE, &named("app:1")).unwrap();
            known.verdict_id(&holding(&known.admission, "shop", at).unwrap()).unwrap()
        };
        let mut waived = fixture::passing("app:1");
        waived.valid_until = Some(now.plus_seconds(5));
        waived.next = Some(fixture::blocked("app:1").decision);
        let (first, then) = (name(waived.clone(), now), name(waived.clone(), now.plus_seconds(5)));
        assert_eq!((first, then), (name(fixture::passing("app:1"), now), name(fixture::blocked("app:1"), now)));
        assert_ne!(first, then);
        waived.references.push("other:2".to_owned());
        assert_eq!(name(waived, now), first, "other names of the image change nothing that is said of it");
    }

    #[test]
    fn a_namespace_without_entry_takes_the_one_for_all() {
        let mut view = View::default();
        assert!(view.namespace("a").is_none());
        view.put_namespace(fixture::namespace("*"));
        view.put_namespace(fixture::namespace("a"));
        assert_eq!(view.namespace("a").unwrap().namespace, "a");
        assert_eq!(view.namespace("b").unwrap().namespace, "*");
        view.drop_namespace("a");
        assert_eq!(view.namespace("a").unwrap().namespace, "*");
    }
}
