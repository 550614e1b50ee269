//! Documents built to harm: each is refused with its place, or read without harm.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use stella_inventory::Limits;
use stella_inventory::sbom::{self, SbomDocument, SbomError, SbomFormat};

fn parse(bytes: impl AsRef<[u8]>) -> Result<SbomDocument, SbomError> {
    let started = Instant::now();
    let result = sbom::parse(bytes.as_ref(), &Limits::default());
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    result
}

fn refusal(bytes: impl AsRef<[u8]>) -> String {
    let message = parse(bytes).unwrap_err().to_string();
    assert!(message.len() < 2000, "{} bytes of message", message.len());
    message
}

/// A small document of each format, and the word that names the format in its errors.
fn samples() -> Vec<(SbomFormat, String)> {
    let cyclonedx = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library","bom-ref":"a","name":"a",
        "purl":"pkg:npm/a@1","hashes":[{"alg":"MD5","content":"3942447fac867ae5cdb3229b658f4d48"}]}],
        "dependencies":[{"ref":"a","dependsOn":["a"]}]}"#;
    let xml = r#"<?xml version="1.0"?><bom xmlns="http://cyclonedx.org/schema/bom/1.6"><components>
        <component type="library" bom-ref="a"><name>a &amp; &#65;</name><purl>pkg:npm/a@1</purl></component></components></bom>"#;
    let spdx = r#"{"spdxVersion":"SPDX-2.3","packages":[{"SPDXID":"a","name":"a","externalRefs":[
        {"referenceType":"purl","referenceLocator":"pkg:npm/a@1"}]}]}"#;
    let tags = "SPDXVersion: SPDX-2.3\nPackageName: a\nSPDXID: SPDXRef-a\nPackageComment: <text>a\nb</text>\n\
        ExternalRef: PACKAGE-MANAGER purl pkg:npm/a@1\n";
    let spdx3 = r#"{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld","@graph":[{"type":"software_Package",
        "spdxId":"urn:a","name":"a","software_packageUrl":"pkg:npm/a@1"}]}"#;
    let trivy = r#"{"SchemaVersion":2,"Results":[{"Target":"a","Class":"lang-pkgs","Type":"npm","Packages":[
        {"ID":"a","Name":"a","Version":"1","Digest":"md5:3942447fac867ae5cdb3229b658f4d48"}]}]}"#;
    let syft = r#"{"artifacts":[{"id":"1","name":"a","type":"npm","purl":"pkg:npm/a@1","locations":[{"path":"/a"}],
        "metadata":{"digest":[{"algorithm":"md5","value":"3942447fac867ae5cdb3229b658f4d48"}]}}],
        "schema":{"version":"16.0.0"}}"#;
    vec![
        (SbomFormat::CycloneDx, cyclonedx.into()),
        (SbomFormat::CycloneDxXml, xml.into()),
        (SbomFormat::Spdx, spdx.into()),
        (SbomFormat::SpdxTagValue, tags.into()),
        (SbomFormat::Spdx3, spdx3.into()),
        (SbomFormat::Trivy, trivy.into()),
        (SbomFormat::Syft, syft.into()),
    ]
}

#[test]
fn the_samples_are_read_with_and_without_a_byte_order_mark() {
    for (format, text) in samples() {
        let document = parse(&text).unwrap();
        assert_eq!((document.format, document.inventory.components.len()), (format, 1), "{text}");
        assert_eq!(parse(format!("\u{feff}{text}")).unwrap(), document);
        assert_eq!(sbom::parse_as(format, text.as_bytes(), &Limits::default()).unwrap(), document);
        let packages = sbom::parse_packages(text.as_bytes(), &Limits::default()).unwrap();
        assert!(packages.relations.is_empty() && packages.checksums.is_empty());
        assert_eq!(
            SbomDocument { relations: document.relations.clone(), checksums: document.checksums.clone(), ..packages },
            document
        );
    }
}

#[test]
fn texts_with_escapes_mean_what_they_stand_for() {
    let plain = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library","bom-ref":"é","name":"a&b",
        "purl":"pkg:deb/debian/a@1?arch=amd64&distro=debian-12","licenses":[{"expression":"MIT"}],
        "hashes":[{"alg":"MD5","content":"3942447fac867ae5cdb3229b658f4d48"}],
        "properties":[{"name":"aquasecurity:trivy:SrcName","value":"s"},{"name":"aquasecurity:trivy:SrcVersion","value":"2"}],
        "components":[{"type":"library","bom-ref":"b","name":"b","purl":"pkg:npm/%40x/b@1"}]}],
        "dependencies":[{"ref":"é","dependsOn":["b"]}]}"#;
    let escaped = plain
        .replace('é', r"\u00e9")
        .replace("a&b", r"a\u0026b")
        .replace("amd64&distro", r"amd64\u0026distro")
        .replace("MIT", r"\u004dIT")
        .replace("MD5", r"\u004dD5")
        .replace(":SrcName", r":\u0053rcName")
        .replace("pkg:npm/", r"pkg:npm\/");
    let document = parse(plain).unwrap();
    assert_eq!(parse(escaped).unwrap(), document);
    assert_eq!((document.relations.len(), document.checksums.len(), document.inventory.problems.len()), (2, 1, 0));
    let source = document.inventory.components[0].package.source.as_ref().unwrap();
    assert_eq!((source.name.as_str(), source.version.as_str()), ("s", "2"));
}

