//! Feeds that change while images are scanned.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::database::{connect, names, rows};
use crate::running::Operator;

/// How long the operator may take to see what lies in the folder of the feeds.
const SEEN: Duration = Duration::from_secs(60);

fn record(package: &str) -> Value {
    json!({"id": format!("R-{package}"), "modified": "2026-01-01T00:00:00Z", "affected": [{
        "package": {"ecosystem": "PyPI", "name": package},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2"}]}]}]})
}

/// Puts a file there at once: half of one is no feed.
fn put(folder: &Path, name: &str, content: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(folder.join("partial"), content).unwrap();
    std::fs::rename(folder.join("partial"), path).unwrap();
}

fn put_record(folder: &Path, package: &str) {
    put(folder, &format!("osv/PyPI/{package}.json"), record(package).to_string().as_bytes());
}

/// How many findings the two packages have, as soon as there is an index.
async fn findings(operator: &Operator) -> u64 {
    let component =
        |name: &str| json!({"type": "library", "name": name, "version": "1", "purl": format!("pkg:pypi/{name}@1")});
    let bom =
        json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "components": [component("one"), component("two")]});
    let begun = Instant::now();
    loop {
        let answer = operator.request(Method::POST, "/scan").json(&bom).send().await.unwrap();
        let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
        if status == 200 {
            return body["summary"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
        }
        assert!(status == 503 && begun.elapsed() < SEEN, "{status} {body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_swapped_under_those_who_read_it_and_a_bad_feed_leaves_the_old_one() {
    let (data, feeds) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    put_record(feeds.path(), "one");
    let flags = ["--allow-anonymous", "--feeds", feeds.path().to_str().unwrap()];
    let operator = tokio::task::block_in_place(|| Operator::start(data.path(), &flags));
    assert_eq!(findings(&operator).await, 1);

    put_record(feeds.path(), "two");
    let reader = async || {
        let (begun, mut scans) = (Instant::now(), 0_u32);
        // Either index answers, and after the new one never the old one again.
        while findings(&operator).await == 1 {
            scans += 1;
            assert!(begun.elapsed() < SEEN, "the new feed is not seen");
        }
        for _ in 0..20 {
            assert_eq!(findings(&operator).await, 2);
        }
        scans
    };
    let scans = futures::future::join_all((0..4).map(|_| reader())).await;
    assert!(scans.iter().all(|scans| *scans > 0), "somebody read while the index was swapped: {scans:?}");

    put(feeds.path(), "osv/npm/all.zip", b"PK\x03\x04 and nothing that follows");
    let begun = Instant::now();
    while !operator.log().contains("the index is not up to date") {
        assert!(begun.elapsed() < SEEN, "{}", operator.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(operator.log().contains("all.zip"), "the file is named");
    assert_eq!(findings(&operator).await, 2);
    let ready = operator.request(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), 200, "there is an index");
}

/// Stores an image that is told by an SBOM of these packages of PyPI, each in version 1; its digest, and where its findings are.
async fn store_image(operator: &Operator, packages: &[&str]) -> (String, String) {
    let component =
        |name: &&str| json!({"type": "library", "name": name, "version": "1", "purl": format!("pkg:pypi/{name}@1")});
    let components: Vec<Value> = packages.iter().map(component).collect();
    let bom = json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "components": components});
    let answer = operator.request(Method::POST, "/scan").json(&bom).send().await.unwrap();
    let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
    assert_eq!(status, 200, "{body}");
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    (text("digest"), text("findingsUrl"))
}

/// The advisories of the findings at `url`, sorted.
async fn advisories(operator: &Operator, url: &str) -> Vec<String> {
    let answer = operator.request(Method::GET, url).send().await.unwrap().json::<Value>().await.unwrap();
    let items = answer["items"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let mut ids: Vec<String> = items.iter().map(|item| item["advisoryId"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

async fn until_found(operator: &Operator, url: &str, ids: &[&str]) {
    let begun = Instant::now();
    loop {
        let found = advisories(operator, url).await;
        if found == ids {
            return;
        }
        assert!(begun.elapsed() < SEEN, "{found:?} and not {ids:?}: {}", operator.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The finding at `url`, which has one.
async fn finding(operator: &Operator, url: &str) -> Value {
    let answer = operator.request(Method::GET, url).send().await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(answer["items"].as_array().map(Vec::len), Some(1), "{answer}");
    answer["items"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_record_that_joins_later_renames_no_finding() {
    let (data, feeds) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    put_record(feeds.path(), "one");
    let flags = ["--allow-anonymous", "--feeds", feeds.path().to_str().unwrap()];
    let operator = tokio::task::block_in_place(|| Operator::start(data.path(), &flags));
    operator.until_ready().await;
    let (_, url) = store_image(&operator, &["one"]).await;
    let before = finding(&operator, &url).await;
    assert_eq!(before["advisoryId"], "R-one");

    let mut older = record("one");
    (older["id"], older["aliases"]) = (json!("CVE-2025-1"), json!(["R-one"]));
    older["published"] = json!("2025-01-01T00:00:00Z");
    put(feeds.path(), "osv/PyPI/older.json", older.to_string().as_bytes());
    until_found(&operator, &url, &["CVE-2025-1"]).await;
    let after = finding(&operator, &url).await;
    assert_eq!(after["findingId"], before["findingId"], "the day a CVE is assigned");
    assert_eq!(after["aliases"], json!(["CVE-2025-1", "R-one"]));
}

/// The database of a running operator, to be written.
fn writable(data: &Path) -> String {
    format!("sqlite://{}?mode=rw", data.join("stella.db").display())
}

/// Which generation of the index each image was matched against.
async fn generations(data: &Path) -> std::collections::BTreeMap<String, String> {
    let mut connection = connect(&writable(data)).await;
    let found = rows(&mut connection, "SELECT digest, matched_generation FROM image").await;
    found.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_record_changes_the_findings_of_stored_images_that_it_concerns_and_leaves_the_others_alone() {
    let (data, feeds) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    put_record(feeds.path(), "one");
    let flags = ["--allow-anonymous", "--feeds", feeds.path().to_str().unwrap()];
    let operator = tokio::task::block_in_place(|| Operator::start(data.path(), &flags));
    operator.until_ready().await;
    let (concerned, found) = store_image(&operator, &["one", "two"]).await;
    let (unconcerned, left) = store_image(&operator, &["one", "three"]).await;
    assert_eq!(advisories(&operator, &found).await, ["R-one"]);
    let first = generations(data.path()).await;
    assert_eq!(first[&concerned], first[&unconcerned]);
    // Nobody can look into what is damaged, so it is told if somebody tries.
    let damage = format!("UPDATE image SET inventory = x'00' WHERE digest = '{unconcerned}'");
    names(&mut connect(&writable(data.path())).await, &damage).await;

    put_record(feeds.path(), "two");
    until_found(&operator, &found, &["R-one", "R-two"]).await;
    let begun = Instant::now();
    let mut now = generations(data.path()).await;
    while now[&unconcerned] == first[&unconcerned] {
        assert!(begun.elapsed() < SEEN, "{}", operator.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
        now = generations(data.path()).await;
    }
    assert_eq!(now[&unconcerned], now[&concerned], "its findings are those of the new index, too");
    assert_eq!(advisories(&operator, &left).await, ["R-one"]);
    assert!(!operator.log().contains("could not be matched again"), "{}", operator.log());

    std::fs::remove_file(feeds.path().join("osv/PyPI/two.json")).unwrap();
    until_found(&operator, &found, &["R-one"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_that_cannot_be_matched_again_do_not_keep_others_from_it() {
    let (data, feeds) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    put_record(feeds.path(), "one");
    let flags = ["--allow-anonymous", "--rate-limit", "0", "--feeds", feeds.path().to_str().unwrap()];
    let operator = tokio::task::block_in_place(|| Operator::start(data.path(), &flags));
    operator.until_ready().await;
    let mut images = Vec::new();
    for number in 0..300 {
        images.push(store_image(&operator, &["two", &format!("p{number}")]).await);
    }
    images.sort();
    let (last, found) = images.last().unwrap();
    let damage = format!("UPDATE image SET inventory = x'00' WHERE digest <> '{last}'");
    names(&mut connect(&writable(data.path())).await, &damage).await;

    put_record(feeds.path(), "two");
    until_found(&operator, found, &["R-two"]).await;
    assert!(operator.log().contains("could not be matched again"), "the others are named");
}

/// A table of artifacts as Trivy makes it, in which one archive is known.
async fn put_artifacts(folder: &Path, sha1: &str) {
    let made = tempfile::tempdir().unwrap();
    let database = made.path().join("trivy-java.db");
    let mut connection = connect(&format!("sqlite://{}?mode=rwc", database.display())).await;
    for statement in [
        "CREATE TABLE artifacts(id INTEGER PRIMARY KEY, group_id TEXT, artifact_id TEXT)".to_owned(),
        "CREATE TABLE indices(artifact_id INTEGER, version TEXT, sha1 BLOB, archive_type TEXT)".to_owned(),
        "CREATE UNIQUE INDEX indices_sha1_idx ON indices(sha1)".to_owned(),
        "INSERT INTO artifacts VALUES (7, 'org.example', 'lib')".to_owned(),
        format!("INSERT INTO indices VALUES (7, '1.0', x'{sha1}', 'jar')"),
    ] {
        names(&mut connection, &statement).await;
    }
    sqlx::Connection::close(connection).await.unwrap();
    put(folder, "maven/trivy-java.db", &std::fs::read(&database).unwrap());
    put(folder, "maven/metadata.json", br#"{"Version":1,"UpdatedAt":"2026-01-02T00:00:00Z"}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archives_get_their_names_from_a_table_that_comes_later() {
    let (data, feeds) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut record = record("org.example:lib");
    record["affected"][0]["package"]["ecosystem"] = json!("Maven");
    put(feeds.path(), "osv/Maven/lib.json", record.to_string().as_bytes());
    let flags = ["--allow-anonymous", "--feeds", feeds.path().to_str().unwrap()];
    let operator = tokio::task::block_in_place(|| Operator::start(data.path(), &flags));
    operator.until_ready().await;

    let sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    let archive = format!("pkg:generic/a.jar?checksum=sha1:{sha1}");
    let bom = json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "components": [
        {"type": "library", "name": "a.jar", "purl": archive}]});
    let send = async || {
        let answer = operator.request(Method::POST, "/scan").json(&bom).send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    let first = send().await;
    let url = first["findingsUrl"].as_str().unwrap();
    assert_eq!(advisories(&operator, url).await, <[&str; 0]>::default());

    put_artifacts(feeds.path(), sha1).await;
    until_found(&operator, url, &["R-org.example:lib"]).await;
    let finding = finding(&operator, url).await;
    assert_eq!(finding["package"]["purl"], "pkg:maven/org.example/lib@1.0", "{finding}");
    let sbom = format!("/api/v1/scans/{}/sbom", first["scanId"].as_str().unwrap());
    let kept = operator.request(Method::GET, &sbom).send().await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(kept["components"][0]["purl"], "pkg:maven/org.example/lib@1.0", "{kept}");
    let again = send().await;
    assert_eq!(again["digest"], first["digest"], "a document is filed under what it says");
    assert_eq!(advisories(&operator, url).await, ["R-org.example:lib"]);
}
