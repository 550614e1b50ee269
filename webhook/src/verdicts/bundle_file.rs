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
    /// Looking at it panicked.
    pub async fn run(mut self, token: CancellationToken) -> Result<(), tokio::task::JoinError> {
        while token.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await.is_some() {
            // Verifying and reading a large one takes a while.
            self = tokio::task::spawn_blocking(move || {
                self.look();
                self
            })
            .await?;
        }
        Ok(())
    }

    /// Takes the file in use if it has changed.
    pub fn look(&mut self) {
        let state = std::fs::metadata(&self.path).and_then(|facts| Ok((facts.modified()?, facts.len()))).ok();
        if state.is_some() && state == self.seen {
            return;
        }
        let (held, now) = (self.cache.bundle().map(|bundle| bundle.issued_at), self.clock.now());
        match take(&self.path, &self.keys, held, now) {
            Ok(bundled) => {
                let (issued, expires) = (bundled.issued_at, bundled.expires_at);
                if bundled.holds_at(now) {
                    tracing::info!(%issued, %expires, "a signed bundle is in use");
                } else {
                    tracing::warn!(%issued, %expires, "the bundle has expired: only what it refuses counts");
                }
                self.metrics.bundle_expires.set(expires.as_millis() / 1000);
                self.cache.set_bundle(bundled);
                // Also with an expired one: who is not ready is not asked, and so would refuse nothing.
                self.ready.ready();
                self.seen = state;
            }
            Err(error) => {
                // A clock may be mended, and a file may be read the next time.
                let passing = matches!(error, BundleError::Early(_) | BundleError::File { .. });
                self.seen = state.filter(|_| !passing);
                if state.is_some() {
                    self.metrics.bundle_refused.inc();
                }
                tracing::warn!(error = %chain(&error), path = %self.path.display(), "the bundle is not used");
            }
        }
    }
}

fn take(path: &Path, keys: &[VerifyingKey], held: Option<Timestamp>, now: Timestamp) -> Result<Bundled, BundleError> {
    let bundle = Bundle::verified(&read_bundle(path)?, keys)?;
    match bundle.check(held, now) {
        // What was refused stays refused, also after a new start.
        Err(BundleError::Expired(_)) if held.is_none() => {}
        checked => checked?,
    }
    bundle.bundled()
}

#[cfg(test)]
mod tests {
    use stella_attest::SigningKey;
    use stella_service::health::Health;

    use super::*;
    use crate::decision::{Outcome, Settings, decide};
    use crate::fixture;
    use crate::review::Review;
    use crate::verdicts::write_bundle;

    struct Rig {
        folder: tempfile::TempDir,
        cache: Cache,
        health: Health,
    }

    impl Rig {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), cache: Cache::default(), health: Health::new() }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("bundle.json")
        }

        /// Puts a bundle there that is issued now and holds for an hour.
        fn put(&self) {
            let held = fixture::held(&[fixture::namespace("*")], &[fixture::blocked("bad:1")]);
            let bundle = Bundle::of(&held, Vec::new(), fixture::now(), 3600).unwrap();
            write_bundle(&self.path(), &bundle.signed(&SigningKey::from_seed("verdicts", &[1; 32])).unwrap()).unwrap();
        }

        /// A webhook that starts so many seconds after the bundle was issued.
        fn start(&self, seconds: i64) -> BundleFile {
            let key = self.folder.path().join("key.pem");
            std::fs::write(&key, SigningKey::from_seed("verdicts", &[1; 32]).verifying().to_pem().unwrap()).unwrap();
            let clock = Clock::stopped(fixture::now().plus_seconds(seconds));
            let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
            let ready = self.health.part("bundle");
            BundleFile::new(self.path(), &[key], self.cache.clone(), clock, metrics, ready).unwrap()
        }

        fn is_ready(&self) -> bool {
            self.health.readiness().ready
        }
    }

    #[test]
    fn what_an_expired_bundle_refuses_stays_refused_also_after_a_new_start() {
        let rig = Rig::new();
        rig.put();
        rig.start(4000);
        assert!(rig.is_ready(), "who is not ready is not asked");
        let (held, bundle) = (rig.cache.held(), rig.cache.bundle().unwrap());
        let now = fixture::now().plus_seconds(4000);
        let asked = |image: &str| {
            let object = serde_json::json!({"spec": {"containers": [{"name": "app", "image": image}]}});
            let resource = serde_json::json!({"group": "", "version": "v1", "resource": "pods"});
            let request = serde_json::json!({"uid": "1", "operation": "CREATE", "namespace": "shop",
                "resource": resource, "object": object});
            let body =
                serde_json::json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request});
            let review = Review::read(body.to_string().as_bytes()).unwrap();
            decide(&review, &held, Some(&bundle), &Settings::default(), now).map(|decision| decision.outcome).ok()
        };
        assert_eq!((asked("bad:1"), asked("good:1")), (Some(Outcome::Denied), None));
    }

    #[test]
    fn a_bundle_that_came_too_early_for_the_clock_is_looked_at_again() {
        let rig = Rig::new();
        rig.put();
        let mut file = rig.start(-600);
        assert!(rig.cache.bundle().is_none());
        file.clock = Clock::stopped(fixture::now());
        file.look();
        assert!(rig.cache.bundle().is_some() && rig.is_ready());
    }

    #[test]
    fn a_file_that_is_not_there_is_no_refused_bundle() {
        let rig = Rig::new();
        let mut file = rig.start(0);
        assert_eq!(file.metrics.bundle_refused.get(), 0);
        std::fs::write(rig.path(), "no bundle").unwrap();
        file.look();
        file.look();
        assert_eq!(file.metrics.bundle_refused.get(), 1, "it has not changed since");
    }
}
