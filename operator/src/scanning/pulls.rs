//! The images that this process reads itself, each under a lease.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use stella_domain::{Tenant, Timestamp};
use stella_service::spans::{Kind, step};
use stella_store::{Scan, ScanSource, ScanStatus, StoreError};

use super::fair::{Work, fair};
use super::place::full_reference;
use super::queue::{conclude, fail, work_id};
use super::running::Running;
use super::traced::for_scan;
use super::{from_url, registry};
use crate::app::App;

/// How many images are read at once.
const PULLS: usize = 3;
/// How many of them from one host: a registry that is slow leaves a place for the others.
const PULLS_OF_HOST: usize = 2;
/// Scans that are looked at in one turn.
const TURNS: usize = 64;
/// Seconds after which a process that shows nothing of itself counts as gone.
pub(super) const LEASE: i64 = 15;
/// How often a process shows that it works on a scan, and learns that the scan was called off.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Processes that may end over one scan, before it is set aside.
const MAX_TRIES: i64 = 3;

/// Seconds until an image is read again that its registry did not give for a reason that passes.
const DELAYS: [i64; 2] = [10, 40];

impl Work for Scan {
    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    fn since(&self) -> Timestamp {
        self.created_at
    }

    fn host(&self) -> Cow<'_, str> {
        let name = self.reference.as_deref().unwrap_or_default();
        match name.split_once("://") {
            Some((_, rest)) => rest.split(['/', '?', '#']).next().unwrap_or_default().into(),
            None => full_reference(name).split('/').next().unwrap_or_default().to_owned().into(),
        }
    }
}

/// What is being read.
#[derive(Debug, Default)]
pub(super) struct Pulls(Running<Scan>);

impl Pulls {
    /// Whether the image of `scan` is being read.
    pub(super) fn has(&self, scan: &Scan) -> bool {
        self.0.has(|other| work_id(other) == work_id(scan))
    }

    /// Begins with those of `waiting` whose turn it is, while there are places.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn begin(&mut self, app: &App, waiting: Vec<Scan>) -> Result<(), StoreError> {
        let put_off = app.store.scans_put_off(app.clock.now()).await?;
        let waits = |scan: &Scan| put_off.contains(&(scan.tenant.to_string(), scan.id.clone()));
        let free: Vec<Scan> = waiting.into_iter().filter(|scan| self.has_place(scan) && !waits(scan)).collect();
        for scan in fair(free, &self.0.by_tenant()).take(TURNS) {
            if self.0.len() >= PULLS {
                break;
            }
            // The one before may have taken the last place.
            if self.has_place(&scan) && claim(app, &scan).await? {
                self.0.begin(scan.clone(), pull(app.clone(), scan));
            }
        }
        Ok(())
    }

    /// Whether another image may be read from where `scan` names.
    fn has_place(&self, scan: &Scan) -> bool {
        self.0.of_host(&scan.host()) < PULLS_OF_HOST
    }

    /// Waits until one has ended; for ever while there is none.
    pub(super) async fn one_ended(&mut self) {
        self.0.one_ended().await;
    }

    /// Ends all of them and gives them back: another process may begin at once, and nobody died over them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn stop(self, app: &App) -> Result<(), StoreError> {
        for scan in self.0.stop().await {
            app.store.release_scan(&scan, &app.settings.worker).await?;
        }
        Ok(())
    }
}

/// Whether this process is to read the image of the scan. A scan over which processes ended is set aside.
async fn claim(app: &App, scan: &Scan) -> Result<bool, StoreError> {
    let now = app.clock.now();
    match app.store.claim_scan(scan, &app.settings.worker, now, now.plus_seconds(LEASE)).await? {
        None => Ok(false),
        Some(tries) if tries > MAX_TRIES => {
            fail(app, scan, &format!("set aside: {MAX_TRIES} processes ended while they read the image")).await?;
            app.store.release_scan(scan, &app.settings.worker).await?;
            Ok(false)
        }
        Some(_) => Ok(true),
    }
}

async fn pull(app: App, scan: Scan) {
    under_lease(&app, &scan, for_scan(&app, &scan, "scan an image", read(&app, &scan))).await;
}

