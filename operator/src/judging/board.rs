//! What webhooks are told: the present state, and each change after it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use stella_api::admission::{AdmissionMode, AdmissionUpdate, ImageAdmission, ImageVerdict, NamespaceAdmission};
use stella_domain::{Digest, Tenant, Timestamp};
use tokio::sync::Notify;

/// Changes that are kept for those who were away for a moment.
const KEPT: usize = 8192;

/// The state that webhooks hold. Clones share it.
#[derive(Debug, Clone)]
pub struct Board(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// Tells one life of the process from the next; cursors of another life mean nothing.
    epoch: i64,
    sequence: u64,
    complete: bool,
    revision: String,
    at: Timestamp,
    namespaces: BTreeMap<String, NamespaceAdmission>,
    images: BTreeMap<(String, Digest), ImageAdmission>,
    log: VecDeque<(u64, AdmissionUpdate)>,
    served: BTreeMap<u64, String>,
    next_reader: u64,
}

/// One webhook that listens; it counts as served while this lives.
#[derive(Debug)]
pub struct Subscription {
    board: Board,
    reader: u64,
}

impl Board {
    /// An empty board of a process that began at `epoch`.
    #[must_use]
    pub fn new(epoch: Timestamp) -> Self {
        let state = State {
            epoch: epoch.as_millis(),
            sequence: 0,
            complete: false,
            revision: "none".to_owned(),
            at: epoch,
            namespaces: BTreeMap::new(),
            images: BTreeMap::new(),
            log: VecDeque::new(),
            served: BTreeMap::new(),
            next_reader: 0,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }))
    }

    /// Puts a new state in place of the old one; only what differs is told.
    pub fn publish(
        &self,
        namespaces: Vec<NamespaceAdmission>,
        images: Vec<ImageAdmission>,
        revision: &str,
        at: Timestamp,
    ) {
        let mut state = self.lock();
        let mut updates = Vec::new();
        let namespaces: BTreeMap<_, _> = namespaces.into_iter().map(|entry| (entry.namespace.clone(), entry)).collect();
        let images: BTreeMap<_, _> =
            images.into_iter().map(|entry| ((entry.scope.clone(), entry.image), entry)).collect();
        // Images first: a namespace must not point at a scope whose verdicts are still to come.
        updates.extend(changed(&state.images, &images).cloned().map(AdmissionUpdate::Image));
        updates.extend(changed(&state.namespaces, &namespaces).cloned().map(AdmissionUpdate::Namespace));
        let gone = state.namespaces.keys().filter(|name| !namespaces.contains_key(*name));
        updates.extend(gone.map(|name| AdmissionUpdate::NamespaceGone { namespace: name.clone() }));
        let gone = state.images.keys().filter(|key| !images.contains_key(*key));
        updates.extend(gone.map(|(scope, image)| AdmissionUpdate::ImageGone { scope: scope.clone(), image: *image }));
        let turned = state.revision != revision || !state.complete || !updates.is_empty();
        (state.namespaces, state.images, state.complete) = (namespaces, images, true);
        if turned {
            (state.revision, state.at) = (revision.to_owned(), at);
            updates.push(AdmissionUpdate::Ready { policy_revision: revision.to_owned(), at });
        }
        updates.into_iter().for_each(|update| state.tell(update));
        drop(state);
        self.0.changed.notify_waiters();
    }

    /// Puts new entries of some images in place of their old ones; only what differs is told. Nothing is told before the first
    /// whole state, which has them too.
    pub fn publish_images(&self, images: Vec<ImageAdmission>, at: Timestamp) {
        let mut state = self.lock();
        if !state.complete {
            return;
        }
        let before = state.sequence;
        for image in images {
            let key = (image.scope.clone(), image.image);
            if state.images.get(&key) != Some(&image) {
                state.tell(AdmissionUpdate::Image(image.clone()));
                state.images.insert(key, image);
            }
        }
        if state.sequence != before {
            state.at = at;
            let policy_revision = state.revision.clone();
            state.tell(AdmissionUpdate::Ready { policy_revision, at });
        }
        drop(state);
        self.0.changed.notify_waiters();
    }

    /// Begins to listen.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        let mut state = self.lock();
        state.next_reader += 1;
        let reader = state.next_reader;
        state.served.insert(reader, String::new());
        drop(state);
        Subscription { board: self.clone(), reader }
    }

    /// The present entry of an image in a scope.
    #[must_use]
    pub fn image(&self, scope: &str, image: &Digest) -> Option<ImageAdmission> {
        self.lock().images.get(&(scope.to_owned(), *image)).cloned()
    }

    /// How admission works in a namespace.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<NamespaceAdmission> {
        let state = self.lock();
        state.namespaces.get(name).or_else(|| state.namespaces.get("*")).cloned()
    }

    /// Whether some namespace enforces and some image is blocked.
    #[must_use]
    pub fn refuses(&self) -> bool {
        let state = self.lock();
        let enforces = |entry: &NamespaceAdmission| entry.mode == AdmissionMode::Enforce && !entry.exempt;
        let blocked = |entry: &ImageAdmission| {
            let next = entry.next.as_ref().is_some_and(|next| next.verdict == ImageVerdict::Blocked);
            next || entry.decision.verdict == ImageVerdict::Blocked
        };
        state.namespaces.values().any(enforces) && state.images.values().any(blocked)
    }

    /// Whether verdicts grow stale in some namespace of the tenant.
    #[must_use]
    pub fn has_stale_limits(&self, tenant: &Tenant) -> bool {
        self.lock().namespaces.values().any(|entry| entry.tenant == *tenant && entry.stale_after_seconds.is_some())
    }

    /// The revision that verdicts come from.
    #[must_use]
    pub fn revision(&self) -> String {
        self.lock().revision.clone()
    }

    /// The revision that every listening webhook was told; `None` while nobody listens or one is behind.
    #[must_use]
    pub fn served_revision(&self) -> Option<String> {
        let state = self.lock();
        let mut revisions = state.served.values();
        let first = revisions.next()?.clone();
        (!first.is_empty() && revisions.all(|revision| *revision == first)).then_some(first)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&mut self, update: AdmissionUpdate) {
        self.sequence += 1;
        self.log.push_back((self.sequence, update));
        if self.log.len() > KEPT {
            self.log.pop_front();
        }
    }

    fn cursor(&self, sequence: u64) -> String {
        format!("{}-{sequence}", self.epoch)
    }

    /// The sequence of a cursor of this life that the log still reaches back to.
    fn resume(&self, cursor: &str) -> Option<u64> {
        let (epoch, sequence) = cursor.split_once('-')?;
        let sequence: u64 = sequence.parse().ok()?;
        let oldest = self.log.front().map_or(self.sequence + 1, |(sequence, _)| *sequence);
        (epoch.parse() == Ok(self.epoch) && sequence <= self.sequence && sequence + 1 >= oldest).then_some(sequence)
    }
}

