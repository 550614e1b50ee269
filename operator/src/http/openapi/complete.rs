//! What holds for every operation: who may ask, which headers go in and out, how refusals look.

use serde_json::{Map, Value, json};
use stella_authority::scope::{Need, need};

const SCHEMES: [&str; 2] = ["bearer", "dpop"];

/// Completes the document that the handlers gave.
pub(super) fn complete(document: &mut Value) {
    document["components"]["securitySchemes"] = json!({
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "dpop": {"type": "http", "scheme": "DPoP",
            "description": "A token bound to a key, with a proof in the header DPoP (RFC 9449)."},
        "client": {"type": "http", "scheme": "basic", "description": "A client and its secret."},
        "bootstrapKey": {"type": "apiKey", "in": "header", "name": "x-stellaops-bootstrap-key"},
    });
    document["components"]["headers"] = headers();
    document["components"]["responses"] = PROBLEMS.iter().map(|(status, told)| (name(status), problem(told))).collect();
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, operations) in paths {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            let need = need(&method.to_uppercase(), path);
            operation["operationId"] = id(operation).into();
            responses(path, method, need, operation);
            if let Some(Need::Scope(scope)) = need {
                operation["security"] = SCHEMES.iter().map(|scheme| json!({*scheme: [scope.as_str()]})).collect();
                parameters(path, method, operation);
            }
        }
    }
}

/// The handler's name is of one module; its tag makes it the document's.
fn id(operation: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{}_{}", text(&operation["tags"][0]), text(&operation["operationId"]))
}

/// Every status that a refusal has, and what it tells.
const PROBLEMS: [(&str, &str); 12] = [
    ("400", "Something of the request is wrong."),
    ("401", "Nobody knows who is asking."),
    ("403", "Whoever is asking may not; a scope that is missing is named."),
    ("404", "There is no such thing."),
    ("409", "It is not in a state for that, or the Idempotency-Key came with another request."),
    ("412", "It is not what the caller took it for."),
    ("413", "The body has more bytes than are taken."),
    ("415", "The body is of a kind that is not taken."),
    ("422", "The body is not what the schema says."),
    ("429", "Too much was asked: the rate, or the scans of the day."),
    ("500", "The failure is ours; the trace id is in the log."),
    ("503", "Not now."),
];

fn name(status: &str) -> String {
    format!("Problem{status}")
}

fn problem(told: &str) -> Value {
    json!({"description": told, "headers": answered(&["traceparent", "Retry-After"]),
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}})
}

fn headers() -> Value {
    let text = |told: &str| json!({"description": told, "schema": {"type": "string"}});
    let number = |told: &str| json!({"description": told, "schema": {"type": "integer", "minimum": 0}});
    json!({
        "traceparent": text("Trace of the request (W3C Trace Context); the same id is in the logs."),
        "RateLimit-Limit": number("Requests a second of this token."),
        "RateLimit-Remaining": number("Requests that are left now."),
        "RateLimit-Reset": number("Seconds until a request is taken."),
        "X-Stella-Quota-Remaining": number("Scans of this token that are left today, where it has a quota."),
        "X-Stella-Reset": {"description": "When the day's quota begins anew.", "schema": {"type": "string", "format": "date-time"}},
        "X-Stella-Token-Expires": {"description": "When the token ends.", "schema": {"type": "string", "format": "date-time"}},
        "Retry-After": number("Seconds after which it may go better."),
    })
}

