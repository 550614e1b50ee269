//! Archives and SBOMs that clients send.

use std::path::Path;
use std::sync::Arc;

use stella_advisory::naming::package_hashes;
use stella_domain::{Digest, Tenant, Timestamp};
use stella_inventory::image::{ImageError, ImageFile, ReadOptions};
use stella_inventory::sbom::{self, SbomDocument, SbomError, SbomFormat};
use stella_inventory::{Inventory, Limits, Provenance};
use stella_policy::ImageVerdict;
use stella_service::spans::{Kind, carried, step};
use stella_store::{Filing, FindingRow, ImageRecord, NewScan, PackedInventory, ScanSource, StoreError};

use super::archives::{name, named};
use super::held::{BEGINNING, Body, is_document};
use super::layers::compose;
use super::matching::{Found, Hits, MatchError, confirmed, find, follow_up, hits, with_what_is_kept};
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

/// Reads what was sent. Of an image only layers are read that the product has not read before. An SBOM that describes layers
/// adds them to those that the tenant has sent; the image is put together from both.
///
/// # Errors
/// See [`UploadError`].
pub(super) async fn inventory_of(app: &App, tenant: &Tenant, body: Body, takes: Takes) -> Result<Read, UploadError> {
    let limits = app.settings.limits;
    let sent = tokio::task::spawn_blocking(move || read(&body, takes, &limits)).await??;
    put_together(app, tenant, sent).await
}

async fn put_together(app: &App, tenant: &Tenant, sent: Sent) -> Result<Read, UploadError> {
    let (inventory, subject, source) = match sent {
        Sent::Image(image) => {
            let digest = image.digest();
            (of_image(app, image).await?, Some(digest), ScanSource::Upload)
        }
        Sent::Sbom(document) => {
            let subject = subject_of(&document);
            (of_document(app, tenant, document).await?, subject, ScanSource::Sbom)
        }
    };
    let digest = subject.unwrap_or_else(|| inventory.digest());
    Ok(Read { inventory: named(app, inventory).await?, digest, source })
}

/// The image that an SBOM says it is about.
fn subject_of(document: &SbomDocument) -> Option<Digest> {
    document.subject.as_ref().and_then(|subject| subject.digest)
}

/// Reads what was sent, matches its inventory for `tenant`, and files both, with a scan that has succeeded.
///
/// # Errors
/// See [`UploadError`]; then no image is kept.
pub async fn scan_body(app: &App, tenant: &Tenant, body: Body, takes: Takes) -> Result<Upload, UploadError> {
    let (shared, owner) = (app.clone(), tenant.clone());
    // An SBOM that describes a whole image is matched here, too.
    let beginning = async move { tokio::task::spawn_blocking(move || begin(&shared, &owner, &body, takes)).await? };
    let begun = step(Kind::Internal, "read", beginning).await?;
    let (record, source, packed, mut found) = match begun {
        Begun::Matched(whole) => {
            let Whole { record, packed, hits } = *whole;
            let found = step(Kind::Internal, "match", with_what_is_kept(app, tenant, &record, hits)).await?;
            (Arc::new(record), ScanSource::Sbom, Some(packed), found)
        }
        Begun::Read(sent) => {
            let read = put_together(app, tenant, sent).await?;
            let source = read.source;
            let record = Arc::new(read.record(app.clock.now()));
            let found = step(Kind::Internal, "match", find(app, tenant, &record)).await?;
            (record, source, None, found)
        }
    };
    let digest = record.digest;
    let scan = NewScan { digest: Some(digest), source, timeout_seconds: 60, ..NewScan::default() };
    let notice = record.inventory.end_of_life_notice(app.clock.now());
    let message = notice.map_or_else(|| READ.to_owned(), |notice| format!("{READ}; {notice}"));
    let rows: Arc<[FindingRow]> = std::mem::take(&mut found.rows).into();
    let filing = Filing {
        image: record,
        packed,
        generation: found.generation.clone(),
        findings: (!found.same).then(|| Arc::clone(&rows)),
        scan,
        message,
    };
    // What has begun to be written is written also when nobody waits for it any more; so what follows from it has to follow, too.
    let (shared, owner) = (app.clone(), tenant.clone());
    let (scan_id, verdict) = tokio::spawn(carried(async move { file(&shared, &owner, filing, found).await })).await??;
    Ok(Upload { digest, scan_id, findings: rows, verdict })
}

