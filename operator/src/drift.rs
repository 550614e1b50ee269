//! What policies say of drift: a container ran a file that is not its image's or no package's, or changed its packages.
//!
//! A rule is asked when one of its `tags` is `drift`, or `drift.` with a reason (`drift.upper-layer`). Its other conditions hold as
//! they do for findings: images, paths, environments. A rule without such a tag says nothing of drift.

use stella_api::runtime::{DRIFT, DRIFT_PATH, EventKind, Evidence, IMAGE_DIGEST, RuntimeEvent};
use stella_domain::{Hasher, Reachability, Severity, Timestamp};
use stella_policy::{Compiled, Context, Document, FindingInput, Rule, Status, evaluate};
use stella_store::StoreError;

use crate::app::App;
use crate::judging::{Scope, load, repository, scopes};

/// The violations that the drift among `events` is; none without policies that speak of drift.
///
/// # Errors
/// When the database does not answer.
pub async fn violations(app: &App, events: &[&RuntimeEvent]) -> Result<Vec<RuntimeEvent>, StoreError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let (set, now) = (load(app).await?, app.clock.now());
    let found = scopes(&set, &app.namespaces.all(), app.settings.ground());
    let scope_of = |event: &RuntimeEvent| {
        let (entries, namespace) = (&found.namespaces, &event.workload.namespace);
        if namespace.is_empty() {
            // A host outside a cluster: what acts on the whole of its tenant.
            return found.widest.get(&event.tenant.parse().unwrap_or_default()).and_then(|id| found.by_id.get(id));
        }
        let entry = entries.iter().find(|entry| entry.namespace == *namespace);
        entry.or_else(|| entries.iter().find(|entry| entry.namespace == "*")).and_then(|e| found.by_id.get(&e.scope))
    };
    Ok(events.iter().filter_map(|event| violation(event, scope_of(event)?, now)).collect())
}

fn violation(drift: &RuntimeEvent, scope: &Scope, now: Timestamp) -> Option<RuntimeEvent> {
    let documents = scope.policies.iter().map(|policy| {
        (policy.revision.name.as_str(), i32::try_from(policy.revision.priority).unwrap_or_default(), &*policy.document)
    });
    let policies: Vec<Compiled> =
        documents.filter_map(|(name, priority, document)| about(name, priority, document)).collect();
    judge(drift, &policies, scope.environment.as_deref(), now)
}

/// The rules of a document that speak of drift; none when there are none. What was compiled before compiles again.
fn about(name: &str, priority: i32, document: &Document) -> Option<Compiled> {
    let rules: Vec<Rule> = document.rules.iter().filter(|rule| speaks_of_drift(rule)).cloned().collect();
    if rules.is_empty() {
        return None;
    }
    let environments = document.environments.clone();
    Compiled::new(name, priority, &Document { rules, environments, ..Document::default() }).ok()
}

fn speaks_of_drift(rule: &Rule) -> bool {
    rule.tags.iter().map(|tag| tag.to_ascii_lowercase()).any(|tag| tag == "drift" || tag.starts_with("drift."))
}

