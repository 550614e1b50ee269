//! Kills at random moments under load. What was acknowledged is there afterwards, once, and what was begun is ended.
//!
//! `$STELLA_KILLS` is how many there are over all (20), `$STELLA_SEED` what their moments follow from.

pub mod database;
mod images;
mod ledger;
mod load;
mod replica;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use database::{Server, sqlite};
use images::Images;
use ledger::{damage, open_scans};
use load::{Addresses, Asker};
use replica::Replica;

use crate::numbers::Numbers;

const TOKEN: &str = "a-token-of-the-crash-tests";
/// How long what was begun may take when nobody asks for more. A lease of a killed replica has to end first.
const END: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_what_was_acknowledged() {
    let series = Series::begin("SQLite", 8).await;
    let mut operators = series.operators(&["one"], None);
    series.kill_each(&mut operators, &sqlite(series.data.path())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_keeps_what_was_acknowledged() {
    let Some(server) = Server::start() else { return };
    let series = Series::begin("PostgreSQL", 4).await;
    let mut operators = series.operators(&["one"], Some(&server.url));
    series.kill_each(&mut operators, &server.url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_keep_what_either_acknowledged() {
    let Some(server) = Server::start() else { return };
    let series = Series::begin("PostgreSQL, two replicas", 4).await;
    let mut operators = series.operators(&["one", "two"], Some(&server.url));
    series.kill_each(&mut operators, &server.url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_outlive_a_crash_of_their_database() {
    let Some(mut server) = Server::start() else { return };
    let series = Series::begin("PostgreSQL is killed, two replicas", 4).await;
    let mut operators = series.operators(&["one", "two"], Some(&server.url));
    let url = server.url.clone();
    series.run(&mut operators, &url, |_, _| tokio::task::block_in_place(|| server.crash())).await;
    for operator in &mut operators {
        operator.must_run();
    }
}

/// Kills of one arrangement.
struct Series {
    name: &'static str,
    kills: u64,
    seed: u64,
    data: tempfile::TempDir,
    images: Arc<Images>,
}

impl Series {
    /// Of 20 kills over all this series has `share`.
    async fn begin(name: &'static str, share: u64) -> Self {
        let number = |variable: &str, default| {
            std::env::var(variable).map_or(default, |text| text.parse().expect("a number in the variable"))
        };
        let (kills, seed) = (number("STELLA_KILLS", 20) * share / 20, number("STELLA_SEED", 1));
        eprintln!("{name}: {kills} kills; STELLA_SEED={seed} gives the same moments");
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("token"), TOKEN).unwrap();
        let images = Arc::new(Images::serve(seed).await);
        Self { name, kills, seed, data, images }
    }

    fn operators(&self, names: &[&str], url: Option<&str>) -> Vec<Replica> {
        let mut flags = vec!["--rate-limit".to_owned(), "0".to_owned()];
        flags
            .extend(["--feeds".to_owned(), concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/feeds").to_owned()]);
        flags.extend(["--insecure-registry".to_owned(), self.images.host.clone()]);
        flags.extend(["--static-token-file".to_owned(), self.data.path().join("token").display().to_string()]);
        flags.extend(url.map(|url| ["--database-url".to_owned(), url.to_owned()]).into_iter().flatten());
        names.iter().map(|name| Replica::start(name, self.data.path(), &flags)).collect()
    }

    /// Kills one of the operators each time, and starts it again.
    async fn kill_each(&self, operators: &mut [Replica], url: &str) {
        self.run(operators, url, |operators, number| {
            let which = number % operators.len();
            tokio::task::block_in_place(|| operators[which].kill());
        })
        .await;
    }

    /// Puts the operators under load, does `kill` at random moments, and looks each time what is left.
    async fn run(&self, operators: &mut [Replica], url: &str, mut kill: impl FnMut(&mut [Replica], usize)) {
        let (begun, audit) = (Instant::now(), self.data.path().join("authority/audit"));
        let addresses = Addresses::default();
        *addresses.lock().unwrap() = addresses_of(operators);
        let secret = std::fs::read_to_string(self.data.path().join("authority/admin-secret")).unwrap();
        let asker = Asker::new(Arc::clone(&addresses), TOKEN, secret.trim());
        let mut asking = asker.start(Arc::clone(&self.images), self.seed).await;
        let mut numbers = Numbers::of(self.seed);
        for number in 1..=self.kills {
            tokio::time::sleep(millis(&mut numbers, 200..1500)).await;
            kill(operators, numbers.below(1 << 20));
            *addresses.lock().unwrap() = addresses_of(operators);
            let acknowledged = asker.ledger.now();
            let mut wrong = acknowledged.missing(url).await;
            wrong.extend(acknowledged.missing_in_audit(&audit));
            assert!(wrong.is_empty(), "{}: after kill {number}: {wrong:#?}", self.name);
        }
        asker.stop.cancel();
        while let Some(ended) = asking.join_next().await {
            ended.unwrap();
        }
        let quiet = Instant::now();
        while open_scans(url).await > 0 {
            assert!(quiet.elapsed() < END, "{}: {} scans do not end", self.name, open_scans(url).await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let acknowledged = asker.ledger.now();
        let (mut wrong, set_aside) = acknowledged.not_ended(url).await;
        wrong.extend(acknowledged.missing(url).await);
        wrong.extend(acknowledged.missing_in_audit(&audit));
        if url.starts_with("sqlite:") {
            wrong.extend(damage(url).await);
        }
        wrong.extend(self.left_lying());
        assert!(wrong.is_empty(), "{}: {wrong:#?}", self.name);
        let (name, kills, told, seconds) = (self.name, self.kills, acknowledged.told(), begun.elapsed().as_secs());
        println!("{name}: {kills} kills in {seconds} s; {told}; 0 missing, {set_aside} set aside");
    }

    /// What killed operators were reading, and nobody reads any more.
    fn left_lying(&self) -> Vec<String> {
        let folders = std::fs::read_dir(self.data.path().join("work")).unwrap();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
        files.map(|file| format!("{} was left lying", file.unwrap().path().display())).collect()
    }
}

fn millis(numbers: &mut Numbers, of: Range<usize>) -> Duration {
    Duration::from_millis((of.start + numbers.below(of.len())) as u64)
}

fn addresses_of(operators: &[Replica]) -> Vec<String> {
    operators.iter().map(Replica::url).collect()
}
