//! The rule itself: inventory and observations in, one answer a component out. Pure.

use std::collections::BTreeMap;

use stella_api::finding::UseEvidence;
use stella_api::runtime::LoadedLibrary;
use stella_domain::{Reachability, Timestamp};
use stella_inventory::{Component, Inventory, Package, PackageKind};
use stella_store::{LoadedFile, ObservedContainer};

use super::code;

/// The most pieces of evidence kept a component; more of the same prove nothing more.
pub(super) const MAX_EVIDENCE: usize = 8;

/// A container with what it loaded.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The container.
    pub container: ObservedContainer,
    /// Files it loaded or executed.
    pub loaded: Vec<LoadedFile>,
}

/// What is known of the use of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Index of the component in the inventory.
    pub component: usize,
    /// The level.
    pub reach: Reachability,
    /// Why it is not known better; empty when it is.
    pub reason: String,
    /// What shows it.
    pub evidence: Vec<UseEvidence>,
}

/// The use of every component of `inventory`, as observed up to `now`.
///
/// A component that owns a loaded file is `runtime`; the owner of a container's first executable is `entrypoint`, but not what is
/// only linked into it. One that owns
/// shared objects or code that is opened, none of which any container loaded or opened, is `unreachable` when every container was
/// watched from its start without a gap, and those that ended for `settle_seconds` together, or those that run for as long each.
/// Everything else is `unknown`, with the reason.
#[must_use]
pub fn uses(inventory: &Inventory, observations: &[Observation], settle_seconds: i64, now: Timestamp) -> Vec<Use> {
    // Nobody asks for owners where nothing was loaded; images have tens of thousands of files.
    let owners = if observations.is_empty() { Owners::default() } else { Owners::of(inventory) };
    let mut evidence: BTreeMap<usize, (Reachability, Vec<UseEvidence>)> = BTreeMap::new();
    // What runs now is shown before what ran once.
    let (running, ended): (Vec<_>, Vec<_>) = observations.iter().partition(|o| o.container.stopped_at.is_none());
    for observation in running.into_iter().chain(ended) {
        for file in &observation.loaded {
            let path = file.path.trim_start_matches('/');
            for owner in owners.of_path(path) {
                let level = level(&observation.container, path, &inventory.components[owner].package);
                let found = evidence.entry(owner).or_default();
                found.0 = found.0.max(level);
                found.1.push(use_evidence(&observation.container, file, &inventory.components[owner]));
            }
        }
    }
    let settled = Settled::of(&owners, observations, settle_seconds, now);
    let answer = |(component, declared): (usize, &Component)| match evidence.get(&component) {
        Some((reach, found)) => {
            // A loaded library has a hash and a build id; a file that was opened has a path.
            let (opened, loaded): (Vec<_>, Vec<_>) = found.iter().partition(|seen| seen.opened);
            let evidence = loaded.into_iter().chain(opened).take(MAX_EVIDENCE).cloned().collect();
            Use { component, reach: *reach, reason: String::new(), evidence }
        }
        None => unused(component, declared, &settled),
    };
    inventory.components.iter().enumerate().map(answer).collect()
}

/// How a package is in use that owns a file which a container loaded, by the file's path without a leading slash. What is only
/// linked into the first executable is not the program that was started.
pub(super) fn level(container: &ObservedContainer, path: &str, owner: &Package) -> Reachability {
    let is_first = path == container.entrypoint.trim_start_matches('/');
    if is_first && !owner.linked { Reachability::Entrypoint } else { Reachability::Runtime }
}

/// Whether what was not seen in use can be said not to be in use, or why not.
struct Settled {
    /// Of what is loaded.
    loading: Result<(), String>,
    /// Of what is opened.
    opening: Result<(), String>,
}

impl Settled {
    fn of(owners: &Owners<'_>, observations: &[Observation], settle_seconds: i64, now: Timestamp) -> Self {
        let containers = || observations.iter().map(|observation| &observation.container);
        let told_apart = told_apart(owners, observations);
        let loading = settled(containers(), settle_seconds, now).and(told_apart);
        let watched = containers().filter(|container| container.openings || container.stopped_at.is_none());
        let opening =
            loading.clone().and_then(|()| openings_seen(containers())).and(settled(watched, settle_seconds, now));
        Self { loading, opening }
    }
}

