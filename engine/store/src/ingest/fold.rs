//! New events, folded to one row a container and one a file that it loaded.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use stella_domain::Timestamp;

use crate::{LoadedFile, ObservedContainer, ObservedEvent};

/// Where a container is put.
pub(super) const CONTAINER: &str = "
    INSERT INTO observed (tenant, container, image, image_ref, node, namespace, pod, name, entrypoint, started_at, from_start,
      openings, gap, stopped_at) ";

/// Where a loaded file is put.
pub(super) const LOADED: &str = "INSERT INTO loaded (tenant, container, path, first_seen, body) ";

/// What becomes of a loaded file that is known.
pub(super) const KNOWN_LOADED: &str = "
    ON CONFLICT (tenant, container, path) DO UPDATE SET first_seen = excluded.first_seen
      WHERE excluded.first_seen < loaded.first_seen";

/// The start of a container is what says how and since when it runs.
const SET_BY_START: &str = "
    entrypoint = CASE WHEN excluded.entrypoint <> '' THEN excluded.entrypoint ELSE observed.entrypoint END,
    from_start = excluded.from_start,
    openings = excluded.openings,
    started_at = excluded.started_at";

const CHANGED_BY_START: &str = "
    (excluded.entrypoint <> '' AND excluded.entrypoint <> observed.entrypoint)
    OR excluded.from_start <> observed.from_start
    OR excluded.openings <> observed.openings
    OR excluded.started_at <> observed.started_at";

const SET_BY_OTHERS: &str = "
    started_at = CASE WHEN excluded.started_at < observed.started_at THEN excluded.started_at ELSE observed.started_at END";

const CHANGED_BY_OTHERS: &str = "excluded.started_at < observed.started_at";

/// What becomes of a container that is known. A later event may know more: what is empty is filled, a gap stays, a container that
/// began unwatched stays so. Most events say what is known already; for those no row is written.
pub(super) fn known_container(started: bool) -> String {
    let (set, changed) = if started { (SET_BY_START, CHANGED_BY_START) } else { (SET_BY_OTHERS, CHANGED_BY_OTHERS) };
    format!(
        "
    ON CONFLICT (tenant, container) DO UPDATE SET {set},
      image = CASE WHEN excluded.image <> '' THEN excluded.image ELSE observed.image END,
      image_ref = CASE WHEN excluded.image_ref <> '' THEN excluded.image_ref ELSE observed.image_ref END,
      gap = coalesce(observed.gap, excluded.gap),
      stopped_at = coalesce(excluded.stopped_at, observed.stopped_at)
    WHERE {changed}
      OR (excluded.image <> '' AND excluded.image <> observed.image)
      OR (excluded.image_ref <> '' AND excluded.image_ref <> observed.image_ref)
      OR (observed.gap IS NULL AND excluded.gap IS NOT NULL)
      OR (excluded.stopped_at IS NOT NULL
          AND (observed.stopped_at IS NULL OR excluded.stopped_at <> observed.stopped_at))"
    )
}

/// New events, folded: each container and each of its files once, in the order in which they were first told of.
#[derive(Default)]
pub(super) struct Batch<'a> {
    pub events: usize,
    pub containers: Vec<Folded<'a>>,
    pub loaded: Vec<Loaded<'a>>,
    /// Where a container stands, by tenant and id.
    places: HashMap<(&'a str, &'a str), usize>,
    /// Where a file stands, by the place of its container and its path.
    files: HashMap<(usize, &'a str), usize>,
}

impl<'a> Batch<'a> {
    pub(super) fn add(&mut self, event: &'a ObservedEvent) {
        self.events += 1;
        let (tenant, container) = (event.tenant.as_str(), &event.container);
        if container.id.is_empty() {
            return;
        }
        let place = match self.places.entry((tenant, &container.id)) {
            Entry::Vacant(free) => {
                let folded = Folded { tenant, container: Cow::Borrowed(container), started: event.started };
                self.containers.push(folded);
                *free.insert(self.containers.len() - 1)
            }
            Entry::Occupied(known) => {
                self.containers[*known.get()].fold(container, event.started);
                *known.get()
            }
        };
        for file in &event.loaded {
            match self.files.entry((place, &file.path)) {
                Entry::Vacant(free) => {
                    free.insert(self.loaded.len());
                    self.loaded.push(Loaded { tenant, container: &container.id, first_seen: file.first_seen, file });
                }
                Entry::Occupied(known) => {
                    let known = &mut self.loaded[*known.get()];
                    known.first_seen = known.first_seen.min(file.first_seen);
                }
            }
        }
    }
}

/// A container as all the new events have it.
pub(super) struct Folded<'a> {
    pub tenant: &'a str,
    pub container: Cow<'a, ObservedContainer>,
    /// Whether one of them was its start.
    pub started: bool,
}

/// A file that a container loaded.
pub(super) struct Loaded<'a> {
    pub tenant: &'a str,
    pub container: &'a str,
    pub first_seen: Timestamp,
    pub file: &'a LoadedFile,
}

impl Folded<'_> {
    /// What [`known_container`] does to a row that is there, done in memory.
    fn fold(&mut self, later: &ObservedContainer, started: bool) {
        let known = self.container.to_mut();
        let fill = |place: &mut String, value: &String| {
            if !value.is_empty() {
                place.clone_from(value);
            }
        };
        fill(&mut known.image, &later.image);
        fill(&mut known.image_ref, &later.image_ref);
        if started {
            fill(&mut known.entrypoint, &later.entrypoint);
            known.from_start = later.from_start;
            known.openings = later.openings;
            known.started_at = later.started_at;
        } else {
            known.started_at = known.started_at.min(later.started_at);
        }
        if known.gap.is_none() {
            known.gap.clone_from(&later.gap);
        }
        known.stopped_at = later.stopped_at.or(known.stopped_at);
        self.started |= started;
    }
}
