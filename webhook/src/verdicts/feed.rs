//! Applies the updates of a stream: a snapshot replaces everything at once, a change changes one entry.

use stella_api::admission::AdmissionUpdate;

use super::view::View;

/// A server that sends more than this many entries is no server of ours.
const MOST_ENTRIES: usize = 1_000_000;

/// Updates that do not follow the stream's grammar (`Begin … Ready`, then changes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// A change came although there has been no snapshot.
    #[error("a change came before the first snapshot")]
    NoSnapshot,
    /// A snapshot began within a snapshot.
    #[error("a snapshot began before the one under way was complete")]
    Nested,
    /// More entries than any cluster has.
    #[error("there are more than {MOST_ENTRIES} entries")]
    TooMany,
}

/// The state of a stream between its updates.
#[derive(Debug, Default)]
pub struct Feed {
    view: View,
    staged: Option<View>,
}

impl Feed {
    /// Goes on from verdicts that were held before.
    #[must_use]
    pub fn resume(view: View) -> Self {
        Self { view, staged: None }
    }

    /// The verdicts as of the last complete snapshot and the changes since.
    #[must_use]
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// Whether a snapshot is under way.
    #[must_use]
    pub const fn in_snapshot(&self) -> bool {
        self.staged.is_some()
    }

    /// Forgets a snapshot that was cut off.
    pub fn disconnected(&mut self) {
        self.staged = None;
    }

    /// Applies one update; returns whether [`Self::view`] changed.
    ///
    /// # Errors
    /// The update does not belong here; nothing is changed. Connect again without a cursor.
    pub fn apply(&mut self, update: AdmissionUpdate) -> Result<bool, FeedError> {
        if update == AdmissionUpdate::Begin {
            if self.in_snapshot() {
                return Err(FeedError::Nested);
            }
            self.staged = Some(View::default());
            return Ok(false);
        }
        if self.staged.is_none() && self.view.policy_revision.is_none() {
            return Err(FeedError::NoSnapshot);
        }
        let grows = matches!(update, AdmissionUpdate::Image(_) | AdmissionUpdate::Namespace(_));
        let into = self.staged.as_ref().unwrap_or(&self.view);
        if grows && into.image_count() + into.namespace_count() >= MOST_ENTRIES {
            return Err(FeedError::TooMany);
        }
        let complete = matches!(update, AdmissionUpdate::Ready { .. });
        change(self.staged.as_mut().unwrap_or(&mut self.view), update);
        if complete && let Some(staged) = self.staged.take() {
            self.view = staged;
        }
        Ok(!self.in_snapshot())
    }
}

fn change(view: &mut View, update: AdmissionUpdate) {
    match update {
        AdmissionUpdate::Begin => {}
        AdmissionUpdate::Namespace(namespace) => view.put_namespace(namespace),
        AdmissionUpdate::NamespaceGone { namespace } => view.drop_namespace(&namespace),
        AdmissionUpdate::Image(image) => view.put_image(image),
        AdmissionUpdate::ImageGone { scope, image } => view.drop_image(&scope, image),
        AdmissionUpdate::Ready { policy_revision, at } => {
            view.policy_revision = Some(policy_revision);
            view.sent_at = Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn ready(revision: &str) -> AdmissionUpdate {
        AdmissionUpdate::Ready { policy_revision: revision.to_owned(), at: fixture::now() }
    }

    #[test]
    fn a_snapshot_replaces_everything_when_it_is_complete() {
        let mut feed = Feed::default();
        feed.apply(AdmissionUpdate::Begin).unwrap();
        feed.apply(AdmissionUpdate::Image(fixture::blocked("a:1"))).unwrap();
        assert_eq!(feed.view().image_count(), 0);
        assert_eq!(feed.apply(ready("1")), Ok(true));
        assert_eq!(feed.view().image_count(), 1);

        feed.apply(AdmissionUpdate::Begin).unwrap();
        assert_eq!(feed.view().image_count(), 1);
        feed.disconnected();
        assert_eq!(feed.apply(AdmissionUpdate::Image(fixture::blocked("b:1"))), Ok(true));
        assert_eq!(feed.view().image_count(), 2);

        feed.apply(AdmissionUpdate::Begin).unwrap();
        feed.apply(ready("2")).unwrap();
        assert_eq!((feed.view().image_count(), feed.view().policy_revision.as_deref()), (0, Some("2")));
    }

    #[test]
    fn changes_need_a_snapshot_before_them() {
        let mut feed = Feed::default();
        assert_eq!(feed.apply(ready("1")), Err(FeedError::NoSnapshot));
        feed.apply(AdmissionUpdate::Begin).unwrap();
        assert_eq!(feed.apply(AdmissionUpdate::Begin), Err(FeedError::Nested));
    }
}
