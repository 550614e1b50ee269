//! docs/rego.md: its policy compiles, its input is what an evaluation hands over, and the answer is the one it names.

use std::path::Path;

use serde_json::Value;
use stella_domain::Digest;
use stella_policy::{Context, FindingInput, GUARDED, Module, REFUSED, RegoLimits, finding_document};

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rego.md")).unwrap()
}

fn blocks(language: &str) -> Vec<String> {
    let page = page();
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_example_gives_the_answer_it_names() {
    let module = Module::compile(&blocks("rego")[0]).unwrap();
    let json: Vec<Value> = blocks("json").iter().map(|block| serde_json::from_str(block).unwrap()).collect();
    assert_eq!(module.values(vec![json[0].clone()]).unwrap(), [Some(json[1].clone())]);
}

#[test]
fn the_documented_input_is_what_is_handed_over() {
    let documented: Value = serde_json::from_str(&blocks("json")[0]).unwrap();
    let finding: FindingInput = serde_json::from_value(documented["finding"].clone()).unwrap();
    let image = &documented["image"];
    let text = |name: &str| image[name].as_str().map(str::to_owned);
    let texts =
        |name: &str| image[name].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let context = Context {
        image: text("reference"),
        repository: text("repository"),
        digests: texts("digests").iter().map(|digest| digest.parse::<Digest>().unwrap()).collect(),
        environment: text("environment"),
        entrypoints: texts("entrypoints"),
        now: documented["now"].as_str().unwrap().parse().unwrap(),
    };
    assert_eq!(finding_document(&finding, &context), documented);
}

#[test]
fn the_page_names_what_is_refused_and_guarded_and_the_limits() {
    let page = page();
    for (name, _) in REFUSED.iter().filter(|(name, _)| !name.starts_with("__") && *name != "test.") {
        let shown = if name.ends_with('.') { format!("`{name}*`") } else { format!("`{name}`") };
        assert!(page.contains(&shown), "{shown}");
    }
    for (name, _) in GUARDED {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    let limits = RegoLimits::default();
    assert_eq!((limits.instructions, limits.memory_bytes, limits.output_bytes), (250_000, 64 << 20, 64 << 10));
    assert_eq!((limits.time.as_secs(), limits.total_time.as_secs()), (2, 30));
    for told in ["250,000", "64 MiB", "64 KiB", "2 s", "30 s", "12 deep", "100 operators"] {
        assert!(page.contains(told), "{told}");
    }
}