/// Files a scan, and does what has to be done then.
async fn file(
    app: &App,
    tenant: &Tenant,
    filing: Filing,
    mut found: Found,
) -> Result<(String, ImageVerdict), StoreError> {
    let digest = filing.image.digest;
    let filed = app.store.file_scan(tenant, filing, app.clock.now());
    let scan_id = step(Kind::Client, "store: file a scan", filed).await?;
    if found.same {
        confirmed(app, tenant, &[digest]);
    } else {
        follow_up(app, tenant, &digest, &mut found).await?;
    }
    Ok((scan_id, found.verdict))
}

/// What was sent; of an image no layer is read yet.
#[derive(Debug)]
enum Sent {
    Image(ImageFile),
    Sbom(SbomDocument),
}

/// How far an upload comes without asking anybody.
#[derive(Debug)]
enum Begun {
    /// Everything is known but what is kept of the image.
    Matched(Box<Whole>),
    /// Layers have to be asked for first.
    Read(Sent),
}

/// An SBOM that describes a whole image, matched.
#[derive(Debug)]
struct Whole {
    record: ImageRecord,
    packed: PackedInventory,
    hits: Hits,
}

/// Reads what was sent, and goes on as far as nothing has to be waited for: each change of threads costs more than one of the steps,
/// and memory is best given back where it was taken.
fn begin(app: &App, tenant: &Tenant, body: &Body, takes: Takes) -> Result<Begun, UploadError> {
    match read(body, takes, &app.settings.limits)? {
        Sent::Sbom(document) if !document.layered => whole(app, tenant, document).map(Box::new).map(Begun::Matched),
        sent => Ok(Begun::Read(sent)),
    }
}

fn whole(app: &App, tenant: &Tenant, document: SbomDocument) -> Result<Whole, UploadError> {
    let subject = subject_of(&document);
    let mut inventory = document.inventory;
    let mut json = inventory.to_json();
    let digest = subject.unwrap_or_else(|| Inventory::digest_of(&json));
    if name(app, &mut inventory) > 0 {
        json = inventory.to_json();
    }
    let packed = PackedInventory::of_json(&json)?;
    drop(json);
    let record = Read { inventory, digest, source: ScanSource::Sbom }.record(app.clock.now());
    let hits = hits(app, tenant, &record)?;
    Ok(Whole { record, packed, hits })
}

fn read(body: &Body, takes: Takes, limits: &Limits) -> Result<Sent, UploadError> {
    match body {
        Body::Held(bytes) => document(bytes, takes, limits),
        Body::File(path) if begins_as_document(path)? => {
            check_size(path.metadata()?.len(), limits)?;
            document(&std::fs::read(path)?, takes, limits)
        }
        Body::File(path) => {
            takes.is_image()?;
            Ok(Sent::Image(ImageFile::open(path, &ReadOptions { limits: *limits, ..ReadOptions::default() })?))
        }
    }
}

fn document(bytes: &[u8], takes: Takes, limits: &Limits) -> Result<Sent, UploadError> {
    check_size(bytes.len() as u64, limits)?;
    let document = sbom::parse_packages(bytes, limits)?;
    takes.is_sbom(document.format)?;
    Ok(Sent::Sbom(document))
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

fn check_size(size: u64, limits: &Limits) -> Result<(), UploadError> {
    let most = limits.max_document_bytes;
    if size > most { Err(UploadError::TooLarge { size, most }) } else { Ok(()) }
}

fn begins_as_document(path: &Path) -> Result<bool, std::io::Error> {
    use std::io::Read as _;
    let mut start = [0; BEGINNING];
    let count = std::fs::File::open(path)?.read(&mut start)?;
    Ok(is_document(&start[..count]))
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
        let body = Body::File(saved.path().into());
        let Sent::Image(image) = read(&body, Takes::default(), &Limits::default()).unwrap() else {
            panic!("an archive is an image")
        };
        assert_eq!(image.digest(), Digest::of(config));
        let sbom_only = Takes { sbom_only: true, ..Takes::default() };
        assert!(matches!(read(&body, sbom_only, &Limits::default()), Err(UploadError::SbomOnly)));
    }
}
