//! Keeps the cache in step with the file of a signed bundle.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use stella_attest::VerifyingKey;
use stella_attest::key_file::{self, KeyFileError};
use stella_domain::Timestamp;
use stella_service::clock::Clock;
use stella_service::health::Part;
use stella_service::supervise::chain;
use tokio_util::sync::CancellationToken;

use super::bundle::{Bundle, BundleError, Bundled, read_bundle};
use super::cache::Cache;
use crate::metrics::Metrics;

/// How often the file is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// The file of a bundle, and who may have signed it.
#[derive(Debug)]
pub struct BundleFile {
    path: PathBuf,
    keys: Vec<VerifyingKey>,
    cache: Cache,
    clock: Clock,
    metrics: Metrics,
    ready: Part,
    seen: Option<(SystemTime, u64)>,
}

impl BundleFile {
    /// The bundle at `path`, signed by one of the keys in the files `keys`. Sets what there is at once.
    ///
    /// # Errors
    /// A key that cannot be read. A bundle that cannot be used is said and looked at again.
    pub fn new(
        path: PathBuf,
        keys: &[PathBuf],
        cache: Cache,
        clock: Clock,
        metrics: Metrics,
        ready: Part,
    ) -> Result<Self, KeyFileError> {
        let mut known = Vec::new();
        for file in keys {
            known.extend(key_file::load_verifying(file, "verdicts")?);
        }
        let mut file = Self { path, keys: known, cache, clock, metrics, ready, seen: None };
        file.look();
        Ok(file)
    }

    /// Looks at the file again and again until `token` is cancelled.
    ///
    /// # Errors
    /// Never; the type is what a supervisor takes.
    pub async fn run(mut self, token: CancellationToken) -> Result<(), std::convert::Infallible> {
        while token.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await.is_some() {
            self.look();
        }
        Ok(())
    }

    /// Takes the file in use if it has changed.
    pub fn look(&mut self) {
        let state = std::fs::metadata(&self.path).and_then(|facts| Ok((facts.modified()?, facts.len()))).ok();
        if state.is_some() && state == self.seen {
            return;
        }
        let held = self.cache.bundle().map(|bundle| bundle.issued_at);
        match take(&self.path, &self.keys, held, self.clock.now()) {
            Ok(bundled) => {
                tracing::info!(issued = %bundled.issued_at, expires = %bundled.expires_at, "a signed bundle is in use");
                self.metrics.bundle_expires.set(bundled.expires_at.as_millis() / 1000);
                self.cache.set_bundle(bundled);
                self.ready.ready();
                self.seen = state;
            }
            Err(error) => {
                self.metrics.bundle_refused.inc();
                tracing::warn!(error = %chain(&error), path = %self.path.display(), "the bundle is not used");
                self.seen = state;
            }
        }
    }
}

fn take(path: &Path, keys: &[VerifyingKey], held: Option<Timestamp>, now: Timestamp) -> Result<Bundled, BundleError> {
    let bundle = Bundle::verified(&read_bundle(path)?, keys)?;
    bundle.check(held, now)?;
    bundle.bundled()
}
