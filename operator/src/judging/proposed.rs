//! The verdicts that webhooks would be told if a policy stood in place of others.

use std::collections::{BTreeMap, BTreeSet};

use stella_api::admission::{AdmissionUpdate, NamespaceAdmission};

use super::entry::entry;
use super::policies::{LoadedPolicy, PolicySet, digest_of};
use super::scopes::{Scope, scopes};
use super::survey::{SurveyError, each_image};
use crate::app::App;

/// A snapshot as webhooks get it, with `candidate` in place of the policies named `replaces` of its tenant: of its namespaces and
/// images only. By the findings, waivers and use of now, and without any grace: what holds once that has run out. Nothing of it
/// is kept.
///
/// # Errors
/// See [`SurveyError`].
pub async fn proposed(
    app: &App,
    set: &PolicySet,
    candidate: LoadedPolicy,
    replaces: &[String],
) -> Result<Vec<AdmissionUpdate>, SurveyError> {
    let (tenant, policy_revision) = (candidate.revision.tenant.clone(), digest_of(&candidate.document));
    let found = scopes(&set.with(candidate, replaces), &app.namespaces.all(), app.settings.ground());
    let namespaces: Vec<NamespaceAdmission> =
        found.namespaces.into_iter().filter(|entry| entry.tenant == tenant).collect();
    let used: BTreeSet<&str> = namespaces.iter().map(|entry| entry.scope.as_str()).collect();
    let judging: Vec<&Scope> = found.by_id.values().filter(|scope| used.contains(scope.id.as_str())).collect();
    let (statements, at) = (app.statements.of(&app.store, &tenant).await?, app.clock.now());
    let mut images = Vec::new();
    each_image(app, &tenant, |image| {
        let entry = |scope: &&Scope| entry(scope, image, image.judge(scope, &statements, at), BTreeMap::new(), at);
        images.extend(judging.iter().map(entry));
    })
    .await?;
    let namespaces = namespaces.into_iter().map(AdmissionUpdate::Namespace);
    let images = images.into_iter().map(AdmissionUpdate::Image);
    let ready = AdmissionUpdate::Ready { policy_revision, at };
    Ok([AdmissionUpdate::Begin].into_iter().chain(namespaces).chain(images).chain([ready]).collect())
}