fn changed<'a, K: Ord, V: PartialEq>(old: &'a BTreeMap<K, V>, new: &'a BTreeMap<K, V>) -> impl Iterator<Item = &'a V> {
    new.iter().filter(|(key, value)| old.get(*key) != Some(*value)).map(|(_, value)| value)
}

impl Subscription {
    /// What the listener has to be told after `cursor`: changes, or a whole snapshot when there is none to go on from. Each
    /// update comes with the cursor after it; empty when there is nothing new, or nothing at all yet.
    #[must_use]
    pub fn after(&self, cursor: Option<&str>) -> Vec<(String, AdmissionUpdate)> {
        let mut state = self.board.lock();
        if !state.complete {
            return Vec::new();
        }
        let told: Vec<_> = match cursor.and_then(|cursor| state.resume(cursor)) {
            Some(from) => {
                let new = state.log.iter().filter(|(sequence, _)| *sequence > from);
                new.map(|(sequence, update)| (state.cursor(*sequence), update.clone())).collect()
            }
            None => {
                let at = state.cursor(state.sequence);
                let ready = AdmissionUpdate::Ready { policy_revision: state.revision.clone(), at: state.at };
                let namespaces = state.namespaces.values().cloned().map(AdmissionUpdate::Namespace);
                let images = state.images.values().cloned().map(AdmissionUpdate::Image);
                let all = [AdmissionUpdate::Begin].into_iter().chain(images).chain(namespaces).chain([ready]);
                all.map(|update| (at.clone(), update)).collect()
            }
        };
        let revision = state.revision.clone();
        state.served.insert(self.reader, revision);
        told
    }

