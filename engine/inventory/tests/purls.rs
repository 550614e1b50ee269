//! The cases of purl-spec for the types that are read here.

mod support;

use std::io::Read as _;

use serde_json::Value;
use stella_inventory::purl::Purl;
use support::*;

const TYPES: [&str; 11] = ["apk", "cargo", "composer", "deb", "gem", "golang", "maven", "npm", "nuget", "pypi", "rpm"];

#[test]
fn the_cases_of_the_specification_hold() {
    let Some(path) = test_data("conformance/purl-spec.zip") else { return };
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let names = TYPES.iter().map(|kind| format!("tests/types/{kind}-test.json"));
    let mut held = 0;
    for name in names.chain(["tests/spec/specification-test.json".to_owned()]) {
        let mut text = String::new();
        archive.by_name(&name).unwrap().read_to_string(&mut text).unwrap();
        let cases: Value = serde_json::from_str(&text).unwrap();
        for case in cases["tests"].as_array().unwrap() {
            // Keys in capitals are taken and lowered: that is what the same input must become when it is validated.
            let lenient = case["expected_message"].as_str().is_some_and(|message| message.contains("lowercase"));
            if lenient || (case["expected_failure"] == true && case["input"].is_null()) {
                continue;
            }
            assert_eq!(outcome(case), expected(case), "{name}: {case}");
            held += 1;
        }
    }
    assert!(held > 120, "{held}");
}

fn expected(case: &Value) -> Option<String> {
    match &case["expected_output"] {
        _ if case["expected_failure"] == true => None,
        Value::String(text) => Some(text.clone()),
        parts => Some(build(parts).unwrap()),
    }
}

fn outcome(case: &Value) -> Option<String> {
    match &case["input"] {
        Value::String(text) => text.parse::<Purl>().ok().map(|purl| purl.to_string()),
        parts => build(parts).ok(),
    }
}

fn build(parts: &Value) -> Result<String, &'static str> {
    let text = |key: &str| parts[key].as_str();
    let mut purl =
        Purl::new(text("type").unwrap_or(""), text("namespace"), text("name").unwrap_or(""), text("version"))?;
    for (key, value) in parts["qualifiers"].as_object().into_iter().flatten() {
        purl = purl.with(key, value.as_str().unwrap())?;
    }
    purl.subpath = text("subpath").map(str::to_owned);
    Ok(purl.to_string())
}