fn unused(component: usize, declared: &Component, settled: &Settled) -> Use {
    let loaded = declared.package.files.iter().any(|file| is_shared_object(file));
    let measured = match (code::is_opened(&declared.package), loaded) {
        (true, false) => settled.opening.clone(),
        (_, true) => settled.loading.clone(),
        (false, false) => Err(unmeasured(declared)),
    };
    let (reach, reason) = match measured {
        Ok(()) => (Reachability::Unreachable, String::new()),
        Err(reason) => (Reachability::Unknown, reason),
    };
    Use { component, reach, reason, evidence: Vec::new() }
}

/// Why loading tells nothing about this package.
fn unmeasured(component: &Component) -> String {
    if component.package.files.is_empty() {
        return "not measured: the files of this package are not known".to_owned();
    }
    let what = match component.package.kind {
        PackageKind::Golang => "a Go module is linked into its binary",
        PackageKind::Cargo => "a crate is linked into its binary",
        _ => "the package owns no shared object",
    };
    format!("not measured: {what}")
}

/// Whether what was not loaded can be said not to be used.
fn settled<'a>(
    containers: impl Iterator<Item = &'a ObservedContainer>,
    settle_seconds: i64,
    now: Timestamp,
) -> Result<(), String> {
    let mut whole = false;
    let mut ended = None;
    for container in containers {
        let stopped = container.stopped_at.is_some();
        match (&container.gap, container.from_start) {
            // One that is over and was not watched whole proves nothing, and asks for nothing more.
            (Some(_), _) | (None, false) if stopped => {}
            (Some(gap), _) => return Err(format!("events of container {} were lost: {gap}", short(container))),
            (None, false) => {
                return Err(format!("container {} was not watched whole from its start", short(container)));
            }
            (None, true) if stopped => {
                let life = container.stopped_at.map_or(0, |at| at.seconds_since(container.started_at)).max(0);
                ended = Some(ended.unwrap_or(0) + life);
            }
            (None, true) => {
                let watched = now.seconds_since(container.started_at);
                if watched < settle_seconds {
                    return Err(format!("settling: watched for {} of {settle_seconds} s", watched.max(0)));
                }
                whole = true;
            }
        }
    }
    match ended {
        _ if whole => Ok(()),
        Some(watched) if watched >= settle_seconds => Ok(()),
        Some(watched) => {
            Err(format!("settling: containers that ended were watched for {watched} of {settle_seconds} s"))
        }
        None => Err("no container of this image has been watched from its start".to_owned()),
    }
}

/// Whether what the running containers opened was seen, too.
fn openings_seen<'a>(mut containers: impl Iterator<Item = &'a ObservedContainer>) -> Result<(), String> {
    match containers.find(|container| container.stopped_at.is_none() && !container.openings) {
        Some(container) => Err(format!("files opened by container {} were not watched", short(container))),
        None => Ok(()),
    }
}

/// A container none of whose files any package owns was seen under other paths than the image's; what it did not load is not
/// known then.
pub(super) fn told_apart(owners: &Owners<'_>, observations: &[Observation]) -> Result<(), String> {
    let owned = |file: &LoadedFile| !owners.of_path(file.path.trim_start_matches('/')).is_empty();
    let foreign = |observed: &&Observation| !observed.loaded.is_empty() && !observed.loaded.iter().any(owned);
    match observations.iter().find(foreign) {
        Some(observed) => {
            let container = short(&observed.container);
            Err(format!("no file that container {container} loaded belongs to a package of this image"))
        }
        None => Ok(()),
    }
}

fn short(container: &ObservedContainer) -> String {
    if container.pod.is_empty() {
        return container.id.chars().rev().take(64).collect::<Vec<_>>().into_iter().rev().take(12).collect();
    }
    format!("{}/{}/{}", container.namespace, container.pod, container.name)
}

pub(super) fn use_evidence(container: &ObservedContainer, file: &LoadedFile, component: &Component) -> UseEvidence {
    let library: Option<LoadedLibrary> = serde_json::from_str(&file.body).ok();
    UseEvidence {
        container: container.id.clone(),
        namespace: container.namespace.clone(),
        pod: container.pod.clone(),
        container_name: container.name.clone(),
        node: container.node.clone(),
        path: file.path.clone(),
        build_id: library.as_ref().and_then(|library| library.build_id.clone()),
        opened: library.as_ref().is_some_and(|library| library.opened),
        sha256: library.and_then(|library| library.sha256),
        package: component.purl.clone(),
        first_seen: file.first_seen,
        inherited_from: None,
    }
}

