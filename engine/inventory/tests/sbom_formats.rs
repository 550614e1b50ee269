//! Each format that is read, with what it tells beside packages; and CycloneDX's own suite.

mod support;

use std::io::Read as _;
use std::path::Path;

use stella_domain::Digest;
use stella_inventory::Limits;
use stella_inventory::sbom::{self, RelationKind, SbomDocument, SbomError, SbomFormat};
use support::*;

fn parse(text: &str) -> Result<SbomDocument, SbomError> {
    sbom::parse(text.as_bytes(), &Limits::default())
}

fn relations(document: &SbomDocument) -> Vec<String> {
    let name = |purl: &str| purl.rsplit('/').next().unwrap().split('@').next().unwrap().to_owned();
    let shown = |relation: &sbom::Relation| {
        let from = relation.from.as_deref().map_or("*".to_owned(), name);
        let verb = if relation.kind == RelationKind::Contains { "contains" } else { "needs" };
        format!("{from} {verb} {}", name(&relation.to))
    };
    document.relations.iter().map(shown).collect()
}

const SHA1: &str = "e6b1000b94e835ffd37f4c6dcbdad43f4b48a02a";

#[test]
fn cyclonedx_says_the_same_in_json_and_xml() {
    let layer = Digest::of("layer");
    let json = parse(&format!(
        r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{{"component":{{"type":"container","bom-ref":"app",
        "name":"app:1","version":"{layer}"}}}},"components":[
        {{"type":"operating-system","bom-ref":"os","name":"debian","version":"12","description":"Debian 12"}},
        {{"type":"library","bom-ref":"a","name":"a & b","version":"1","purl":"pkg:deb/debian/a@1?arch=amd64","scope":"required",
          "hashes":[{{"alg":"SHA-1","content":"{SHA1}"}}],"licenses":[{{"license":{{"id":"MIT"}}}},{{"license":{{"name":"<own>"}}}}],
          "evidence":{{"occurrences":[{{"location":"/var/lib/dpkg/status"}}]}},
          "properties":[{{"name":"stella:layer:diffId","value":"{layer}"}}],
          "components":[{{"type":"library","bom-ref":"b","name":"b","purl":"pkg:npm/b@2"}}]}},
        {{"type":"library","bom-ref":"x","name":"x","purl":"pkg:npm/x@2","scope":"excluded"}}],
        "dependencies":[{{"ref":"app","dependsOn":["a"]}},{{"ref":"a","dependsOn":["b","os"]}},{{"ref":"b","dependsOn":["a"]}}]}}"#
    ))
    .unwrap();
    let xml = parse(&format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
        <c:bom xmlns:c="http://cyclonedx.org/schema/bom/1.6" xmlns:o="urn:other" version="1"><c:metadata>
        <c:component type="container" bom-ref="app"><c:name>app:1</c:name><c:version>{layer}</c:version></c:component></c:metadata>
        <c:components>
        <c:component type="operating-system" bom-ref="os"><c:name>debian</c:name><c:version>12</c:version><c:description>Debian 12</c:description></c:component>
        <c:component type="library" bom-ref="a"><o:name>not this</o:name><c:name>a &amp; b</c:name><c:version>1</c:version>
          <c:scope>required</c:scope><c:hashes><c:hash alg="SHA-1">{SHA1}</c:hash></c:hashes>
          <c:licenses><c:license><c:id>MIT</c:id></c:license><c:license><c:name><![CDATA[<own>]]></c:name></c:license></c:licenses>
          <c:purl>pkg:deb/debian/a@1?arch=am<!-- a comment -->d&#54;4</c:purl>
          <c:properties><c:property name="stella:layer:diffId">{layer}</c:property></c:properties>
          <c:components><c:component type="library" bom-ref="b"><c:name>b</c:name><c:purl>pkg:npm/b@2</c:purl></c:component></c:components>
          <c:evidence><c:occurrences><c:occurrence><c:location>/var/lib/dpkg/status</c:location></c:occurrence></c:occurrences></c:evidence>
        </c:component>
        <c:component type="library" bom-ref="x"><c:name>x</c:name><c:scope>excluded</c:scope><c:purl>pkg:npm/x@2</c:purl></c:component>
        </c:components><c:dependencies><c:dependency ref="app"><c:dependency ref="a"/></c:dependency>
        <c:dependency ref="a"><c:dependency ref="b"/><c:dependency ref="os"/></c:dependency>
        <c:dependency ref="b"><c:dependency ref="a"/></c:dependency></c:dependencies></c:bom>"#
    ))
    .unwrap();
    assert_eq!((json.format, xml.format), (SbomFormat::CycloneDx, SbomFormat::CycloneDxXml));
    assert_eq!(xml, SbomDocument { format: SbomFormat::CycloneDxXml, ..json.clone() });
    assert_eq!(
        shown(&json.inventory),
        ["pkg:deb/debian/a@1?arch=amd64&distro=debian-12 var/lib/dpkg/status", "pkg:npm/b@2 "]
    );
    assert_eq!(relations(&json), ["* needs a", "a needs b", "a contains b", "b needs a"]);
    let a = named(&json.inventory, "a");
    assert_eq!((a.layer, a.package.licences.join("; ")), (Some(layer), "MIT; <own>".into()));
    assert_eq!(json.checksums[&a.purl].first().unwrap().value, SHA1);
    assert_eq!(json.subject.unwrap().digest, Some(layer));
    assert!(json.inventory.problems.is_empty(), "{:?}", json.inventory.problems);
}

