//! Image archives that can be read only from the first to the last byte, because they are compressed as a whole.
//!
//! The manifest may come last, so every file that is no JSON document is read as a layer as it passes by, and
//! afterwards the manifest tells which of them belong to the image.

use std::collections::HashMap;
use std::io::{self, Read};

use stella_domain::Digest;

use crate::LayerInventory;
use crate::archive::{ArchiveError, Body, ByteSource, Entry, EntryKind, TarReader, resolve_target};
use crate::collector::Collector;
use crate::layer::{Budget, FoundDigests, LayerDigests, LayerError, LayerStream, walk_layer};
use crate::limits::Limits;

use super::ImageError;
use super::file::ReadOptions;
use super::outer::MAX_LINKS;
use super::resolve::{Documents, Resolved, check, resolve};
use super::source::wanted;

/// What a file of the archive turned out to be.
enum Part<'l> {
    Document(Vec<u8>),
    Layer(Result<(FoundDigests, Box<Collector<'l>>), ArchiveError>),
    Link(String),
}

type Parts<'l> = HashMap<String, Part<'l>>;

/// Reads an archive that `open` opens at its beginning, with all layers of the image.
pub(super) fn read<R: Read>(
    open: &dyn Fn() -> io::Result<R>,
    options: &ReadOptions,
) -> Result<(Resolved, Vec<LayerInventory>), ImageError> {
    let limits = &options.limits;
    let budget = Budget::new(limits);
    let mut parts = Parts::new();
    walk(open, limits, &mut |entry, body| {
        if let Some(part) = part(entry, body, limits, &budget)? {
            parts.insert(entry.path.clone(), part);
        }
        Ok(())
    })?;
    if parts.values().any(Part::needs_second_pass) {
        let budget = budget.for_second_pass();
        walk(open, limits, &mut |entry, body| match parts.get_mut(&entry.path) {
            Some(Part::Layer(Ok((found, collector)))) if collector.needs_second_pass() => {
                collector.start_second_pass();
                let again = walk_layer(body, collector, limits, &budget).map_err(io::Error::other)?;
                if again == *found { Ok(()) } else { Err(io::Error::other("it changed while it was read")) }
            }
            _ => Ok(()),
        })?;
    }
    let resolved = resolve(&PartDocuments(&parts), options)?;
    let layers = finish(parts, &resolved)?;
    Ok((resolved, layers))
}

type Visit<'v> = dyn FnMut(&Entry, &mut dyn ByteSource) -> io::Result<()> + 'v;

fn walk<R: Read>(open: &dyn Fn() -> io::Result<R>, limits: &Limits, visit: &mut Visit<'_>) -> Result<(), ImageError> {
    let failed = |source| ImageError::Read { what: "the image archive".into(), source };
    // The archive has the documents besides the layers, so only the total can bound it.
    let outer_limits = Limits { max_layer_bytes: limits.max_total_bytes, ..*limits };
    let budget = Budget::new(limits);
    let plain = LayerStream::unhashed(open().map_err(failed)?, &outer_limits, &budget).map_err(failed)?;
    let mut walk = TarReader::new(plain, limits);
    while let Some(entry) = walk.next_entry()? {
        let mut body: Body<'_, _> = walk.body();
        visit(&entry, &mut body).map_err(|source| ImageError::Read { what: entry.path.clone(), source })?;
    }
    walk.into_source().finish().map(drop).map_err(failed)
}

fn part<'l>(
    entry: &Entry,
    body: &mut dyn ByteSource,
    limits: &'l Limits,
    budget: &Budget,
) -> io::Result<Option<Part<'l>>> {
    let folder = entry.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    match entry.kind {
        EntryKind::Symlink => return link(entry, resolve_target(folder, &entry.link), budget).map(Some),
        EntryKind::HardLink => return link(entry, resolve_target("", &entry.link), budget).map(Some),
        EntryKind::File => {}
        _ => return Ok(None),
    }
    let start = body.fill_buf()?;
    if start.starts_with(b"{") || start.starts_with(b"[") {
        if entry.size > limits.max_metadata_bytes {
            return Ok(None);
        }
        budget.keep(place_size(entry) + entry.size)?;
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes)?;
        return Ok(Some(Part::Document(bytes)));
    }
    budget.keep(place_size(entry) + size_of::<Collector<'_>>() as u64)?;
    let mut collector = Collector::new(limits);
    // What is wrong with it matters only if the image has it as a layer; version files are no tar either.
    let found = walk_layer(body, &mut collector, limits, budget);
    Ok(Some(Part::Layer(found.map(|found| (found, Box::new(collector))))))
}

fn link<'l>(entry: &Entry, target: String, budget: &Budget) -> io::Result<Part<'l>> {
    budget.keep(place_size(entry) + target.len() as u64)?;
    Ok(Part::Link(target))
}

/// Bytes that the name of a part and its place in the table take.
fn place_size(entry: &Entry) -> u64 {
    (entry.path.len() + size_of::<(String, Part<'_>)>()) as u64
}

impl Part<'_> {
    fn needs_second_pass(&self) -> bool {
        matches!(self, Self::Layer(Ok((_, collector))) if collector.needs_second_pass())
    }
}

fn finish(mut parts: Parts<'_>, resolved: &Resolved) -> Result<Vec<LayerInventory>, ImageError> {
    let distinct = wanted(resolved.layers.iter().map(|(_, layer)| *layer).collect(), &|_| true);
    let places: HashMap<Digest, String> =
        resolved.layers.iter().rev().map(|(path, layer)| (layer.diff_id, place(&parts, path))).collect();
    let finish = |layer: LayerDigests| {
        let path = &places[&layer.diff_id];
        match parts.remove(path) {
            Some(Part::Layer(Ok((found, collector)))) => {
                found.check(layer)?;
                Ok(collector.finish(layer.diff_id))
            }
            Some(Part::Layer(Err(source))) => Err(LayerError::Archive { layer: layer.diff_id, source }.into()),
            _ => Err(ImageError::Missing { what: path.clone() }),
        }
    };
    distinct.into_iter().map(finish).collect()
}

/// The name under which the bytes lie, links followed.
fn place(parts: &Parts<'_>, name: &str) -> String {
    let mut name = resolve_target("", name);
    for _ in 0..MAX_LINKS {
        match parts.get(&name) {
            Some(Part::Link(target)) => name.clone_from(target),
            _ => break,
        }
    }
    name
}

struct PartDocuments<'p, 'l>(&'p Parts<'l>);

impl Documents for PartDocuments<'_, '_> {
    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn document(&self, name: &str, digest: Option<Digest>) -> Result<Vec<u8>, ImageError> {
        match self.0.get(&place(self.0, name)) {
            Some(Part::Document(bytes)) => check(name, digest, Digest::of(bytes)).map(|()| bytes.clone()),
            _ => Err(ImageError::Missing { what: name.to_owned() }),
        }
    }

    fn diff_id(&self, name: &str, _: &Limits, _: &Budget) -> Result<Digest, ImageError> {
        match self.0.get(&place(self.0, name)) {
            Some(Part::Layer(Ok((found, _)))) => Ok(found.diff_id),
            Some(Part::Layer(Err(error))) => {
                Err(ImageError::Read { what: name.to_owned(), source: io::Error::other(error.to_string()) })
            }
            _ => Err(ImageError::Missing { what: name.to_owned() }),
        }
    }
}