/// `libx.so`, `libx.so.1.2`, `x.cpython-311-x86_64-linux-gnu.so`.
pub(super) fn is_shared_object(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.match_indices(".so").any(|(at, _)| {
        let rest = &name[at + 3..];
        rest.is_empty() || (rest.starts_with('.') && rest[1..].bytes().all(|b| b.is_ascii_digit() || b == b'.'))
    })
}

/// Which components own a file.
#[derive(Default)]
pub(super) struct Owners<'a> {
    files: BTreeMap<&'a str, Vec<usize>>,
    folders: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> Owners<'a> {
    pub(super) fn of(inventory: &'a Inventory) -> Self {
        let (mut files, mut folders) = (BTreeMap::<&str, Vec<usize>>::new(), BTreeMap::<&str, Vec<usize>>::new());
        for (at, component) in inventory.components.iter().enumerate() {
            for file in &component.package.files {
                let place = if file.ends_with('/') { &mut folders } else { &mut files };
                place.entry(file.as_str()).or_default().push(at);
            }
        }
        Self { files, folders }
    }

    /// The components that list the file, or the source it was compiled from, else those of the nearest folder that is listed as a
    /// whole.
    pub(super) fn of_path(&self, path: &str) -> Vec<usize> {
        let source = || code::source_of(path).and_then(|source| self.files.get(source.as_str()));
        if let Some(owners) = self.files.get(path).or_else(source) {
            return owners.clone();
        }
        let mut rest = path;
        while let Some(slash) = rest.rfind('/') {
            if let Some(owners) = self.folders.get(&path[..=slash]) {
                return owners.clone();
            }
            rest = &path[..slash];
        }
        Vec::new()
    }
}

#[cfg(test)]
pub(super) mod fixture {
    use super::*;

    pub fn component(kind: PackageKind, name: &str, files: &[&str]) -> Component {
        let package = Package {
            files: files.iter().map(|f| (*f).to_owned()).collect(),
            ..Package::new(kind, name, "1", format!("{name}/METADATA"))
        };
        Component { package, purl: format!("pkg:generic/{name}@1"), ecosystem: "PyPI".into(), layer: None }
    }

