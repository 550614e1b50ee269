//! Reports attached to their images in registries, in the forms that cosign and policy engines look for.

use serde::Deserialize as _;
use stella_api::report::{AttachedReport, SignedReport};
use stella_attest::statement::{self, BUNDLE_TYPE, PREDICATE_TYPE, ScanFacts};
use stella_attest::{Envelope, Evidence, Report, ReportError};
use stella_domain::{Tenant, Timestamp};
use stella_registry::{Artifact, ArtifactBlob, PushError, Reference, ReferenceError};
use stella_store::StoreError;

use crate::app::App;
use crate::reports::Advisories;
use crate::scanning::{RegistryError, keyring};

/// Why a report is not attested or attached.
#[derive(Debug, thiserror::Error)]
pub enum AttestationError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored is no report.
    #[error("the stored report cannot be read: {0}")]
    Stored(#[from] serde_json::Error),
    /// The report cannot be wrapped.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Its findings come from a caller.
    #[error("a report over supplied findings is not attested: no scan confirms them")]
    Supplied,
    /// Its scan is gone.
    #[error("the scan {0} of the report is not there any more")]
    Scan(String),
    /// The key is no pair.
    #[error("the signing key is a shared secret; attestations need a key with a public half")]
    Secret,
    /// No registry is named.
    #[error("the image was not scanned by a name of a registry; the request has to name one")]
    NoReference,
    /// The name is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// Credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] RegistryError),
    /// The registry did not take it.
    #[error(transparent)]
    Push(#[from] PushError),
}

/// The report as a signed in-toto statement; the same for the same report as long as the key is the same.
///
/// # Errors
/// See [`AttestationError`].
pub async fn attest(app: &App, tenant: &Tenant, signed: &SignedReport) -> Result<Envelope, AttestationError> {
    let report = report(signed)?;
    Ok(attested(app, tenant, &report).await?.0)
}

/// Attaches the report to its image in the repository of `reference`, or of the name it was scanned by.
///
/// # Errors
/// See [`AttestationError`].
pub async fn attach(
    app: &App,
    tenant: &Tenant,
    signed: &SignedReport,
    reference: Option<&str>,
) -> Result<AttachedReport, AttestationError> {
    let report = report(signed)?;
    let (envelope, scanned_as) = attested(app, tenant, &report).await?;
    let reference = reference.or(scanned_as.as_deref()).ok_or(AttestationError::NoReference)?;
    let reference: Reference = reference.parse()?;
    let subject = report.body()?.image_digest;
    let keyring = keyring(app.settings.registry_config.as_deref()).await?;
    let bundle = statement::bundle(&envelope, app.key.id()).to_string().into_bytes();
    let artifact = Artifact {
        artifact_type: BUNDLE_TYPE.to_owned(),
        blobs: vec![ArtifactBlob { media_type: BUNDLE_TYPE.to_owned(), bytes: bundle }],
        annotations: statement::bundle_notes(report.id()),
    };
    let attached = app.registries.attach(&reference, subject, &artifact, &keyring).await?;
    let bytes = serde_json::to_vec(&envelope.standard())?;
    let old = app.registries.attach_for_old_cosign(&reference, subject, &bytes, PREDICATE_TYPE, &keyring).await?;
    tracing::info!(report = report.id(), %reference, manifest = %attached.manifest, "report attached");
    Ok(AttachedReport {
        report_id: report.id().to_owned(),
        subject: subject.to_string(),
        repository: format!("{}/{}", reference.registry(), reference.repository()),
        artifact_type: BUNDLE_TYPE.to_owned(),
        manifest: attached.manifest.to_string(),
        referrers_tag: attached.tag,
        cosign_tag_manifest: old.to_string(),
    })
}

/// The report that was signed; what the database holds beside the envelope is a copy.
pub(crate) fn report(signed: &SignedReport) -> Result<Report, AttestationError> {
    Ok(Report::unverified(&Envelope::deserialize(&signed.dsse)?)?)
}

/// The statement, and the name under which its image was scanned.
async fn attested(app: &App, tenant: &Tenant, report: &Report) -> Result<(Envelope, Option<String>), AttestationError> {
    if !app.key.verifying().is_public() {
        return Err(AttestationError::Secret);
    }
    let body = report.body()?;
    let Evidence::Scanned { scan_id } = body.evidence else { return Err(AttestationError::Supplied) };
    let scan = app.store.scan(tenant, &scan_id).await?.ok_or(AttestationError::Scan(scan_id))?;
    let named = scan.reference.as_deref().and_then(|text| text.parse::<Reference>().ok());
    let kept = app.store.report(tenant, report.id()).await?.map(|kept| kept.made_from).unwrap_or_default();
    // Reports of earlier versions did not keep what they were matched against.
    let advisories: Advisories = serde_json::from_str(&kept).unwrap_or_else(|_| Advisories::in_use(app));
    let facts = ScanFacts {
        name: named.map_or_else(|| "image".to_owned(), |it| format!("{}/{}", it.registry(), it.repository())),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        database: advisories.generation,
        database_updated: advisories.updated.unwrap_or_else(|| Timestamp::from_millis(0)),
        started: scan.created_at,
        finished: scan.updated_at,
    };
    Ok((statement::sign(report, &facts, &app.key)?, scan.reference))
}
