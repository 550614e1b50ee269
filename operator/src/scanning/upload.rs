//! Archives and SBOMs that clients send.

use std::path::Path;
use std::sync::Arc;

use stella_advisory::naming::package_hashes;
use stella_domain::{Digest, Tenant, Timestamp};
use stella_inventory::image::{ImageError, ImageFile, ReadOptions};
use stella_inventory::sbom::{self, SbomDocument, SbomError, SbomFormat};
use stella_inventory::{Inventory, Limits, Provenance};
use stella_policy::ImageVerdict;
use stella_store::{Filing, FindingRow, ImageRecord, NewScan, ScanSource, StoreError};

use super::archives::named;
use super::layers::compose;
use super::matching::{MatchError, confirmed, find, follow_up};
use crate::app::App;

/// The largest file that is taken, in bytes.
pub(crate) const MAX_UPLOAD: u64 = 8 * 1024 * 1024 * 1024;

/// What ends the scan of an upload.
const READ: &str = "read from the upload";

/// Why an upload was refused.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// It is neither an image nor an SBOM that can be read.
    #[error("{0}")]
    Image(#[from] ImageError),
    /// It is no SBOM that can be read.
    #[error("{0}")]
    Sbom(#[from] SbomError),
    /// An image was sent where only SBOMs are taken.
    #[error("an image archive was sent, but sbom-only is set")]
    SbomOnly,
    /// It is something else than its sender says.
    #[error("X-Stella-Sbom-Type says {named}, and {found} was sent")]
    Type {
        /// The format that was named.
        named: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// An SBOM leaves out layers that nobody has.
    #[error("layers {} are not described and not known; ask POST /layers/missing which ones have to be sent", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Missing(Vec<Digest>),
    /// The upload cannot be read back.
    #[error("the upload cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// The SBOM is too large.
    #[error("the SBOM has {size} bytes, at most {most} are taken")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The limit `document-bytes`.
        most: u64,
    },
    /// Matching failed.
    #[error(transparent)]
    Match(#[from] MatchError),
    /// The work was broken off.
    #[error("reading was broken off: {0}")]
    Broken(#[from] tokio::task::JoinError),
}

impl From<StoreError> for UploadError {
    fn from(error: StoreError) -> Self {
        Self::Match(error.into())
    }
}

/// What is taken of what is sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Takes {
    /// SBOMs alone.
    pub sbom_only: bool,
    /// SBOMs of this format alone.
    pub sbom_type: Option<SbomFormat>,
}

impl Takes {
    fn is_image(self) -> Result<(), UploadError> {
        match self.sbom_type {
            Some(named) => Err(UploadError::Type { named: named.name(), found: "an image archive" }),
            None if self.sbom_only => Err(UploadError::SbomOnly),
            None => Ok(()),
        }
    }

    /// SPDX 3 goes by the name of SPDX, too.
    fn is_sbom(self, found: SbomFormat) -> Result<(), UploadError> {
        match self.sbom_type {
            Some(SbomFormat::Spdx) if found == SbomFormat::Spdx3 => Ok(()),
            Some(named) if named != found => Err(UploadError::Type { named: named.name(), found: found.name() }),
            _ => Ok(()),
        }
    }
}

/// What came of an upload.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The digest it is filed under: the image's own, or that an SBOM names; that of the inventory where it names none.
    pub digest: Digest,
    /// The scan that it counts as.
    pub scan_id: String,
    /// What was found.
    pub findings: Arc<[FindingRow]>,
    /// By the policies that act on the whole tenant.
    pub verdict: ImageVerdict,
}

/// An image or SBOM that was read.
#[derive(Debug)]
pub(super) struct Read {
    /// What is in it.
    pub(super) inventory: Inventory,
    /// The digest it is filed under.
    pub(super) digest: Digest,
    /// What was sent.
    pub(super) source: ScanSource,
}

impl Read {
    /// As it is kept.
    pub(super) fn record(self, read_at: Timestamp) -> ImageRecord {
        ImageRecord {
            package_keys: package_hashes(&self.inventory),
            digest: self.digest,
            reference: None,
            way: self.source.name().to_owned(),
            inventory: self.inventory,
            read_at,
        }
    }
}

/// Reads the file at `path`. Of an image only layers are read that the product has not read before. An SBOM that describes layers
/// adds them to those that the tenant has sent; the image is put together from both.
///
/// # Errors
/// See [`UploadError`].
pub(super) async fn inventory_of(app: &App, tenant: &Tenant, path: &Path, takes: Takes) -> Result<Read, UploadError> {
    let (file, limits) = (path.to_owned(), app.settings.limits);
    let (inventory, subject, source) = match tokio::task::spawn_blocking(move || read(&file, takes, &limits)).await?? {
        Sent::Image(image) => {
            let digest = image.digest();
            (of_image(app, image).await?, Some(digest), ScanSource::Upload)
        }
        Sent::Sbom(document) => {
            let subject = document.subject.as_ref().and_then(|subject| subject.digest);
            (of_document(app, tenant, document).await?, subject, ScanSource::Sbom)
        }
    };
    let digest = subject.unwrap_or_else(|| inventory.digest());
    Ok(Read { inventory: named(app, inventory).await?, digest, source })
}

/// Reads the file at `path`, matches its inventory for `tenant`, and files both, with a scan that has succeeded.
///
/// # Errors
/// See [`UploadError`]; then no image is kept.
pub async fn scan_file(app: &App, tenant: &Tenant, path: &Path, takes: Takes) -> Result<Upload, UploadError> {
    let read = inventory_of(app, tenant, path, takes).await?;
    let (digest, source) = (read.digest, read.source);
    let record = Arc::new(read.record(app.clock.now()));
    let mut found = find(app, tenant, &record).await?;
    let scan = NewScan { digest: Some(digest), source, timeout_seconds: 60, ..NewScan::default() };
    let notice = record.inventory.end_of_life_notice(app.clock.now());
    let message = notice.map_or_else(|| READ.to_owned(), |notice| format!("{READ}; {notice}"));
    let rows: Arc<[FindingRow]> = std::mem::take(&mut found.rows).into();
    let filing = Filing {
        image: record,
        generation: found.generation.clone(),
        findings: (!found.same).then(|| Arc::clone(&rows)),
        scan,
        message,
    };
    let scan_id = app.store.file_scan(tenant, filing, app.clock.now()).await?;
    if found.same {
        confirmed(app, tenant, &[digest]);
    } else {
        follow_up(app, tenant, &digest, &mut found).await?;
    }
    Ok(Upload { digest, scan_id, findings: rows, verdict: found.verdict })
}

/// What was sent; of an image no layer is read yet.
#[derive(Debug)]
enum Sent {
    Image(ImageFile),
    Sbom(SbomDocument),
}

fn read(path: &Path, takes: Takes, limits: &Limits) -> Result<Sent, UploadError> {
    if is_text(path)? {
        let size = path.metadata()?.len();
        let most = limits.max_document_bytes;
        if size > most {
            return Err(UploadError::TooLarge { size, most });
        }
        let document = sbom::parse(&std::fs::read(path)?, limits)?;
        takes.is_sbom(document.format)?;
        return Ok(Sent::Sbom(document));
    }
    takes.is_image()?;
    Ok(Sent::Image(ImageFile::open(path, &ReadOptions { limits: *limits, ..ReadOptions::default() })?))
}

async fn of_image(app: &App, image: ImageFile) -> Result<Inventory, UploadError> {
    let diff_ids = image.diff_ids().to_vec();
    let missing = app.store.layers_missing(None, &diff_ids).await?;
    let layers = tokio::task::spawn_blocking(move || image.read_layers(&|diff_id| missing.contains(diff_id))).await??;
    app.store.put_layers(None, &layers).await?;
    compose(app, None, &diff_ids).await?.map_err(UploadError::Missing)
}

async fn of_document(app: &App, tenant: &Tenant, document: SbomDocument) -> Result<Inventory, UploadError> {
    if !document.layered {
        return Ok(document.inventory);
    }
    app.store.put_layers(Some(tenant), &document.layers).await?;
    let mut inventory = compose(app, Some(tenant), &document.inventory.layers).await?.map_err(UploadError::Missing)?;
    inventory.provenance = Provenance::Sbom;
    inventory.add_problems(document.inventory.problems);
    Ok(inventory)
}

/// JSON begins with a brace and XML with an angle after white space, SPDX in tag-value form with its version or a
/// comment; no archive does.
fn is_text(path: &Path) -> Result<bool, std::io::Error> {
    use std::io::Read as _;
    let mut start = [0; 64];
    let count = std::fs::File::open(path)?.read(&mut start)?;
    let start = start[..count].strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start[..count]);
    let start = start.trim_ascii_start();
    Ok(matches!(start.first(), Some(b'{' | b'<' | b'#')) || start.starts_with(b"SPDXVersion:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &str)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut builder = tar::Builder::new(file.reopen().unwrap());
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(u64::try_from(text.len()).unwrap());
            header.set_mode(0o644);
            builder.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        builder.finish().unwrap();
        file
    }

    #[test]
    fn an_image_is_filed_under_the_name_it_has_elsewhere() {
        let config = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
        let manifest = r#"[{"Config":"config.json","RepoTags":["shop/web:1"],"Layers":[]}]"#;
        let saved = archive(&[("config.json", config), ("manifest.json", manifest)]);
        let Sent::Image(image) = read(saved.path(), Takes::default(), &Limits::default()).unwrap() else {
            panic!("an archive is an image")
        };
        assert_eq!(image.digest(), Digest::of(config));
        let sbom_only = Takes { sbom_only: true, ..Takes::default() };
        assert!(matches!(read(saved.path(), sbom_only, &Limits::default()), Err(UploadError::SbomOnly)));
    }
}
