//! From a package URL in an SBOM to its finding: ecosystems whose packages only documents name.

use serde_json::{Value, json};
use stella_advisory::feed::Feeds;
use stella_advisory::osv::Record;
use stella_advisory::{Index, index, match_inventory};
use stella_inventory::{Limits, sbom};

fn index_of(records: &[Value]) -> Index {
    let records = records
        .iter()
        .map(|record| ("GHSA".to_owned(), serde_json::from_value::<Record>(record.clone()).unwrap().into()))
        .collect();
    Index::from_bytes(index::build(&Feeds { records, ..Feeds::default() }).unwrap()).unwrap()
}

fn record(id: &str, ecosystem: &str, name: &str, ranges: &[Value]) -> Value {
    let affected: Vec<Value> = ranges
        .iter()
        .map(|events| {
            json!({"package": {"ecosystem": ecosystem, "name": name},
                "ranges": [{"type": "ECOSYSTEM", "events": events}]})
        })
        .collect();
    json!({"id": id, "modified": "2026-01-01T00:00:00Z", "affected": affected})
}

/// The packages, kinds of events and versions of four reviewed records, and one made up for each other ecosystem.
fn records() -> Vec<Value> {
    let fixed = |version: &str| json!([{"introduced": "0"}, {"fixed": version}]);
    vec![
        record(
            "GHSA-7fj7-39wj-c64f",
            "SwiftURL",
            "github.com/apple/swift-nio",
            &[
                json!([{"introduced": "2.41.0"}, {"fixed": "2.42.0"}]),
                json!([{"introduced": "2.39.0"}, {"fixed": "2.39.1"}]),
                fixed("2.29.1"),
            ],
        ),
        record("GHSA-wc9m-r3v6-9p5h", "SwiftURL", "github.com/sparkle-project/Sparkle", &[fixed("2.6.4")]),
        record(
            "GHSA-738q-mc72-2q22",
            "Hex",
            "mtproto_proxy",
            &[json!([{"introduced": "0"}, {"last_affected": "0.7.2"}])],
        ),
        record("GHSA-fmj7-7gfw-64pg", "Pub", "agent_dart", &[fixed("1.0.0-dev.29")]),
        record("CONAN-1", "ConanCenter", "openssl", &[fixed("3.0.4")]),
        record("RSEC-1", "CRAN", "rJava", &[fixed("1.0-6")]),
        record("HSEC-1", "Hackage", "AC-HalfInteger", &[fixed("1.2.1.1")]),
    ]
}

/// The ids of what is found for a document that names this one package.
fn found(index: &Index, purl: &str) -> Vec<String> {
    let document = json!({"bomFormat": "CycloneDX", "specVersion": "1.5",
        "components": [{"type": "library", "name": "x", "purl": purl}]});
    let inventory = sbom::parse(document.to_string().as_bytes(), &Limits::default()).unwrap().inventory;
    assert_eq!(inventory.components.len(), 1, "{purl}: {:?}", inventory.problems);
    match_inventory(index, &inventory).unwrap().into_iter().map(|found| found.group.advisory_id).collect()
}

#[test]
fn packages_that_only_documents_name_get_their_findings() {
    let index = index_of(&records());
    for (purl, id) in [
        ("pkg:swift/github.com/apple/swift-nio@2.41.1", "GHSA-7fj7-39wj-c64f"),
        ("pkg:swift/github.com/apple/swift-nio@2.39.0", "GHSA-7fj7-39wj-c64f"),
        ("pkg:swift/github.com/Apple/Swift-NIO@1.0.0", "GHSA-7fj7-39wj-c64f"),
        ("pkg:swift/github.com/sparkle-project/Sparkle@2.6.3", "GHSA-wc9m-r3v6-9p5h"),
        ("pkg:swift/github.com/sparkle-project/sparkle@2.6.3", "GHSA-wc9m-r3v6-9p5h"),
        ("pkg:hex/mtproto_proxy@0.7.2", "GHSA-738q-mc72-2q22"),
        ("pkg:pub/agent_dart@1.0.0-dev.28", "GHSA-fmj7-7gfw-64pg"),
        ("pkg:conan/openssl@3.0.3?arch=x86_64&os=Linux", "CONAN-1"),
        ("pkg:cran/rJava@1.0-5", "RSEC-1"),
        ("pkg:hackage/AC-HalfInteger@1.2.1", "HSEC-1"),
    ] {
        assert_eq!(found(&index, purl), [id], "{purl}");
    }
}

#[test]
fn versions_and_packages_beside_them_get_none() {
    let index = index_of(&records());
    for purl in [
        "pkg:swift/github.com/apple/swift-nio@2.39.1",
        "pkg:swift/github.com/apple/swift-nio@2.42.0",
        "pkg:swift/github.com/other/swift-nio@2.41.1",
        "pkg:swift/github.com/sparkle-project/Sparkle@2.6.4",
        "pkg:hex/mtproto_proxy@0.7.3",
        "pkg:hex/acme/mtproto_proxy@0.7.2",
        "pkg:pub/agent_dart@1.0.0-dev.29",
        "pkg:pub/agent_dart@1.0.0",
        "pkg:conan/openssl@3.0.4",
        "pkg:conan/acme/openssl@3.0.3?channel=stable",
        "pkg:cran/rJava@1.0-6",
        "pkg:cran/rjava@1.0-5",
        "pkg:hackage/AC-HalfInteger@1.2.1.1",
    ] {
        assert_eq!(found(&index, purl), Vec::<String>::new(), "{purl}");
    }
}
