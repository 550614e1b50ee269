//! Images from their registry.

use std::path::Path;

use stella_advisory::naming::package_hashes;
use stella_domain::{Digest, Tenant};
use stella_inventory::image::{ImageError, Platform, read_layers};
use stella_registry::credentials::{CredentialsError, DockerConfig, Keyring};
use stella_registry::{PullError, Reference, ReferenceError};
use stella_service::spans::{Kind, step};
use stella_store::{BlobError, ImageRecord, Scan, StoreError};

use super::archives::named;
use super::layers::compose;
use super::pull_secrets::{self, PullSecretError};
use crate::app::App;

/// Why an image could not be read from its registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The reference is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// No registry gave it.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// The file with credentials cannot be read.
    #[error("cannot read the credentials for registries: {0}")]
    Config(#[source] std::io::Error),
    /// The file with credentials says nothing sensible.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A pull secret.
    #[error(transparent)]
    PullSecret(#[from] PullSecretError),
    /// Nobody ever named it by a registry.
    #[error("the image goes by no name of a registry, so nobody knows where to look")]
    NoRepository,
    /// The work folder cannot be written.
    #[error("cannot keep a layer while it is read: {0}")]
    Io(#[from] std::io::Error),
    /// The image is broken.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A layer is not there although it was just read.
    #[error("layers {0:?} were read and are not stored")]
    Missing(Vec<Digest>),
    /// The work was broken off.
    #[error("reading was broken off: {0}")]
    Broken(#[from] tokio::task::JoinError),
}

impl RegistryError {
    /// Whether it may be better later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Pull(error) => error.is_passing(),
            Self::Store(error) => is_passing(error),
            _ => false,
        }
    }
}

/// Whether the place for blobs may be there later, or what it lost: a layer whose blob is lost is read again next time.
fn is_passing(error: &StoreError) -> bool {
    let StoreError::Blob(error) = error else { return false };
    matches!(error, BlobError::Away { .. } | BlobError::Absent { .. } | BlobError::Damaged { .. })
}

/// Reads an image from its registry and files its inventory. Only layers that nobody has are fetched, every digest is
/// checked, and nothing stays in the work folder.
///
/// # Errors
/// See [`RegistryError`].
pub(super) async fn read(app: &App, scan: &Scan) -> Result<Digest, RegistryError> {
    let (tenant, reference) = (&scan.tenant, scan.reference.as_deref().unwrap_or_default());
    let mut name: Reference = reference.parse()?;
    if let Some(digest) = scan.asked_digest {
        name = name.with_digest(digest);
    }
    let mut keyring = keyring(app.settings.registry_config.as_deref()).await?;
    for named in app.store.pull_secrets(tenant, &scan.id).await? {
        keyring = pull_secrets::add(keyring, app.cluster.as_ref(), &named).await?;
    }
    let image = app.registries.find(&name, &Platform::host(), &keyring).await?;
    let missing = app.store.layers_missing(None, &image.config.rootfs.diff_ids).await?;
    let folder = tempfile::tempdir_in(&app.settings.work)?;
    let blobs = image.fetch_layers(folder.path(), |diff_id| missing.contains(diff_id)).await?;
    let filed = image.digest();
    let diff_ids = image.config.rootfs.diff_ids.clone();
    let names = image.digests.iter().chain([&image.manifest.config.digest]).map(ToString::to_string);
    let names: Vec<String> = names.chain([reference.to_owned()]).collect();
    let limits = app.settings.limits;
    let layers = tokio::task::spawn_blocking(move || {
        let want = |diff_id: &Digest| missing.contains(diff_id);
        read_layers(&blobs, &image.manifest, &image.config, &want, &limits)
    })
    .await??;
    step(Kind::Client, "store: keep layers", app.store.put_layers(None, &layers)).await?;
    let inventory = named(app, compose(app, None, &diff_ids).await?.map_err(RegistryError::Missing)?).await?;
    let package_keys = package_hashes(&inventory);
    let record = ImageRecord {
        package_keys,
        digest: filed,
        reference: Some(reference.to_owned()),
        way: "registry".to_owned(),
        inventory,
        read_at: app.clock.now(),
    };
    step(Kind::Client, "store: keep an image", app.store.put_image(tenant, record, &names)).await?;
    Ok(filed)
}

/// The credentials for what is attached to an image that was scanned: those of the file, and of the pull secrets that its scans
/// named. A secret that cannot be read any more is left out: whatever it opened may be open without it.
pub(crate) async fn keyring_for(app: &App, tenant: &Tenant, image: &Digest) -> Result<Keyring, RegistryError> {
    let mut keyring = keyring(app.settings.registry_config.as_deref()).await?;
    for named in app.store.image_pull_secrets(tenant, image).await? {
        match pull_secrets::add(keyring.clone(), app.cluster.as_ref(), &named).await {
            Ok(more) => keyring = more,
            Err(error) => tracing::debug!(%image, %error, "a pull secret is left out"),
        }
    }
    Ok(keyring)
}

/// The credentials of the file, which a Secret's volume may have changed since the last pull. Credential helpers are
/// programs that whoever writes the Secret would choose, so they are not run.
pub(crate) async fn keyring(file: Option<&Path>) -> Result<Keyring, RegistryError> {
    let Some(path) = file else { return Ok(Keyring::anonymous()) };
    let bytes = tokio::fs::read(path).await.map_err(RegistryError::Config)?;
    Ok(Keyring::anonymous().with(&DockerConfig::parse(&bytes)?))
}
