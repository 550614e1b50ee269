//! The JSON schema of policy documents, for editors; tests hold it against the parser.

use serde_json::{Value, json};
use stella_domain::{Reachability, Severity};

use crate::action::ActionKind;
use crate::glob::MAX_GLOB_BYTES;
use crate::parse::MAX_DOCUMENT_BYTES;
use crate::read::{MAX_ENTRIES, MAX_TEXT_BYTES, MAX_TEXTS};

/// The schema's `$id`.
pub const SCHEMA_ID: &str = "policy-schema@1";

/// The schema (JSON Schema 2020-12) of what [`crate::parse`] reads, as YAML or JSON. A document that the parser accepts is
/// valid; what is valid can still have issues that a schema cannot tell, such as two rules of one name.
#[must_use]
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Stella policy",
        "description": "Rules that say which findings matter; the first that matches a finding decides.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "version": {"description": "Version of the rule model.", "enum": ["1.0", 1, null]},
            "description": text("For people."),
            "environments": texts("Where the policy holds; everywhere when empty."),
            "rules": {
                "description": "Asked in order.", "type": ["array", "null"], "maxItems": MAX_ENTRIES, "items": {"$ref": "#/$defs/rule"},
            },
            "rego": {"description": "A Rego source in place of rules.", "type": ["string", "null"], "maxLength": MAX_DOCUMENT_BYTES},
            "scoring": or_null(json!({"$ref": "#/$defs/scoring"})),
            "waivers": {
                "description": "Findings accepted for a time.", "type": ["array", "null"], "maxItems": MAX_ENTRIES,
                "items": {"$ref": "#/$defs/waiver"},
            },
        },
        "$defs": {"rule": rule(), "match": matches(), "action": action(), "vex": requirement(), "waiver": waiver(), "scoring": scoring()},
    })
}

fn text(description: &str) -> Value {
    json!({"description": description, "type": ["string", "null"], "maxLength": MAX_TEXT_BYTES})
}

fn given(description: &str) -> Value {
    json!({"description": description, "type": "string", "maxLength": MAX_TEXT_BYTES, "pattern": "\\S"})
}

fn texts(description: &str) -> Value {
    json!({
        "description": description, "type": ["array", "null"], "maxItems": MAX_TEXTS,
        "items": {"type": "string", "maxLength": MAX_TEXT_BYTES},
    })
}

fn globs(description: &str) -> Value {
    json!({
        "description": description, "type": ["array", "null"], "maxItems": MAX_TEXTS,
        "items": {"type": "string", "minLength": 1, "maxLength": MAX_GLOB_BYTES},
    })
}

fn instant(description: &str) -> Value {
    json!({"description": description, "type": ["string", "null"], "format": "date-time"})
}

fn flag(description: &str) -> Value {
    json!({"description": description, "type": ["boolean", "null"]})
}

fn probability(description: &str) -> Value {
    json!({"description": description, "type": ["number", "null"], "minimum": 0, "maximum": 1})
}

fn or_null(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

/// A word in any case: completed as it is spelt, accepted as it is read.
fn words(words: &[&str]) -> Value {
    let any_case = |word: &&str| {
        word.chars().map(|c| format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase())).collect::<String>()
    };
    let pattern = words.iter().map(any_case).collect::<Vec<_>>().join("|");
    json!({"anyOf": [{"enum": words}, {"type": "string", "pattern": format!("^({pattern})$")}]})
}

fn severities() -> Value {
    let names: Vec<&str> = Severity::ALL.iter().map(|level| level.name()).chain(["info"]).collect();
    words(&names)
}

fn reachability() -> Value {
    json!({"enum": Reachability::ALL.map(Reachability::name)})
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
}

fn rule() -> Value {
    object(
        &["name", "action"],
        json!({
            "name": given("Unique in the document."),
            "id": text("A stable name of the author's choice."),
            "description": text("For people."),
            "severity": {"description": "All when empty.", "type": ["array", "null"], "maxItems": MAX_TEXTS, "items": severities()},
            "sources": texts("Sources of the advisory."),
            "vendors": texts("Vendors of the package."),
            "licenses": texts("SPDX licence identifiers of the package."),
            "tags": texts("Tags of the finding."),
            "environments": texts("Environments."),
            "match": or_null(json!({"$ref": "#/$defs/match"})),
            "reachability": {
                "description": "All when empty.", "type": ["array", "null"], "maxItems": MAX_TEXTS, "items": reachability(),
            },
            "kev": flag("Whether CISA lists it as exploited."),
            "epssMin": probability("The least EPSS probability."),
            "fixAvailable": flag("Whether some version fixes it."),
            "expires": instant("From then on the rule is skipped."),
            "action": {"anyOf": [words(&["block", "ignore", "warn", "defer", "requireVex"]), {"$ref": "#/$defs/action"}]},
            "quiet": flag("As in the action."),
            "justification": text("As in the action."),
            "until": instant("As in the action."),
        }),
    )
}

