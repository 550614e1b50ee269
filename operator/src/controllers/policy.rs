//! `Policy`: lint, the revision in force, and what it does.

use std::sync::Arc;
use std::time::Duration;

use stella_crds::{FeedAge, Policy, PolicyIssue, PolicySpec, PolicyStatus, Projection};
use stella_domain::Tenant;
use stella_policy::{CompileError, Compiled, Issue, IssueSeverity, lint};
use stella_store::{PolicyRevision, SeenObject};

use super::status::Conditions;
use super::{Observed, ReconcileError};
use crate::app::App;
use crate::judging::{Basis, Compilations, IMPORT, digest_of, document, load, projection};
use crate::signatures::Demand;

/// How often what a policy does is worked out anew.
const REFRESH: Duration = Duration::from_secs(10);
/// How often it is looked whether every webhook answers from the present revision.
const SERVING: Duration = Duration::from_secs(1);
/// The kind under which policies are noted, to notice their deletion.
pub const KIND: &str = "Policy";

/// Puts the policy into force if it is sound, and works out what it does.
///
/// # Errors
/// See [`ReconcileError`].
pub async fn observe(app: &App, policy: &Policy) -> Result<Observed<PolicyStatus>, ReconcileError> {
    let namespace = policy.metadata.namespace.as_deref().ok_or(ReconcileError::Nameless("namespace"))?;
    let name = policy.metadata.name.as_deref().ok_or(ReconcileError::Nameless("name"))?;
    let (tenant, full_name) = (app.namespaces.tenant_of(namespace), format!("{namespace}/{name}"));
    let now = app.clock.now();
    let generation = policy.metadata.generation.unwrap_or_default();
    let mut status = policy.status.clone().unwrap_or_default();
    let mut conditions = Conditions::of(&status.conditions, generation, now);
    status.observed_generation = generation;
    note(app, policy, namespace, name, &tenant).await?;

    let (mut issues, mut again) = (Vec::new(), REFRESH);
    let everywhere = namespace == app.settings.policy_namespace;
    let ground = Ground { everywhere, trust_root: app.signatures.root().is_some() };
    let verdict = examine(&app.compilations, &full_name, &policy.spec, ground, &mut issues);
    match verdict {
        _ if policy.spec.suspend => {
            retire(app, &tenant, &full_name).await?;
            status.active = false;
            conditions.only_while("Stalled", false, "", "");
            conditions.set("Ready", false, "Suspended", "the policy is suspended and takes no part in decisions");
        }
        Ok(compiled) => {
            let parsed = document(&policy.spec);
            issues.extend(parsed.issues.iter().cloned());
            issues.extend(lint(&parsed.document, now));
            let digest = digest_of(&parsed.document);
            let revision = activate(app, policy, &tenant, &full_name, &digest).await?;
            status.active = true;
            status.revision = Some(format!("rev-{}", revision.number));
            status.rule_count = i64::try_from(parsed.document.rules.len()).ok();
            status.projected = Some(project(app, policy, &tenant, &full_name, &digest, &compiled).await?);
            status.digest = Some(digest);
            let waivers = parsed.document.waivers.iter();
            let expired = waivers.filter(|waiver| waiver.expires.is_some_and(|end| end <= now));
            status.expired_waivers = expired.map(|waiver| waiver.id.clone()).take(32).collect();
            status.feeds = feeds(app);
            conditions.only_while("Stalled", false, "", "");
            conditions.set("Ready", true, "InForce", format!("revision rev-{} is in force", revision.number));
        }
        Err((reason, message)) => {
            conditions.set("Ready", false, reason, message);
            conditions.only_while(
                "Stalled",
                true,
                reason,
                "the last good revision stays in force until the spec changes",
            );
        }
    }
    if status.active {
        let wanted = load(app).await?.revision;
        let served = app.board.served_revision().is_some_and(|served| served == wanted);
        status.served_revision = status.revision.clone().filter(|_| served);
        if !served {
            again = SERVING;
        }
    }
    status.issues = shown(&issues);
    status.conditions = conditions.finish();
    Ok(Observed { status, again, delete: false })
}

/// What a spec is examined against.
#[derive(Debug, Clone, Copy)]
struct Ground {
    /// Whether it acts on the whole tenant.
    everywhere: bool,
    /// Whether there is a trust root.
    trust_root: bool,
}

