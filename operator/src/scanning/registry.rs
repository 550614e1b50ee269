//! Images from their registry.

use std::io::{self, Read};
use std::path::PathBuf;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use stella_advisory::naming::package_hashes;
use stella_domain::{Digest, Tenant};
use stella_inventory::Limits;
use stella_inventory::image::{
    BlobSource, ImageError, Manifest, ManifestError, ManifestOrIndex, Platform, parse_config, parse_manifest_or_index,
    read_layers,
};
use stella_store::{ImageRecord, StoreError};

use super::layers::compose;
use crate::app::App;

/// Why an image could not be read from its registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The reference is none.
    #[error("'{reference}' is not an image reference: {reason}")]
    Reference {
        /// As asked.
        reference: String,
        /// What is wrong.
        reason: String,
    },
    /// The registry refused or does not answer.
    #[error("registry of {reference}: {reason}")]
    Registry {
        /// As asked.
        reference: String,
        /// What it said.
        reason: String,
    },
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

impl From<ManifestError> for RegistryError {
    fn from(error: ManifestError) -> Self {
        Self::Image(error.into())
    }
}

/// Reads an image from its registry and files its inventory. Only layers that nobody has are fetched, every digest is
/// checked, and nothing stays in the work folder.
///
/// # Errors
/// See [`RegistryError`].
pub(super) async fn read(
    app: &App,
    tenant: &Tenant,
    reference: &str,
    digest: Option<Digest>,
) -> Result<Digest, RegistryError> {
    let wrong = |reason: String| RegistryError::Reference { reference: reference.to_owned(), reason };
    let mut image: Reference = reference.parse().map_err(|e: oci_client::ParseError| wrong(e.to_string()))?;
    if let Some(digest) = digest {
        image = image.clone_with_digest(digest.to_string());
    }
    let pull = Pull { client: client(app), name: reference, image };
    let (manifest, names) = pull.manifest().await?;
    let folder = tempfile::tempdir_in(&app.settings.data)?;
    pull.blob(&manifest.config.digest, folder.path().join(manifest.config.digest.hex())).await?;
    let config = parse_config(&std::fs::read(folder.path().join(manifest.config.digest.hex()))?)?;
    let missing = app.store.layers_missing(None, &config.rootfs.diff_ids).await?;
    for (blob, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
        if missing.contains(diff_id) {
            pull.blob(&blob.digest, folder.path().join(blob.digest.hex())).await?;
        }
    }
    let diff_ids = config.rootfs.diff_ids.clone();
    let (config_digest, source) = (manifest.config.digest, Folder(folder.path().to_owned()));
    let layers = tokio::task::spawn_blocking(move || {
        read_layers(&source, &manifest, &config, &|diff_id| missing.contains(diff_id), &Limits::default())
    })
    .await??;
    app.store.put_layers(None, &layers).await?;
    let inventory = compose(app, None, &diff_ids).await?.map_err(RegistryError::Missing)?;
    let filed = names.first().copied().unwrap_or(config_digest);
    let package_keys = package_hashes(&inventory);
    let record = ImageRecord {
        package_keys,
        digest: filed,
        reference: Some(reference.to_owned()),
        way: "registry".to_owned(),
        inventory,
        read_at: app.clock.now(),
    };
    let names: Vec<String> =
        names.iter().chain([&config_digest]).map(ToString::to_string).chain([reference.to_owned()]).collect();
    app.store.put_image(tenant, &record, &names).await?;
    Ok(filed)
}

fn client(app: &App) -> Client {
    let insecure = app.settings.insecure_registries.clone();
    Client::new(ClientConfig { protocol: ClientProtocol::HttpsExcept(insecure), ..ClientConfig::default() })
}

struct Pull<'a> {
    client: Client,
    name: &'a str,
    image: Reference,
}

impl Pull<'_> {
    fn failed(&self, reason: impl ToString) -> RegistryError {
        RegistryError::Registry { reference: self.name.to_owned(), reason: reason.to_string() }
    }

    /// The manifest for this platform, and the digests that lead to it, the manifest's own first.
    async fn manifest(&self) -> Result<(Manifest, Vec<Digest>), RegistryError> {
        let mut image = self.image.clone();
        let mut names = Vec::new();
        // An index may hold indexes; deeper than this is somebody's joke.
        for _ in 0..4 {
            let accepted = [
                OCI_IMAGE_MEDIA_TYPE,
                IMAGE_MANIFEST_MEDIA_TYPE,
                OCI_IMAGE_INDEX_MEDIA_TYPE,
                IMAGE_MANIFEST_LIST_MEDIA_TYPE,
            ];
            let (bytes, _) = self
                .client
                .pull_manifest_raw(&image, &RegistryAuth::Anonymous, &accepted)
                .await
                .map_err(|error| self.failed(error))?;
            names.insert(0, Digest::of(&bytes));
            match parse_manifest_or_index(&bytes)? {
                ManifestOrIndex::Manifest(manifest) => return Ok((manifest, names)),
                ManifestOrIndex::Index(index) => {
                    let entry = index.select(&Platform::host())?;
                    image = image.clone_with_digest(entry.digest.to_string());
                }
            }
        }
        Err(self.failed("indexes are nested too deeply"))
    }

    async fn blob(&self, digest: &Digest, to: PathBuf) -> Result<(), RegistryError> {
        let mut file = tokio::fs::File::create(&to).await?;
        let text = digest.to_string();
        self.client.pull_blob(&self.image, text.as_str(), &mut file).await.map_err(|error| self.failed(error))?;
        tokio::io::AsyncWriteExt::flush(&mut file).await?;
        Ok(())
    }
}

/// Blobs as files named by their hex digest.
struct Folder(PathBuf);

impl BlobSource for Folder {
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(std::fs::File::open(self.0.join(digest.hex()))?))
    }
}
