//! Folders that are the root of a file system.

use std::io::Write as _;

use rusqlite::Connection;
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

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

/// A Java archive that says nothing of itself.
fn nameless_archive() -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive.start_file("META-INF/MANIFEST.MF", zip::write::SimpleFileOptions::default()).unwrap();
    archive.write_all(b"Manifest-Version: 1.0\n").unwrap();
    archive.finish().unwrap().into_inner()
}

#[test]
fn archives_that_say_nothing_are_known_by_their_sha1() {
    let work = Work::new();
    let archive = nameless_archive();
    work.write("root/srv/lib.jar", &archive);
    let lib = json!({
        "id": "GHSA-lib", "modified": "2026-01-01T00:00:00Z",
        "affected": [{"package": {"ecosystem": "Maven", "name": "org.example:lib"},
                      "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2"}]}]}],
    });
    work.write("feeds/osv/Maven/GHSA-lib.json", lib.to_string());
    let ran = work.scan(&work.text("root"), &["--json"]);
    let sha1 = hex::encode(Sha1::digest(&archive));
    assert!(ran.err.contains(&sha1), "it is told what is not known: {ran:?}");
    assert_eq!(ran.json()["findings"], json!([]));

    work.write("feeds/maven/trivy-java.db", "");
    let database = Connection::open(work.path("feeds/maven/trivy-java.db")).unwrap();
    database
        .execute_batch(&format!(
            "CREATE TABLE artifacts(id INTEGER PRIMARY KEY, group_id TEXT, artifact_id TEXT);
             CREATE TABLE indices(artifact_id INTEGER, version TEXT, sha1 BLOB, archive_type TEXT);
             CREATE UNIQUE INDEX indices_sha1_idx ON indices(sha1);
             INSERT INTO artifacts VALUES (1, 'org.example', 'lib');
             INSERT INTO indices VALUES (1, '1.0', x'{sha1}', 'jar');"
        ))
        .unwrap();
    database.close().unwrap();
    let finding = &work.scan(&work.text("root"), &["--json"]).json()["findings"][0];
    assert_eq!(finding["package"]["purl"], "pkg:maven/org.example/lib@1.0", "{finding}");
    assert_eq!(finding["location"]["path"], "srv/lib.jar");
    let bom = work.scan(&work.text("root"), &["--format", "cyclonedx"]).json();
    assert_eq!(bom["components"][0]["purl"], "pkg:maven/org.example/lib@1.0");
    let method = &bom["components"][0]["evidence"]["identity"][0]["methods"][0];
    assert_eq!((&method["technique"], &method["value"]), (&json!("hash-comparison"), &json!("srv/lib.jar")));

    work.write("feeds/maven/trivy-java.db", "no database");
    let ran = work.scan(&work.text("root"), &["--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("trivy-java.db"), "{ran:?}");
}
