//! SBOMs of other tools, and what of them is kept.

mod support;

use std::io::Read as _;
use std::time::Instant;

use stella_domain::Digest;
use stella_inventory::sbom::{self, SbomDocument, SbomError, SbomFormat, Subject};
use stella_inventory::{Limits, Provenance};
use support::*;

fn parse(text: &str) -> Result<SbomDocument, SbomError> {
    sbom::parse(text.as_bytes(), &Limits::default())
}

fn real(name: &str) -> Option<SbomDocument> {
    let path = test_data(&format!("sboms/{name}"))?;
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    let started = Instant::now();
    let document = sbom::parse(&bytes, &Limits::default()).unwrap();
    eprintln!("{name}: {} components in {:?}", document.inventory.components.len(), started.elapsed());
    Some(document)
}

#[test]
fn real_documents_are_read() {
    for (name, format, ecosystem, at_least) in [
        ("juice-shop-npm-flat.cdx.json.gz", SbomFormat::CycloneDx, "npm", 900),
        ("juice-shop-11.1.2.cdx.json.gz", SbomFormat::CycloneDx, "npm", 600),
        ("keycloak-10.0.2.cdx.json.gz", SbomFormat::CycloneDx, "Maven", 800),
        ("dropwizard-1.3.15.cdx.json.gz", SbomFormat::CycloneDx, "Maven", 160),
        ("proton-bridge-1.8.0.cdx.json.gz", SbomFormat::CycloneDx, "Go", 60),
        ("ubi9-9.2.spdx.json.gz", SbomFormat::Spdx, "Red Hat:enterprise_linux:9", 500),
    ] {
        let Some(document) = real(name) else { return };
        assert_eq!(document.format, format);
        assert!(document.inventory.components.len() >= at_least, "{name}: {}", document.inventory.components.len());
        let fitting = document.inventory.components.iter().filter(|component| component.ecosystem == ecosystem).count();
        assert!(fitting * 10 >= document.inventory.components.len() * 9, "{name}: {fitting}");
    }
}

#[test]
fn the_image_that_an_spdx_document_describes_is_known_by_digest() {
    let Some(document) = real("ubi9-9.2.spdx.json.gz") else { return };
    let subject = document.subject.unwrap();
    assert_eq!(subject.name, "ubi9-container");
    assert_eq!(subject.digest.unwrap().short(), "2f168398c538");
}

#[test]
fn what_trivy_says_beside_the_package_url_is_kept() {
    let layer = Digest::of("layer");
    let document = parse(&format!(
        r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{{"component":{{"type":"container","name":"debian:12",
        "purl":"pkg:oci/debian@sha256%3A{0}?arch=amd64"}}}},"components":[
        {{"type":"operating-system","name":"debian","version":"12.4"}},
        {{"type":"library","name":"libssl3","version":"3.0.11-1~deb12u2","purl":"pkg:deb/debian/libssl3@3.0.11-1~deb12u2?arch=amd64&distro=debian-12.4",
          "licenses":[{{"expression":"Apache-2.0 AND MIT"}}],
          "properties":[{{"name":"aquasecurity:trivy:LayerDiffID","value":"{layer}"}},{{"name":"aquasecurity:trivy:SrcName","value":"openssl"}},
          {{"name":"aquasecurity:trivy:SrcVersion","value":"3.0.11"}},{{"name":"aquasecurity:trivy:SrcRelease","value":"1~deb12u2"}}]}}]}}"#,
        "a".repeat(64)
    ))
    .unwrap();
    assert_eq!(document.subject.unwrap().digest.unwrap().hex(), "a".repeat(64));
    let component = &document.inventory.components[0];
    let source = component.package.source.as_ref().unwrap();
    assert_eq!((source.name.as_str(), source.version.as_str()), ("openssl", "3.0.11-1~deb12u2"));
    assert_eq!((component.layer, component.ecosystem.as_str()), (Some(layer), "Debian:12"));
    assert_eq!(component.package.licences, ["Apache-2.0 AND MIT"]);
}

