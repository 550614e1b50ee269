//! Statements from three formats, and how far they reach.

mod public_data;

use std::io::Read as _;

use proptest::prelude::*;
use public_data::public_data;
use serde_json::{Value, json};
use stella_advisory::feed::Feeds;
use stella_advisory::merge::{Group, merge};
use stella_advisory::osv::Record;
use stella_advisory::vex::{self, Document, Status, Target, VexError, applicable};
use stella_domain::Digest;
use stella_inventory::purl::Purl;

fn read(document: &Value) -> Document {
    vex::read(document.to_string().as_bytes()).unwrap()
}

fn digest() -> Digest {
    Digest::of(b"image")
}

/// What is said about CVE-2026-1 in `package` of the image.
fn said(document: &Document, package: &str) -> Vec<Status> {
    said_of(document, &["CVE-2026-1"], package, &[], &[digest()])
}

fn said_of(document: &Document, ids: &[&str], package: &str, within: &[&str], digests: &[Digest]) -> Vec<Status> {
    said_of_group(document, ids, &[], package, within, digests)
}

fn said_of_group(
    document: &Document,
    ids: &[&str],
    bulletins: &[&str],
    package: &str,
    within: &[&str],
    digests: &[Digest],
) -> Vec<Status> {
    let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<String>>();
    let (ids, bulletins) = (owned(ids), owned(bulletins));
    let package: Purl = package.parse().unwrap();
    let within: Vec<Purl> = within.iter().map(|purl| purl.parse().unwrap()).collect();
    let target = Target {
        vulnerability: &ids,
        bulletins: &bulletins,
        package: &package,
        within: &within,
        digests,
        repository: Some("registry.example/team/app"),
    };
    applicable(&document.statements, &target).into_iter().map(|statement| statement.status).collect()
}

fn openvex(products: Value) -> Document {
    read(&json!({
        "@context": "https://openvex.dev/ns/v0.2.0", "@id": "doc", "author": "Acme", "timestamp": "2026-01-01T00:00:00Z",
        "statements": [{"vulnerability": {"name": "CVE-2026-1"}, "products": products, "status": "not_affected",
            "justification": "component_not_present"}]
    }))
}

const CLEARED: [Status; 1] = [Status::NotAffected];

#[test]
fn a_package_is_meant_in_the_version_that_is_named() {
    let exact = openvex(json!([{"@id": "pkg:npm/a@1.0.0"}]));
    assert_eq!(said(&exact, "pkg:npm/a@1.0.0"), CLEARED);
    assert_eq!(said(&exact, "pkg:npm/a@v1.0.0"), CLEARED, "the same version in npm's order");
    for other in ["pkg:npm/a@1.0.1", "pkg:npm/b@1.0.0", "pkg:npm/%40s/a@1.0.0", "pkg:pypi/a@1.0.0", "pkg:npm/a"] {
        assert!(said(&exact, other).is_empty(), "{other}");
    }
    let any = openvex(json!([{"identifiers": {"purl": "pkg:npm/a"}}]));
    assert_eq!(said(&any, "pkg:npm/a@9"), CLEARED);
    assert!(said_of(&any, &["CVE-2026-2"], "pkg:npm/a@9", &[], &[]).is_empty(), "another vulnerability");
}

#[test]
fn every_qualifier_that_is_named_has_to_be_there() {
    let document = openvex(json!([{"@id": "pkg:deb/debian/a@1-1?arch=amd64&distro=debian-12"}]));
    assert_eq!(said(&document, "pkg:deb/debian/a@1-1?arch=amd64&distro=debian-12&epoch=0"), CLEARED);
    assert!(said(&document, "pkg:deb/debian/a@1-1?arch=arm64&distro=debian-12").is_empty());
    assert!(said(&document, "pkg:deb/debian/a@1-1?arch=amd64").is_empty());
    let rpm = openvex(json!([{"@id": "pkg:rpm/redhat/a@1-1?epoch=2"}]));
    assert!(said(&rpm, "pkg:rpm/redhat/a@1-1?epoch=1").is_empty());
}