#[test]
fn what_is_not_kept_is_checked_all_the_same() {
    let text = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[
        {"type":"library","bom-ref":"a","name":"a","purl":"pkg:npm/a@1","hashes":[{"alg":"FOO","content":"00"}]},
        {"type":"library","bom-ref":"a","name":"b","purl":"pkg:npm/b@1","hashes":[{"alg":"MD5","content":"00"}]}]}"#;
    let problems = parse(text).unwrap().inventory.problems;
    assert_eq!(sbom::parse_packages(text.as_bytes(), &Limits::default()).unwrap().inventory.problems, problems);
    let told: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    let wrong = "a checksum that is not as long as its algorithm's or not hexadecimal";
    assert_eq!(told, ["a checksum of an unknown algorithm", wrong, "the reference 'a' is given more than once"]);
}

#[test]
fn checksums_of_every_format_are_kept_or_only_checked() {
    let checksummed = [SbomFormat::CycloneDx, SbomFormat::Trivy, SbomFormat::Syft];
    for (format, text) in samples().into_iter().filter(|(format, _)| checksummed.contains(format)) {
        let document = parse(&text).unwrap();
        let kept: Vec<&str> = document.checksums.values().flatten().map(|checksum| checksum.algorithm).collect();
        assert_eq!(kept, ["MD5"], "{text}");
        assert!(sbom::parse_packages(text.as_bytes(), &Limits::default()).unwrap().checksums.is_empty());
        // One digit less.
        let cut = text.replace("3942447fac867ae5cdb3229b658f4d48", "3942447fac867ae5cdb3229b658f4d4");
        let whole = parse(&cut).unwrap();
        let told: Vec<&str> = whole.inventory.problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(told, ["a checksum that is not as long as its algorithm's or not hexadecimal"], "{format:?}");
        let packages = sbom::parse_packages(cut.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(packages.inventory.problems, whole.inventory.problems, "{format:?}");
    }
}

#[test]
fn what_breaks_off_at_any_byte_is_refused_by_name() {
    for (format, text) in samples() {
        for end in 0..text.len() {
            match parse(&text[..end]) {
                // The form has no end mark: what stands before the cut is whole.
                Ok(_) if format == SbomFormat::SpdxTagValue => {}
                Ok(_) => panic!("{} cut to {end} bytes was taken", format.name()),
                Err(SbomError::NotAnSbom { found }) => assert!(end < 90, "{}: {end}: {found}", format.name()),
                Err(error) => assert!(error.to_string().contains(format.name()), "{error}"),
            }
        }
    }
}

#[test]
fn errors_name_the_format_and_the_place() {
    let xml = |inner: &str| format!("<bom xmlns=\"http://cyclonedx.org/schema/bom/1.6\">\n{inner}</bom>");
    for (text, message) in [
        (
            r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"name":"a"},{"name":5}]}"#.to_owned(),
            "malformed cyclonedx-json: at components[1].name: invalid type: integer `5`, expected a string at line 1 column 81",
        ),
        (
            r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"name":"a","components":[{}]}]}"#.to_owned(),
            "malformed cyclonedx-json: at components[0].components[0]: a component without a name",
        ),
        (
            r#"{"spdxVersion":"SPDX-2.3","packages":{}}"#.to_owned(),
            "malformed spdx-json: at packages: invalid type: map, expected a sequence at line 1 column 37",
        ),
        (
            "{\"SchemaVersion\":2,\n\"Results\":[}".to_owned(),
            "malformed trivy-json-v2: at Results[0]: expected value at line 2 column 12",
        ),
        (
            xml("<components>\n<component></components>"),
            "malformed cyclonedx-xml: line 3: ill-formed document: expected `</component>`, but `</components>` was found",
        ),
        (xml("&nbsp;"), "malformed cyclonedx-xml: line 2: entities are not read: &nbsp;"),
        ("SPDXVersion: SPDX-2.3\nx".to_owned(), "malformed spdx-tag-value: line 2: no tag: 'x'"),
        ("{\"a\": \"\u{fffd}".to_owned(), "not an SBOM: broken JSON: EOF while parsing a string at line 1 column 10"),
    ] {
        assert_eq!(refusal(text), message);
    }
    assert_eq!(refusal(b"{\"bomFormat\":\n\"\xff\"}"), "not an SBOM: it is not UTF-8: byte 15 in line 2");
    assert_eq!(refusal(b"\xff\xfe{\0}\0"), "not an SBOM: it is UTF-16; the formats are read as UTF-8");
    assert_eq!(refusal(b"\x1f\x8b\x08\x00"), "not an SBOM: it is compressed with gzip");
    assert_eq!(refusal(b"\x28\xb5\x2f\xfd\x00"), "not an SBOM: it is compressed with zstd");
}

