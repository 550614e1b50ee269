//! Keeping the index in step with the feeds.
//!
//! Each instance has a folder of its own for it, as those that share a volume must not remove what another has mapped: on some volumes
//! it is gone for the other, too.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use stella_advisory::feed::{self, FeedError, Feeds};
use stella_advisory::{Index, IndexError, index};
use stella_service::health::Part;
use stella_store::StoreError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::scanning::Changes;

/// No index takes longer to be built.
const BUILDING: Duration = Duration::from_secs(3600);
/// How often the feeds are looked at.
const LOOK: Duration = Duration::from_secs(15);
/// How often an instance shows that its folder is in use.
const TOUCH: Duration = Duration::from_secs(3600);
/// An instance that has not shown itself for so long is gone.
const STALE: Duration = Duration::from_secs(7 * 86_400);

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
    let (mut present, mut touched) = (None, None::<Instant>);
    loop {
        let is_due = touched.is_none_or(|at| at.elapsed() >= TOUCH);
        if is_due {
            touched = Some(Instant::now());
            touch(&app.settings.index);
        }
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
        if is_due {
            // After the look: an index that nobody uses any more may be the one to begin with.
            forget_stale(&app.settings.index);
        }
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Opens or builds the index of the present feeds, unless it is `present` already.
async fn refresh(app: &App, present: Option<&Path>) -> Result<Option<PathBuf>, RefreshError> {
    let (folder, kept) = (app.settings.feeds.clone(), app.settings.index.clone());
    let path = kept.join(format!("index-v4-{}.idx", &feed::fingerprint(&folder)?.hex()[..16]));
    if present == Some(path.as_path()) {
        return Ok(None);
    }
    let target = path.clone();
    let old = app.index();
    let kept_ids = app.store.kept_ids().await?;
    let (index, new_ids, changes) = tokio::task::spawn_blocking(move || {
        adopt(&target);
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
        let _ = fs::remove_file(other);
    }
}

/// What processes left that were killed while they built one.
fn broken_off(path: &Path) -> Vec<PathBuf> {
    let is_old = |file: &Path| file.metadata().is_ok_and(|file| is_older(&file, BUILDING));
    let is_partial =
        |file: &Path| file.extension().is_some_and(|kind| kind.as_encoded_bytes().starts_with(b"partial-"));
    path.parent().map(entries).unwrap_or_default().into_iter().filter(|file| is_partial(file) && is_old(file)).collect()
}

fn others(path: &Path) -> Vec<PathBuf> {
    path.parent().map(indexes).unwrap_or_default().into_iter().filter(|file| file != path).collect()
}

fn indexes(folder: &Path) -> Vec<PathBuf> {
    let is_index = |file: &PathBuf| file.extension().is_some_and(|kind| kind == "idx") && file.is_file();
    let mut indexes: Vec<PathBuf> = entries(folder).into_iter().filter(is_index).collect();
    indexes.sort();
    indexes
}

/// What is in a folder; nothing where it cannot be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn is_older(of: &Metadata, age: Duration) -> bool {
    of.modified().ok().and_then(|at| at.elapsed().ok()).is_some_and(|elapsed| elapsed > age)
}

/// Takes over the index at `path` where another instance, or an earlier version, has built it already, and into a folder without any
/// the newest other one: what has changed since is told by it. By a link, as the other removes its own name for it at any time.
fn adopt(path: &Path) {
    let Some(folder) = path.parent() else { return };
    let beside = folder.parent().map(entries).unwrap_or_default().into_iter().filter(|place| place != folder);
    let mut elsewhere: Vec<PathBuf> = beside.flat_map(|place| indexes(&place)).collect();
    elsewhere.extend(folder.parent().map(indexes).unwrap_or_default());
    let (same, older): (Vec<PathBuf>, Vec<PathBuf>) =
        elsewhere.into_iter().partition(|index| index.file_name() == path.file_name());
    let newest = older.into_iter().max_by_key(|index| index.metadata().and_then(|index| index.modified()).ok());
    let is_new = indexes(folder).is_empty();
    for index in same.into_iter().take(1).chain(newest.filter(|_| is_new)) {
        let Some(name) = index.file_name() else { continue };
        // What cannot be taken over is built.
        if let Err(error) = fs::create_dir_all(folder).and_then(|()| fs::hard_link(&index, folder.join(name))) {
            tracing::debug!(index = %index.display(), %error, "an index is not taken over");
        }
    }
}

/// Shows other instances that this one is there.
fn touch(folder: &Path) {
    let touched = fs::create_dir_all(folder).and_then(|()| File::open(folder)?.set_modified(SystemTime::now()));
    if let Err(error) = touched {
        tracing::warn!(folder = %folder.display(), %error, "the folder of the index cannot be marked as in use");
    }
}

/// Removes what instances left beside `folder` that are there no more, and earlier versions.
fn forget_stale(folder: &Path) {
    for place in folder.parent().map(entries).unwrap_or_default() {
        let Ok(metadata) = fs::symlink_metadata(&place) else { continue };
        if place == folder || !is_older(&metadata, STALE) {
            continue;
        }
        let removed = if metadata.is_dir() { fs::remove_dir_all(&place) } else { fs::remove_file(&place) };
        match removed {
            Ok(()) => tracing::info!(place = %place.display(), "an index that nobody uses any more is removed"),
            Err(error) => tracing::warn!(place = %place.display(), %error, "an old index cannot be removed"),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, days: u64) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, path.to_str().unwrap()).unwrap();
        age(path, days);
    }

    fn age(path: &Path, days: u64) {
        let at = SystemTime::now() - Duration::from_secs(days * 86_400);
        File::open(path).unwrap().set_modified(at).unwrap();
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            entries(folder).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_instance_removes_its_own_indexes_and_folders_that_nobody_has_touched_for_a_week() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for path in ["own/old.idx", "own/new.idx", "other/old.idx", "gone/old.idx"] {
            write(&at(path), 30);
        }
        write(&at("of-an-earlier-version.idx"), 8);
        write(&at("of-yesterday.idx"), 1);
        for (folder, days) in [("own", 30), ("other", 6), ("gone", 8)] {
            age(&at(folder), days);
        }
        write(&at("own/a.partial-1-0"), 1);
        write(&at("own/b.partial-2-0"), 0);
        forget_others(&at("own/new.idx"));
        assert_eq!(names(&at("own")), ["b.partial-2-0", "new.idx"], "one may still be built");
        assert_eq!(names(&at("other")), ["old.idx"]);
        age(&at("own"), 30);
        forget_stale(&at("own"));
        assert_eq!(names(root.path()), ["of-yesterday.idx", "other", "own"]);
        age(&at("other"), 30);
        touch(&at("other"));
        forget_stale(&at("own"));
        assert_eq!(names(root.path()), ["of-yesterday.idx", "other", "own"], "it shows that it is there");
    }

    #[test]
    fn what_another_instance_has_built_is_taken_over_and_stays_when_that_one_removes_it() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        write(&at("before.idx"), 3);
        write(&at("other/older.idx"), 5);
        write(&at("other/same.idx"), 0);
        adopt(&at("own/same.idx"));
        assert_eq!(names(&at("own")), ["before.idx", "same.idx"], "and the newest of the others");
        fs::remove_dir_all(at("other")).unwrap();
        assert_eq!(fs::read_to_string(at("own/same.idx")).unwrap(), at("other/same.idx").to_str().unwrap());
        // Who has some already needs none for the difference.
        write(&at("third/older.idx"), 0);
        adopt(&at("own/next.idx"));
        assert_eq!(names(&at("own")), ["before.idx", "same.idx"]);
    }
}
