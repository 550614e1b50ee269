//! Every operation of the API document is in the authority's table of scopes.

use stella_authority::scope::need;

#[test]
fn every_operation_needs_what_the_table_says() {
    let document = serde_json::from_str::<serde_json::Value>(&stella_operator::http::document().unwrap()).unwrap();
    let mut unknown = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            // Probes and the like are asked without a caller.
            let probe = ["/healthz", "/readyz", "/version", "/metrics"].contains(&path.as_str());
            if !probe && need(&method.to_uppercase(), path).is_none() {
                unknown.push(format!("{method} {path}"));
            }
        }
    }
    assert!(unknown.is_empty(), "not in authority/src/scope/routes.rs: {unknown:?}");
}