#[test]
fn spdx_says_the_same_in_json_tag_value_and_json_ld() {
    let layer = Digest::of("layer");
    let json = parse(&format!(
        r#"{{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"app:1","packages":[
        {{"SPDXID":"SPDXRef-app","name":"app:1","versionInfo":"{layer}","primaryPackagePurpose":"CONTAINER"}},
        {{"SPDXID":"SPDXRef-os","name":"debian","versionInfo":"12","primaryPackagePurpose":"OPERATING-SYSTEM"}},
        {{"SPDXID":"SPDXRef-a","name":"a","versionInfo":"1","sourceInfo":"built package from: a-src 1",
          "licenseDeclared":"MIT AND LicenseRef-own","attributionTexts":["LayerDiffID: {layer}"],
          "checksums":[{{"algorithm":"SHA1","checksumValue":"{SHA1}"}}],
          "externalRefs":[{{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:deb/debian/a@1"}}]}},
        {{"SPDXID":"SPDXRef-b","name":"b","versionInfo":"2","packageFileName":"/app/b/package.json",
          "externalRefs":[{{"referenceCategory":"PACKAGE_MANAGER","referenceType":"purl","referenceLocator":"pkg:npm/b@2"}}]}}],
        "hasExtractedLicensingInfos":[{{"licenseId":"LicenseRef-own","extractedText":"...","name":"Our own"}}],
        "relationships":[{{"spdxElementId":"SPDXRef-DOCUMENT","relationshipType":"DESCRIBES","relatedSpdxElement":"SPDXRef-app"}},
        {{"spdxElementId":"SPDXRef-app","relationshipType":"CONTAINS","relatedSpdxElement":"SPDXRef-a"}},
        {{"spdxElementId":"SPDXRef-b","relationshipType":"DEPENDENCY_OF","relatedSpdxElement":"SPDXRef-a"}},
        {{"spdxElementId":"SPDXRef-b","relationshipType":"DEPENDS_ON","relatedSpdxElement":"SPDXRef-a"}}]}}"#
    ))
    .unwrap();
    let tags = parse(&format!(
        "# a comment\nSPDXVersion: SPDX-2.2\nSPDXID: SPDXRef-DOCUMENT\nDocumentName: app:1\n\
         Relationship: SPDXRef-DOCUMENT DESCRIBES SPDXRef-app\n\
         PackageName: app:1\nSPDXID: SPDXRef-app\nPackageVersion: {layer}\n\
         Relationship: SPDXRef-app CONTAINS SPDXRef-a\n\
         PackageName: debian\nSPDXID: SPDXRef-os\nPackageVersion: 12\nPrimaryPackagePurpose: OPERATING-SYSTEM\n\
         PackageName: a\r\nSPDXID: SPDXRef-a\r\nPackageVersion: 1\r\nPackageSourceInfo: <text>built package from: a-src 1</text>\n\
         PackageLicenseDeclared: MIT AND LicenseRef-own\nPackageAttributionText: <text>LayerDiffID: {layer}\n</text>\n\
         PackageChecksum: SHA1: {SHA1}\nExternalRef: PACKAGE-MANAGER purl pkg:deb/debian/a@1\n\
         FileName: ./usr/bin/a\nSPDXID: SPDXRef-file\nFileChecksum: SHA1: {SHA1}\n\
         PackageName: b\nSPDXID: SPDXRef-b\nPackageVersion: 2\nPackageFileName: /app/b/package.json\n\
         ExternalRef: PACKAGE_MANAGER purl pkg:npm/b@2\n\
         LicenseID: LicenseRef-own\nExtractedText: <text>several\nlines: of it</text>\nLicenseName: Our own\n\
         Relationship: SPDXRef-b DEPENDENCY_OF SPDXRef-a\nRelationship: SPDXRef-b DEPENDS_ON SPDXRef-a\n"
    ))
    .unwrap();
    let linked = parse(&format!(
        r#"{{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld","@graph":[
        {{"type":"CreationInfo","@id":"_:c","specVersion":"3.0.1","created":"2024-01-01T00:00:00Z"}},
        {{"type":"SpdxDocument","spdxId":"urn:doc","creationInfo":"_:c","name":"app:1","rootElement":["urn:sbom"]}},
        {{"type":"software_Sbom","spdxId":"urn:sbom","rootElement":["urn:app"],"element":["urn:a","urn:b"]}},
        {{"type":"software_Package","spdxId":"urn:app","name":"app:1","software_packageVersion":"{layer}","software_primaryPurpose":"container"}},
        {{"type":"software_Package","spdxId":"urn:os","name":"debian","software_packageVersion":"12","software_primaryPurpose":"operatingSystem"}},
        {{"type":"software_Package","spdxId":"urn:a","name":"a","software_packageVersion":"1","software_sourceInfo":"built package from: a-src 1",
          "software_attributionText":["LayerDiffID: {layer}"],"verifiedUsing":[{{"type":"Hash","algorithm":"sha1","hashValue":"{SHA1}"}}],
          "software_packageUrl":"pkg:deb/debian/a@1"}},
        {{"type":"software_Package","spdxId":"urn:b","name":"b","software_sourceInfo":"acquired package info from npm: /app/b/package.json",
          "externalIdentifier":[{{"type":"ExternalIdentifier","externalIdentifierType":"packageUrl","identifier":"pkg:npm/b@2"}}]}},
        {{"type":"simplelicensing_LicenseExpression","spdxId":"urn:licence","simplelicensing_licenseExpression":"MIT AND Our own"}},
        {{"type":"Relationship","spdxId":"urn:r1","from":"urn:a","relationshipType":"hasDeclaredLicense","to":["urn:licence"]}},
        {{"type":"Relationship","spdxId":"urn:r2","from":"urn:app","relationshipType":"contains","to":["urn:a"]}},
        {{"type":"LifecycleScopedRelationship","spdxId":"urn:r3","from":"urn:a","relationshipType":"dependsOn","to":["urn:b"]}},
        {{"type":"Relationship","spdxId":"urn:r4","from":{{"type":"software_Package","spdxId":"urn:b"}},"relationshipType":"dependsOn","to":"urn:a"}}]}}"#
    ))
    .unwrap();
    assert_eq!(tags, SbomDocument { format: SbomFormat::SpdxTagValue, ..json.clone() });
    assert_eq!(linked, SbomDocument { format: SbomFormat::Spdx3, ..json.clone() });
    assert_eq!(shown(&json.inventory), ["pkg:deb/debian/a@1?distro=debian-12 ", "pkg:npm/b@2 app/b/package.json"]);
    assert_eq!(relations(&json), ["* contains a", "a needs b", "b needs a"]);
    let a = named(&json.inventory, "a");
    assert_eq!((a.layer, a.package.licences.join("; ")), (Some(layer), "MIT; Our own".into()));
    assert_eq!(a.package.source.as_ref().unwrap().name, "a-src");
    assert_eq!(json.checksums[&a.purl].len(), 1);
    assert_eq!(json.subject.unwrap().digest, Some(layer));
}

