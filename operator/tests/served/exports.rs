//! Export runs of an operator that was killed.

use std::io::Write;
use std::path::Path;

use reqwest::Method;
use stella_domain::{Tenant, Timestamp};
use stella_export::{FilesystemError, RunFolder, RunId};
use stella_store::Store;

use crate::running::{Operator, json_of};

/// Seconds of seven hours: longer than any run lasts.
const LONG_AGO: i64 = 7 * 3600;

/// A run that is under way since `at`, and has written something.
async fn begin(store: &Store, exports: &Path, at: Timestamp) -> RunId {
    let tenant = Tenant::default();
    let make_id = |number| RunId::new(tenant.clone(), at, number).to_string();
    let id = store.start_export(&tenant, "profile", Timestamp::from_millis(0), at, make_id).await.unwrap();
    let id = id.parse().unwrap();
    write(exports, &id);
    id
}

fn write(exports: &Path, id: &RunId) {
    std::fs::create_dir_all(exports).unwrap();
    let folder = RunFolder::open(exports, id).unwrap();
    folder
        .put(&"findings.ndjson".parse().unwrap(), |out: &mut dyn Write| -> Result<(), FilesystemError> {
            out.write_all(b"{}\n").unwrap();
            Ok(())
        })
        .unwrap();
    // What was being written when the process was killed.
    std::fs::write(exports.join(draft(id)).join(".reports.ndjson.new"), "half").unwrap();
}

fn draft(id: &RunId) -> String {
    format!("{}/.{}.partial", id.tenant(), id.folder_name())
}

fn now() -> Timestamp {
    stella_service::clock::Clock::system().now()
}

async fn status(operator: &Operator, id: &RunId) -> String {
    let asked = operator.request(Method::GET, &format!("/export-center/runs/{id}"));
    let run = json_of(asked.header("X-Stella-Tenant", "tenant-default")).await;
    run["status"].as_str().unwrap_or_else(|| panic!("{run}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_run_had_written_goes_and_what_is_referred_to_stays() {
    let folder = tempfile::tempdir().unwrap();
    let exports = folder.path().join("exports");
    let store = Store::open(folder.path()).await.unwrap();
    let finished = begin(&store, &exports, now()).await;
    RunFolder::open(&exports, &finished).unwrap().commit().unwrap();
    let body = r#"{"outputs": [], "errors": []}"#;
    store.finish_export(&Tenant::default(), &finished.to_string(), "succeeded", body, now()).await.unwrap();
    let failed = begin(&store, &exports, now()).await;
    store.finish_export(&Tenant::default(), &failed.to_string(), "failed", body, now()).await.unwrap();
    let killed = begin(&store, &exports, now()).await;
    let unknown = RunId::new(Tenant::default(), Timestamp::from_millis(0), 1);
    write(&exports, &unknown);
    drop(store);

    let operator = tokio::task::block_in_place(|| Operator::start(folder.path(), &["--allow-anonymous"]));
    for gone in [&failed, &killed] {
        assert!(!exports.join(draft(gone)).exists(), "{gone}: {}", operator.log());
        assert_eq!(status(&operator, gone).await, "failed");
    }
    assert_eq!(status(&operator, &finished).await, "succeeded");
    let artifact = format!("/export-center/runs/{finished}/artifacts/findings.ndjson");
    let artifact = operator.request(Method::GET, &artifact).header("X-Stella-Tenant", "tenant-default");
    assert_eq!(artifact.send().await.unwrap().text().await.unwrap(), "{}\n");
    assert!(exports.join(draft(&unknown)).is_dir(), "another installation may be writing it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_another_replica_is_left_to_it_until_it_is_older_than_any_lasts() {
    let Some(server) = crate::database::Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let exports = folder.path().join("exports");
    let store = Store::connect(&server.url).await.unwrap();
    let crashed = begin(&store, &exports, now().plus_seconds(-LONG_AGO)).await;
    let others = begin(&store, &exports, now()).await;

    let flags = ["--allow-anonymous", "--database-url", &server.url];
    let operator = tokio::task::block_in_place(|| Operator::start(folder.path(), &flags));
    assert_eq!(status(&operator, &crashed).await, "failed");
    assert!(!exports.join(draft(&crashed)).exists(), "{}", operator.log());
    assert_eq!(status(&operator, &others).await, "running");
    assert!(exports.join(draft(&others)).join(".reports.ndjson.new").is_file());
}
