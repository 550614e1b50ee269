//! The checked-in manifests are those of the types. `STELLA_GENERATE=1` writes them anew.

use std::path::Path;

#[test]
fn manifests_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    for (name, manifest) in stella_crds::manifests() {
        let (path, wanted) = (folder.join(name), stella_crds::yaml(&manifest));
        if std::env::var_os("STELLA_GENERATE").is_some() {
            std::fs::write(&path, &wanted).unwrap();
        }
        let present = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(present == wanted, "{} differs from the types; run `make generate`", path.display());
    }
}

#[test]
fn every_field_is_described_and_every_text_and_list_is_bounded() {
    let mut missing = Vec::new();
    for (name, manifest) in stella_crds::manifests() {
        let schema = &manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        walk(name, &schema["properties"]["spec"], &mut missing);
        walk(name, &schema["properties"]["status"], &mut missing);
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

fn walk(place: &str, schema: &serde_json::Value, missing: &mut Vec<String>) {
    if schema["description"].as_str().is_none_or(str::is_empty) {
        missing.push(format!("{place}: no description"));
    }
    // Label selectors are the API's own type; their bounds are not ours to set.
    if place.ends_with("elector") {
        return;
    }
    let bounded = |key: &str| schema.get(key).is_some();
    match schema["type"].as_str() {
        Some("string") if !bounded("enum") && !bounded("maxLength") && schema["format"] != "date-time" => {
            missing.push(format!("{place}: text without maxLength"));
        }
        Some("array") if !bounded("maxItems") && !bounded("enum") && !place.ends_with("/kinds") => {
            missing.push(format!("{place}: list without maxItems"));
        }
        Some("array") if !bounded("x-kubernetes-list-type") => missing.push(format!("{place}: list without list type")),
        _ => {}
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{place}/{name}"), field, missing);
    }
}
