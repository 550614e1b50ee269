//! An image of a registry: from its name to its manifest and configuration, and its layers into a folder.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use stella_domain::Digest;
use stella_inventory::image::{
    BlobSource, Descriptor, ImageConfig, Manifest, ManifestError, ManifestOrIndex, Platform, parse_config,
    parse_manifest_or_index,
};

use crate::blob::{self, Blob, Budget};
use crate::config::Registry;
use crate::credentials::Keyring;
use crate::endpoint::{Endpoint, Wanted, endpoints};
use crate::error::{Attempt, PullError, RequestError};
use crate::limits::Limits;
use crate::reference::Reference;
use crate::transport::Transport;

/// Every kind of manifest and index that is read.
pub(crate) const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// An image whose manifest and configuration were read and verified.
#[derive(Debug)]
pub struct Image {
    /// The manifest.
    pub manifest: Manifest,
    /// The configuration.
    pub config: ImageConfig,
    /// Digests that name the image: its manifest's, then those of the indexes that led to it, the outermost last.
    pub digests: Vec<Digest>,
    reference: Reference,
    endpoints: Vec<Endpoint>,
    limits: Limits,
}

/// Layers in a folder, as files named by the hex digits of their digests.
#[derive(Debug)]
pub struct BlobFolder(PathBuf);

pub(crate) async fn find(
    transport: &Arc<Transport>,
    registry: Option<&Registry>,
    reference: &Reference,
    platform: &Platform,
    keyring: &Keyring,
) -> Result<Image, PullError> {
    let failed = |error| PullError::Failed {
        reference: reference.to_string(),
        what: "the manifest".into(),
        attempts: vec![Attempt { host: reference.registry().to_owned(), error }],
    };
    let endpoints = endpoints(transport, registry, reference, keyring).map_err(failed)?;
    let unusable = |source| PullError::Manifest { reference: reference.to_string(), source };
    let limits = transport.limits;
    let mut wanted = named(reference);
    let mut what = format!("the manifest {}", reference.manifest());
    let mut digests = Vec::new();
    for _ in 0..=limits.nesting {
        let bytes = document(&endpoints, reference, &what, &wanted).await?;
        digests.insert(0, Digest::of(&bytes));
        let entry = match parse_manifest_or_index(&bytes).map_err(unusable)? {
            ManifestOrIndex::Index(index) => index.select(platform).map_err(unusable)?.clone(),
            ManifestOrIndex::Manifest(manifest) => {
                let config = config(&endpoints, reference, &manifest).await?;
                check_counts(&manifest, &config, &limits).map_err(unusable)?;
                return Ok(Image { manifest, config, digests, reference: reference.clone(), endpoints, limits });
            }
        };
        what = format!("the manifest {}", entry.digest);
        wanted = Wanted {
            path: format!("manifests/{}", entry.digest),
            accept: Some(MANIFESTS),
            digest: Some(entry.digest),
            size: entry.size,
        };
    }
    Err(PullError::Nesting { reference: reference.to_string(), max: limits.nesting })
}

/// The manifest or index that a reference names.
pub(crate) fn named(reference: &Reference) -> Wanted<'static> {
    let path = format!("manifests/{}", reference.manifest());
    Wanted { path, accept: Some(MANIFESTS), digest: reference.digest(), size: 0 }
}

/// The digest that a reference names: of an image for several platforms that of its index. The first host that gives one is
/// believed, and none is asked twice.
pub(crate) async fn digest(
    transport: &Arc<Transport>,
    registry: Option<&Registry>,
    reference: &Reference,
    keyring: &Keyring,
) -> Result<Digest, PullError> {
    let mut attempts = Vec::new();
    let failed =
        |attempts| PullError::Failed { reference: reference.to_string(), what: "the digest".to_owned(), attempts };
    let endpoints = endpoints(transport, registry, reference, keyring)
        .map_err(|error| failed(vec![Attempt { host: reference.registry().to_owned(), error }]))?;
    for endpoint in present(&endpoints) {
        match endpoint.digest(&named(reference)).await {
            Ok(digest) => return Ok(digest),
            Err(error) => put_off(endpoint, error, &mut attempts),
        }
    }
    Err(failed(attempts))
}

async fn config(endpoints: &[Endpoint], reference: &Reference, manifest: &Manifest) -> Result<ImageConfig, PullError> {
    let Descriptor { digest, size, .. } = manifest.config;
    let wanted = Wanted { path: format!("blobs/{digest}"), accept: None, digest: Some(digest), size };
    let bytes = document(endpoints, reference, &format!("the configuration {digest}"), &wanted).await?;
    parse_config(&bytes).map_err(|source| PullError::Manifest { reference: reference.to_string(), source })
}