#[test]
fn an_image_is_meant_by_its_digest() {
    let purl = format!("pkg:oci/app@sha256%3A{}?repository_url=registry.example/team/app", digest().hex());
    let document = openvex(json!([{"@id": purl}]));
    assert_eq!(said(&document, "pkg:npm/a@1"), CLEARED);
    assert!(said_of(&document, &["CVE-2026-1"], "pkg:npm/a@1", &[], &[Digest::of(b"other")]).is_empty());
    let with = |rest: &str| openvex(json!([{"@id": format!("pkg:oci/app@{}{rest}", digest())}]));
    assert_eq!(said(&with("?tag=v1"), "pkg:npm/a@1"), CLEARED, "the digest says more than the tag");
    let part = "#usr/lib/libx.so.1";
    assert_eq!((said(&with(part), "pkg:npm/a@1").len(), with(part).unusable), (0, 1), "a part of it: {part}");
    let on = |digests: &[Digest]| said_of(&with("?arch=amd64"), &["CVE-2026-1"], "pkg:npm/a@1", &[], digests);
    assert_eq!(on(&[digest(), Digest::of(b"index")]), CLEARED, "the digest is its own");
    assert!(
        on(&[Digest::of(b"own"), digest()]).is_empty(),
        "of an index one platform is meant, and not known to be this one"
    );
    let by_hash = openvex(json!([{"@id": "https://acme.example/app", "hashes": {"sha-256": digest().hex()}}]));
    assert_eq!(said(&by_hash, "pkg:npm/a@1"), CLEARED);
    let in_part = openvex(json!([{"@id": purl, "subcomponents": [{"@id": "pkg:npm/a@1"}]}]));
    assert_eq!(said(&in_part, "pkg:npm/a@1"), CLEARED);
    assert!(said(&in_part, "pkg:npm/b@1").is_empty());
    assert!(said_of(&in_part, &["CVE-2026-1"], "pkg:npm/a@1", &[], &[]).is_empty());
}

#[test]
fn an_image_without_digest_is_meant_by_its_repository_and_a_tag_means_nothing() {
    let named = |purl: &str| openvex(json!([{"@id": purl}]));
    assert_eq!(said(&named("pkg:oci/app?repository_url=registry.example/team/app"), "pkg:npm/a@1"), CLEARED);
    assert!(said(&named("pkg:oci/app?repository_url=registry.example/other/app"), "pkg:npm/a@1").is_empty());
    let tagged = named("pkg:oci/app?repository_url=registry.example/team/app&tag=v1");
    assert_eq!((said(&tagged, "pkg:npm/a@1").len(), tagged.unusable), (0, 1));
    assert_eq!(named("pkg:oci/app").unusable, 1);
    for part in ["&arch=amd64", "&os=linux", "#usr/lib/libx.so.1"] {
        let narrowed = named(&format!("pkg:oci/app?repository_url=registry.example/team/app{part}"));
        assert_eq!((said(&narrowed, "pkg:npm/a@1").len(), narrowed.unusable), (0, 1), "{part}");
    }
    let contradiction =
        json!([{"@id": format!("pkg:oci/app@{}", digest()), "hashes": {"sha-256": Digest::of(b"x").hex()}}]);
    assert_eq!(openvex(contradiction).unusable, 1);
}

#[test]
fn a_part_is_meant_within_its_product_only() {
    let document = openvex(
        json!([{"@id": "pkg:golang/acme.example/app", "subcomponents": [{"@id": "pkg:golang/x.example/lib@v1.0.0"}]}]),
    );
    let lib = "pkg:golang/x.example/lib@v1.0.0";
    let of = |within: &[&str]| said_of(&document, &["CVE-2026-1"], lib, within, &[digest()]);
    assert_eq!(of(&["pkg:golang/acme.example/app@v3.0.0"]), CLEARED);
    assert!(of(&[]).is_empty() && of(&["pkg:golang/acme.example/other@v3.0.0"]).is_empty());
    assert!(said(&document, "pkg:golang/acme.example/app@v3.0.0").is_empty(), "the product itself is not meant");
}

#[test]
fn what_cannot_be_compared_never_applies() {
    for product in [
        json!({"@id": "https://acme.example/thing"}),
        json!({"identifiers": {"cpe23": "cpe:2.3:a:acme:a:1:*:*:*:*:*:*:*"}}),
        json!({"@id": "pkg:npm/a@1", "hashes": {"sha-256": "00"}}),
        json!({"@id": "pkg:npm/a@1", "subcomponents": [{"identifiers": {"cpe23": "cpe:2.3:a:b:c"}}]}),
    ] {
        let document = openvex(json!([product]));
        assert_eq!((document.unusable, said(&document, "pkg:npm/a@1").len()), (1, 0), "{product}");
    }
    assert!(said(&openvex(json!([])), "pkg:npm/a@1").is_empty(), "about no product is not about every one");
}

