//! What people build to harm who reads images, one test a case. Each is refused or said to be a problem, with the layer
//! and the file named.

mod archives;
mod contents;
#[path = "../support/mod.rs"]
mod support;

use stella_domain::Digest;
use stella_inventory::Inventory;
use support::*;

/// How an image with `layer` in it is refused; the layer is named.
fn refused(layer: &[u8]) -> String {
    let error = scan(&docker_archive(&[layer.to_vec()])).expect_err("it should be refused").to_string();
    assert!(error.contains(&Digest::of(layer).to_string()), "the layer is not named: {error}");
    error
}

/// What is said about an image with `layer` in it: `PATH: MESSAGE`.
fn problems(inventory: &Inventory) -> Vec<String> {
    inventory.problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

fn read(layer: &[u8]) -> Inventory {
    scan(&docker_archive(&[layer.to_vec()])).expect("it should be read")
}

fn problem_of(path: &str, content: &[u8]) -> String {
    let layer = Layer::new().file(path, content).file("app/node_modules/a/package.json", PACKAGE).build();
    let inventory = read(&layer);
    assert!(inventory.components.iter().any(|found| found.package.name == "a"), "the rest of the layer is read");
    let problems = problems(&inventory);
    assert!(problems.iter().all(|problem| problem.starts_with(&format!("{path}: "))), "{problems:?}");
    problems.join("\n")
}

const PACKAGE: &str = r#"{"name":"a","version":"1.0.0"}"#;
