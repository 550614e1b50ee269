//! containerd, asked over its socket: packed layers out of its content store, else the folders they were unpacked into.

use std::io::{self, Read};

use stella_cri::{
    Connection, ContentStore, CriError, SnapshotError, StoredImage, StoredImageError, USUAL_SNAPSHOTTER,
    unpacked_layers, usual_endpoint,
};
use stella_domain::Digest;
use stella_inventory::image::{BlobSource, ImageError, ImageFile, ReadOptions};
use tokio::runtime::{Builder, Runtime};

/// Namespaces that are looked into when none is named: that of Kubernetes, and that of `ctr` and `nerdctl`.
const NAMESPACES: [&str; 2] = ["k8s.io", "default"];

/// Why containerd gives no image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerdError {
    /// No socket is named, and none of the usual ones is there.
    #[error("no containerd found: name its socket in CONTAINERD_ADDRESS")]
    NoSocket,
    /// The name of a namespace, or of the socket.
    #[error(transparent)]
    Cri(#[from] CriError),
    /// It has no such image, or keeps no usable documents of it.
    #[error("{source} (namespace {namespace})")]
    Stored {
        /// Where it was looked for last.
        namespace: String,
        /// Why.
        source: StoredImageError,
    },
    /// It keeps its layers neither packed nor unpacked.
    #[error("it keeps no packed layers of the image")]
    Unpacked(#[from] SnapshotError),
    /// The image is of no use.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// There is no thread for the questions.
    #[error("cannot ask containerd")]
    Runtime(#[source] io::Error),
}

/// Opens the image `name` of the containerd at `$CONTAINERD_ADDRESS`, in `$CONTAINERD_NAMESPACE`, as `ctr` does.
///
/// Waits on a thread of its own, so that it may be called anywhere.
///
/// # Errors
/// [`ContainerdError`] when there is no such image, or none that can be read.
pub(super) fn open(name: &str, options: &ReadOptions) -> Result<ImageFile, ContainerdError> {
    let runtime =
        Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(ContainerdError::Runtime)?;
    let find = || find(name, runtime, options);
    std::thread::scope(|scope| scope.spawn(find).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn find(name: &str, runtime: Runtime, options: &ReadOptions) -> Result<ImageFile, ContainerdError> {
    let named = |variable| std::env::var(variable).ok().filter(|value| !value.is_empty());
    let address = named("CONTAINERD_ADDRESS").or_else(|| usual_endpoint().map(str::to_owned));
    let connection = {
        // The channel is made for the runtime that will drive it.
        let _inside = runtime.enter();
        Connection::new(&address.ok_or(ContainerdError::NoSocket)?)?
    };
    let namespaces =
        named("CONTAINERD_NAMESPACE").map_or_else(|| NAMESPACES.map(str::to_owned).to_vec(), |one| vec![one]);
    let mut missed = None;
    for namespace in namespaces {
        let connection = connection.in_namespace(&namespace)?;
        let store = ContentStore::new(connection.clone(), runtime.handle().clone());
        let digest: Option<Digest> = name.parse().ok();
        match StoredImage::find(&store, digest.is_none().then_some(name), digest.as_ref(), &options.platform) {
            Ok(image) => return opened(image, &connection, store, runtime, options),
            Err(source @ StoredImageError::Unknown) => missed = Some(ContainerdError::Stored { namespace, source }),
            Err(source) => return Err(ContainerdError::Stored { namespace, source }),
        }
    }
    Err(missed.unwrap_or(ContainerdError::NoSocket))
}

fn opened(
    image: StoredImage,
    connection: &Connection,
    store: ContentStore,
    runtime: Runtime,
    options: &ReadOptions,
) -> Result<ImageFile, ContainerdError> {
    let named = (image.manifest_digest, image.name);
    if store.has(image.manifest.layers.iter().map(|blob| blob.digest)) {
        let blobs = Box::new(Blobs { store, runtime: Some(runtime) });
        return Ok(ImageFile::from_blobs(named, image.manifest, image.config, blobs, options)?);
    }
    let snapshotter = std::env::var("CONTAINERD_SNAPSHOTTER").ok().filter(|name| !name.is_empty());
    let snapshotter = snapshotter.as_deref().unwrap_or(USUAL_SNAPSHOTTER);
    let key = format!("stella-{}", std::process::id());
    let folders = unpacked_layers(connection, runtime.handle(), snapshotter, &key, &image.config.rootfs.diff_ids)?;
    Ok(ImageFile::from_folders(named, image.config, folders, options))
}

/// The content store, with the runtime that its questions run on.
struct Blobs {
    store: ContentStore,
    runtime: Option<Runtime>,
}

impl BlobSource for Blobs {
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>> {
        self.store.open(digest)
    }
}

impl Drop for Blobs {
    fn drop(&mut self) {
        // Nobody waits for its threads, and it may end within a task of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
