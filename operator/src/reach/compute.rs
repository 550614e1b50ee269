//! The rule itself: inventory and observations in, one answer a component out. Pure.

use std::collections::BTreeMap;

use stella_api::finding::UseEvidence;
use stella_api::runtime::LoadedLibrary;
use stella_domain::{Reachability, Timestamp};
use stella_inventory::{Component, Inventory, PackageKind};
use stella_store::{LoadedFile, ObservedContainer};

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
/// A component that owns a loaded file is `runtime`; the owner of a container's first executable is `entrypoint`. One that owns
/// shared objects, none of which any container loaded, is `unreachable` when every container was watched from its start without a gap
/// and for `settle_seconds` (or for the whole of its life). Everything else is `unknown`, with the reason.
#[must_use]
pub fn uses(inventory: &Inventory, observations: &[Observation], settle_seconds: i64, now: Timestamp) -> Vec<Use> {
    // Nobody asks for owners where nothing was loaded; images have tens of thousands of files.
    let owners = if observations.is_empty() { Owners::default() } else { Owners::of(inventory) };
    let mut evidence: BTreeMap<usize, (Reachability, Vec<UseEvidence>)> = BTreeMap::new();
    // What runs now is shown before what ran once.
    let (running, ended): (Vec<_>, Vec<_>) = observations.iter().partition(|o| o.container.stopped_at.is_none());
    for observation in running.into_iter().chain(ended) {
        let entrypoint = observation.container.entrypoint.trim_start_matches('/');
        for file in &observation.loaded {
            let path = file.path.trim_start_matches('/');
            for owner in owners.of_path(path) {
                let level = if path == entrypoint { Reachability::Entrypoint } else { Reachability::Runtime };
                let found = evidence.entry(owner).or_default();
                found.0 = found.0.max(level);
                found.1.push(use_evidence(&observation.container, file, &inventory.components[owner]));
            }
        }
    }
    let settled = settled(observations, settle_seconds, now).and_then(|()| told_apart(&owners, observations));
    let answer = |(component, declared): (usize, &Component)| match evidence.get(&component) {
        Some((reach, found)) => {
            let evidence = found.iter().take(MAX_EVIDENCE).cloned().collect();
            Use { component, reach: *reach, reason: String::new(), evidence }
        }
        None => unused(component, declared, &settled),
    };
    inventory.components.iter().enumerate().map(answer).collect()
}

fn unused(component: usize, declared: &Component, settled: &Result<(), String>) -> Use {
    let measured = if declared.package.files.iter().any(|file| is_shared_object(file)) {
        settled.clone()
    } else {
        Err(unmeasured(declared))
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
        PackageKind::Pypi => "a Python package without native code is opened, not loaded",
        PackageKind::Npm => "a Node package without native code is opened, not loaded",
        PackageKind::Golang => "a Go module is linked into its binary",
        PackageKind::Maven => "a JAR is opened, not loaded",
        _ => "the package owns no shared object",
    };
    format!("not measured: {what}")
}

/// Whether what was not loaded can be said not to be used.
fn settled(observations: &[Observation], settle_seconds: i64, now: Timestamp) -> Result<(), String> {
    let mut whole = false;
    for container in observations.iter().map(|observation| &observation.container) {
        let stopped = container.stopped_at.is_some();
        match (&container.gap, container.from_start) {
            // One that is over and was not watched whole proves nothing, and asks for nothing more.
            (Some(_), _) | (None, false) if stopped => {}
            (Some(gap), _) => return Err(format!("events of container {} were lost: {gap}", short(container))),
            (None, false) => {
                return Err(format!("container {} was not watched whole from its start", short(container)));
            }
            (None, true) if stopped => whole = true,
            (None, true) => {
                let watched = now.seconds_since(container.started_at);
                if watched < settle_seconds {
                    return Err(format!("settling: watched for {} of {settle_seconds} s", watched.max(0)));
                }
                whole = true;
            }
        }
    }
    if whole { Ok(()) } else { Err("no container of this image has been watched from its start".to_owned()) }
}

/// A container none of whose files any package owns was seen under other paths than the image's; what it did not load is not
/// known then.
fn told_apart(owners: &Owners<'_>, observations: &[Observation]) -> Result<(), String> {
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
        sha256: library.and_then(|library| library.sha256),
        package: component.purl.clone(),
        first_seen: file.first_seen,
        inherited_from: None,
    }
}

/// `libx.so`, `libx.so.1.2`, `x.cpython-311-x86_64-linux-gnu.so`.
fn is_shared_object(path: &str) -> bool {
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

    /// The components that list the file, else those of the nearest folder that is listed as a whole.
    pub(super) fn of_path(&self, path: &str) -> Vec<usize> {
        if let Some(owners) = self.files.get(path) {
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
    use stella_inventory::Package;

    pub fn component(kind: PackageKind, name: &str, files: &[&str]) -> Component {
        let package = Package {
            kind,
            name: name.into(),
            version: "1".into(),
            arch: None,
            source: None,
            path: format!("{name}/METADATA"),
            licences: Vec::new(),
            files: files.iter().map(|f| (*f).to_owned()).collect(),
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
        assert_eq!(late[2].0, Reachability::Unknown, "pure Python never settles");
        assert!(late[2].1.starts_with("not measured"));
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
