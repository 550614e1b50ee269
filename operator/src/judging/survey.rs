//! Everything that is known of a tenant's images, one image after the other.

use std::collections::BTreeSet;
use std::future::ready;
use std::panic::resume_unwind;

use futures::stream::{self, Stream, StreamExt as _};
use stella_advisory::vex::Shelf;
use stella_api::finding::Finding;
use stella_domain::{Hasher, Tenant, Timestamp};
use stella_policy::{Compiled, Waived};
use stella_store::{FindingRow, ImageSummary, StoreError};
use tokio::sync::Semaphore;
use tokio::task::JoinError;

use super::findings::{Facts, Judged, Subject, judge_image, readable, waived_of};
use super::scopes::Scope;
use crate::app::App;
use crate::signatures::{Demand, Provenance};

/// An image with all that verdicts on it are worked out from, beside policies.
#[derive(Debug)]
pub struct KnownImage {
    /// What it is.
    pub summary: ImageSummary,
    /// Every name of it.
    pub names: Vec<String>,
    /// Its findings, worst first. Empty where they are not needed.
    pub findings: Vec<(FindingRow, Finding)>,
    /// Paths of the processes that its containers were started with.
    pub entrypoints: Vec<String>,
    /// Namespaces in which it runs now.
    pub runs_in: BTreeSet<String>,
    /// What is known of its signatures.
    pub provenance: Provenance,
}

impl KnownImage {
    /// `None` when it was never matched or is forgotten by now: then it has no verdict, and counts as not scanned.
    pub(super) async fn load(
        app: &App,
        tenant: &Tenant,
        summary: ImageSummary,
        with_findings: bool,
    ) -> Result<Option<Self>, StoreError> {
        if summary.matched_generation.is_none() {
            return Ok(None);
        }
        let rows = if with_findings { app.store.image_findings(tenant, &summary.digest).await? } else { Vec::new() };
        // Whatever is stored has a name. One that was forgotten meanwhile has no findings either, and would pass.
        let names = app.store.image_names(tenant, &summary.digest).await?;
        if names.is_empty() {
            return Ok(None);
        }
        let containers = app.store.containers_of(tenant, &names).await?;
        let started = containers.iter().map(|container| container.entrypoint.clone()).filter(|path| !path.is_empty());
        let entrypoints = started.collect::<BTreeSet<_>>().into_iter().collect();
        let running = containers.into_iter().filter(|container| container.stopped_at.is_none());
        let runs_in = running.map(|container| container.namespace).collect();
        let provenance = Provenance::load(app, tenant, &summary.digest).await?;
        Ok(Some(Self { summary, names, findings: readable(rows), entrypoints, runs_in, provenance }))
    }

    /// Names all of it that a policy may look at: what a finding says follows from its id and from what it was matched with.
    pub(super) fn name_into(&self, hasher: &mut Hasher) {
        hasher.field(self.summary.digest.to_string());
        hasher.field(self.summary.matched_generation.as_deref().unwrap_or_default());
        self.entrypoints.iter().chain(&self.names).for_each(|name| hasher.field(name));
        for (row, _) in &self.findings {
            hasher.field(&row.id);
            hasher.field(row.reach.name());
            hasher.field(row.inherited_reach.name());
        }
        self.provenance.name_into(hasher);
    }

    /// A reference, else the digest.
    #[must_use]
    pub fn name(&self) -> String {
        self.summary.reference.clone().unwrap_or_else(|| self.summary.digest.to_string())
    }

    /// Its verdict in a scope.
    #[must_use]
    pub fn judge(&self, scope: &Scope, statements: &Shelf, now: Timestamp) -> Judged {
        let judged = self.judge_by(&scope.compiled(), scope.environment.as_deref(), scope.inherits(), statements, now);
        let demands: Vec<&Demand> = scope.demands().collect();
        judged.with_demands(&self.provenance, &demands, scope.unscanned(), now)
    }

    /// Its verdict by these policies, whatever they demand of its signatures.
    #[must_use]
    pub fn judge_by(
        &self,
        policies: &[&Compiled],
        environment: Option<&str>,
        inherits: bool,
        statements: &Shelf,
        now: Timestamp,
    ) -> Judged {
        judge_image(policies, &self.facts(), &self.subject(environment, inherits, statements, now))
    }

    /// What each waiver of a scope hides in it.
    #[must_use]
    pub fn waived(&self, scope: &Scope, statements: &Shelf, now: Timestamp) -> Vec<Waived> {
        let subject = self.subject(scope.environment.as_deref(), scope.inherits(), statements, now);
        waived_of(&scope.compiled(), &self.facts(), &subject)
    }

    fn facts(&self) -> Vec<Facts<'_>> {
        self.findings.iter().map(|(row, finding)| (row, finding)).collect()
    }

    fn subject<'a>(
        &'a self,
        environment: Option<&'a str>,
        inherits: bool,
        statements: &'a Shelf,
        now: Timestamp,
    ) -> Subject<'a> {
        Subject {
            digest: self.summary.digest,
            names: &self.names,
            reference: self.summary.reference.as_deref(),
            environment,
            entrypoints: &self.entrypoints,
            inherits,
            statements,
            now,
        }
    }
}

/// Looks over everything at once in this process: each takes a processor for a while, and people may ask for many.
static SURVEYS: Semaphore = Semaphore::const_new(2);

/// Images in memory at once: the one that is looked at, and the next, which is read meanwhile. The findings of more may not fit.
const AT_ONCE: usize = 2;

/// Why not every image was looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurveyError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process ends.
    #[error("reading an image was broken off: {0}")]
    Broken(#[from] JoinError),
}

/// Each image of the tenant that was matched, by digest. One that cannot be read is an error: without it, it would count as gone.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn known_images(
    app: &App,
    tenant: &Tenant,
) -> Result<impl Stream<Item = Result<KnownImage, SurveyError>> + use<>, SurveyError> {
    let (app, tenant) = (app.clone(), tenant.clone());
    let images = app.store.images(&tenant).await?;
    let read = move |summary| {
        let (app, tenant) = (app.clone(), tenant.clone());
        tokio::spawn(async move { KnownImage::load(&app, &tenant, summary, true).await })
    };
    Ok(stream::iter(images).map(read).buffered(AT_ONCE).filter_map(|read| ready(finished(read).transpose())))
}

fn finished<T>(read: Result<Result<Option<T>, StoreError>, JoinError>) -> Result<Option<T>, SurveyError> {
    match read {
        Ok(image) => Ok(image?),
        Err(error) => Err(error.try_into_panic().map_or_else(SurveyError::Broken, |panic| resume_unwind(panic))),
    }
}

/// Shows `look` each image of the tenant that was matched, by digest.
///
/// # Errors
/// See [`SurveyError`].
pub async fn each_image(app: &App, tenant: &Tenant, mut look: impl FnMut(&KnownImage)) -> Result<(), SurveyError> {
    // It is never closed.
    let _place = SURVEYS.acquire().await;
    let mut images = known_images(app, tenant).await?;
    while let Some(image) = images.next().await {
        look(&image?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_image_whose_reading_is_broken_off_is_not_taken_for_gone() {
        let reading = tokio::spawn(std::future::pending::<Result<Option<KnownImage>, StoreError>>());
        reading.abort();
        assert!(matches!(finished(reading.await), Err(SurveyError::Broken(_))));
        let never_matched = tokio::spawn(async { Ok(None::<KnownImage>) });
        assert!(matches!(finished(never_matched.await), Ok(None)));
    }
}