fn answered(names: &[&str]) -> Map<String, Value> {
    let one = |name: &&str| ((*name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
    names.iter().map(one).collect()
}

fn responses(path: &str, method: &str, need: Option<Need>, operation: &mut Value) {
    let has_body = operation.get("requestBody").is_some();
    let mut statuses = vec!["500"];
    if let Some(Need::Scope(_)) = need {
        statuses.extend(["400", "401", "403", "429", "503"]);
    }
    if path.contains('{') {
        statuses.extend(["400", "404"]);
    }
    if has_body {
        statuses.extend(["400", "413", "415", "422"]);
    }
    if method == "post" {
        statuses.push("409");
    }
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, response) in responses.iter_mut() {
        if status.starts_with(['4', '5']) && response["content"]["application/json"]["schema"]["$ref"] == PROBLEM {
            *response = json!({"$ref": format!("#/components/responses/{}", name(status))});
        } else if response.get("$ref").is_none() {
            let mut names = vec!["traceparent"];
            if matches!(need, Some(Need::Scope(_))) {
                let limits = ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"];
                names.extend(limits.into_iter().chain(["X-Stella-Quota-Remaining", "X-Stella-Reset"]));
            }
            if path == "/scan" {
                names.push("X-Stella-Token-Expires");
            }
            match response.get_mut("headers").and_then(Value::as_object_mut) {
                Some(headers) => headers.extend(answered(&names)),
                None => response["headers"] = answered(&names).into(),
            }
        }
    }
    if !path.starts_with("/connect/") && !path.ends_with("/readyz") {
        for status in statuses {
            let reference = json!({"$ref": format!("#/components/responses/{}", name(status))});
            responses.entry(status).or_insert(reference);
        }
    }
}

const PROBLEM: &str = "#/components/schemas/Problem";

fn parameters(path: &str, method: &str, operation: &mut Value) {
    let header = |name: &str, required: bool, schema: Value, told: &str| json!({"name": name, "in": "header", "required": required, "schema": schema, "description": told});
    let tenant = json!({"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"});
    let named = ["/console/", "/export-center/"].iter().any(|part| path.starts_with(part));
    let mut further = Vec::new();
    if !path.starts_with("/api/v1/admin/") && !path.starts_with("/token/") {
        further.push(header("X-Stella-Tenant", named, tenant, "The tenant that is meant; the token's own without it."));
        if method == "post" {
            let schema = json!({"type": "string", "pattern": "^[!-~]{1,255}$"});
            further.push(header("Idempotency-Key", false, schema, "The same key and body within 24 h are done once."));
        }
    }
    if operation["responses"]["200"]["content"].get("text/event-stream").is_some() {
        let schema = match path.starts_with("/api/v1/scans/") {
            true => json!({"type": "integer", "minimum": 0}),
            false => json!({"type": "string", "maxLength": 64}),
        };
        further.push(header("Last-Event-ID", false, schema, "Go on after this event."));
    }
    match operation.get_mut("parameters").and_then(Value::as_array_mut) {
        Some(parameters) => parameters.extend(further),
        None if further.is_empty() => {}
        None => operation["parameters"] = further.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    #[test]
    fn every_stream_has_both_forms_and_resumes() {
        let document: Value = serde_json::from_str(&crate::http::document().unwrap()).unwrap();
        let mut streams = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for operation in operations.as_object().unwrap().values() {
                let content = &operation["responses"]["200"]["content"];
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let resumes = parameters.filter(|parameter| parameter["name"] == "Last-Event-ID").count() == 1;
                let is_stream = content.get("text/event-stream").is_some();
                assert_eq!(is_stream, resumes, "{path}");
                if is_stream {
                    assert!(content.get("application/x-ndjson").is_some(), "{path}");
                    streams.push(path.as_str());
                }
            }
        }
        let all = ["/api/v1/admission/verdicts", "/api/v1/nodes/{node}/work", "/api/v1/scans/{id}/events"];
        assert_eq!(streams.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(all));
    }

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let document: Value = serde_json::from_str(&crate::http::document().unwrap()).unwrap();
        let operations =
            document["paths"].as_object().unwrap().values().flat_map(|all| all.as_object().unwrap().values());
        let names: Vec<&str> = operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
        assert!(names.contains(&"console_findings") && names.contains(&"authority_token"), "{names:?}");
    }
}