#[test]
fn trivy_reports_with_and_without_package_urls() {
    let layer = Digest::of("layer");
    let document = parse(&format!(
        r#"{{"SchemaVersion":2,"ArtifactName":"app:1","Metadata":{{"OS":{{"Family":"alpine","Name":"3.18.4"}},"DiffIDs":["{layer}"],
        "RepoDigests":["app@{layer}"]}},"Results":[
        {{"Target":"app:1 (alpine 3.18.4)","Class":"os-pkgs","Type":"alpine","Packages":[
          {{"Name":"libcrypto3","Version":"3.1.4-r1","Arch":"x86_64","SrcName":"openssl","SrcVersion":"3.1.4-r1","Layer":{{"DiffID":"{layer}"}}}}]}},
        {{"Target":"app/package-lock.json","Class":"lang-pkgs","Type":"npm","Packages":[
          {{"Name":"@babel/core","Version":"7.0.0","Identifier":{{"PURL":"pkg:npm/%40babel/core@7.0.0"}}}},
          {{"Name":"mocha","Version":"9.0.0","Dev":true}}]}}]}}"#
    ))
    .unwrap();
    assert_eq!(document.format, SbomFormat::Trivy);
    assert_eq!(
        shown(&document.inventory),
        [
            "pkg:apk/alpine/libcrypto3@3.1.4-r1?arch=x86_64&distro=alpine-3.18.4 ",
            "pkg:npm/%40babel/core@7.0.0 app/package-lock.json",
        ]
    );
    assert_eq!(document.subject, Some(Subject { name: "app:1".into(), digest: Some(layer) }));
    assert_eq!(document.inventory.components[0].ecosystem, "Alpine:v3.18");
    assert_eq!(document.inventory.layers, [layer]);
}

#[test]
fn layers_of_a_client_are_folded_with_those_at_hand() {
    let [base, upper] = [Digest::of("base"), Digest::of("upper")];
    let document = parse(&format!(
        r#"{{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{{"properties":[
        {{"name":"stella:layers","value":"{base},{upper}"}},
        {{"name":"stella:layer:{upper}:whiteouts","value":"app/node_modules/a"}}]}},"components":[
        {{"type":"library","name":"b","purl":"pkg:npm/b@2.0.0","properties":[{{"name":"stella:layer:diffId","value":"{upper}"}}]}}]}}"#
    ))
    .unwrap();
    assert_eq!(document.inventory.layers, [base, upper]);
    assert_eq!(document.layers.len(), 1, "the base was left out");
    assert_eq!(document.layers[0].diff_id, upper);
    assert_eq!(document.layers[0].whiteouts, ["app/node_modules/a"]);
    assert_eq!(document.layers[0].packages.len(), 1);
}

#[test]
fn layers_must_be_digests_and_known() {
    let with = |properties: &str, component: &str| {
        parse(&format!(
            r#"{{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{{"properties":[{properties}]}},"components":[
            {{"type":"library","name":"b","purl":"pkg:npm/b@2.0.0","properties":[{component}]}}]}}"#
        ))
    };
    let layer = Digest::of("x");
    let property = |name: &str, value: &str| format!(r#"{{"name":"{name}","value":"{value}"}}"#);
    let error = with("", &property("stella:layer:diffId", "sha256:12")).unwrap_err().to_string();
    assert_eq!(error, "component b names layer 'sha256:12': it is not a digest");
    assert!(matches!(with(&property("stella:layers", "x"), ""), Err(SbomError::Layer { .. })));
    let order = property("stella:layers", &layer.to_string());
    let stranger = property("stella:layer:diffId", &Digest::of("y").to_string());
    assert!(matches!(with(&order, &stranger), Err(SbomError::Layer { .. })));
    let error = with(&order, "").unwrap_err().to_string();
    let told = "component pkg:npm/b@2.0.0 names no layer (property stella:layer:diffId), and the document names those of the image";
    assert_eq!(error, told);
}

#[test]
fn what_cannot_be_read_of_a_layered_document_stays_told() {
    let layer = Digest::of("x");
    let document = parse(&format!(
        r#"{{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{{"properties":[{{"name":"stella:layers","value":"{layer}"}}]}},
        "components":[{{"type":"library","name":"odd","purl":"no package URL"}},
        {{"type":"library","name":"b","purl":"pkg:npm/b@2.0.0","properties":[{{"name":"stella:layer:diffId","value":"{layer}"}}]}}]}}"#
    ))
    .unwrap();
    assert_eq!(document.inventory.components.len(), 1);
    assert_eq!(document.inventory.problems.len(), 1);
    assert_eq!(document.inventory.problems[0].path, "odd");
}