/// Goes on with `reading`, which ends the scan, while the scan is open and this process's.
pub(super) async fn under_lease(app: &App, scan: &Scan, reading: impl Future<Output = Result<(), StoreError>>) {
    let left = u64::try_from(scan.deadline.seconds_since(app.clock.now())).unwrap_or_default();
    tokio::select! {
        done = end(app, scan, Duration::from_secs(left), reading) => if let Err(error) = done {
            tracing::error!(scan = scan.id, %error, "the end of a scan could not be kept");
        },
        () = hold(app, scan) => tracing::info!(scan = scan.id, "reading stops: the scan has ended or is another's"),
    }
    if let Err(error) = app.store.release_scan(scan, &app.settings.worker).await {
        tracing::warn!(scan = scan.id, %error, "the lease on a scan could not be given back");
    }
}

async fn end(
    app: &App,
    scan: &Scan,
    left: Duration,
    reading: impl Future<Output = Result<(), StoreError>>,
) -> Result<(), StoreError> {
    match within(left, reading).await {
        Ok(done) => done,
        Err(reason) => fail(app, scan, reason).await,
    }
}

/// Shows that this process works on the scan. Ends when it is to stop.
async fn hold(app: &App, scan: &Scan) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let until = app.clock.now().plus_seconds(LEASE);
        match app.store.keep_scan(scan, &app.settings.worker, until).await {
            Ok(true) => {}
            Ok(false) => return,
            // Whether it is still ours shows when the database answers again.
            Err(error) => tracing::warn!(scan = scan.id, %error, "the lease on a scan could not be kept"),
        }
    }
}

/// What `reading` gives; why not, when it takes too long or panics. A panic is the image's doing and must not end the process.
async fn within<T>(left: Duration, reading: impl Future<Output = T>) -> Result<T, &'static str> {
    match tokio::time::timeout(left, AssertUnwindSafe(reading).catch_unwind()).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err("reading the image was broken off by a fault of the program; the log says where"),
        Err(_) => Err("the time for this scan is over, and the image was not read to its end"),
    }
}

async fn read(app: &App, scan: &Scan) -> Result<(), StoreError> {
    let by_url = scan.source == ScanSource::Url;
    let from = if by_url { "" } else { " from its registry" };
    let message = format!("reading {}{from}", scan.shown().unwrap_or_default());
    if !app.store.advance_scan(scan, ScanStatus::Running, None, &message, app.clock.now()).await? {
        // It was called off while it waited.
        return Ok(());
    }
    app.progress.moved(&scan.id);
    if by_url {
        return match step(Kind::Client, "fetch from a URL", from_url::read(app, scan)).await {
            Ok(image) => conclude(app, scan, &image).await,
            Err(error) => fail(app, scan, &error.to_string()).await,
        };
    }
    match step(Kind::Client, "pull from a registry", registry::read(app, scan)).await {
        Ok(image) => conclude(app, scan, &image).await,
        Err(error) if error.is_passing() => put_off(app, scan, &error.to_string()).await,
        Err(error) => fail(app, scan, &error.to_string()).await,
    }
}

/// Has the image read later, when a reason that passes kept it from being read. After some times, or when its time would be
/// over by then, the scan fails.
async fn put_off(app: &App, scan: &Scan, reason: &str) -> Result<(), StoreError> {
    let (now, before) = (app.clock.now(), app.store.times_put_off(scan).await?);
    let delay = usize::try_from(before).ok().and_then(|before| DELAYS.get(before));
    match delay.map(|delay| (delay, now.plus_seconds(*delay))) {
        Some((delay, until)) if until < scan.deadline => {
            let message = format!("tried again in {delay} s: {reason}");
            app.store.put_off_scan(scan, &app.settings.worker, &message, now, until).await?;
            app.progress.moved(&scan.id);
            Ok(())
        }
        _ => fail(app, scan, reason).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn broken() {
        panic!("a broken image")
    }

    #[tokio::test]
    async fn a_panic_and_too_long_a_time_are_reasons() {
        let (long, short) = (Duration::from_secs(60), Duration::from_millis(5));
        assert_eq!(within(long, async { 7 }).await, Ok(7));
        assert!(within(long, broken()).await.is_err_and(|reason| reason.contains("fault")));
        assert!(within(short, std::future::pending::<()>()).await.is_err_and(|reason| reason.contains("time")));
    }
}