fn check_counts(manifest: &Manifest, config: &ImageConfig, limits: &Limits) -> Result<(), ManifestError> {
    let (blobs, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
    if blobs != diff_ids {
        return Err(ManifestError::LayerCount { blobs, diff_ids });
    }
    if blobs > limits.layers {
        return Err(ManifestError::TooManyLayers { found: blobs, max: limits.layers });
    }
    Ok(())
}

/// A document from the first host that gives it.
async fn document(
    endpoints: &[Endpoint],
    reference: &Reference,
    what: &str,
    wanted: &Wanted<'_>,
) -> Result<Vec<u8>, PullError> {
    let mut attempts = Vec::new();
    for endpoint in present(endpoints) {
        match endpoint.document(wanted).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => put_off(endpoint, error, &mut attempts),
        }
    }
    Err(PullError::Failed { reference: reference.to_string(), what: what.to_owned(), attempts })
}

/// The hosts that are worth asking; the registry itself always is.
pub(crate) fn present(endpoints: &[Endpoint]) -> impl Iterator<Item = &Endpoint> {
    let last = endpoints.len().saturating_sub(1);
    endpoints.iter().enumerate().filter(move |(at, endpoint)| *at == last || !endpoint.is_absent()).map(|(_, e)| e)
}

pub(crate) fn put_off(endpoint: &Endpoint, error: RequestError, attempts: &mut Vec<Attempt>) {
    endpoint.note(&error);
    tracing::debug!(host = endpoint.host, %error, "a host gave nothing");
    attempts.push(Attempt { host: endpoint.host.clone(), error });
}

impl Image {
    /// Digest of the manifest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digests.first().copied().unwrap_or(self.manifest.config.digest)
    }

    /// Fetches the layers whose diffID `want` accepts into `folder`, which the caller empties.
    ///
    /// # Errors
    /// [`PullError`] naming the layer and what each host said. What had been fetched stays in the folder.
    pub async fn fetch_layers(&self, folder: &Path, want: impl Fn(&Digest) -> bool) -> Result<BlobFolder, PullError> {
        let mut wanted = BTreeMap::new();
        for (layer, diff_id) in self.manifest.layers.iter().zip(&self.config.rootfs.diff_ids) {
            if want(diff_id) {
                let size = wanted.entry(layer.digest).or_insert(0);
                *size = layer.size.max(*size);
            }
        }
        self.check_sizes(&wanted)?;
        let budget = Budget::new(self.limits.total_bytes);
        let fetches = wanted.into_iter().map(|(digest, size)| {
            let blob = Blob { digest, size, budget: &budget };
            self.fetch_layer(blob, folder.join(digest.hex()))
        });
        let all = stream::iter(fetches).buffer_unordered(self.limits.parallel.max(1)).try_collect::<Vec<()>>();
        let seconds = self.limits.image.as_secs();
        let slow = |_| PullError::TooSlow { reference: self.reference.to_string(), seconds };
        tokio::time::timeout(self.limits.image, all).await.map_err(slow)??;
        Ok(BlobFolder(folder.to_owned()))
    }

    /// Refuses by what the manifest says, before anything is fetched.
    fn check_sizes(&self, wanted: &BTreeMap<Digest, u64>) -> Result<(), PullError> {
        let too_large =
            |what, size, max| PullError::TooLarge { reference: self.reference.to_string(), what, size, max };
        for (digest, size) in wanted {
            if *size > self.limits.blob_bytes {
                return Err(too_large(format!("layer {digest}"), *size, self.limits.blob_bytes));
            }
        }
        let total = wanted.values().fold(0_u64, |total, size| total.saturating_add(*size));
        if total > self.limits.total_bytes {
            return Err(too_large("all layers".to_owned(), total, self.limits.total_bytes));
        }
        Ok(())
    }

    async fn fetch_layer(&self, blob: Blob<'_>, path: PathBuf) -> Result<(), PullError> {
        let mut file = tokio::fs::File::create_new(&path).await.map_err(PullError::Folder)?;
        let mut attempts = Vec::new();
        for endpoint in present(&self.endpoints) {
            match blob::fetch(endpoint, blob, &mut file).await {
                Ok(()) => return Ok(()),
                Err(RequestError::Folder(error)) => return Err(PullError::Folder(error)),
                Err(error) => put_off(endpoint, error, &mut attempts),
            }
        }
        let what = format!("layer {}", blob.digest);
        Err(PullError::Failed { reference: self.reference.to_string(), what, attempts })
    }
}

impl BlobSource for BlobFolder {
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(std::fs::File::open(self.0.join(digest.hex()))?))
    }
}