#[test]
fn syft_tells_layers_places_and_what_belongs_to_the_system() {
    let [base, upper] = [Digest::of("base"), Digest::of("upper")];
    let document = parse(&format!(
        r#"{{"artifacts":[
        {{"id":"1","name":"libssl3","version":"3.0.11-1","type":"deb","purl":"pkg:deb/debian/libssl3@3.0.11-1?arch=amd64",
          "locations":[{{"path":"/usr/share/doc/libssl3/copyright","layerID":"{base}","annotations":{{"evidence":"supporting"}}}},
            {{"path":"/var/lib/dpkg/status","layerID":"{upper}","annotations":{{"evidence":"primary"}}}}],
          "licenses":[{{"value":"Apache-2.0","spdxExpression":"Apache-2.0","type":"declared"}}],
          "metadataType":"dpkg-db-entry","metadata":{{"package":"libssl3","source":"openssl","version":"3.0.11-1","sourceVersion":""}}}},
        {{"id":"2","name":"curl","version":"8.2-1.el9","type":"rpm","purl":"pkg:rpm/redhat/curl@8.2-1.el9","licenses":["MIT"],
          "metadata":{{"sourceRpm":"curl-8.2-1.el9.src.rpm","version":"8.2"}}}},
        {{"id":"3","name":"six","version":"1.16.0","type":"python","purl":"pkg:pypi/six@1.16.0","locations":[{{"path":"/usr/lib/python3/six/METADATA","layerID":"{base}"}}]}},
        {{"id":"4","name":"x","version":"1","type":"java-archive","purl":"pkg:maven/g/x@1","locations":[{{"path":"/app/x.jar"}}],
          "metadata":{{"virtualPath":"/app/x.jar","digest":[{{"algorithm":"sha1","value":"{SHA1}"}}]}}}},
        {{"id":"5","name":"weird","version":"1","type":"binary","purl":""}}],
        "artifactRelationships":[{{"parent":"1","child":"3","type":"ownership-by-file-overlap"}},
          {{"parent":"4","child":"1","type":"dependency-of"}},{{"parent":"image","child":"4","type":"contains"}}],
        "source":{{"id":"image","name":"app","version":"x","type":"image","metadata":{{"userInput":"app:1","manifestDigest":"{upper}",
          "layers":[{{"digest":"{base}","size":1}},{{"digest":"{upper}","size":2}}]}}}},
        "distro":{{"prettyName":"Debian GNU/Linux 12 (bookworm)","name":"Debian","id":"debian","versionID":"12","idLike":["x"]}},
        "descriptor":{{"name":"syft","version":"1.0.0"}},"schema":{{"version":"16.0.4","url":"https://example.org/schema.json"}}}}"#
    ))
    .unwrap();
    assert_eq!(document.format, SbomFormat::Syft);
    assert_eq!(document.inventory.layers, [base, upper]);
    assert_eq!(
        shown(&document.inventory),
        [
            "pkg:deb/debian/libssl3@3.0.11-1?arch=amd64&distro=debian-12 var/lib/dpkg/status",
            "pkg:maven/g/x@1 app/x.jar",
            "pkg:rpm/redhat/curl@8.2-1.el9?distro=debian-12 ",
        ]
    );
    let ssl = named(&document.inventory, "libssl3");
    let source = ssl.package.source.as_ref().unwrap();
    assert_eq!((source.name.as_str(), source.version.as_str(), ssl.layer), ("openssl", "3.0.11-1", Some(upper)));
    assert_eq!(named(&document.inventory, "curl").package.source.as_ref().unwrap().version, "8.2-1.el9");
    assert_eq!(relations(&document), ["* contains x", "libssl3 needs x"]);
    assert_eq!(document.checksums.len(), 1);
    let subject = document.subject.unwrap();
    assert_eq!((subject.name.as_str(), subject.digest), ("app:1", Some(upper)));
}

