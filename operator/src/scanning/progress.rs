//! Word of scans that have moved, for whoever follows one. However many follow, only those concerned ask the database.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};

/// Words that may wait for a slow follower; one that fell behind looks as if its scan had moved.
const WAITING: usize = 1024;

/// Which scan moved; `None` when it may have been any.
type Word = Option<Arc<str>>;

/// The scans of this process and, as far as they are heard of, of other replicas.
#[derive(Debug)]
pub struct Progress(broadcast::Sender<Word>);

impl Default for Progress {
    fn default() -> Self {
        Self(broadcast::Sender::new(WAITING))
    }
}

impl Progress {
    /// The scan with this id has moved.
    pub fn moved(&self, scan: &str) {
        // Nobody may be following.
        let _ = self.0.send(Some(scan.into()));
    }

    /// Word of some scans may have been lost.
    pub fn any_moved(&self) {
        let _ = self.0.send(None);
    }

    /// Follows the scan with this id from now on.
    #[must_use]
    pub fn follow(&self, scan: &str) -> Following {
        Following { scan: scan.into(), words: self.0.subscribe() }
    }
}

/// Somebody who follows a scan.
#[derive(Debug)]
pub struct Following {
    scan: Box<str>,
    words: broadcast::Receiver<Word>,
}

impl Following {
    /// Waits until the scan has moved since this was asked last, or may have.
    pub async fn moved(&mut self) {
        loop {
            match self.words.recv().await {
                Ok(Some(scan)) if *scan != *self.scan => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                // The process ends, and with it whoever waits.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[test]
    fn a_follower_hears_of_its_scan_and_of_what_may_have_been_lost() {
        let progress = Progress::default();
        let mut following = progress.follow("a");
        progress.moved("b");
        assert!(following.moved().now_or_never().is_none(), "another scan");
        progress.moved("a");
        assert!(following.moved().now_or_never().is_some());
        assert!(following.moved().now_or_never().is_none(), "once");
        progress.any_moved();
        assert!(following.moved().now_or_never().is_some());
        (0..=WAITING).for_each(|_| progress.moved("b"));
        assert!(following.moved().now_or_never().is_some(), "it fell behind");
    }
}
