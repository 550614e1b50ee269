//! The same policies and inputs by us and by OPA: `make test-policies` installs OPA and runs this.
//!
//! tests/opa/policies.txt holds the policies, each after a line `=== name`; every one is asked about every input. What differs
//! stands in [`ARGUED`] with the reason, and nothing else may.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use stella_domain::{Digest, Reachability, Severity};
use stella_policy::{
    Compiled, Context, FindingInput, Format, Module, VexState, VexStatement, evaluate, finding_document,
    image_document, parse,
};

/// Policies on which the two differ, and why that is right.
const ARGUED: &[(&str, &str)] = &[
    ("nested with", "`with` is refused when compiled: the machine that counts instructions has none"),
    ("numbers", "0.1 + 0.2 is computed in binary here and in decimal there"),
    ("strings", "upper of `ß` is `SS` by Unicode's full mapping, and `ß` in Go"),
    ("unicode", "upper of `ß`, as above"),
    ("sprintf", "`%t` and `%o`: OPA itself prints `%!t(string=true)` for the first"),
    ("base64", "refused: nothing in the input is encoded"),
    ("url query", "refused: nothing in the input is encoded"),
    ("time arithmetic", "time.add_date is refused, because the two differ at the end of a month"),
    ("group by", "sets within objects: our two ways of evaluating disagree, and so it is an error"),
    ("default function", "default functions: our two ways of evaluating disagree, and so it is an error"),
];

/// What a policy says of each input: `[]` where it is undefined, `[value]` where not; an error as a whole.
type Answers = Result<Vec<Value>, String>;

fn policies() -> Vec<(String, String)> {
    let text = include_str!("opa/policies.txt");
    text.split("=== ")
        .skip(1)
        .map(|part| part.split_once('\n').unwrap())
        .map(|(n, s)| (n.to_owned(), s.to_owned()))
        .collect()
}

fn inputs() -> Vec<Value> {
    let context = Context {
        image: Some("registry.example/team/app:1.2".to_owned()),
        repository: Some("registry.example/team/app".to_owned()),
        digests: vec![Digest::of("app")],
        environment: Some("dev".to_owned()),
        entrypoints: vec!["usr/bin/app".to_owned()],
        now: "2026-03-04T05:06:07Z".parse().unwrap(),
    };
    let plain = FindingInput::new("plain", Severity::Unknown);
    let vex = |state, vendor: &str| VexStatement { state, vendor: vendor.to_owned(), justification: None };
    let full = FindingInput {
        advisory_ids: vec!["CVE-2024-12345".to_owned(), "GHSA-aaaa-bbbb-cccc".to_owned()],
        source: Some("NVD".to_owned()),
        vendor: Some("acme".to_owned()),
        package: "lodash".to_owned(),
        version: "4.17.20".to_owned(),
        purl: Some("pkg:npm/%40scope/lodash@4.17.20".to_owned()),
        path: Some("app/package.json".to_owned()),
        layer: Some(Digest::of("layer")),
        licenses: vec!["MIT".to_owned(), "GPL-3.0-only".to_owned()],
        tags: vec!["x".to_owned(), "y".to_owned(), "x".to_owned()],
        reachability: Reachability::Runtime,
        kev: true,
        epss: Some(0.42),
        fix_available: true,
        vex: vec![vex(VexState::NotAffected, "acme")],
        unknown_since: Some("2026-02-01T00:00:00Z".parse().unwrap()),
        ..FindingInput::new("full", Severity::Critical)
    };
    let low = FindingInput {
        epss: Some(0.9),
        tags: vec!["z".to_owned()],
        vex: vec![vex(VexState::Affected, "other")],
        ..FindingInput::new("low", Severity::Low)
    };
    let high = FindingInput {
        fix_available: true,
        unknown_since: Some(context.now),
        ..FindingInput::new("high", Severity::High)
    };
    let mut documents: Vec<Value> = [&plain, &full, &low].map(|finding| finding_document(finding, &context)).into();
    documents.push(finding_document(&high, &Context::default()));
    documents
}

fn ours(source: &str, inputs: &[Value]) -> Answers {
    let module = Module::compile(source).map_err(|error| error.to_string())?;
    let values = module.values(inputs.to_vec()).map_err(|error| error.to_string())?;
    Ok(values.into_iter().map(|value| json!(value.into_iter().collect::<Vec<_>>())).collect())
}

