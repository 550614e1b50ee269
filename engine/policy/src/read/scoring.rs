//! Weights that a document changes; what it does not name keeps its default.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::Value;

use super::fields::{Fields, cut};
use crate::issue::IssueCode;
use crate::scoring::Scoring;

const POINTS: RangeInclusive<f64> = 0.0..=1000.0;
const FACTOR: RangeInclusive<f64> = 0.0..=10.0;
const PROBABILITY: RangeInclusive<f64> = 0.0..=1.0;

pub(super) fn scoring(document: &mut Fields<'_, '_>) -> Scoring {
    const KNOWN: &[&str] =
        &["version", "severityWeights", "trustWeights", "reachabilityWeights", "penalties", "unknownConfidence"];
    let mut scoring = Scoring::default();
    let path = document.path_of("scoring");
    let Some(value) = document.get("scoring") else { return scoring };
    let Some(mut fields) = Fields::of(value, path, KNOWN, document.issues()) else { return scoring };
    if let Some(version) = fields.text("version") {
        scoring.version = version;
    }
    weights(&mut fields, "severityWeights", POINTS, &mut scoring.severity_weights, |name| name.parse().ok());
    weights(&mut fields, "trustWeights", FACTOR, &mut scoring.trust_weights, |name| Some(name.to_owned()));
    weights(&mut fields, "reachabilityWeights", FACTOR, &mut scoring.reachability_weights, |name| name.parse().ok());
    let penalties = &mut scoring.penalties;
    numbers(
        &mut fields,
        "penalties",
        POINTS,
        &mut [
            ("quieted", &mut penalties.quieted),
            ("ignored", &mut penalties.ignored),
            ("warned", &mut penalties.warned),
        ],
    );
    let confidence = &mut scoring.unknown_confidence;
    numbers(
        &mut fields,
        "unknownConfidence",
        PROBABILITY,
        &mut [
            ("initial", &mut confidence.initial),
            ("decayPerDay", &mut confidence.decay_per_day),
            ("floor", &mut confidence.floor),
            ("high", &mut confidence.high),
            ("medium", &mut confidence.medium),
        ],
    );
    scoring
}

fn weights<K: Ord>(
    fields: &mut Fields<'_, '_>,
    name: &str,
    range: RangeInclusive<f64>,
    weights: &mut BTreeMap<K, f64>,
    key: impl Fn(&str) -> Option<K>,
) {
    let path = fields.path_of(name);
    let Some(value) = fields.get(name) else { return };
    let Value::Object(map) = value else {
        return fields.note(IssueCode::ScoringInvalid, path, "Expected an object of weights");
    };
    for (word, weight) in map {
        match (key(word), weight.as_f64().filter(|weight| range.contains(weight))) {
            (Some(key), Some(weight)) => {
                weights.insert(key, weight);
            }
            (None, _) => fields.note(IssueCode::ScoringInvalid, path.clone(), format!("Invalid level '{}'", cut(word))),
            (Some(_), None) => {
                let message =
                    format!("The weight of '{}' is not a number from {} to {}", cut(word), range.start(), range.end());
                fields.note(IssueCode::ScoringInvalid, path.clone(), message);
            }
        }
    }
}

fn numbers(fields: &mut Fields<'_, '_>, name: &str, range: RangeInclusive<f64>, slots: &mut [(&str, &mut f64)]) {
    let path = fields.path_of(name);
    let Some(value) = fields.get(name) else { return };
    let known: Vec<&str> = slots.iter().map(|(name, _)| *name).collect();
    let Some(mut inner) = Fields::of(value, path, &known, fields.issues()) else { return };
    for (name, slot) in slots {
        match inner.number(name) {
            Some(number) if range.contains(&number) => **slot = number,
            Some(number) => {
                let path = inner.path_of(name);
                inner.note(
                    IssueCode::ScoringInvalid,
                    path,
                    format!("{number} is not from {} to {}", range.start(), range.end()),
                );
            }
            None => {}
        }
    }
}
