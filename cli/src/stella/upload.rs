//! What is sent to `POST /scan` for a target.

use std::collections::HashSet;
use std::path::Path;

use stella_api::client::{Client, ClientError, ScanSubject};
use stella_api::node::LayersQuery;
use stella_api::scan::ScanReference;
use stella_domain::Digest;
use stella_inventory::LayerInventory;
use stella_inventory::image::{ImageError, ImageFile};
use stella_inventory::sbom::{self, SbomFormat, Subject};

use super::args::Args;
use super::image_store;
use super::subject::{self, Kind, SubjectError};
use crate::terminal;

/// Endings of files: a target that has one and is not there was not meant as a reference.
const FILE_ENDINGS: [&str; 6] = [".tar", ".tgz", ".gz", ".zst", ".json", ".xml"];

/// Why a target cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// It looks like a path and is not there.
    #[error("there is no file or folder '{0}'")]
    NotHere(String),
    /// It cannot be read.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// A layer of it cannot be read.
    #[error("cannot scan image '{path}'")]
    Layers {
        /// The image.
        path: String,
        /// What is wrong.
        source: ImageError,
    },
    /// The server does not say which layers it lacks.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// What is sent to have `target` scanned.
///
/// # Errors
/// When the target cannot be read, or is nothing that can be scanned.
pub async fn subject(client: &Client, args: &Args, target: &str) -> Result<ScanSubject, UploadError> {
    let path = Path::new(target);
    let subject = if image_store::is_stored(target) {
        of_layers(client, args, target).await?
    } else if path.exists() {
        of_path(client, args, target).await?
    } else {
        if args.delta {
            terminal::note(
                "note: --delta changes nothing for an image in a registry; the server fetches the layers it lacks",
            );
        }
        of_reference(target)?
    };
    Ok(subject.threshold(args.threshold.severity()))
}

async fn of_path(client: &Client, args: &Args, target: &str) -> Result<ScanSubject, UploadError> {
    let path = Path::new(target);
    if let Some(format) = args.sbom_type.format() {
        return Ok(ScanSubject::file("application/json", path).sbom_type(format.name()));
    }
    let media_type = match Kind::of(path)? {
        Kind::Document => "application/json",
        // A folder cannot be sent as it is.
        Kind::Layout => return of_layers(client, args, target).await,
        Kind::Root => {
            let root = subject::read_root(path, &args.limits)?;
            subject::tell_problems(&root);
            let named = Subject { name: target.to_owned(), digest: None };
            return Ok(of_document(sbom::write_cyclonedx(&root.inventory, Some(&named))));
        }
        _ if args.delta => return of_layers(client, args, target).await,
        Kind::Archive => "application/x-tar",
        Kind::GzipArchive => "application/gzip",
        Kind::ZstdArchive => "application/zstd",
    };
    Ok(ScanSubject::file(media_type, path))
}

/// Reads the image here and sends the inventories of the layers that the server lacks.
async fn of_layers(client: &Client, args: &Args, target: &str) -> Result<ScanSubject, UploadError> {
    let image = subject::open_image(target, &args.limits)?;
    let failed = |source| UploadError::Layers { path: target.to_owned(), source };
    let name = image.names().first().cloned().unwrap_or_else(|| target.to_owned());
    let subject = Subject { name, digest: Some(image.digest()) };
    if image.is_unpacked() {
        return Ok(of_document(sbom::write_cyclonedx(&image.inventory().map_err(failed)?, Some(&subject))));
    }
    let wanted = missing(client, &image).await?;
    let read = image.read_layers(&|layer: &Digest| wanted.contains(layer));
    let layers = read.map_err(failed)?;
    let layers: Vec<&LayerInventory> = layers.iter().collect();
    Ok(of_document(sbom::write_layers(image.diff_ids(), &layers, Some(&subject))))
}

fn of_document(document: Vec<u8>) -> ScanSubject {
    ScanSubject::document(document).sbom_type(SbomFormat::CycloneDx.name())
}

async fn missing(client: &Client, image: &ImageFile) -> Result<HashSet<Digest>, ClientError> {
    if image.diff_ids().is_empty() {
        return Ok(HashSet::new());
    }
    let query = LayersQuery { layers: image.diff_ids().iter().map(Digest::to_string).collect() };
    let missing = client.missing_layers(&query).await?;
    tracing::debug!(layers = query.layers.len(), missing = missing.len(), "layers");
    Ok(missing.into_iter().collect())
}

fn of_reference(target: &str) -> Result<ScanSubject, UploadError> {
    let reference = match target.split_once("://") {
        Some(("http" | "https", _)) => ScanReference { image_url: Some(target.to_owned()), ..ScanReference::default() },
        _ if looks_like_a_path(target) => return Err(UploadError::NotHere(target.to_owned())),
        _ => ScanReference { reference: Some(target.to_owned()), ..ScanReference::default() },
    };
    Ok(ScanSubject::reference(&reference)?)
}

fn looks_like_a_path(target: &str) -> bool {
    let lower = target.to_ascii_lowercase();
    target.starts_with(['/', '.', '~']) || FILE_ENDINGS.iter().any(|ending| lower.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_no_reference() {
        for path in ["./web", "/tmp/x", "image.TAR", "bom.json"] {
            assert!(matches!(of_reference(path), Err(UploadError::NotHere(_))), "{path}");
        }
        for reference in ["web", "registry.local:5000/team/web:1.4", "https://files.local/image.tar"] {
            assert!(of_reference(reference).is_ok(), "{reference}");
        }
    }
}
