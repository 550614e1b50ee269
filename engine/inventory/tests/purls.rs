//! Every case of purl-spec's suite: reading, building, and bringing into the canonical form.

mod support;

use std::collections::BTreeMap;
use std::io::Read as _;

use serde::Deserialize;
use stella_inventory::purl::Purl;
use support::*;

#[derive(Deserialize)]
struct Suite {
    tests: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Case {
    test_type: String,
    #[serde(default)]
    input: Text,
    #[serde(default)]
    expected_output: Text,
    #[serde(default)]
    expected_failure: bool,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(untagged)]
enum Text {
    Url(String),
    Parts(Parts),
    #[default]
    Nothing,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Parts {
    r#type: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    version: Option<String>,
    qualifiers: Option<BTreeMap<String, String>>,
    subpath: Option<String>,
}

#[test]
fn every_case_of_the_specification_holds() {
    let Some(path) = test_data("conformance/purl-spec.zip") else { return };
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let (mut held, mut failed) = (0, Vec::new());
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).unwrap();
        if !file.name().ends_with("-test.json") {
            continue;
        }
        let name = file.name().to_owned();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        let suite: Suite = serde_json::from_str(&text).unwrap();
        for case in suite.tests {
            match check(&case) {
                Ok(()) => held += 1,
                Err(found) => failed.push(format!("{name}: {case:?}\n  found {found}")),
            }
        }
    }
    assert!(failed.is_empty(), "{} held, {} not:\n{}", held, failed.len(), failed.join("\n"));
    assert_eq!(held, 586, "the suite has another number of cases");
}

/// What is found instead of what the case expects.
fn check(case: &Case) -> Result<(), String> {
    let found = match (case.test_type.as_str(), &case.input) {
        ("parse", Text::Url(text)) => {
            let strict = Purl::parse_strict(text);
            // What a document says is read more kindly, and never as something else.
            assert!(strict.is_err() || text.parse() == strict, "{text}");
            strict.map(|purl| Text::Parts(parts(&purl))).map_err(|error| error.to_string())
        }
        ("validate", Text::Url(text)) => text.parse::<Purl>().map(canonical).map_err(|error| error.to_string()),
        ("build", Text::Parts(parts)) => build(parts).map(canonical).map_err(str::to_owned),
        _ => return Err("a case of no known kind".into()),
    };
    match found {
        Err(_) if case.expected_failure => Ok(()),
        Ok(found) if !case.expected_failure && found == case.expected_output => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// The text, after it was seen to read back as the same.
fn canonical(purl: Purl) -> Text {
    let text = purl.to_string();
    assert_eq!(Purl::parse_strict(&text), Ok(purl), "{text}");
    Text::Url(text)
}

fn parts(purl: &Purl) -> Parts {
    Parts {
        r#type: Some(purl.kind.clone()),
        namespace: purl.namespace.clone(),
        name: Some(purl.name.clone()),
        version: purl.version.clone(),
        qualifiers: Some(purl.qualifiers.clone()).filter(|qualifiers| !qualifiers.is_empty()),
        subpath: purl.subpath.clone(),
    }
}

fn build(parts: &Parts) -> Result<Purl, &'static str> {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let mut purl =
        Purl::new(&text(&parts.r#type), parts.namespace.as_deref(), &text(&parts.name), parts.version.as_deref())?;
    for (key, value) in parts.qualifiers.iter().flatten() {
        purl = purl.with(key, value)?;
    }
    purl.subpath.clone_from(&parts.subpath);
    purl.complete()
}