#[test]
fn spdx_of_syft_does_not_report_what_the_system_owns() {
    let package = |id: &str, purl: &str| {
        format!(
            r#"{{"SPDXID":"{id}","name":"{id}","externalRefs":[{{"referenceType":"purl","referenceLocator":"{purl}"}}]}}"#
        )
    };
    let document = parse(&format!(
        r#"{{"spdxVersion":"SPDX-2.3","packages":[{},{}],"relationships":[{{"spdxElementId":"d","relatedSpdxElement":"p",
        "relationshipType":"OTHER","comment":"ownership-by-file-overlap: indicates that the parent package claims ownership"}}]}}"#,
        package("d", "pkg:deb/debian/python3-six@1"),
        package("p", "pkg:pypi/six@1")
    ))
    .unwrap();
    assert_eq!(shown(&document.inventory), ["pkg:deb/debian/python3-six@1 "]);
}

#[test]
fn trivy_tells_dependencies_and_checksums() {
    let document = parse(&format!(
        r#"{{"SchemaVersion":2,"ArtifactName":"app","Results":[
        {{"Target":"a/package-lock.json","Class":"lang-pkgs","Type":"npm","Packages":[
          {{"ID":"a@1","Name":"a","Version":"1","DependsOn":["b@2"],"Digest":"sha1:{SHA1}"}},{{"ID":"b@2","Name":"b","Version":"2"}}]}},
        {{"Target":"b/package-lock.json","Class":"lang-pkgs","Type":"npm","Packages":[
          {{"ID":"b@2","Name":"c","Version":"2"}}]}}]}}"#
    ))
    .unwrap();
    assert_eq!(relations(&document), ["a needs b"]);
    assert_eq!(document.checksums["pkg:npm/a@1"].first().unwrap().algorithm, "SHA-1");
}