/// Compiles a spec; an error is a reason and a message.
fn examine(
    compilations: &Compilations,
    name: &str,
    spec: &PolicySpec,
    ground: Ground,
    issues: &mut Vec<Issue>,
) -> Result<Arc<Compiled>, (&'static str, String)> {
    if !ground.everywhere && spec.admission.namespace_selector.is_some() {
        let message = "spec.admission.namespaceSelector acts in the operator's policy namespace only";
        return Err(("Unsupported", message.to_owned()));
    }
    if let Some(demand) = Demand::of(name, spec) {
        if let Some(reason) = &demand.broken {
            return Err(("Invalid", reason.clone()));
        }
        if demand.needs_trust_root() && !ground.trust_root {
            let message = "spec.admission.signers: identities are believed by a trust root, and the operator has none (--trusted-root)";
            return Err(("Unsupported", message.to_owned()));
        }
    }
    let parsed = document(spec);
    if parsed.is_blocked() {
        issues.extend(parsed.issues.iter().cloned());
        let first = parsed.issues.iter().find(|issue| issue.blocking);
        let message = first.map(|issue| format!("{}: {}", issue.path, issue.message)).unwrap_or_default();
        return Err(("Invalid", message));
    }
    let body = serde_json::to_string(spec).unwrap_or_default();
    let ready = compilations.get(name, spec.priority, &body, || {
        let compiled = Compiled::new(name, spec.priority, &parsed.document)?;
        Ok::<_, CompileError>((parsed.document, compiled))
    });
    ready.map(|ready| ready.compiled).map_err(|error| ("Invalid", error.to_string()))
}

/// What the policy does to the images in store, as far as it changed.
async fn project(
    app: &App,
    policy: &Policy,
    tenant: &Tenant,
    name: &str,
    digest: &str,
    compiled: &Compiled,
) -> Result<Projection, ReconcileError> {
    let now = app.clock.now();
    // How it looks at images stands beside its document.
    let looks = serde_json::to_string(&policy.spec.admission).unwrap_or_default();
    let basis = Basis::now(app, tenant, digest, &looks).await?;
    if let Some(known) = app.projections.fresh(name, &basis, now) {
        return Ok(known);
    }
    let demand = Demand::of(name, &policy.spec);
    let projected = projection(app, tenant, compiled, &policy.spec, demand.as_ref()).await?;
    app.projections.keep(name, basis, now, projected);
    Ok(projected.0)
}

async fn activate(
    app: &App,
    policy: &Policy,
    tenant: &Tenant,
    name: &str,
    digest: &str,
) -> Result<PolicyRevision, ReconcileError> {
    let managers = policy.metadata.managed_fields.iter().flatten();
    let actor = managers.filter(|m| m.subresource.is_none()).filter_map(|m| m.manager.clone()).next_back();
    let revision = PolicyRevision {
        tenant: tenant.clone(),
        number: 0,
        name: name.to_owned(),
        digest: digest.to_owned(),
        source: format!("Policy {name}"),
        actor: actor.unwrap_or_else(|| "unknown".to_owned()),
        at: app.clock.now(),
        priority: i64::from(policy.spec.priority),
        body: serde_json::to_string(&policy.spec).unwrap_or_default(),
        active: true,
        description: String::new(),
    };
    if name.split('/').next() == Some(app.settings.policy_namespace.as_str()) {
        // Objects of the cluster go before what was imported.
        retire(app, tenant, IMPORT).await?;
    }
    let active = app.store.activate_policy(&revision).await?;
    if active.at == revision.at {
        tracing::info!(policy = name, revision = active.number, "policy in force");
        app.judge.notify_one();
        app.signatures.want();
    }
    Ok(active)
}

/// Takes a policy out of every decision.
///
/// # Errors
/// When the database does not take it.
pub async fn retire(app: &App, tenant: &Tenant, name: &str) -> Result<(), ReconcileError> {
    if app.store.retire_policy(tenant, name).await? {
        tracing::info!(policy = name, "policy no longer in force");
        app.judge.notify_one();
    }
    Ok(())
}

async fn note(app: &App, policy: &Policy, namespace: &str, name: &str, tenant: &Tenant) -> Result<(), ReconcileError> {
    let seen = SeenObject {
        uid: policy.metadata.uid.clone().unwrap_or_else(|| format!("{namespace}/{name}")),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        body: tenant.to_string(),
    };
    Ok(app.store.note_object(KIND, &seen).await?)
}

/// Retires the policies whose objects are gone, also those deleted while nobody looked. `present` holds the uids there are.
///
/// # Errors
/// When the database does not take it.
pub async fn sweep(app: &App, present: &std::collections::BTreeSet<String>) -> Result<(), ReconcileError> {
    let noted = app.store.noted_objects(KIND).await?;
    let alive: std::collections::BTreeSet<(&str, &str)> =
        noted.iter().filter(|o| present.contains(&o.uid)).map(|o| (o.namespace.as_str(), o.name.as_str())).collect();
    for object in noted.iter().filter(|object| !present.contains(&object.uid)) {
        // One deleted and made anew under the same name stays in force.
        if !alive.contains(&(object.namespace.as_str(), object.name.as_str())) {
            let tenant = object.body.parse().unwrap_or_default();
            retire(app, &tenant, &format!("{}/{}", object.namespace, object.name)).await?;
        }
        app.store.forget_object(KIND, &object.uid).await?;
    }
    Ok(())
}