#[test]
fn the_newest_statement_of_an_author_counts() {
    let statement = |status: &str, date: &str| {
        json!({"vulnerability": {"name": "CVE-2026-1", "aliases": ["GHSA-1"]}, "products": [{"@id": "pkg:npm/a"}],
            "status": status, "timestamp": date})
    };
    let document = read(&json!({"@context": "https://openvex.dev/ns/v0.2.0", "author": "Acme", "statements": [
        statement("fixed", "2026-03-01T00:00:00Z"),
        statement("affected", "2026-02-01T00:00:00Z"),
        statement("under_investigation", "2026-01-01T00:00:00Z"),
    ]}));
    assert_eq!(said_of(&document, &["CVE-2026-1", "GHSA-1"], "pkg:npm/a@1", &[], &[]), [Status::Fixed]);
    let mut both = document.statements;
    both.push(vex::Statement { author: "Other".into(), status: Status::Affected, ..both[0].clone() });
    let document = Document { id: String::new(), statements: both, unusable: 0 };
    assert_eq!(said(&document, "pkg:npm/a@1"), [Status::Fixed, Status::Affected]);
}

#[test]
fn a_finding_of_several_cves_is_cleared_only_by_clearing_each() {
    let clear = |ids: &[&str]| {
        let statements: Vec<Value> = ids
            .iter()
            .map(|id| json!({"vulnerability": {"name": id}, "products": [{"@id": "pkg:rpm/alma/a"}], "status": "not_affected"}))
            .collect();
        read(&json!({"@context": "https://openvex.dev/ns/v0.2.0", "author": "Acme", "statements": statements}))
    };
    let of = |document: &Document| {
        let ids = ["ALSA-1", "CVE-2026-1", "CVE-2026-2", "GHSA-1"];
        said_of_group(document, &ids, &["ALSA-1"], "pkg:rpm/alma/a@1-1", &[], &[])
    };
    assert!(of(&clear(&["CVE-2026-1"])).is_empty());
    assert_eq!(of(&clear(&["CVE-2026-1", "CVE-2026-2"])).len(), 2);
    assert_eq!(of(&clear(&["ALSA-1"])).len(), 1, "the bulletin by its name");
    assert!(of(&clear(&["GHSA-1"])).is_empty(), "a record of one of the CVEs");
    assert!(of(&clear(&["GHSA-1", "CVE-2026-1"])).is_empty());
}

/// The vulnerability of a record of `ecosystem` to which a CVE is related.
fn with_a_related_cve(ecosystem: &str) -> Group {
    let record = json!({"id": "A-1", "modified": "2026-01-01T00:00:00Z", "related": ["CVE-2026-1"],
        "affected": [{"package": {"ecosystem": ecosystem, "name": "a"}, "versions": ["1"]}]});
    let record: Record = serde_json::from_value(record).unwrap();
    let feeds = Feeds { records: vec![("feed".to_owned(), record.into())], ..Feeds::default() };
    let merged = merge(&feeds);
    let group = merged.groups(&feeds).next();
    group.unwrap()
}

#[test]
fn who_speaks_of_a_related_cve_does_not_speak_of_the_record() {
    let document = openvex(json!([{"@id": "pkg:generic/a"}]));
    let said = |ecosystem: &str| {
        let group = with_a_related_cve(ecosystem);
        let ids: Vec<&str> = group.aliases.iter().map(String::as_str).collect();
        let bulletins: Vec<&str> = group.bulletins.iter().map(String::as_str).collect();
        said_of_group(&document, &ids, &bulletins, "pkg:generic/a@1", &[], &[])
    };
    for ecosystem in ["Go", "crates.io", "PyPI", "npm"] {
        assert!(said(ecosystem).is_empty(), "{ecosystem}");
    }
    assert_eq!(said("AlmaLinux:9"), CLEARED, "the bulletin is about it");
}