/// As Trivy writes a report of an image when it is not asked for all packages: only vulnerabilities name some.
#[test]
fn a_report_of_trivy_without_its_packages_is_said_to_lack_them() {
    let layer = Digest::of("layer");
    let vulnerability = |id: &str, name: &str, version: &str, purl: &str| {
        format!(
            r#"{{"VulnerabilityID":"{id}","PkgID":"{name}@{version}","PkgName":"{name}","PkgIdentifier":{{"PURL":"{purl}"}},
            "InstalledVersion":"{version}","Layer":{{"Digest":"{layer}","DiffID":"{layer}"}}}}"#
        )
    };
    let git = "pkg:apk/alpine/git@2.35.1-r2?arch=x86_64&distro=3.16";
    let document = parse(&format!(
        r#"{{"SchemaVersion":2,"ArtifactName":"app:1","Metadata":{{"OS":{{"Family":"alpine","Name":"3.16"}},"DiffIDs":["{layer}"]}},
        "Results":[{{"Target":"app:1 (alpine 3.16)","Class":"os-pkgs","Type":"alpine","Vulnerabilities":[{},{}]}},
        {{"Target":"usr/bin/git-lfs","Class":"lang-pkgs","Type":"gobinary","Vulnerabilities":[{}]}},
        {{"Target":"usr/bin/clean","Class":"lang-pkgs","Type":"gobinary"}},
        {{"Target":"Dockerfile","Class":"config","Type":"dockerfile"}}]}}"#,
        vulnerability("CVE-1", "git", "2.35.1-r2", git),
        vulnerability("CVE-2", "git", "2.35.1-r2", git),
        vulnerability("CVE-3", "golang.org/x/text", "v0.3.5", "pkg:golang/golang.org/x/text@v0.3.5"),
    ))
    .unwrap();
    let inventory = &document.inventory;
    let told: Vec<_> = inventory.components.iter().map(|c| (&*c.package.name, &*c.package.path, c.layer)).collect();
    assert_eq!(told, [("git", "", Some(layer)), ("golang.org/x/text", "usr/bin/git-lfs", Some(layer))]);
    let lacking: Vec<&str> = inventory.problems.iter().map(|problem| &*problem.path).collect();
    assert_eq!(lacking, ["app:1 (alpine 3.16)", "usr/bin/clean", "usr/bin/git-lfs"]);
    assert!(inventory.problems[0].message.contains("--list-all-pkgs"), "{:?}", inventory.problems);
}

