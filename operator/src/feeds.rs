//! Keeping the index in step with the feeds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use stella_advisory::feed::{self, FeedError, Feeds};
use stella_advisory::{Index, IndexError, index};
use stella_service::health::Part;
use stella_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::scanning::Changes;

/// No index takes longer to be built.
const BUILDING: Duration = Duration::from_secs(3600);
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
    /// The ids that findings hang on cannot be read or kept.
    #[error(transparent)]
    Store(#[from] StoreError),
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
    let path = kept.join(format!("index-v4-{}.idx", &feed::fingerprint(&folder)?.hex()[..16]));
    if present == Some(path.as_path()) {
        return Ok(None);
    }
    let target = path.clone();
    let old = app.index();
    let kept_ids = app.store.kept_ids().await?;
    let (index, new_ids, changes) = tokio::task::spawn_blocking(move || {
        let index = open_or_build(&folder, &target, &kept_ids)?;
        let new_ids = new_ids(&index, &kept_ids)?;
        let old = old.or_else(|| before(&target).map(Arc::new));
        let changes = old.map_or_else(Changes::default, |old| differences(&old, &index));
        Ok::<_, RefreshError>((index, new_ids, changes))
    })
    .await??;
    // Before any finding hangs on them.
    app.store.keep_ids(&new_ids).await?;
    let (generation, packages) = (index.info().generation.short(), changes.packages());
    tracing::info!(%generation, vulnerabilities = index.info().groups, changed_packages = packages, "index in use");
    app.swap_index(Arc::new(index), changes);
    forget_others(&path);
    Ok(Some(path))
}

/// Where the two cannot be compared, everything counts as changed.
fn differences(old: &Index, new: &Index) -> Changes {
    Changes::between(old, new).unwrap_or_else(|error| {
        tracing::warn!(%error, "the index cannot be compared with the one before; every image is matched again");
        Changes::default()
    })
}

/// The index that was in use when the process ended last, beside the present one.
fn before(path: &Path) -> Option<Index> {
    others(path).into_iter().find_map(|other| Index::open(&other).ok())
}

/// Removes indexes that are not in use any more. The map of one that somebody still uses stays valid.
fn forget_others(path: &Path) {
    for other in others(path).into_iter().chain(broken_off(path)) {
        let _ = std::fs::remove_file(other);
    }
}

/// What processes left that were killed while they built one; another replica may be building now.
fn broken_off(path: &Path) -> Vec<PathBuf> {
    let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let is_old = |file: &Path| {
        let changed = file.metadata().and_then(|file| file.modified()).ok();
        changed.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > BUILDING)
    };
    let is_partial =
        |file: &Path| file.extension().is_some_and(|kind| kind.as_encoded_bytes().starts_with(b"partial-"));
    let files = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|file| is_partial(file) && is_old(file)).collect()
}

fn others(path: &Path) -> Vec<PathBuf> {
    let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let files = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    let mut others: Vec<PathBuf> =
        files.filter(|file| file != path && file.extension().is_some_and(|kind| kind == "idx")).collect();
    others.sort();
    others
}

/// What findings will hang on with this index, as far as it is not kept yet.
fn new_ids(index: &Index, kept: &BTreeSet<String>) -> Result<Vec<String>, IndexError> {
    let mut ids = Vec::new();
    for number in 0..index.info().groups {
        let id = index.group(number)?.oldest_id;
        if !kept.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

fn open_or_build(folder: &Path, path: &Path, kept_ids: &BTreeSet<String>) -> Result<Index, RefreshError> {
    if let Ok(index) = Index::open(path) {
        return Ok(index);
    }
    let feeds = Feeds { kept_ids: kept_ids.clone(), ..feed::read(folder)? };
    for document in feeds.set_aside.iter().take(20) {
        tracing::warn!(place = document.place, reason = document.reason, "feed document set aside");
    }
    index::write(&feeds, path)?;
    Ok(Index::open(path)?)
}