#[test]
fn csaf_products_relationships_and_ranges() {
    let document = read(&json!({
        "document": {"category": "csaf_vex", "csaf_version": "2.0", "publisher": {"name": "Acme"},
            "tracking": {"id": "ACME-1", "current_release_date": "2026-01-02T00:00:00Z"}},
        "product_tree": {
            "branches": [{"category": "vendor", "name": "Acme", "branches": [
                {"category": "product_version_range", "name": "vers:npm/>=1.0.0|<2.0.0",
                    "product": {"product_id": "RANGE", "name": "a", "product_identification_helper": {"purl": "pkg:npm/a"}}},
                {"category": "product_version_range", "name": "up to 5",
                    "product": {"product_id": "VAGUE", "name": "b", "product_identification_helper": {"purl": "pkg:npm/b"}}},
                {"category": "product_version", "name": "3.0.0",
                    "product": {"product_id": "ONE", "name": "c", "product_identification_helper": {"purl": "pkg:npm/c"}}},
                {"category": "product_name", "name": "OS",
                    "product": {"product_id": "OS", "name": "os", "product_identification_helper": {"cpe": "cpe:/o:acme:os:9"}}}]}],
            "full_product_names": [
                {"product_id": "IMAGE", "name": "i", "product_identification_helper": {"purl": format!("pkg:oci/app@{}", digest())}}],
            "relationships": [
                {"category": "default_component_of", "product_reference": "ONE", "relates_to_product_reference": "IMAGE",
                    "full_product_name": {"product_id": "IMAGE:ONE", "name": "c in i"}},
                {"category": "default_component_of", "product_reference": "ONE", "relates_to_product_reference": "OS",
                    "full_product_name": {"product_id": "OS:ONE", "name": "c in os"}}],
            "product_groups": [{"group_id": "G", "product_ids": ["RANGE"]}]},
        "vulnerabilities": [{"cve": "CVE-2026-1",
            "product_status": {"known_not_affected": ["RANGE", "VAGUE", "IMAGE:ONE", "OS:ONE"], "recommended": ["OS"]},
            "flags": [{"label": "vulnerable_code_not_present", "group_ids": ["G"]}],
            "threats": [{"category": "impact", "details": "not built in", "product_ids": ["RANGE"]}]}]
    }));
    assert_eq!(document.unusable, 2);
    assert_eq!(document.statements[0].justification.as_deref(), Some("vulnerable_code_not_present"));
    assert_eq!(document.statements[0].detail.as_deref(), Some("not built in"));
    assert_eq!(said(&document, "pkg:npm/a@1.5.0"), CLEARED);
    assert!(said(&document, "pkg:npm/a@2.0.0").is_empty() && said(&document, "pkg:npm/a").is_empty());
    assert!(said(&document, "pkg:npm/b@1.0.0").is_empty(), "a range that cannot be read");
    assert_eq!(said(&document, "pkg:npm/c@3.0.0"), CLEARED);
    assert!(said(&document, "pkg:npm/c@3.0.1").is_empty());
    assert!(said_of(&document, &["CVE-2026-1"], "pkg:npm/c@3.0.0", &[], &[Digest::of(b"other")]).is_empty());
}

fn cyclonedx(root: Value, affects: Value) -> Document {
    read(&json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": "urn:uuid:1",
        "metadata": {"timestamp": "2026-01-01T00:00:00Z", "supplier": {"name": "Acme"}, "component": root},
        "components": [{"type": "library", "bom-ref": "a", "name": "a", "version": "1.0.0", "purl": "pkg:npm/a@1.0.0"}],
        "vulnerabilities": [{"id": "CVE-2026-1", "affects": affects,
            "analysis": {"state": "not_affected", "justification": "code_not_reachable"}}]}))
}

#[test]
fn cyclonedx_speaks_within_what_the_document_is_about() {
    let image = json!({"type": "container", "bom-ref": "root", "name": "app", "version": digest().to_string()});
    let document = cyclonedx(image.clone(), json!([{"ref": "a"}]));
    assert_eq!(document.statements[0].author, "Acme");
    assert_eq!(document.statements[0].justification.as_deref(), Some("vulnerable_code_not_in_execute_path"));
    assert_eq!(said(&document, "pkg:npm/a@1.0.0"), CLEARED);
    assert!(said_of(&document, &["CVE-2026-1"], "pkg:npm/a@1.0.0", &[], &[]).is_empty());
    assert!(said(&document, "pkg:npm/a@1.0.1").is_empty());
    assert_eq!(said(&cyclonedx(image, json!([{"ref": "root"}])), "pkg:npm/z@7"), CLEARED);
    let application = json!({"type": "application", "bom-ref": "root", "name": "app"});
    let within_unknown = cyclonedx(application, json!([{"ref": "a"}]));
    assert_eq!((within_unknown.unusable, said(&within_unknown, "pkg:npm/a@1.0.0").len()), (1, 0));
}

