//! Local scans: exit codes, the JSON document, the index, wrong inputs.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Work, bom, command, indexes, stella};

#[test]
fn the_threshold_decides_the_exit_code() {
    let work = Work::new();
    assert_eq!(work.scan_bom(&[]).code, Some(1));
    let mild = work.write("mild.json", bom(&["cryptography@38.0.0"]).to_string());
    assert_eq!(work.scan(&mild, &[]).code, Some(0));
    assert_eq!(work.scan(&mild, &["--threshold", "medium"]).code, Some(1));
    let clean = work.write("clean.json", bom(&["harmless@1.0"]).to_string());
    let ran = work.scan(&clean, &["--threshold", "low"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.out.starts_with("0 findings"), "{ran:?}");
}

#[test]
fn the_document_is_that_of_the_contract() {
    let work = Work::new();
    let mild = work.write("mild.json", bom(&["cryptography@38.0.0"]).to_string());
    let ran = work.scan(&mild, &["--format", "json"]);
    let mut document = ran.json();
    let digest = document["digest"].as_str().unwrap();
    assert!(digest.starts_with("sha256:") && digest.len() == 71, "{digest}");
    let id = document["findings"][0]["findingId"].take();
    assert_eq!(id.as_str().unwrap().len(), 32);
    let expected = json!({
        "findingId": null, "advisoryId": "CVE-2023-23931",
        "aliases": ["CVE-2023-23931", "GHSA-w7pp-m8wf-vj6r", "PYSEC-2023-11"],
        "package": {
            "name": "cryptography", "version": "38.0.0", "ecosystem": "PyPI",
            "purl": "pkg:pypi/cryptography@38.0.0", "source": null,
        },
        "location": {"path": "", "layer": null},
        "severity": "Medium",
        "cvss": {"version": "3.1", "score": 6.5, "vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:L/A:L"},
        "kev": false, "epss": null, "fixedIn": ["39.0.1"],
        "summary": "Cipher.update_into can corrupt memory", "sources": ["PyPI"],
        "reachability": {"status": "unknown", "evidence": []},
        "verdict": {"status": "Pass"}, "vex": null,
    });
    assert_eq!(document["findings"], json!([expected]));
    assert_eq!(document["target"], json!(mild));
    assert_eq!(document["summary"], json!({"Critical": 0, "High": 0, "Medium": 1, "Low": 0, "Unknown": 0}));
    assert_eq!(document["policyStatus"], "pass");
    assert_eq!(document["feeds"], json!([{"name": "PyPI", "date": "2024-01-01T00:00:00.000Z", "advisories": 2}]));
    assert!(document["engine"].as_str().unwrap().starts_with("stella "));

    let keys = ["digest", "target", "summary", "policyStatus", "findings", "feeds", "engine"];
    let places: Vec<usize> = keys.iter().map(|key| ran.out.find(&format!("\n  \"{key}\":")).unwrap()).collect();
    assert!(places.is_sorted(), "{}", ran.out);
    assert_eq!(document.as_object().unwrap().len(), keys.len());
}

#[test]
fn the_same_question_gives_the_same_bytes_in_stream_and_file() {
    let work = Work::new();
    let file = work.text("result.json");
    let first = work.scan_bom(&["--format", "json", "--output-json", &file]);
    assert_eq!(first.out, fs::read_to_string(&file).unwrap());
    assert_eq!(first.out, work.scan_bom(&["--json"]).out);
    let ids = |value: &Value| -> Vec<String> {
        let findings = value["findings"].as_array().unwrap();
        findings.iter().map(|finding| finding["advisoryId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&first.json()), ["CVE-2022-28346", "CVE-2023-23931"], "worst first");
}

#[test]
fn the_index_is_kept_beside_the_feeds_and_replaced_with_them() {
    let work = Work::new();
    let folder = work.path("feeds/.stella");
    assert_eq!(work.scan_bom(&[]).code, Some(1));
    let first = indexes(&folder);
    assert!(matches!(first.as_slice(), [name] if name.len() == "index-v4-0123456789abcdef.idx".len()), "{first:?}");
    assert_eq!(work.scan_bom(&[]).code, Some(1));
    assert_eq!(indexes(&folder), first);

    fs::remove_file(work.path("feeds/osv/PyPI/PYSEC-2022-190.json")).unwrap();
    assert_eq!(work.scan_bom(&[]).code, Some(0));
    let second = indexes(&folder);
    assert!(second.len() == 1 && second != first, "{second:?}");
}

#[test]
fn a_damaged_index_is_built_anew() {
    let work = Work::new();
    work.scan_bom(&[]);
    let name = indexes(&work.path("feeds/.stella")).remove(0);
    work.write(&format!("feeds/.stella/{name}"), "not an index");
    assert_eq!(work.scan_bom(&[]).code, Some(1));
}

#[test]
fn a_cache_folder_keeps_the_feeds_folder_untouched() {
    let work = Work::new();
    let cache = work.text("cache/deep");
    assert_eq!(work.scan_bom(&["--cache-dir", &cache]).code, Some(1));
    assert_eq!(indexes(&work.path("cache/deep")).len(), 1);
    assert!(!work.path("feeds/.stella").exists());
}

#[test]
fn a_distribution_without_updates_is_told() {
    let work = Work::new();
    let mut document = bom(&["harmless@1.0"]);
    let purl = "pkg:deb/debian/bash@4.4-5?distro=debian-9";
    document["components"][0] = json!({"type": "library", "name": "bash", "version": "4.4-5", "purl": purl});
    let old = work.write("old.json", document.to_string());
    let ran = work.scan(&old, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("warning: debian 9 has had no updates since 20"), "{}", ran.err);
}

#[test]
fn wrong_inputs_are_named() {
    let work = Work::new();
    let other = work.write("other.json", r#"{"name":"web","dependencies":{}}"#);
    work.scan(&other, &[]).failed_with(&[&other, "not an SBOM", "dependencies"]);
    let text = work.write("notes.txt", "hello");
    work.scan(&text, &[]).failed_with(&[&text, "not an SBOM"]);
    let broken = work.write("broken.json", r#"{"bomFormat":"CycloneDX","specVersion":"1.5","components":["#);
    work.scan(&broken, &[]).failed_with(&[&broken, "malformed cyclonedx-json"]);
    let missing = work.text("missing.tar");
    work.scan(&missing, &[]).failed_with(&[&missing, "no file or folder"]);
}

#[test]
fn truncated_archives_are_refused() {
    let work = Work::new();
    let mut header = b"manifest.json".to_vec();
    header.resize(600, 0);
    let plain = work.write("plain.tar", &header);
    work.scan(&plain, &[]).failed_with(&["cannot scan image", &plain]);
    let packed = work.write("packed.tar.gz", [0x1f_u8, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1]);
    work.scan(&packed, &[]).failed_with(&["cannot scan image", &packed]);
}

#[test]
fn missing_feeds_are_named() {
    let work = Work::new();
    let (bom, nowhere) = (work.text("bom.json"), work.text("nowhere"));
    stella(&["--local", "--feeds", &nowhere, &bom]).failed_with(&[&nowhere, "holds no feed"]);
    assert_eq!(stella(&["--local", &bom]).code, Some(2));
    assert_eq!(stella(&[]).code, Some(2));
    assert_eq!(stella(&["--help"]).code, Some(0));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let work = Work::new();
    let (feeds, bom) = (work.text("feeds"), work.text("bom.json"));
    let mut command = command(env!("CARGO_BIN_EXE_stella"), &["--local", "--feeds", &feeds, "--json", &bom]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
}

#[test]
fn an_sbom_of_another_type_than_is_said_is_refused() {
    let work = Work::new();
    let bom = work.text("bom.json");
    let spdx = work.write("spdx.json", work.scan_bom(&["--format", "spdx"]).out);
    assert_eq!(work.scan(&bom, &["--sbom-type", "cyclonedx-json"]).code, Some(1));
    assert_eq!(work.scan(&spdx, &["--sbom-type", "spdx-json"]).code, Some(1));
    for (file, said, missing) in [
        (&bom, "spdx-json", "it has no spdxVersion"),
        (&bom, "trivy-json-v2", "it has no SchemaVersion"),
        (&spdx, "cyclonedx-json", "bomFormat is not CycloneDX"),
    ] {
        work.scan(file, &["--sbom-type", said]).failed_with(&[file, missing]);
    }
    let misspelt = work.scan_bom(&["--sbom-type", "spdx"]);
    assert_eq!(misspelt.code, Some(2), "{misspelt:?}");
    assert!(misspelt.err.contains("--sbom-type") && misspelt.err.contains("spdx-json"), "{misspelt:?}");
}