/// What the name `asked` of the package is for each of `inputs`.
fn theirs(opa: &Path, folder: &Path, source: &str, asked: &str, inputs: &[Value]) -> Answers {
    let (policy, data) = (folder.join("policy.rego"), folder.join("data.json"));
    std::fs::write(&policy, source).unwrap();
    std::fs::write(&data, json!({"inputs": inputs}).to_string()).unwrap();
    let query = format!("[v | some i in data.inputs; v := [x | x := data.stella.policy.{asked} with input as i]]");
    let output = Command::new(opa)
        .args(["eval", "--format", "json", "--data"])
        .args([&policy])
        .arg("--data")
        .args([&data])
        .arg(query)
        .output()
        .unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let value = answer.pointer("/result/0/expressions/0/value").ok_or_else(|| answer["errors"].to_string())?;
    Ok(value.as_array().unwrap().clone())
}

/// Policies on the image as a whole: what is said of findings that have their verdicts.
const IMAGES: [(&str, &str); 5] = [
    ("count", "image := \"blocked\" if count([f | some f in input.findings; f.severity == \"Critical\"]) > 0"),
    (
        "status",
        "image := {\"verdict\": \"warn\", \"rule\": \"blocked twice\"} if count([f | some f in input.findings; f.status == \"Blocked\"]) > 1",
    ),
    ("score", "image := \"warn\" if sum([f.score | some f in input.findings]) > 20"),
    ("place", "image := \"pass\" if input.image.environment == \"dev\""),
    ("undefined", "image := \"warn\" if input.image.environment == \"prod\""),
];

fn image_inputs() -> Vec<Value> {
    let findings: Vec<FindingInput> = [Severity::Critical, Severity::High, Severity::Low]
        .into_iter()
        .enumerate()
        .map(|(at, severity)| FindingInput::new(format!("f{at}"), severity))
        .collect();
    let block = parse("version: '1.0'\nrules: [{name: no, severity: [Critical, High], action: block}]", Format::Yaml);
    let policy = Compiled::new("p", 0, &block.accept().unwrap()).unwrap();
    let context = Context { environment: Some("dev".to_owned()), ..Context::default() };
    [&findings[..], &findings[2..], &[]]
        .map(|findings| image_document(findings, &evaluate(&[&policy], findings, &context).verdicts, &context))
        .into()
}

#[test]
fn every_word_on_an_image_is_opas() {
    let Some(opa) = opa() else { return absent() };
    let folder = tempfile::tempdir().unwrap();
    let inputs = image_inputs();
    for (name, rule) in IMAGES {
        let source = format!("package stella.policy\n\n{rule}\n");
        let module = Module::compile(&source).unwrap();
        let ours: Vec<Value> = inputs
            .iter()
            .map(|input| {
                let answer = module.image(input.clone()).unwrap();
                json!(answer.map(|said| (said.verdict.name(), said.rule)).into_iter().collect::<Vec<_>>())
            })
            .collect();
        let said = |value: &Value| match value {
            Value::String(word) => json!([word, null]),
            other => json!([other["verdict"], other["rule"]]),
        };
        let theirs: Vec<Value> = theirs(&opa, folder.path(), &source, "image", &inputs)
            .unwrap()
            .iter()
            .map(|answers| answers.as_array().unwrap().iter().map(said).collect())
            .collect();
        assert_eq!(ours, theirs, "{name}");
    }
}

fn absent() {
    let required = std::env::var_os("STELLA_REQUIRE_OPA").is_some();
    assert!(!required, "opa is not on PATH");
    eprintln!("NOT RUN: opa is not on PATH; `make test-policies` installs it and compares");
}

fn opa() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("opa")).find(|program| program.is_file())
}

/// Numbers compare by value: `2.0` and `2` are one number in Rego.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().filter(|n| n.abs() < 9e15).map_or(value.clone(), |n| json!(n)),
        Value::Array(list) => list.iter().map(plain).collect(),
        Value::Object(map) => Value::Object(map.iter().map(|(key, value)| (key.clone(), plain(value))).collect()),
        other => other.clone(),
    }
}

#[test]
fn every_policy_says_what_opa_says() {
    assert!(policies().len() >= 60, "{}", policies().len());
    let Some(opa) = opa() else { return absent() };
    let folder = tempfile::tempdir().unwrap();
    let inputs = inputs();
    let argued: BTreeMap<_, _> = ARGUED.iter().copied().collect();
    let mut differences = Vec::new();
    for (name, source) in policies() {
        let (ours, theirs) = (ours(&source, &inputs), theirs(&opa, folder.path(), &source, "verdict", &inputs));
        let same = match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) => ours.iter().map(plain).eq(theirs.iter().map(plain)),
            (Err(_), Err(_)) => true,
            _ => false,
        };
        if same == argued.contains_key(name.as_str()) {
            let known = if same { "agrees, though argued" } else { "differs" };
            differences.push(format!("{name} {known}:\n  ours   {ours:?}\n  theirs {theirs:?}"));
        }
    }
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), policies().len(), differences.join("\n"));
}
