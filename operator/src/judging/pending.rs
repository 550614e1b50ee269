//! Images whose verdicts have to be worked out anew while everything else stands.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use stella_domain::{Digest, Tenant};
use tokio::sync::Notify;

use super::findings::Judged;

/// The verdict of an image in the only scope of its tenant, as it was worked out when its findings were written.
#[derive(Debug, Clone)]
pub struct Known {
    /// Of the policies behind it.
    pub(super) revision: String,
    /// The scope.
    pub(super) scope: String,
    /// The verdict; those of its findings are left out, they are written already.
    pub(super) judged: Judged,
}

/// What is asked of an image.
#[derive(Debug)]
pub(super) enum Asked {
    /// Its verdicts, worked out anew.
    Verdicts,
    /// Its verdicts, which are known.
    Known(Box<Known>),
    /// Its verdicts as they are, with the time at which they were confirmed.
    Confirmation,
}

/// Images by tenant and digest.
pub(super) type Images = BTreeMap<(Tenant, Digest), Asked>;

/// The images that wait for their verdicts.
#[derive(Debug, Default)]
pub struct Pending {
    images: Mutex<Images>,
    added: Notify,
    asked: AtomicU64,
    surveyed: Mutex<Option<Digest>>,
}

impl Pending {
    /// Asks for the verdicts of an image.
    pub fn add(&self, tenant: &Tenant, image: &Digest) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.lock().insert((tenant.clone(), *image), Asked::Verdicts);
        self.added.notify_one();
    }

    /// Asks for them where they are known unless something else changed.
    pub fn add_known(&self, tenant: &Tenant, image: &Digest, known: Option<Known>) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut images = self.lock();
        let entry = images.entry((tenant.clone(), *image)).or_insert(Asked::Confirmation);
        *entry = match (&*entry, known) {
            (Asked::Confirmation, Some(known)) => Asked::Known(Box::new(known)),
            // Whoever asked before did so because of something that this verdict may have missed.
            _ => Asked::Verdicts,
        };
        drop(images);
        self.added.notify_one();
    }

    /// Asks for them to be told anew although nothing changed that they are worked out from: when they were confirmed did.
    pub fn renew(&self, tenant: &Tenant, images: &[Digest]) {
        let mut asked = self.lock();
        for image in images {
            asked.entry((tenant.clone(), *image)).or_insert(Asked::Confirmation);
        }
        drop(asked);
        self.added.notify_one();
    }

    /// What is known of all findings and their use: another value where something changed. It counts who asked here, and names
    /// what the last look at everything saw, which other replicas may have written.
    pub(super) fn stamp(&self) -> (u64, Option<Digest>) {
        (self.asked.load(Ordering::Relaxed), *self.surveyed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything was looked at, and `seen` names what there was.
    pub(super) fn surveyed(&self, seen: Digest) {
        *self.surveyed.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }

    /// Waits until an image was added.
    pub(super) async fn added(&self) {
        self.added.notified().await;
    }

    /// Takes all of them.
    pub(super) fn take(&self) -> Images {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Images> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use stella_api::admission::{ImageDecision, ImageVerdict};
    use stella_policy::{Compiled, Context, evaluate};

    use super::*;

    fn known() -> Known {
        let decision = ImageDecision::bare(ImageVerdict::Pass);
        let evaluation = evaluate::<Compiled>(&[], &[], &Context::default());
        let judged = Judged { evaluation, decision, valid_until: None, next: None };
        Known { revision: "r1".to_owned(), scope: "s".to_owned(), judged }
    }

    #[test]
    fn who_asks_for_more_goes_before_who_asks_for_less() {
        let (pending, tenant, image) = (Pending::default(), Tenant::default(), Digest::of("image"));
        let ask = |how: &str| match how {
            "renew" => pending.renew(&tenant, &[image]),
            "known" => pending.add_known(&tenant, &image, Some(known())),
            "unknown" => pending.add_known(&tenant, &image, None),
            _ => pending.add(&tenant, &image),
        };
        let table = [
            ("renew", "renew", "confirmation"),
            ("renew", "known", "known"),
            ("known", "renew", "known"),
            ("known", "known", "verdicts"),
            ("renew", "unknown", "verdicts"),
            ("add", "renew", "verdicts"),
            ("add", "known", "verdicts"),
        ];
        for (first, second, expected) in table {
            ask(first);
            ask(second);
            let asked = match pending.take().into_values().next().unwrap() {
                Asked::Verdicts => "verdicts",
                Asked::Known(_) => "known",
                Asked::Confirmation => "confirmation",
            };
            assert_eq!(asked, expected, "{first}, then {second}");
        }
    }
}
