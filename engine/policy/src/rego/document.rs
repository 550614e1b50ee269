//! What a Rego policy is told (docs/rego.md, "Input"). A field of which nothing is known is absent, so that a condition on it
//! is undefined and its rule does not hold.

use serde_json::{Map, Value, json};

use crate::input::{Context, FindingInput};
use crate::verdict::FindingVerdict;

/// The input of `verdict`: `{finding,image,now,nowNs}`.
#[must_use]
pub fn finding_document(finding: &FindingInput, context: &Context) -> Value {
    with_place(json!({"finding": told(finding)}), context)
}

/// The input of `image`: `{findings,image,now,nowNs}`; each finding carries its `status`, `score` and `policy`.
#[must_use]
pub fn image_document(findings: &[FindingInput], verdicts: &[FindingVerdict], context: &Context) -> Value {
    let judged = findings.iter().zip(verdicts).map(|(finding, verdict)| {
        let mut value = told(finding);
        value["status"] = json!(verdict.status.name());
        value["score"] = json!(verdict.score);
        if let Some(policy) = &verdict.policy {
            value["policy"] = json!(policy);
        }
        value
    });
    with_place(json!({"findings": judged.collect::<Vec<_>>()}), context)
}

fn with_place(mut document: Value, context: &Context) -> Value {
    document["image"] = without_nulls(json!({
        "reference": context.image,
        "repository": context.repository,
        "digests": context.digests,
        "environment": context.environment,
        "entrypoints": context.entrypoints,
    }));
    document["now"] = json!(context.now);
    document["nowNs"] = json!(context.now.as_millis().saturating_mul(1_000_000));
    document
}

fn told(finding: &FindingInput) -> Value {
    without_nulls(serde_json::to_value(finding).unwrap_or_default())
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let known = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(known.map(|(name, value)| (name, without_nulls(value))).collect::<Map<_, _>>())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(without_nulls).collect()),
        other => other,
    }
}