#[test]
fn json_as_deep_as_it_likes() {
    let head = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","#;
    let deep = "{\"name\":\"a\",\"components\":[".repeat(100_000);
    assert!(refusal(format!("{head}\"components\":[{deep}")).contains("recursion limit exceeded"));
    let nested = format!("{}{}", "{\"name\":\"a\",\"components\":[".repeat(40), "]}".repeat(40));
    let message = refusal(format!("{head}\"components\":[{nested}]}}"));
    assert_eq!(message, "more than 32 components within each other");
    // What is not read may be as deep as it is long.
    let ignored = format!("{}{}", "[".repeat(2_000_000), "]".repeat(2_000_000));
    assert!(parse(format!("{head}\"services\":{ignored}}}")).is_ok());
    assert!(refusal("[".repeat(1_000_000)).contains("array"));
    assert!(refusal("{\"a\":".repeat(1_000_000)).contains("broken JSON"));
}

#[test]
fn xml_without_types_entities_and_depth() {
    let laughs = "<!DOCTYPE bom [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><bom xmlns=\"http://cyclonedx.org/schema/bom/1.6\">&b;</bom>";
    assert!(refusal(laughs).contains("document type definitions are not read"));
    let external = "<?xml version=\"1.0\"?><!DOCTYPE x SYSTEM \"file:///etc/passwd\"><x/>";
    assert!(refusal(external).contains("document type definitions are not read"));
    let bom = "<bom xmlns=\"http://cyclonedx.org/schema/bom/1.6\">";
    assert!(refusal(format!("{bom}<metadata/><!DOCTYPE x></bom>")).contains("document type"));
    assert!(refusal(format!("{bom}<components>&xxe;")).contains("entities are not read: &xxe;"));
    assert!(refusal(format!("{bom}<components><component type=\"&xxe;\"/>")).contains("xxe"));
    let what = "more than 128 XML elements within each other";
    assert_eq!(refusal(format!("{bom}{}", "<components><component>".repeat(500_000))), what);
    assert_eq!(refusal(format!("{bom}{}", "<a>".repeat(1_000_000))), what);
    let mut attributes = String::new();
    for index in 0..100_000 {
        write!(attributes, " a{index}=\"\"").unwrap();
    }
    let many = format!("{bom}<components><component{attributes}/></components></bom>");
    assert_eq!(refusal(many), "more than 64 attributes of an element");
    assert!(refusal(format!("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>{bom}</bom>")).contains("ISO-8859-1"));
    assert!(refusal(format!("{bom}</bom><bom/>")).contains("something follows the root element"));
    assert!(refusal("<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"/>").contains("rdf-syntax"));
}

#[test]
fn long_texts_are_not_multiplied() {
    let long = "x".repeat(4 << 20);
    let many = |item: &str| vec![item; 20_000].join(",");
    let read = |text: String| {
        let document = parse(text).unwrap();
        let size = serde_json::to_vec(&document.inventory).unwrap().len();
        assert!(size < 40 << 20, "{size}");
        document
    };
    // A reference that many share, a purl that many need, a distribution, a result and a licence that many repeat.
    read(format!(
        r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{{"type":"library","name":"{long}","bom-ref":"{long}",
        "purl":"pkg:npm/{long}","components":[{}]}}]}}"#,
        many(r#"{"type":"library","bom-ref":"a","name":"a","purl":"pkg:npm/a"}"#)
    ));
    read(format!(
        r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{{"type":"operating-system","name":"{long}"}},{}]}}"#,
        many(r#"{"type":"library","name":"a","purl":"pkg:deb/debian/a@1"}"#)
    ));
    read(format!(
        r#"{{"SchemaVersion":2,"Metadata":{{"OS":{{"Family":"{long}"}}}},"Results":[{{"Target":"{long}","Class":"lang-pkgs","Type":"npm","Packages":[{}]}}]}}"#,
        many(r#"{"Name":"a","Version":"1"}"#)
    ));
    read(format!(
        r#"{{"spdxVersion":"SPDX-2.3","hasExtractedLicensingInfos":[{{"licenseId":"LicenseRef-x","name":"{long}"}}],"packages":[{}]}}"#,
        many(
            r#"{"licenseDeclared":"LicenseRef-x","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:npm/a"}]}"#
        )
    ));
    let document = read(format!(
        r#"{{"artifacts":[{{"name":"a","purl":"pkg:npm/a","licenses":["{long}"],"locations":[{}]}}],"schema":{{"version":"16"}}}}"#,
        many(r#"{"path":"a","annotations":{"evidence":"primary"}}"#)
    ));
    assert_eq!(document.inventory.problems[0].message, "20000 locations, of which the first is taken");
    // Errors quote a part.
    refusal(format!(r#"{{"bomFormat":"CycloneDX","specVersion":"{long}"}}"#));
    refusal(format!(r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","components":"{long}"}}"#));
    refusal(format!(r#"{{"{long}":1}}"#));
    refusal(format!("<{long} xmlns=\"{long}\"/>"));
    refusal(format!("SPDXVersion: {long}"));
    refusal(format!("SPDXVersion: SPDX-2.3\n{long}"));
}

#[test]
fn more_parts_than_are_allowed() {
    let limits = Limits { max_document_objects: 5, ..Limits::default() };
    let told = |text: String| sbom::parse(text.as_bytes(), &limits).unwrap_err().to_string();
    let head = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","#;
    assert_eq!(told(format!("{head}\"components\":[{}", "{},".repeat(5))), "more than 5 objects in a document");
    assert_eq!(told(format!("{head}\"x\":[{}", "1,".repeat(20))), "more than 20 items in a document");
    assert_eq!(told(format!("<bom>{}", "<a/>".repeat(20))), "more than 20 tags in a document");
    assert_eq!(told(format!("SPDXVersion: SPDX-2.3\n{}", "\n".repeat(20))), "more than 10 lines in a document");
}

#[test]
fn references_that_repeat_lead_nowhere_or_around() {
    let mut dependencies = String::new();
    for index in 0..50_000 {
        write!(dependencies, r#"{{"ref":"{index}","dependsOn":["{}"]}},"#, (index + 1) % 50_000).unwrap();
    }
    let mut components = String::new();
    for index in 0..50_000 {
        write!(components, r#"{{"type":"library","bom-ref":"{index}","name":"a","purl":"pkg:npm/a@{index}"}},"#)
            .unwrap();
    }
    let document = parse(format!(
        r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{{"component":{{"type":"application","name":"x","bom-ref":"0"}}}},
        "components":[{components}{{"type":"library","bom-ref":"7","name":"b","purl":"pkg:npm/b@1"}}],
        "dependencies":[{dependencies}{{"ref":"nobody","dependsOn":["7","0","nobody"]}}]}}"#
    ))
    .unwrap();
    assert_eq!(document.inventory.components.len(), 50_001);
    assert_eq!(document.relations.len(), 50_000);
    let problems: Vec<&str> = document.inventory.problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(problems, ["the reference '0' is given more than once", "the reference '7' is given more than once"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_document_is_read_or_refused(
        sample in 0..7usize, at in 0..1000usize, with in prop::collection::vec(any::<u8>(), 0..4), cut in 0..6usize,
    ) {
        let mut bytes = samples().swap_remove(sample).1.into_bytes();
        let at = at % bytes.len();
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, with);
        if let Err(error) = parse(&bytes) {
            prop_assert!(error.to_string().len() < 2000);
        }
        for format in SbomFormat::ALL {
            let _ = sbom::parse_as(format, &bytes, &Limits::default());
        }
    }

    #[test]
    fn any_json_and_any_xml(parts in prop::collection::vec(prop::sample::select(PARTS.to_vec()), 0..24)) {
        for head in ["", "{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.6\",", "{\"artifacts\":", "{\"@graph\":[",
            "<bom xmlns='http://cyclonedx.org/schema/bom/1.6'>", "SPDXVersion: SPDX-2.3\n"] {
            let _ = parse(format!("{head}{}", parts.concat()));
        }
    }
}

const PARTS: [&str; 40] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\"name\"",
    "\"components\"",
    "\"purl\"",
    "\"pkg:npm/a@1\"",
    "\"type\"",
    "null",
    "1",
    "true",
    "\"dependencies\"",
    "\"ref\"",
    "\"dependsOn\"",
    "\"properties\"",
    "\"value\"",
    "\\u0000",
    "é",
    "\n",
    "<components>",
    "</components>",
    "<component>",
    "</component>",
    "<component type='library'>",
    "<name>",
    "</name>",
    "<purl>pkg:npm/a@1</purl>",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "&amp;",
    "&#0;",
    "<a",
    "PackageName: a\n",
    "<text>",
];
