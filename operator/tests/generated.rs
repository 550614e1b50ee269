//! The checked-in OpenAPI documents are those of the handlers. `STELLA_GENERATE=1` writes it anew.

use std::path::Path;

use stella_operator::http::{document, document_yaml};

#[test]
fn the_openapi_documents_are_up_to_date_and_say_the_same() {
    let (json, yaml) = (document().unwrap(), document_yaml().unwrap());
    for (name, wanted) in [("openapi.json", &json), ("openapi.yaml", &yaml)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api").join(name);
        if std::env::var_os("STELLA_GENERATE").is_some() {
            std::fs::write(&path, wanted).unwrap();
        }
        let present = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(present == *wanted, "{} differs from the handlers; run `make generate`", path.display());
    }
    let [json, yaml]: [serde_json::Value; 2] =
        [serde_json::from_str(&json).unwrap(), serde_saphyr::from_str(&yaml).unwrap()];
    assert!(json == yaml, "the YAML is another document than the JSON");
}

/// The picture in the README is what `tests/demo/run.sh --save docs/demo-output.txt` printed last, from the second question on.
#[test]
fn the_readme_shows_the_demo() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../");
    let read = |path: &str| std::fs::read_to_string(format!("{root}{path}")).unwrap();
    let (readme, output) = (read("README.md"), read("docs/demo-output.txt"));
    let (_, shown) = readme.split_once("<!-- demo-output: begin").unwrap();
    let (shown, _) = shown.split_once("<!-- demo-output: end -->").unwrap();
    let (_, shown) = shown.split_once("```text\n").unwrap();
    let shown = shown.trim_end().trim_end_matches('`');
    let from = output.find("== Admission is asked again").unwrap();
    assert_eq!(shown.trim_end(), output[from..].trim_end());
}
