//! `policy-schema@1` against the parser: what is accepted is valid, and what the parser finds wrong in the structure is not.

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use stella_policy::{IssueCode, SCHEMA_ID, parse_value, schema};

fn validator() -> Validator {
    jsonschema::validator_for(&schema()).unwrap()
}

/// Issues of structure; the others a schema cannot see.
fn structural(code: IssueCode) -> bool {
    use IssueCode::{
        FieldType, FieldUnknown, RuleActionMissing, RuleEpssInvalid, RuleNameMissing, RuleReachabilityInvalid,
        RuleSeverityInvalid, ScoringInvalid, VersionUnsupported, WaiverDigestInvalid, WaiverExpiresMissing,
        WaiverIdMissing, WaiverJustificationMissing, WaiverOwnerMissing, WaiverTicketMissing,
    };
    matches!(
        code,
        FieldType
            | FieldUnknown
            | RuleActionMissing
            | RuleEpssInvalid
            | RuleNameMissing
            | RuleReachabilityInvalid
            | RuleSeverityInvalid
            | ScoringInvalid
            | VersionUnsupported
            | WaiverDigestInvalid
            | WaiverExpiresMissing
            | WaiverIdMissing
            | WaiverJustificationMissing
            | WaiverOwnerMissing
            | WaiverTicketMissing
    )
}

fn agree(validator: &Validator, document: &Value) -> Result<(), TestCaseError> {
    let parsed = parse_value(document);
    let valid = validator.is_valid(document);
    if !parsed.is_blocked() {
        prop_assert!(
            valid,
            "accepted, but not valid: {document}\n{:?}",
            validator.iter_errors(document).next().map(|e| e.to_string())
        );
    }
    if let Some(issue) = parsed.issues.iter().find(|issue| structural(issue.code)) {
        prop_assert!(!valid, "valid, but {issue:?}: {document}");
    }
    Ok(())
}