    /// Waits for a change.
    pub async fn changed(&self) {
        self.board.0.changed.notified().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.board.lock().served.remove(&self.reader);
    }
}

#[cfg(test)]
mod tests {
    use stella_api::admission::ImageDecision;

    use super::*;
    use stella_api::admission::{FailurePolicy, UnscannedAction};

    fn namespace(name: &str, mode: AdmissionMode) -> NamespaceAdmission {
        NamespaceAdmission {
            namespace: name.into(),
            tenant: Tenant::default(),
            scope: "s".into(),
            mode,
            unscanned: UnscannedAction::Allow,
            failure_policy: FailurePolicy::Ignore,
            stale_after_seconds: None,
            exempt: false,
        }
    }

    #[test]
    fn a_listener_gets_a_snapshot_and_then_changes_only() {
        let board = Board::new(Timestamp::from_millis(7));
        let listener = board.subscribe();
        assert!(listener.after(None).is_empty(), "nothing is told before the first state is complete");
        board.publish(vec![namespace("a", AdmissionMode::Audit)], vec![], "r1", Timestamp::from_millis(1));
        let snapshot = listener.after(None);
        assert_eq!(snapshot.len(), 3, "begin, one namespace, ready");
        assert_eq!(board.served_revision().as_deref(), Some("r1"));
        let cursor = snapshot.last().unwrap().0.clone();
        assert!(listener.after(Some(&cursor)).is_empty());
        board.publish(vec![namespace("a", AdmissionMode::Enforce)], vec![], "r2", Timestamp::from_millis(2));
        let changes = listener.after(Some(&cursor));
        assert_eq!(changes.len(), 2, "the namespace, ready");
        assert_eq!(listener.after(Some("8-1")).len(), 3, "a cursor of another life gets a snapshot");
        board.publish(vec![], vec![], "r2", Timestamp::from_millis(3));
        assert!(matches!(listener.after(Some(&changes[1].0))[0].1, AdmissionUpdate::NamespaceGone { .. }));
        drop(listener);
        assert_eq!(board.served_revision(), None);
    }

    #[test]
    fn a_tenant_has_stale_limits_of_its_own() {
        let board = Board::new(Timestamp::from_millis(7));
        let limited = NamespaceAdmission { stale_after_seconds: Some(60), ..namespace("a", AdmissionMode::Audit) };
        board.publish(vec![limited], vec![], "r1", Timestamp::from_millis(1));
        assert!(board.has_stale_limits(&Tenant::default()));
        assert!(!board.has_stale_limits(&"another".parse().unwrap()));
    }

    #[test]
    fn one_image_is_told_alone_and_once() {
        let board = Board::new(Timestamp::from_millis(7));
        let listener = board.subscribe();
        let image = |text: &str, verdict| ImageAdmission {
            scope: "s".into(),
            image: Digest::of(text),
            digests: vec![Digest::of(text)],
            references: vec![],
            decision: ImageDecision::bare(verdict),
            valid_until: None,
            next: None,
            grace: BTreeMap::new(),
            confirmed_at: None,
        };
        let (pass, warn) = (ImageVerdict::Pass, ImageVerdict::Warn);
        board.publish_images(vec![image("a", pass)], Timestamp::from_millis(1));
        assert!(listener.after(None).is_empty(), "no state is complete with one image");
        board.publish(vec![], vec![image("a", pass), image("b", pass)], "r1", Timestamp::from_millis(1));
        let cursor = listener.after(None).last().unwrap().0.clone();
        board.publish_images(vec![image("a", pass), image("b", warn)], Timestamp::from_millis(2));
        let told: Vec<_> = listener.after(Some(&cursor)).into_iter().map(|(_, update)| update).collect();
        assert_eq!(told.len(), 2, "what differs, and ready: {told:?}");
        assert_eq!(told[0], AdmissionUpdate::Image(image("b", warn)));
        assert_eq!(board.image("s", &Digest::of("a")), Some(image("a", pass)));
    }
}
