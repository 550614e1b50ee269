//! What is written for people and for other tools.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Work, bom, stella, stellopsctl};

#[test]
fn the_table_shows_the_worst_first_without_colours() {
    let work = Work::new();
    let ran = work.scan_bom(&[]);
    let lines: Vec<&str> = ran.out.lines().collect();
    for name in ["SEVERITY", "ID", "PACKAGE", "VERSION", "FIXED IN", "LOCATION", "IN USE"] {
        assert!(lines[0].contains(name), "{name}: {}", ran.out);
    }
    assert!(lines[1].starts_with("Critical") && lines[1].contains("CVE-2022-28346"), "{}", ran.out);
    assert!(lines[2].starts_with("Medium") && lines[2].contains("39.0.1"), "{}", ran.out);
    assert!(ran.out.contains("2 findings: 1 critical, 0 high, 1 medium, 0 low, 0 unknown"), "{}", ran.out);
    assert!(ran.out.contains("feeds: PyPI "), "{}", ran.out);
    assert!(ran.out.ends_with("failed: 1 finding at or over Critical\n"), "{}", ran.out);
    assert!(!ran.out.contains('\x1b') && ran.err.is_empty(), "{ran:?}");
}

#[test]
fn sarif_has_a_rule_for_every_result() {
    let work = Work::new();
    let ran = work.scan_bom(&["--format", "sarif"]);
    let log = ran.json();
    assert_eq!((ran.code, &log["version"]), (Some(1), &Value::from("2.1.0")));
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert_eq!((rules.len(), results.len()), (2, 2));
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(result["message"]["text"].as_str().unwrap().contains("fixed in"));
        for text in ["/shortDescription/text", "/fullDescription/text", "/help/text", "/help/markdown"] {
            assert!(rule.pointer(text).and_then(Value::as_str).is_some_and(|text| !text.is_empty()), "{text}: {rule}");
        }
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["region"]["endColumn"], 1);
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        assert_eq!(uri, format!("file://{}", work.text("bom.json")), "outside of the folder it was started in");
    }
    let fingerprints = |log: &Value| {
        let results = log["runs"][0]["results"].as_array().unwrap().clone();
        let of = |result: &Value| result["partialFingerprints"]["primaryLocationLineHash"].as_str().unwrap().to_owned();
        results.iter().map(of).collect::<BTreeSet<String>>()
    };
    let before = fingerprints(&log);
    assert_eq!(before.len(), 2, "one each");
    work.write("bom.json", bom(&["cryptography@38.0.1", "django@2.2.0", "another@1.0"]).to_string());
    assert_eq!(fingerprints(&work.scan_bom(&["--format", "sarif"]).json()), before, "another image and version");
    assert_eq!(results[0]["level"], "error");
}

#[test]
fn sarif_of_a_folder_has_the_line_that_declares_the_package() {
    let work = Work::new();
    work.write("checkout/backend/requirements.txt", "harmless==1.0\n# pinned\ncryptography==38.0.0\nDjango==2.2.0\n");
    work.write("checkout/lib/django-2.2.0.dist-info/METADATA", "Name: Django\nVersion: 2.2.0\n");
    let log = work.scan(&work.text("checkout"), &["--format", "sarif"]).json();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let mut places: Vec<(&str, &Value)> = results
        .iter()
        .map(|result| &result["locations"][0]["physicalLocation"])
        .map(|place| (place["artifactLocation"]["uri"].as_str().unwrap(), &place["region"]["startLine"]))
        .collect();
    places.sort_by_key(|(path, _)| *path);
    let expected =
        [("backend/requirements.txt", Value::from(3)), ("lib/django-2.2.0.dist-info/METADATA", Value::from(1))];
    assert_eq!(places, expected.each_ref().map(|(path, line)| (*path, line)));
}

#[test]
fn cyclonedx_vulnerabilities_point_at_components() {
    let work = Work::new();
    let document = work.scan_bom(&["--format", "cyclonedx"]).json();
    let components = document["components"].as_array().unwrap();
    let references: BTreeSet<&str> = components.iter().filter_map(|component| component["bom-ref"].as_str()).collect();
    let vulnerabilities = document["vulnerabilities"].as_array().unwrap();
    assert_eq!((components.len(), vulnerabilities.len()), (3, 2));
    for vulnerability in vulnerabilities {
        assert!(references.contains(vulnerability["affects"][0]["ref"].as_str().unwrap()), "{vulnerability}");
    }
    assert_eq!(vulnerabilities[0]["ratings"][0]["method"], "CVSSv31");
}

#[test]
fn spdx_lists_what_was_scanned() {
    let work = Work::new();
    let ran = work.scan_bom(&["--format", "spdx"]);
    let document = ran.json();
    assert_eq!((ran.code, &document["spdxVersion"]), (Some(1), &Value::from("SPDX-2.3")));
    let packages: BTreeSet<&str> =
        document["packages"].as_array().unwrap().iter().filter_map(|package| package["name"].as_str()).collect();
    assert!(packages.is_superset(&BTreeSet::from(["cryptography", "django", "harmless"])), "{packages:?}");
}

#[test]
fn both_have_a_manual_page() {
    for (page, flag) in [(stella(&["--man"]), "policy\\-file"), (stellopsctl(&["man"]), "findings")] {
        assert_eq!(page.code, Some(0), "{page:?}");
        assert!(page.out.contains(".TH ") && page.out.contains(flag), "{flag}: {}", page.out);
    }
}

#[test]
fn both_complete_themselves() {
    assert!(stella(&["--completions", "bash"]).out.contains("--policy-file"));
    assert!(stellopsctl(&["completions", "zsh"]).out.contains("findings"));
}
