//! Keeping the index in step with the feeds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use stella_advisory::feed::{self, FeedError};
use stella_advisory::{Index, IndexError, index};
use stella_service::health::Part;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// How often the feeds are looked at.
const LOOK: Duration = Duration::from_secs(15);

/// Why there is no new index.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The feeds cannot be read.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The index cannot be built or opened.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The work was broken off.
    #[error("building the index was broken off: {0}")]
    Broken(#[from] tokio::task::JoinError),
}

/// Builds the index when the feeds change, until `token` is cancelled. A feed that cannot be read leaves the old index in use.
///
/// # Errors
/// Never; the signature is that of a supervised task.
pub async fn run(app: App, part: Part, token: CancellationToken) -> Result<(), std::convert::Infallible> {
    let mut present = None;
    loop {
        match refresh(&app, present.as_deref()).await {
            Ok(Some(path)) => {
                part.ready();
                present = Some(path);
                app.judge.notify_one();
                app.scans_changed.notify_one();
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "the index is not up to date");
                if present.is_none() {
                    part.not_ready(error.to_string());
                }
            }
        }
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Opens or builds the index of the present feeds, unless it is `present` already.
async fn refresh(app: &App, present: Option<&Path>) -> Result<Option<PathBuf>, RefreshError> {
    let (folder, kept) = (app.settings.feeds.clone(), app.settings.data.join("index"));
    let path = kept.join(format!("index-v2-{}.idx", &feed::fingerprint(&folder)?.hex()[..16]));
    if present == Some(path.as_path()) {
        return Ok(None);
    }
    let target = path.clone();
    let index = tokio::task::spawn_blocking(move || open_or_build(&folder, &target)).await??;
    tracing::info!(generation = %index.info().generation.short(), vulnerabilities = index.info().groups, "index in use");
    app.swap_index(Arc::new(index));
    if let Some(old) = present {
        // The map of the old one stays valid for those who still use it.
        let _ = std::fs::remove_file(old);
    }
    Ok(Some(path))
}

fn open_or_build(folder: &Path, path: &Path) -> Result<Index, RefreshError> {
    if let Ok(index) = Index::open(path) {
        return Ok(index);
    }
    let feeds = feed::read(folder)?;
    for document in feeds.set_aside.iter().take(20) {
        tracing::warn!(place = document.place, reason = document.reason, "feed document set aside");
    }
    index::write(&feeds, path)?;
    Ok(Index::open(path)?)
}