#[test]
fn every_version_of_a_format_is_read() {
    let read = |text: &str| {
        let document = parse(text).map_err(|error| format!("{text}: {error}")).unwrap();
        let purls = document.inventory.components.into_iter().map(|component| component.purl);
        assert_eq!(purls.collect::<Vec<_>>(), ["pkg:npm/a@1"], "{text}");
    };
    for minor in 2..=7 {
        read(&format!(
            r#"{{"bomFormat":"CycloneDX","specVersion":"1.{minor}","components":[
            {{"type":"library","name":"a","version":"1","purl":"pkg:npm/a@1"}}]}}"#
        ));
        read(&format!(
            r#"<bom xmlns="http://cyclonedx.org/schema/bom/1.{minor}" version="1"><components>
            <component type="library"><name>a</name><version>1</version><purl>pkg:npm/a@1</purl></component></components></bom>"#
        ));
    }
    for version in ["SPDX-2.2", "SPDX-2.3"] {
        read(&format!(
            r#"{{"spdxVersion":"{version}","SPDXID":"SPDXRef-DOCUMENT","packages":[{{"SPDXID":"SPDXRef-a","name":"a","versionInfo":"1",
            "externalRefs":[{{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:npm/a@1"}}]}}]}}"#
        ));
        read(&format!(
            "SPDXVersion: {version}\nSPDXID: SPDXRef-DOCUMENT\nPackageName: a\nSPDXID: SPDXRef-a\nPackageVersion: 1\n\
             ExternalRef: PACKAGE-MANAGER purl pkg:npm/a@1\n"
        ));
    }
}

#[test]
fn what_is_no_sbom_is_said_to_be_none() {
    for (text, word) in [
        ("", "empty"),
        ("<bom/>", "without the namespace of CycloneDX"),
        ("<html xmlns='http://www.w3.org/1999/xhtml'/>", "XML of the namespace"),
        ("[]", "array"),
        ("{\"openapi\":\"3.1.0\",\"paths\":{}}", "openapi, paths"),
        ("{\"bomFormat\":", "malformed cyclonedx-json"),
        ("hello", "no JSON"),
        ("{\"@context\":\"https://spdx.org/rdf/4.0/x.jsonld\",\"@graph\":[]}", "version '4.0'"),
        ("{\"@graph\":[]}", "JSON-LD without the context of SPDX"),
        ("{\"artifacts\":[]}", "no schema"),
        ("SPDXVersion: SPDX-2.0\nSPDXVersion: SPDX-3.0", "version 'SPDX-3.0'"),
        ("{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.1\"}", "version '1.1'"),
        ("{\"spdxVersion\":\"SPDX-3.0\"}", "version 'SPDX-3.0'"),
        ("{\"SchemaVersion\":1}", "version '1'"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
    let small = Limits { max_document_bytes: 3, ..Limits::default() };
    assert_eq!(sbom::parse(b"{   }", &small), Err(SbomError::TooLarge { size: 5, max: 3 }));
}

#[test]
fn spdx_reads_back() {
    let layer = Layer::new()
        .file("etc/os-release", DEBIAN_12)
        .file("var/lib/dpkg/status", dpkg(&[("a", "1"), ("b", "2:3+b1")]))
        .file("app/node_modules/c/package.json", r#"{"name":"c","version":"1.0.0"}"#)
        .build();
    let inventory = scan(&docker_archive(&[layer])).unwrap();
    let subject = Subject { name: "app:1".into(), digest: Some(Digest::of("image")) };
    let document = parse(&String::from_utf8(sbom::write_spdx(&inventory, Some(&subject))).unwrap()).unwrap();
    assert_eq!(document.subject, Some(subject));
    assert_eq!(document.inventory.provenance, Provenance::Sbom);
    let told = |i: &stella_inventory::Inventory| {
        i.components
            .iter()
            .map(|c| (c.purl.clone(), c.ecosystem.clone(), c.layer, c.package.source.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&document.inventory), told(&inventory));
}

proptest::proptest! {
    #[test]
    fn no_document_panics(bytes: Vec<u8>, text in "\\{\"(bomFormat|spdxVersion|SchemaVersion|components|packages|Results)\":.{0,40}\\}") {
        for format in SbomFormat::ALL {
            let _ = sbom::parse_as(format, &bytes, &Limits::default());
            let _ = sbom::parse_as(format, text.as_bytes(), &Limits::default());
        }
        let _ = parse(&text);
    }
}
