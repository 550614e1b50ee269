//! The verdicts as they stand at one moment.

use std::collections::HashMap;
use std::sync::Arc;

use stella_api::admission::{ImageAdmission, NamespaceAdmission};
use stella_domain::{Digest, Timestamp};

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

/// The images of one set of policies, by every name they have.
#[derive(Debug, Clone, Default)]
struct Scope {
    filed: HashMap<Digest, Arc<ImageAdmission>>,
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
    pub fn image(&self, scope: &str, name: &ImageName) -> Option<&ImageAdmission> {
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
        let mut all: Vec<_> = self.scopes.values().flat_map(|scope| scope.filed.values().map(Arc::as_ref)).collect();
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
        self.filed.insert(image.image, Arc::new(image));
    }

    /// Removes an image and those of its names that no other image has taken since.
    fn remove(&mut self, image: Digest) {
        let Some(old) = self.filed.remove(&image) else { return };
        for digest in old.digests.iter().chain([&old.image]) {
            if self.digests.get(digest) == Some(&image) {
                self.digests.remove(digest);
            }
        }
        for reference in tagged(&old) {
            if self.references.get(&reference) == Some(&image) {
                self.references.remove(&reference);
            }
        }
    }
}

/// The tags of an image. References that name it by digest are covered by its digests.
fn tagged(image: &ImageAdmission) -> impl Iterator<Item = String> {
    image.references.iter().filter_map(|reference| ImageName::parse(reference).ok()?.tagged())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

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
        assert_eq!(view.image(fixture::SCOPE, &named("app:1")).unwrap().image, new_digest);
        view.drop_image(fixture::SCOPE, old_digest);
        assert_eq!(view.image(fixture::SCOPE, &named("app:1")).unwrap().image, new_digest);
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
