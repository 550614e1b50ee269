//! What is gathered of an image's attachments, in several repositories at the same time and within one limit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use stella_domain::Digest;

/// Parts that are fetched for one look, in all repositories together.
const PARTS_FETCHED: usize = 128;
/// Bytes of all these parts together.
const BYTES_FETCHED: usize = 64 << 20;

/// One part of something attached, verified against its digest. Whoever may write to the repository may have attached it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The image or index that it is attached to.
    pub subject: Digest,
    /// The kind of the part.
    pub media_type: String,
    /// The notes of the part.
    pub annotations: BTreeMap<String, String>,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The repositories that list it so, with their registries.
    pub places: BTreeSet<String>,
}

/// What is attached to an image, as far as it was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachments {
    /// The parts, each once, in the order in which they came.
    pub parts: Vec<Attachment>,
    /// Why not all of them are here, where a limit was reached.
    pub left_out: Option<String>,
}

/// What a part is known by: what it is attached to, its digest, and its notes. One that is listed twice comes once.
pub(crate) type Name = (Digest, Digest, BTreeMap<String, String>);

/// What one look at an image gathers, in several repositories at the same time, within one limit. What came in stays, whatever
/// becomes of the rest of its repository.
#[derive(Debug)]
pub struct Gathering {
    held: Mutex<Held>,
    /// How much one repository may bring: whoever fills his own leaves the others theirs.
    share: Share,
}

#[derive(Debug, Default)]
struct Held {
    found: Attachments,
    /// Which of the parts it is.
    seen: BTreeMap<Name, usize>,
}

/// Parts and bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) parts: usize,
    pub(crate) bytes: usize,
}

impl Gathering {
    /// For so many repositories, which share the limit.
    #[must_use]
    pub fn of(repositories: usize) -> Self {
        let among = repositories.max(1);
        let share = Share { parts: (PARTS_FETCHED / among).max(1), bytes: (BYTES_FETCHED / among).max(1) };
        Self { held: Mutex::default(), share }
    }

    /// What came in.
    #[must_use]
    pub fn finish(self) -> Attachments {
        self.held.into_inner().unwrap_or_else(PoisonError::into_inner).found
    }

    /// How much one repository may bring.
    pub(crate) const fn share(&self) -> Share {
        self.share
    }

    /// Whether a part is there, which `place` lists, too.
    pub(crate) fn has(&self, name: &Name, place: &str) -> bool {
        let mut held = self.lock();
        let Some(at) = held.seen.get(name).copied() else { return false };
        held.found.parts[at].places.insert(place.to_owned());
        true
    }

    pub(crate) fn put(&self, name: Name, part: Attachment) {
        let mut held = self.lock();
        // Another repository may have been faster.
        if let Some(at) = held.seen.get(&name).copied() {
            held.found.parts[at].places.extend(part.places);
            return;
        }
        let at = held.found.parts.len();
        held.seen.insert(name, at);
        held.found.parts.push(part);
    }

    pub(crate) fn leave_out(&self, reason: String) {
        self.lock().found.left_out.get_or_insert(reason);
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_share_one_limit_and_what_is_there_twice_comes_once() {
        let share = |among| {
            let Share { parts, bytes } = Gathering::of(among).share;
            (parts, bytes >> 20)
        };
        assert_eq!([share(0), share(1), share(2), share(8)], [(128, 64), (128, 64), (64, 32), (16, 8)]);
        let gathering = Gathering::of(2);
        let name = |subject: &str| (Digest::of(subject), Digest::of("part"), BTreeMap::new());
        for (subject, place) in [("a", "r/app"), ("a", "s/app"), ("b", "r/app")] {
            let part = Attachment {
                subject: Digest::of(subject),
                media_type: String::new(),
                annotations: BTreeMap::new(),
                bytes: b"part".to_vec(),
                places: BTreeSet::from([place.to_owned()]),
            };
            gathering.put(name(subject), part);
        }
        gathering.leave_out("first".to_owned());
        gathering.leave_out("second".to_owned());
        assert!(gathering.has(&name("a"), "t/app") && !gathering.has(&name("c"), "t/app"));
        let found = gathering.finish();
        assert_eq!((found.parts.len(), found.left_out.as_deref()), (2, Some("first")));
        let places = ["r/app", "s/app", "t/app"].map(str::to_owned);
        assert_eq!(found.parts[0].places, BTreeSet::from(places), "whoever lists it");
    }
}