#[test]
fn old_reports_of_trivy_name_packages_without_a_package_url() {
    let result = |kind: &str, name: &str| {
        format!(
            r#"{{"Target":"x","Class":"lang-pkgs","Type":"{kind}","Packages":[{{"Name":"{name}","Version":"1.0.0"}}]}}"#
        )
    };
    let results = [
        result("conan", "openssl"),
        result("hex", "jason"),
        result("pub", "characters"),
        result("swift", "github.com/apple/swift-nio"),
        result("cocoapods", "Nobody"),
    ];
    let report = format!(r#"{{"SchemaVersion":2,"ArtifactName":"app","Results":[{}]}}"#, results.join(","));
    assert_eq!(
        shown(&parse(&report).unwrap().inventory),
        [
            "pkg:conan/openssl@1.0.0 x",
            "pkg:hex/jason@1.0.0 x",
            "pkg:pub/characters@1.0.0 x",
            "pkg:swift/github.com/apple/swift-nio@1.0.0 x",
        ]
    );
}

/// What the suite calls invalid and is read without a word, since it lies in parts that are not looked at.
const TOLERATED: [&str; 12] = [
    "citations",
    "component-swid",
    "issue-type",
    "license-choice",
    "license-declared-concluded-mix",
    "license-encoding",
    "license-id",
    "license-name-count",
    "metadata-",
    "patch-type",
    "serialnumber",
    "service-data",
];

#[derive(Debug, Default, PartialEq)]
struct Tally {
    read: usize,
    refused: usize,
    noted: usize,
    tolerated: usize,
}

impl Tally {
    fn take(&mut self, name: &str, bytes: &[u8]) {
        let result = sbom::parse(bytes, &Limits::default());
        match result {
            // The suite's own name for what schemas cannot tell.
            Ok(_) if name.starts_with("informal-invalid-") => {}
            Ok(_) if name.starts_with("valid-") => self.read += 1,
            Err(error) if name.starts_with("valid-") => panic!("{name}: {error}"),
            Err(_) => self.refused += 1,
            Ok(document) if document.inventory.problems.iter().any(|p| !p.message.contains("library without")) => {
                self.noted += 1;
            }
            Ok(_) if TOLERATED.iter().any(|part| name["invalid-".len()..].starts_with(part)) => self.tolerated += 1,
            Ok(_) => panic!("{name} was taken as if nothing were wrong"),
        }
    }
}

#[test]
fn the_suite_of_cyclonedx_in_json() {
    let Some(path) = test_data("conformance/cyclonedx-spec.zip") else { return };
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut tally = Tally::default();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).unwrap();
        let name = file.name().rsplit('/').next().unwrap().to_owned();
        if name.ends_with(".json") {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            tally.take(&name, &bytes);
        }
    }
    eprintln!("{tally:?}");
    assert_eq!(tally.read, 218);
}

/// The suite's XML comes with the source distribution of cyclonedx-python-lib (`tests/_data/schemaTestData`);
/// `tests/conformance/sbom-validate` fetches it and sets the variable.
#[test]
fn the_suite_of_cyclonedx_in_xml() {
    let Some(folder) = std::env::var_os("STELLA_CYCLONEDX_XML") else {
        eprintln!("SKIPPED: STELLA_CYCLONEDX_XML names no folder with the suite's XML");
        return;
    };
    let mut tally = Tally::default();
    for version in ["1.2", "1.3", "1.4", "1.5", "1.6", "1.7"] {
        let mut names: Vec<_> =
            std::fs::read_dir(Path::new(&folder).join(version)).unwrap().map(Result::unwrap).collect();
        names.sort_by_key(std::fs::DirEntry::file_name);
        for entry in names {
            let name = entry.file_name().into_string().unwrap();
            if name.ends_with(".xml") {
                tally.take(&name, &std::fs::read(entry.path()).unwrap());
            }
        }
    }
    eprintln!("{tally:?}");
    assert!(tally.read > 200, "{tally:?}");
}
