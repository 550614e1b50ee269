//! Writes the held verdicts to disk when they change, gathered, and now and then for their age's sake.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use stella_service::supervise::chain;
use tokio_util::sync::CancellationToken;

use super::cache::{Cache, Held};
use super::disk;

/// Changes are gathered for that long.
const GATHER: Duration = Duration::from_secs(2);
/// The age on disk is never further behind than that.
const AGE_SECONDS: i64 = 300;

/// Keeps the file at `path` in step with `cache` until `token` is cancelled, and once more then.
///
/// # Errors
/// Never: a disk that cannot be written is logged and tried again.
pub async fn keep(path: PathBuf, cache: Cache, token: CancellationToken) -> Result<(), std::convert::Infallible> {
    let mut saved = cache.held();
    while token.run_until_cancelled(tokio::time::sleep(GATHER)).await.is_some() {
        let held = cache.held();
        if is_due(&saved, &held) && write(&path, &held).await {
            saved = held;
        }
    }
    let held = cache.held();
    if held.heard_at.is_some() && !Arc::ptr_eq(&saved, &held) {
        write(&path, &held).await;
    }
    Ok(())
}

fn is_due(saved: &Held, held: &Held) -> bool {
    let age = match (saved.heard_at, held.heard_at) {
        (Some(before), Some(now)) => now.seconds_since(before),
        (None, Some(_)) => AGE_SECONDS,
        (_, None) => 0,
    };
    // A clock that was set back makes what is kept lie in the future.
    held.content != saved.content || age.abs() >= AGE_SECONDS
}

async fn write(path: &Path, held: &Arc<Held>) -> bool {
    let (file, held) = (path.to_owned(), Arc::clone(held));
    match tokio::task::spawn_blocking(move || disk::save(&file, &held)).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(error = %chain(&error), "verdicts are not kept on disk");
            false
        }
        Err(error) => {
            tracing::error!(%error, "writing verdicts to disk failed");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn changes_are_due_at_once_and_age_now_and_then() {
        let at = |seconds, content| Held {
            heard_at: Some(fixture::now().plus_seconds(seconds)),
            content,
            ..Held::default()
        };
        assert!(is_due(&Held::default(), &at(0, 0)));
        assert!(is_due(&at(0, 1), &at(0, 2)));
        assert!(!is_due(&at(0, 1), &at(299, 1)));
        assert!(is_due(&at(0, 1), &at(300, 1)));
        assert!(is_due(&at(86_400, 1), &at(0, 1)), "the clock was set back");
        assert!(!is_due(&at(0, 1), &Held { content: 1, ..Held::default() }));
    }
}