    pub fn observation(from_start: bool, gap: Option<&str>, started: i64, loaded: &[&str]) -> Observation {
        Observation {
            container: ObservedContainer {
                id: "containerd://c1".into(),
                image: "sha256:x".into(),
                image_ref: "app:1".into(),
                node: "node-1".into(),
                namespace: "shop".into(),
                pod: "web-1".into(),
                name: "web".into(),
                entrypoint: "/usr/bin/python3.11".into(),
                started_at: Timestamp::from_millis(started * 1000),
                from_start,
                openings: from_start,
                gap: gap.map(str::to_owned),
                stopped_at: None,
            },
            loaded: loaded
                .iter()
                .map(|path| LoadedFile {
                    path: (*path).to_owned(),
                    first_seen: Timestamp::from_millis(1),
                    body: "{}".into(),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::{component, observation};
    use super::*;
    use stella_inventory::Provenance;

    fn inventory() -> Inventory {
        Inventory {
            provenance: Provenance::Layers,
            os: None,
            layers: Vec::new(),
            components: vec![
                component(PackageKind::Pypi, "loaded", &["site/loaded/_rust.abi3.so"]),
                component(PackageKind::Pypi, "unused", &["site/unused/_c.cpython-311-x86_64-linux-gnu.so"]),
                component(PackageKind::Pypi, "pure", &["site/pure/__init__.py"]),
                component(PackageKind::Deb, "python", &["usr/bin/python3.11"]),
                component(PackageKind::Pypi, "opened", &["site/opened/__init__.py", "site/opened/a.py"]),
            ],
            problems: Vec::new(),
        }
    }

    fn levels(observations: &[Observation], now: i64) -> Vec<(Reachability, String)> {
        let uses = uses(&inventory(), observations, 20, Timestamp::from_millis(now * 1000));
        uses.into_iter().map(|u| (u.reach, u.reason)).collect()
    }

    const LOADED: [&str; 2] = ["/site/loaded/_rust.abi3.so", "/usr/bin/python3.11"];

    #[test]
    fn a_loaded_library_is_in_use_and_an_unloaded_one_settles() {
        let early = levels(&[observation(true, None, 100, &LOADED)], 110);
        assert_eq!(early[0].0, Reachability::Runtime);
        assert_eq!(early[1], (Reachability::Unknown, "settling: watched for 10 of 20 s".into()));
        assert_eq!(early[3].0, Reachability::Entrypoint);
        let late = levels(&[observation(true, None, 100, &LOADED)], 120);
        assert_eq!(late[1], (Reachability::Unreachable, String::new()));
        assert_eq!(late[2].0, Reachability::Unreachable, "pure Python that was never opened");
    }

    #[test]
    fn opened_code_is_in_use_and_settles_only_where_openings_are_watched() {
        let compiled = "/site/opened/__pycache__/a.cpython-311.pyc";
        let seen = observation(true, None, 100, &[LOADED[0], LOADED[1], compiled]);
        let late = levels(std::slice::from_ref(&seen), 200);
        assert_eq!((late[4].0, late[2].0), (Reachability::Runtime, Reachability::Unreachable));
        let mut blind = seen;
        blind.container.openings = false;
        let late = levels(&[blind], 200);
        assert_eq!(late[1].0, Reachability::Unreachable, "what is loaded is still told");
        assert_eq!(
            late[2],
            (Reachability::Unknown, "files opened by container shop/web-1/web were not watched".into())
        );
    }

    #[test]
    fn a_container_that_ended_soon_proves_little() {
        let mut short = observation(true, None, 100, &LOADED);
        short.container.stopped_at = Some(Timestamp::from_millis(101_000));
        let after_one = levels(std::slice::from_ref(&short), 1000);
        let reason = "settling: containers that ended were watched for 1 of 20 s";
        assert_eq!(after_one[1], (Reachability::Unknown, reason.into()));
        let after_many = levels(&vec![short; 20], 1000);
        assert_eq!(after_many[1].0, Reachability::Unreachable);
    }

    #[test]
    fn what_was_not_watched_whole_stays_unknown() {
        let unwatched = levels(&[observation(false, None, 100, &LOADED)], 1000);
        assert_eq!(unwatched[1].0, Reachability::Unknown);
        assert!(unwatched[1].1.contains("not watched whole"));
        let lossy = levels(&[observation(true, Some("ring full"), 100, &LOADED)], 1000);
        assert!(lossy[1].1.contains("ring full"));
        assert_eq!(levels(&[], 1000)[1].0, Reachability::Unknown);
        let mixed = [observation(true, None, 100, &[]), observation(false, None, 100, &[])];
        assert_eq!(levels(&mixed, 1000)[1].0, Reachability::Unknown, "all have to be settled");
    }

    #[test]
    fn what_is_linked_into_a_program_is_not_the_program() {
        let program = "usr/bin/app";
        let mut library = component(PackageKind::Golang, "library", &[program]);
        library.package.linked = true;
        let main = component(PackageKind::Golang, "app", &[program]);
        let components = vec![main, library];
        let inventory = Inventory { components, ..inventory() };
        let levels = |entrypoint: &str| -> Vec<Reachability> {
            let mut seen = observation(true, None, 100, &["/usr/bin/app"]);
            seen.container.entrypoint = entrypoint.to_owned();
            uses(&inventory, &[seen], 20, Timestamp::from_millis(110_000)).into_iter().map(|u| u.reach).collect()
        };
        assert_eq!(levels("/usr/bin/app"), [Reachability::Entrypoint, Reachability::Runtime]);
        assert_eq!(levels("/bin/sh"), [Reachability::Runtime, Reachability::Runtime], "it was executed later");
    }

    #[test]
    fn paths_that_no_package_owns_settle_nothing() {
        let elsewhere = levels(&[observation(true, None, 100, &["/chroot/usr/bin/python3.11"])], 1000);
        assert_eq!(elsewhere[1].0, Reachability::Unknown);
        assert!(elsewhere[1].1.contains("belongs to a package"));
    }

    #[test]
    fn shared_objects_are_known_by_name() {
        for yes in ["a/libssl.so", "libssl.so.1.1", "_x.cpython-311-x86_64-linux-gnu.so", "_rust.abi3.so"] {
            assert!(is_shared_object(yes), "{yes}");
        }
        for no in ["a.sort", "x.so.py", "so", "lib.some", "README.so.txt"] {
            assert!(!is_shared_object(no), "{no}");
        }
    }
}