#[test]
fn cyclonedx_versions_have_a_status_each() {
    let document = cyclonedx(
        Value::Null,
        json!([{"ref": "pkg:npm/b", "versions": [
        {"range": "vers:npm/<2.0.0", "status": "affected"},
        {"version": "2.0.0", "status": "unaffected"},
        {"version": "3.0.0", "status": "unknown"},
        {"range": "everything"}]}, {"ref": "urn:cdx:1/1#x"}]),
    );
    assert_eq!(said(&document, "pkg:npm/b@1.9.0"), CLEARED);
    assert_eq!(said(&document, "pkg:npm/b@2.0.0"), CLEARED);
    assert_eq!(said(&document, "pkg:npm/b@3.0.0"), [Status::UnderInvestigation]);
    assert!(said(&document, "pkg:npm/b@4.0.0").is_empty());
    assert_eq!(document.unusable, 2);
}

#[test]
fn malformed_documents_are_refused_whole() {
    for (document, error) in
        [(json!({}), VexError::UnknownFormat), (json!({"bomFormat": "CycloneDX"}), VexError::UnknownFormat)]
    {
        assert_eq!(vex::read(document.to_string().as_bytes()), Err(error));
    }
    let unknown = json!({"@context": "https://openvex.dev/ns", "statements": [
        {"vulnerability": "CVE-2026-1", "products": ["pkg:npm/a"], "status": "perhaps"}]});
    let error = vex::read(unknown.to_string().as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "statements[0]: unknown status");
    assert!(matches!(vex::read("[".repeat(100_000).as_bytes()), Err(VexError::Json(_))));
    let mut deep = json!({"category": "product_name", "name": "x"});
    for _ in 0..61 {
        deep = json!({"category": "product_name", "name": "x", "branches": [deep]});
    }
    let csaf = json!({"document": {"csaf_version": "2.0", "publisher": {"name": "A"}, "tracking": {"id": "1"}},
        "product_tree": {"branches": [deep]}});
    assert!(matches!(vex::read(csaf.to_string().as_bytes()), Err(VexError::Malformed { .. } | VexError::Json(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(at in 0usize..400, byte in any::<u8>(), cut in 0usize..400) {
        let mut bytes = json!({"@context": "https://openvex.dev/ns/v0.2.0", "author": "A", "statements": [
            {"vulnerability": {"name": "CVE-2026-1"}, "products": [{"@id": "pkg:npm/a@1", "subcomponents": ["pkg:npm/b"]}],
             "status": "fixed", "timestamp": "2026-01-01T00:00:00Z"}]}).to_string().into_bytes();
        let length = bytes.len();
        bytes[at % length] = byte;
        let _ = vex::read(&bytes);
        let _ = vex::read(&bytes[..cut % length]);
    }

    #[test]
    fn any_text_is_a_range_or_none(text in "(vers:)?[a-z]{0,6}/?[<>=!|*0-9.%a]{0,20}", version in "[0-9.]{0,6}") {
        if let Ok(range) = text.parse::<vex::Vers>() {
            let _ = range.contains(&version);
        }
    }
}

#[test]
fn real_documents_are_read() {
    let archives = [("feeds/vex/vexhub.zip", "pkg/"), ("conformance/cyclonedx-spec.zip", "valid-vulnerability-1")];
    for (archive, part) in archives {
        let Some(path) = public_data(archive) else { continue };
        let file = std::fs::File::open(path).unwrap();
        let mut archive = zip::ZipArchive::new(file).unwrap();
        let (mut documents, mut statements, mut unusable) = (0, 0, 0);
        for at in 0..archive.len() {
            let mut entry = archive.by_index(at).unwrap();
            let name = entry.name().to_owned();
            if !name.contains(part) || !name.ends_with(".json") || name.ends_with("manifest.json") {
                continue;
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            let document = vex::read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            documents += 1;
            statements += document.statements.len();
            unusable += document.unusable;
        }
        println!("{part}: {documents} documents, {statements} statements, {unusable} products that cannot be compared");
        assert!(documents >= 4, "{part}");
    }
}
