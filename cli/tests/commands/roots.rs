//! Folders that are the root of a file system.

use serde_json::{Value, json};

use crate::server::{Server, ok};
use crate::support::{Work, stella};

const METADATA: &str = "Metadata-Version: 2.1\nName: django\nVersion: 2.2.0\n";
const PLACE: &str = "root/usr/lib/python3/dist-packages/Django-2.2.0.dist-info/METADATA";

#[test]
fn a_folder_is_read_as_the_root_of_a_file_system() {
    let work = Work::new();
    work.write(PLACE, METADATA);
    let ran = work.scan(&work.text("root"), &["--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let document = ran.json();
    let finding = &document["findings"][0];
    assert_eq!(finding["advisoryId"], "CVE-2022-28346");
    assert_eq!(finding["location"], json!({"path": PLACE.strip_prefix("root/").unwrap(), "layer": null}));
    let empty = work.text("empty");
    std::fs::create_dir(&empty).unwrap();
    let ran = work.scan(&empty, &[]);
    assert_eq!(ran.code, Some(0), "nothing is in it");
    assert!(ran.err.contains("no package was found"), "{ran:?}");
    work.write("layout/oci-layout", "{}");
    work.scan(&work.text("layout"), &[]).failed_with(&["cannot scan image"]);
}

#[test]
fn a_server_gets_the_inventory_of_a_folder() {
    let work = Work::new();
    work.write(PLACE, METADATA);
    let server = Server::start(|line, _| match line.split('?').next().unwrap() {
        "POST /scan" => ok(json!({
            "scanId": "abc", "digest": format!("sha256:{}", "0".repeat(64)),
            "summary": {"Critical": 1, "High": 0, "Medium": 0, "Low": 0, "Unknown": 0},
            "policyStatus": "pass", "reportUrl": null, "findingsUrl": "/api/v1/scans/abc/findings",
        })),
        _ => ok(json!({"items": [], "nextPageToken": null, "version": "1"})),
    });
    let ran = stella(&["--server", &server.address, &work.text("root")]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let sent = server.asked("POST /scan");
    assert_eq!(sent.headers["x-stella-sbom-type"], "cyclonedx-json");
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(body["components"][0]["purl"], "pkg:pypi/django@2.2.0", "{body}");
}