fn matches() -> Value {
    object(
        &[],
        json!({
            "images": globs("Image reference, repository@digest or digest."),
            "repositories": globs("Repository with registry, without tag."),
            "packages": globs("Package name."),
            "purls": globs("Package URL with version."),
            "cves": globs("Any identifier of the advisory."),
            "paths": globs("Path in the image, without a slash before it."),
            "layerDigests": globs("DiffID of the layer."),
            "usedByEntrypoint": globs("Path of a process the container was started with."),
        }),
    )
}

fn action() -> Value {
    let mut properties = json!({
        "type": {"anyOf": [words(&ActionKind::NAMES), {"type": "null"}]},
        "escalate": or_null(object(&["minimumSeverity"], escalation(&severities()))),
        "requireVex": or_null(json!({"$ref": "#/$defs/vex"})),
        "vendors": texts("Who may say that the product is not affected."),
        "justifications": texts("Accepted justifications, and `fixed`."),
        "quiet": flag("Whether findings whose statement is there are hidden."),
        "justification": text("Why."),
        "until": instant("From then on the rule is skipped."),
    });
    for plain in ["block", "ignore", "warn", "defer"] {
        properties[plain] = json!({"type": ["object", "null"], "maxProperties": 0});
    }
    if let (Value::Object(all), Value::Object(own)) = (&mut properties, escalation(&or_null(severities()))) {
        all.extend(own);
    }
    object(&[], properties)
}

fn escalation(severities: &Value) -> Value {
    json!({
        "minimumSeverity": severities,
        "requireKev": flag("Only findings that CISA lists as exploited."),
        "epssMin": probability("Only findings of at least this EPSS probability."),
    })
}

fn requirement() -> Value {
    object(
        &[],
        json!({
            "vendors": texts("Who may say that the product is not affected; anybody when empty."),
            "justifications": texts("Accepted justifications, and `fixed`; any when empty."),
        }),
    )
}

fn waiver() -> Value {
    object(
        &["id", "justification", "owner", "ticket", "expires"],
        json!({
            "id": given("Unique in the document."),
            "cve": text("The CVE that is accepted; or `advisory`."),
            "advisory": text("The record that is accepted; or `cve`."),
            "images": globs("Image references; all when empty."),
            "digests": {
                "description": "Image digests; all when empty.", "type": ["array", "null"], "maxItems": MAX_TEXTS,
                "items": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
            },
            "purls": globs("Package URLs; all when empty."),
            "justification": given("Why the risk is accepted."),
            "owner": given("Who answers for it."),
            "ticket": given("Where it was decided."),
            "expires": {"description": "From that second on it hides nothing.", "type": "string", "format": "date-time"},
        }),
    )
}

fn scoring() -> Value {
    let numbers = |names: &[&str], most: u32| {
        let number = json!({"type": ["number", "null"], "minimum": 0, "maximum": most});
        let properties: serde_json::Map<_, _> = names.iter().map(|name| ((*name).to_owned(), number.clone())).collect();
        json!({"type": ["object", "null"], "additionalProperties": false, "properties": properties})
    };
    let weights = |names: Value, most: u32| {
        let number = json!({"type": "number", "minimum": 0, "maximum": most});
        json!({"type": ["object", "null"], "propertyNames": names, "additionalProperties": number})
    };
    object(
        &[],
        json!({
            "version": text("Named by verdicts as configVersion."),
            "severityWeights": weights(severities(), 1000),
            "trustWeights": weights(json!({}), 10),
            "reachabilityWeights": weights(reachability(), 10),
            "penalties": numbers(&["quieted", "ignored", "warned"], 1000),
            "unknownConfidence": numbers(&["initial", "decayPerDay", "floor", "high", "medium"], 1),
        }),
    )
}