fn feeds(app: &App) -> Vec<FeedAge> {
    let Some(index) = app.index() else { return Vec::new() };
    let now = app.clock.now();
    let age = |feed: &stella_advisory::feed::FeedInfo| FeedAge {
        name: feed.name.clone(),
        date: feed.date.map(|date| date.to_string()),
        age_days: feed.date.map(|date| now.seconds_since(date) / 86_400),
    };
    index.info().feeds.iter().take(32).map(age).collect()
}

/// The worst first, as many as a status may hold.
fn shown(issues: &[Issue]) -> Vec<PolicyIssue> {
    let rank = |issue: &&Issue| match issue.severity {
        IssueSeverity::Error => 0,
        IssueSeverity::Warning => 1,
        IssueSeverity::Info => 2,
    };
    let mut sorted: Vec<&Issue> = issues.iter().collect();
    sorted.sort_by_key(rank);
    sorted.dedup();
    let cut = |text: &str| text.chars().take(250).collect::<String>();
    let show = |issue: &Issue| PolicyIssue {
        code: serde_json::to_value(issue.code).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default(),
        severity: format!("{:?}", issue.severity),
        path: cut(&issue.path),
        message: cut(&issue.message),
    };
    sorted.into_iter().take(16).map(show).collect()
}

#[cfg(test)]
mod tests {
    use stella_domain::Severity;
    use stella_policy::{Context, FindingInput, evaluate};

    use super::*;

    const GROUND: Ground = Ground { everywhere: true, trust_root: true };

    fn sample(name: &str) -> PolicySpec {
        let path = format!("{}/../crds/samples/{name}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap();
        serde_saphyr::from_str::<Policy>(&text).unwrap().spec
    }

    #[test]
    fn the_samples_come_into_force() {
        for name in ["policy-rules.yaml", "policy-rego.yaml"] {
            let (spec, mut issues) = (sample(name), Vec::new());
            let compiled = examine(&Compilations::default(), "shop/sample", &spec, GROUND, &mut issues).unwrap();
            assert_eq!(issues, [], "{name}");
            let evaluation = evaluate(&[&*compiled], &[FindingInput::new("a", Severity::Low)], &Context::default());
            assert_eq!(evaluation.failures, [], "{name}");
        }
    }

    #[test]
    fn what_nothing_acts_on_is_named() {
        let examined = |admission: serde_json::Value, ground| {
            let rules = serde_json::json!([{"name": "a", "action": {"type": "block"}}]);
            let spec = serde_json::from_value(serde_json::json!({"rules": rules, "admission": admission})).unwrap();
            examine(&Compilations::default(), "shop/sample", &spec, ground, &mut Vec::new()).map(drop)
        };
        let identity = serde_json::json!({"requireSignature": true, "signers": [
            {"name": "ci", "keyless": {"issuer": "https://i.example", "subject": "https://s.example"}}]});
        for acts in [
            serde_json::json!({"failurePolicy": "Fail"}),
            serde_json::json!({"staleAfterSeconds": 3600}),
            serde_json::json!({"requireSbom": true}),
            identity.clone(),
        ] {
            assert_eq!(examined(acts, GROUND), Ok(()));
        }
        let without = Ground { trust_root: false, ..GROUND };
        let (reason, message) = examined(identity, without).unwrap_err();
        assert_eq!((reason, message.contains("--trusted-root")), ("Unsupported", true), "{message}");
        let own = Ground { everywhere: false, ..GROUND };
        let selector = serde_json::json!({"namespaceSelector": {"matchLabels": {"a": "b"}}});
        assert_eq!(examined(selector, own).unwrap_err().0, "Unsupported");
    }

    #[test]
    fn a_demand_that_nobody_can_meet_is_not_taken() {
        for (signers, expected) in [
            (serde_json::json!([]), "spec.admission.requireSignature needs signers"),
            (serde_json::json!([{"name": "a", "key": "no key"}]), "spec.admission.signers[0] (a): key: "),
        ] {
            let admission = serde_json::json!({"requireSignature": true, "signers": signers});
            let spec = serde_json::from_value(serde_json::json!({"rules": [], "admission": admission})).unwrap();
            let examined = examine(&Compilations::default(), "shop/sample", &spec, GROUND, &mut Vec::new()).map(drop);
            let (reason, message) = examined.unwrap_err();
            assert_eq!((reason, message.starts_with(expected)), ("Invalid", true), "{message}");
        }
    }
}
