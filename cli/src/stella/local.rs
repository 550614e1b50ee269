//! The whole engine in this process: no server, no network, no state but the index.

use std::path::Path;

use stella_advisory::{Artifacts, Index, IndexError, match_inventory};
use stella_api::finding::{FeedStamp, Finding, ScanDocument, SeveritySummary, sort_findings};
use stella_domain::{Tenant, Timestamp};
use stella_inventory::{Limits, sbom};
use stella_policy::ImageVerdict;

use super::args::Args;
use super::image_store;
use super::index_file::{IndexFile, IndexFileError, user_cache};
use super::inventory_cache::InventoryCache;
use super::policy_file::{self, PolicyFile, PolicyFileError};
use super::subject::{self, Kind, Subject, SubjectError};
use super::vex_file::{self, VexFileError};
use super::{ENGINE, Scan};
use crate::render::Format;
use crate::terminal::{self, Progress};

/// Why a local scan has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The target is none of the things that can be read here.
    #[error(
        "there is no file or folder '{0}'; --local scans image archives, OCI layouts, folders, images of this \
         machine and SBOMs, and fetches no images"
    )]
    NotHere(String),
    /// The target cannot be read.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// There is no index.
    #[error(transparent)]
    IndexFile(#[from] IndexFileError),
    /// The index changed while it was used.
    #[error("cannot use the index")]
    Index(#[from] IndexError),
    /// What others say cannot be read.
    #[error(transparent)]
    Vex(#[from] VexFileError),
    /// The policy cannot be applied.
    #[error(transparent)]
    Policy(#[from] PolicyFileError),
}

/// Scans `target` against the feeds in `feeds`.
///
/// # Errors
/// When target, feeds or index cannot be read.
pub(super) fn scan(
    args: &Args,
    target: &str,
    feeds: &Path,
    policy: Option<&PolicyFile>,
    now: Timestamp,
) -> Result<Scan, LocalError> {
    if !image_store::is_stored(target) && !Path::new(target).exists() {
        return Err(LocalError::NotHere(target.to_owned()));
    }
    // A wrong folder of feeds is told before a large image is read, a wrong image before a large index is built.
    let statements = vex_file::shelf(&args.vex)?;
    let index_file = IndexFile::locate(feeds, args.cache_dir.as_deref())?;
    let mut subject = read(args, target)?;
    name_archives(feeds, &mut subject);
    let index = index_file.open()?;

    if let Some(notice) = subject.inventory.end_of_life_notice(now) {
        terminal::note(format!("warning: {notice}"));
    }
    let mut findings = findings(&index, &subject)?;
    let name = subject.name.as_deref().unwrap_or(target);
    vex_file::say(&statements, &mut findings, name, subject.digest);
    let mut verdict = ImageVerdict::Pass;
    if let Some(policy) = policy {
        verdict = policy.judge(&mut findings, &policy_file::context(name, subject.digest, now))?;
    }
    sort_findings(&mut findings);
    let document = ScanDocument {
        digest: subject.digest,
        target: target.to_owned(),
        summary: SeveritySummary::of(findings.iter().map(|finding| finding.severity)),
        policy_status: verdict.name().to_owned(),
        findings,
        feeds: stamps(&index),
        engine: ENGINE.to_owned(),
    };
    let bom = bill_of_materials(&subject, target, args.output());
    Ok(Scan { document, bom })
}

/// Java archives that say nothing of themselves get the names under which they were published, where the feeds have a table of
/// those. The rest of the scan does not need it.
fn name_archives(feeds: &Path, subject: &mut Subject) {
    let named = Artifacts::below(feeds).map(|artifacts| artifacts.name(&mut subject.inventory));
    if let Some(Err(error)) = named {
        terminal::note(format!("warning: {error}"));
    }
}

/// Reads what `target` names, unless it is an image that was read before: in a file that has not been touched since, or in a
/// content store under the same digest.
fn read(args: &Args, target: &str) -> Result<Subject, SubjectError> {
    let (format, path) = (args.sbom_type.format(), Path::new(target));
    let afresh = || subject::read(target, format, &args.limits);
    let cached = !args.no_cache && format.is_none() && args.limits == Limits::default();
    let Some(folder) = args.cache_dir.clone().or_else(user_cache).filter(|_| cached) else { return afresh() };
    let cache = InventoryCache::below(&folder);
    if image_store::is_content_addressed(target) {
        return read_addressed(&cache, target, &args.limits);
    }
    if image_store::is_stored(target) || Kind::of(path)? == Kind::Document {
        return afresh();
    }
    match cache.look(path) {
        Some((_, Some(known))) => {
            subject::tell_problems(&known);
            Ok(known)
        }
        Some((seen, None)) => {
            let subject = afresh()?;
            cache.keep(path, &seen, &subject);
            Ok(subject)
        }
        None => afresh(),
    }
}

/// Reads an image of a content store. Unpacked layers are no content that a digest stands for.
fn read_addressed(cache: &InventoryCache, target: &str, limits: &Limits) -> Result<Subject, SubjectError> {
    let progress = Progress::show(&format!("reading {target}"));
    let image = subject::open_image(target, limits)?;
    let known = cache.look_for(image.digest()).filter(|_| !image.is_unpacked());
    let subject = match known {
        Some(known) => Subject { name: image.names().first().cloned(), ..known },
        None => {
            let subject = subject::of_image(target, &image)?;
            if !image.is_unpacked() {
                cache.keep_image(&subject);
            }
            subject
        }
    };
    drop(progress);
    subject::tell_problems(&subject);
    Ok(subject)
}

fn findings(index: &Index, subject: &Subject) -> Result<Vec<Finding>, IndexError> {
    let tenant = Tenant::default();
    let matches = match_inventory(index, &subject.inventory)?;
    let of_component = |found: stella_advisory::Match| {
        let component = &subject.inventory.components[found.component];
        Finding::of(found, component, &tenant, &subject.digest)
    };
    Ok(matches.into_iter().map(of_component).collect())
}

fn stamps(index: &Index) -> Vec<FeedStamp> {
    let stamp = |feed: &stella_advisory::feed::FeedInfo| FeedStamp {
        name: feed.name.clone(),
        date: feed.date,
        advisories: feed.advisories,
    };
    index.info().feeds.iter().map(stamp).collect()
}

/// The document of what was scanned, for the formats that are one.
fn bill_of_materials(subject: &Subject, target: &str, format: Format) -> Option<Vec<u8>> {
    let name = subject.name.clone().unwrap_or_else(|| target.to_owned());
    let named = sbom::Subject { name, digest: Some(subject.digest) };
    match format {
        Format::Cyclonedx => Some(sbom::write_cyclonedx(&subject.inventory, Some(&named))),
        Format::Spdx => Some(sbom::write_spdx(&subject.inventory, Some(&named))),
        Format::Table | Format::Json | Format::Sarif | Format::Html | Format::Markdown => None,
    }
}