/// A value that might stand anywhere: of the right kind, nearly, or of another.
fn anything() -> impl Strategy<Value = Value> {
    let words = [
        "Critical",
        "critical",
        "info",
        "Severe",
        "runtime",
        "RUNTIME",
        "block",
        "Block",
        "requireVex",
        "escalate",
        "1.0",
        "2.0",
        "",
        " ",
        "a",
        "2027-01-01T00:00:00Z",
        "tomorrow",
        "sha256:0000000000000000000000000000000000000000000000000000000000000000",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        prop_oneof![Just(json!(0)), Just(json!(1)), Just(json!(0.5)), Just(json!(-1)), Just(json!(5000))],
        proptest::sample::select(words.to_vec()).prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(
                "(type|vendors|a|Critical|runtime|minimumSeverity|justifications)",
                inner,
                0..3
            )
            .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

const PLACES: [&str; 56] = [
    "/version",
    "/description",
    "/environments",
    "/rules",
    "/scoring",
    "/waivers",
    "/nonesuch",
    "/rules/0",
    "/rules/0/name",
    "/rules/0/id",
    "/rules/0/description",
    "/rules/0/severity",
    "/rules/0/severity/0",
    "/rules/0/sources",
    "/rules/0/licenses/0",
    "/rules/0/tags",
    "/rules/0/environments",
    "/rules/0/match",
    "/rules/0/match/images",
    "/rules/0/match/purls",
    "/rules/0/match/nonesuch",
    "/rules/0/reachability",
    "/rules/0/reachability/0",
    "/rules/0/kev",
    "/rules/0/epssMin",
    "/rules/0/fixAvailable",
    "/rules/0/expires",
    "/rules/0/action",
    "/rules/0/quiet",
    "/rules/0/until",
    "/rules/0/nonesuch",
    "/rules/1/action/type",
    "/rules/1/action/minimumSeverity",
    "/rules/1/action/requireKev",
    "/rules/1/action/epssMin",
    "/rules/1/action/nonesuch",
    "/rules/2/action/requireVex",
    "/rules/2/action/requireVex/vendors",
    "/rules/2/action/warn",
    "/rules/2/action/quiet",
    "/scoring/version",
    "/scoring/severityWeights",
    "/scoring/severityWeights/Critical",
    "/scoring/trustWeights",
    "/scoring/reachabilityWeights",
    "/scoring/penalties",
    "/scoring/penalties/warned",
    "/scoring/unknownConfidence/floor",
    "/scoring/nonesuch",
    "/waivers/0",
    "/waivers/0/id",
    "/waivers/0/digests",
    "/waivers/0/justification",
    "/waivers/0/expires",
    "/waivers/0/purls",
    "/waivers/0/nonesuch",
];

fn good() -> Value {
    json!({
        "version": "1.0", "description": "d", "environments": ["prod"],
        "rules": [
            {
                "name": "a", "id": "i", "description": "d", "severity": ["Critical", "None"], "sources": ["NVD"], "vendors": ["v"],
                "licenses": ["MIT"], "tags": ["t"], "environments": ["prod"], "reachability": ["runtime"], "kev": true, "epssMin": 0.1,
                "fixAvailable": false, "expires": "2027-01-01T00:00:00Z", "quiet": false, "justification": "j",
                "until": "2027-01-01T00:00:00Z", "action": "block",
                "match": {"images": ["a/**"], "repositories": ["a"], "packages": ["b*"], "purls": ["pkg:npm/*"], "cves": ["CVE-*"],
                          "paths": ["app/*"], "layerDigests": ["sha256:*"], "usedByEntrypoint": ["usr/bin/*"]},
            },
            {"name": "b", "action": {"type": "escalate", "minimumSeverity": "High", "requireKev": true, "epssMin": 0.2}},
            {"name": "c", "action": {"warn": {}, "quiet": true, "requireVex": {"vendors": ["v"], "justifications": ["fixed"]}}},
            {"name": "d", "action": {"escalate": {"minimumSeverity": "High"}}},
        ],
        "scoring": {"version": "2", "severityWeights": {"Critical": 100}, "trustWeights": {"Acme": 0.9}, "reachabilityWeights": {"runtime": 1},
                    "penalties": {"warned": 1, "ignored": 2, "quieted": 3},
                    "unknownConfidence": {"initial": 0.9, "decayPerDay": 0.1, "floor": 0.1, "high": 0.7, "medium": 0.4}},
        "waivers": [{"id": "w", "cve": "CVE-1", "images": ["a"], "purls": ["pkg:npm/a@*"], "justification": "j", "owner": "o", "ticket": "t",
                     "digests": ["sha256:0000000000000000000000000000000000000000000000000000000000000000"],
                     "expires": "2027-01-01T00:00:00Z"}],
    })
}

fn put(document: &mut Value, place: &str, value: Option<Value>) {
    let (parent, name) = place.rsplit_once('/').unwrap();
    match (document.pointer_mut(parent), value) {
        (Some(Value::Object(map)), Some(value)) => drop(map.insert(name.to_owned(), value)),
        (Some(Value::Object(map)), None) => drop(map.remove(name)),
        (Some(Value::Array(list)), Some(value)) => {
            if let Some(slot) = name.parse::<usize>().ok().and_then(|at| list.get_mut(at)) {
                *slot = value;
            }
        }
        _ => {}
    }
}

#[test]
fn the_schema_is_one_and_names_itself() {
    assert_eq!(schema()["$id"], SCHEMA_ID);
    assert!(jsonschema::meta::is_valid(&schema()));
}

#[test]
fn a_document_with_everything_is_accepted_and_valid() {
    let parsed = parse_value(&good());
    assert!(!parsed.is_blocked(), "{:?}", parsed.issues);
    assert!(validator().is_valid(&good()));
    let written = serde_json::to_value(&parsed.document).unwrap();
    let errors: Vec<String> = validator().iter_errors(&written).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new(), "what we write is valid");
}

#[test]
fn every_field_that_is_left_out_or_null_means_the_same_to_both() {
    let validator = validator();
    for place in PLACES {
        for value in [None, Some(Value::Null)] {
            let mut document = good();
            put(&mut document, place, value);
            agree(&validator, &document).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
    #[test]
    fn parser_and_schema_agree(changes in proptest::collection::vec((proptest::sample::select(PLACES.to_vec()), anything()), 1..4)) {
        thread_local!(static VALIDATOR: Validator = validator());
        let mut document = good();
        for (place, value) in changes {
            put(&mut document, place, Some(value));
        }
        VALIDATOR.with(|validator| agree(validator, &document))?;
    }
}