fn judge(
    drift: &RuntimeEvent,
    policies: &[Compiled],
    environment: Option<&str>,
    now: Timestamp,
) -> Option<RuntimeEvent> {
    let told = |signal: &str| drift.evidence.iter().find(|e| e.signal == signal).map(|e| e.value.as_str());
    let input = FindingInput {
        path: told(DRIFT_PATH).map(|path| path.trim_start_matches('/').to_owned()),
        tags: vec!["drift".to_owned(), format!("drift.{}", told(DRIFT).unwrap_or_default())],
        // It was executed, mapped or changed in a running container: that is how it was noticed.
        reachability: Reachability::Runtime,
        ..FindingInput::new(&drift.event_id, Severity::Unknown)
    };
    let image = Some(drift.workload.image_ref.clone()).filter(|reference| !reference.is_empty());
    let context = Context {
        repository: image.as_deref().map(repository),
        image,
        digests: drift.annotations.get(IMAGE_DIGEST).and_then(|digest| digest.parse().ok()).into_iter().collect(),
        environment: environment.map(str::to_owned),
        entrypoints: Vec::new(),
        now,
    };
    let evaluation = evaluate(policies, &[input], &context);
    let verdict = evaluation.verdicts.first()?;
    if matches!(verdict.status, Status::Pass | Status::Ignored | Status::Quieted) {
        return None;
    }
    let decider = evaluation.decider.as_ref();
    let (policy, rule) = decider.map_or(("", ""), |decider| (decider.policy.as_str(), decider.rule.as_str()));
    let mut hasher = Hasher::new();
    [drift.event_id.as_str(), policy, rule, verdict.status.name()].iter().for_each(|part| hasher.field(part));
    let mut violation = drift.clone();
    violation.event_id = hasher.finish().hex();
    violation.kind = EventKind::PolicyViolation;
    let evidence = [
        ("policy", policy),
        ("policy.rule", rule),
        ("policy.status", verdict.status.name()),
        ("event", &drift.event_id),
    ];
    violation
        .evidence
        .extend(evidence.map(|(signal, value)| Evidence { signal: signal.to_owned(), value: value.to_owned() }));
    Some(violation)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stella_policy::{Format, parse};

    use super::*;

    fn drift(reason: &str, path: &str) -> RuntimeEvent {
        serde_json::from_value(json!({
            "eventId": "e1", "when": "2026-01-01T00:00:00.000Z", "kind": "Drift", "tenant": "tenant-default", "node": "n",
            "runtime": {"engine": "containerd", "version": "2"},
            "workload": {"platform": "kubernetes", "namespace": "shop", "containerId": "containerd://c",
                "imageRef": "registry.example/shop/web:1"},
            "evidence": [{"signal": "drift", "value": reason}, {"signal": "drift.path", "value": path}],
        }))
        .unwrap()
    }

    fn judged(rules: &str, reason: &str, path: &str) -> Option<(String, String)> {
        let document = parse(&format!("version: \"1.0\"\nrules:\n{rules}"), Format::Yaml).accept().unwrap();
        let policies: Vec<Compiled> = about("p", 0, &document).into_iter().collect();
        let violation = judge(&drift(reason, path), &policies, None, Timestamp::from_millis(0))?;
        let told = |signal: &str| violation.evidence.iter().find(|e| e.signal == signal).unwrap().value.clone();
        Some((told("policy.rule"), told("policy.status")))
    }

    fn is(rule: &str, status: &str) -> Option<(String, String)> {
        Some((rule.to_owned(), status.to_owned()))
    }

    #[test]
    fn a_rule_without_the_tag_says_nothing_of_drift() {
        assert_eq!(judged("  - {name: all, action: block}\n", "upper-layer", "/tmp/x"), None);
        assert_eq!(judged("  - {name: d, tags: [drifting], action: block}\n", "upper-layer", "/tmp/x"), None);
    }

    #[test]
    fn the_first_rule_with_tag_path_and_image_decides() {
        let rules = r"
  - {name: plugins, tags: [drift.upper-layer], match: {paths: ['opt/plugins/**']}, action: ignore}
  - {name: memory, tags: [drift.memory], action: block}
  - {name: elsewhere, tags: [drift], match: {repositories: ['other/**']}, action: block}
  - {name: any, tags: [Drift], action: warn}
";
        assert_eq!(judged(rules, "upper-layer", "/opt/plugins/a/x"), None);
        assert_eq!(judged(rules, "memory", "memfd:x"), is("memory", "Blocked"));
        assert_eq!(judged(rules, "upper-layer", "/tmp/x"), is("any", "Warned"));
        assert_eq!(judged(rules, "unowned", "/opt/libown.so"), is("any", "Warned"));
        let one = "  - {name: packages, tags: [drift.package-database], action: block}\n";
        assert_eq!(judged(one, "package-database", "/var/lib/dpkg/status"), is("packages", "Blocked"));
        assert_eq!(judged(one, "unowned", "/opt/libown.so"), None);
    }

    #[test]
    fn the_same_drift_is_the_same_violation() {
        let document = parse("version: \"1.0\"\nrules:\n  - {name: d, tags: [drift], action: block}\n", Format::Yaml);
        let policies: Vec<Compiled> = about("p", 0, &document.accept().unwrap()).into_iter().collect();
        let once = |at| judge(&drift("memory", "memfd:x"), &policies, None, Timestamp::from_millis(at)).unwrap();
        assert_eq!(once(1), once(2));
        assert_ne!(once(1).event_id, "e1");
        assert_eq!(once(1).kind, EventKind::PolicyViolation);
    }
}
