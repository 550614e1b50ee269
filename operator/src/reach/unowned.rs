//! Libraries of an image that a container loaded and that no package owns: drift, told once an image, namespace and file.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stella_api::runtime::{
    DRIFT, DRIFT_LAYER, DRIFT_PATH, Delta, EventKind, Evidence, IMAGE_DIGEST, LoadedLibrary, RuntimeEvent, RuntimeInfo,
};
use stella_domain::{Digest, Hasher, Tenant};
use stella_inventory::{Inventory, PackageKind, Provenance};
use stella_store::{ImageRecord, LoadedFile, ObservedContainer, StoreError};

use super::compute::{Observation, Owners, is_shared_object, told_apart};
use crate::app::App;
use crate::retention::EVENT_DAYS;
use crate::{drift, events};

/// The most libraries told of one image.
const MOST_UNOWNED: usize = 256;
/// Seconds after which events are forgotten; what is older is not told anew.
const KEPT_SECONDS: i64 = EVENT_DAYS * 86_400;
/// How long layers are read for their names to be told.
const NAMING: Duration = Duration::from_secs(5);
/// Where package managers of distributions keep their files.
const DATABASES: [&str; 4] = ["lib/dpkg/", "lib/apk/", "lib/rpm/", "lib/sysimage/rpm/"];

/// Keeps the drift, and what policies say of it, that was not kept before.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn tell_unowned(
    app: &App,
    tenant: &Tenant,
    image: &ImageRecord,
    observations: &[Observation],
) -> Result<(), StoreError> {
    let found = match unowned(&image.inventory, observations) {
        Ok(found) => found,
        Err(reason) => {
            tracing::debug!(%tenant, image = %image.digest, reason, "unknown: which libraries no package owns");
            return Ok(());
        }
    };
    let now = app.clock.now();
    let recent = found.into_iter().filter(|found| now.seconds_since(found.file.first_seen) < KEPT_SECONDS);
    let mut drifts: Vec<RuntimeEvent> = recent.map(|found| found.event(tenant, &image.digest)).collect();
    let ids: Vec<String> = drifts.iter().map(|drift| drift.event_id.clone()).collect();
    // A write costs a sync, and most of what is observed is nothing new.
    let known: BTreeSet<String> = app.store.known_events(tenant, &ids).await?.into_iter().collect();
    drifts.retain(|drift| !known.contains(&drift.event_id));
    if drifts.is_empty() {
        return Ok(());
    }
    // Other images wait for this one, and a place for blobs may be slow to say that it is away.
    let named = tokio::time::timeout(NAMING, name_layers(app, tenant, &image.inventory, &mut drifts)).await;
    if named.is_err() {
        tracing::debug!(%tenant, image = %image.digest, "unknown: which layers have the libraries that no package owns");
    }
    let violations = drift::violations(app, &drifts.iter().collect::<Vec<_>>()).await?;
    drifts.extend(violations);
    events::keep(app, tenant, &drifts).await
}

/// Adds to each drift the uppermost layer that has its file. Where a layer cannot be read, no layer below it is named either: it
/// might have the file, too.
async fn name_layers(app: &App, tenant: &Tenant, inventory: &Inventory, drifts: &mut [RuntimeEvent]) {
    let mut unnamed: Vec<&mut RuntimeEvent> = drifts.iter_mut().collect();
    for diff_id in inventory.layers.iter().rev() {
        if unnamed.is_empty() {
            return;
        }
        let layer = match app.store.layer(Some(tenant), diff_id).await {
            Ok(Some(layer)) => layer,
            Ok(None) => continue,
            Err(error) => {
                tracing::debug!(%tenant, layer = %diff_id, %error, "unknown: which layer a library without a package is from");
                return;
            }
        };
        unnamed.retain_mut(|drift| {
            let path = drift.evidence.iter().find(|e| e.signal == DRIFT_PATH).map(|e| e.value.as_str());
            let has = path.is_some_and(|path| layer.entries.has_file(path.trim_start_matches('/')));
            if has {
                drift.evidence.push(Evidence { signal: DRIFT_LAYER.to_owned(), value: diff_id.to_string() });
            }
            !has
        });
    }
}

/// A library that no package owns, in the first container that loaded it.
#[derive(Debug)]
struct Unowned<'a> {
    container: &'a ObservedContainer,
    file: &'a LoadedFile,
    library: LoadedLibrary,
}

impl Unowned<'_> {
    /// The same for all containers of the image in the namespace.
    fn event(self, tenant: &Tenant, image: &Digest) -> RuntimeEvent {
        let Self { container, file, library } = self;
        let mut hasher = Hasher::new();
        let occurrence = ["unowned", tenant.as_str(), &image.to_string(), &container.namespace, &file.path];
        occurrence.iter().for_each(|part| hasher.field(part));
        let engine = container.id.split_once("://").map_or("", |(engine, _)| engine);
        let evidence = [(DRIFT, "unowned"), (DRIFT_PATH, &file.path), ("drift.use", "mapped")];
        RuntimeEvent {
            event_id: hasher.finish().hex(),
            when: file.first_seen,
            kind: EventKind::Drift,
            tenant: tenant.to_string(),
            node: container.node.clone(),
            runtime: RuntimeInfo { engine: engine.to_owned(), version: String::new() },
            workload: events::workload(container),
            process: None,
            loaded_libs: vec![library],
            posture: None,
            delta: Some(Delta {
                baseline_image_digest: image.to_string(),
                unknown_libs: vec![file.path.clone()],
                ..Delta::default()
            }),
            evidence: evidence
                .map(|(signal, value)| Evidence { signal: signal.to_owned(), value: value.to_owned() })
                .to_vec(),
            annotations: BTreeMap::from([(IMAGE_DIGEST.to_owned(), container.image.clone())]),
        }
    }
}

/// Shared objects of the image that were loaded and that no package owns: each file once a namespace, or why that is not known.
fn unowned<'a>(inventory: &Inventory, observations: &'a [Observation]) -> Result<Vec<Unowned<'a>>, String> {
    files_are_known(inventory)?;
    let is_told = |file: &LoadedFile| is_shared_object(file.path.trim_start_matches('/'));
    // Of most images nothing is observed, and who owns what is a map of all their files.
    if !observations.iter().flat_map(|observation| &observation.loaded).any(is_told) {
        return Ok(Vec::new());
    }
    let owners = Owners::of(inventory);
    told_apart(&owners, observations)?;
    let mut found = BTreeMap::new();
    for Observation { container, loaded } in observations {
        for file in loaded {
            let key = (&container.namespace, &file.path);
            if !is_told(file)
                || found.contains_key(&key)
                || !owners.of_path(file.path.trim_start_matches('/')).is_empty()
            {
                continue;
            }
            let library = serde_json::from_str(&file.body).ok();
            // Of what a pass found nobody knows whether it is the image's.
            let Some(library) = library.filter(|library: &LoadedLibrary| library.from_image) else { continue };
            found.insert(key, Unowned { container, file, library });
        }
    }
    Ok(found.into_values().take(MOST_UNOWNED).collect())
}

/// Whether a file that no package lists is one that no package owns.
fn files_are_known(inventory: &Inventory) -> Result<(), String> {
    if inventory.provenance == Provenance::Sbom {
        return Err("an SBOM declares the image, and not its packages' files".to_owned());
    }
    let is_database = |path: &str| DATABASES.iter().any(|folder| path.contains(folder));
    if let Some(problem) = inventory.problems.iter().find(|problem| is_database(&problem.path)) {
        return Err(format!("{} could not be read: {}", problem.path, problem.message));
    }
    let packages = || inventory.components.iter().map(|component| &component.package);
    if !packages().any(|package| package.kind.is_os()) {
        return Err("the image has no packages of a distribution".to_owned());
    }
    // Every package of Debian lists a file. Of the others some, such as keys and groups, own none.
    let lists_none = packages().find(|package| package.kind == PackageKind::Deb && package.files.is_empty());
    if let Some(package) = lists_none {
        return Err(format!("the files of package {} are not known", package.name));
    }
    if !packages().any(|package| package.kind.is_os() && !package.files.is_empty()) {
        return Err("the files of the distribution's packages are not known".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use stella_inventory::Problem;

    use super::super::compute::fixture::{component, observation};
    use super::*;

    fn inventory() -> Inventory {
        Inventory {
            provenance: Provenance::Layers,
            os: None,
            layers: Vec::new(),
            components: vec![
                component(PackageKind::Deb, "zlib1g", &["usr/lib/libz.so.1"]),
                component(PackageKind::Pypi, "numpy", &["site/numpy/_core.abi3.so"]),
                component(PackageKind::Gem, "nokogiri", &["gems/nokogiri-1/"]),
            ],
            problems: Vec::new(),
        }
    }

    /// A container of that namespace; what the kernel told to be the image's.
    fn loaded(namespace: &str, from_image: &[&str], others: &[&str]) -> Observation {
        let all: Vec<&str> = from_image.iter().chain(others).copied().collect();
        let mut observed = observation(true, None, 100, &all);
        observed.container.namespace = namespace.to_owned();
        for file in &mut observed.loaded {
            let told = from_image.contains(&file.path.as_str());
            file.body = format!(r#"{{"path":"{}","inode":1,"fromImage":{told}}}"#, file.path);
        }
        observed
    }

    fn paths(found: &[Unowned<'_>]) -> Vec<String> {
        found.iter().map(|found| format!("{}{}", found.container.namespace, found.file.path)).collect()
    }

    const OWNED: [&str; 3] = ["/usr/lib/libz.so.1", "/site/numpy/_core.abi3.so", "/gems/nokogiri-1/ext/nokogiri.so"];

    #[test]
    fn a_library_of_the_image_that_no_package_owns_is_told_once_a_namespace() {
        let all = [&OWNED[..], &["/opt/libown.so.2", "/usr/bin/app"]].concat();
        let seen = [loaded("a", &all, &[]), loaded("a", &all, &[]), loaded("b", &all, &[])];
        let found = unowned(&inventory(), &seen).unwrap();
        assert_eq!(paths(&found), ["a/opt/libown.so.2", "b/opt/libown.so.2"], "programs are not libraries");
        let image = Digest::of("image");
        let ids: BTreeSet<String> =
            found.into_iter().map(|found| found.event(&Tenant::default(), &image).event_id).collect();
        assert_eq!(ids.len(), 2);
    }

    #[test]
    fn what_nobody_told_to_be_the_images_is_not_told() {
        let seen = [loaded("a", &OWNED, &["/opt/libown.so"])];
        assert!(unowned(&inventory(), &seen).unwrap().is_empty());
    }

    #[test]
    fn the_event_says_file_image_and_container_and_is_the_same_each_time() {
        let seen = [loaded("a", &[OWNED[0], "/opt/libown.so"], &[])];
        let event = || {
            let mut found = unowned(&inventory(), &seen).unwrap();
            found.remove(0).event(&Tenant::default(), &Digest::of("image"))
        };
        assert_eq!(event(), event());
        let told = |signal: &str| event().evidence.iter().find(|e| e.signal == signal).unwrap().value.clone();
        assert_eq!((told(DRIFT), told(DRIFT_PATH)), ("unowned".to_owned(), "/opt/libown.so".to_owned()));
        let delta = event().delta.unwrap();
        assert_eq!(delta.baseline_image_digest, Digest::of("image").to_string());
        assert_eq!(delta.unknown_libs, ["/opt/libown.so"]);
        assert_eq!((event().kind, event().workload.pod.as_str()), (EventKind::Drift, "web-1"));
        assert_eq!(event().runtime.engine, "containerd");
    }

    #[test]
    fn where_files_of_packages_are_not_known_the_answer_is_why() {
        let seen = [loaded("a", &[OWNED[0], "/opt/libown.so"], &[])];
        let why = |inventory: Inventory| unowned(&inventory, &seen).unwrap_err();
        assert!(why(Inventory { provenance: Provenance::Sbom, ..inventory() }).contains("SBOM"));
        let problem = Problem { path: "var/lib/dpkg/status".to_owned(), message: "torn".to_owned() };
        let broken = why(Inventory { problems: vec![problem], ..inventory() });
        assert_eq!(broken, "var/lib/dpkg/status could not be read: torn");
        let mut without = inventory();
        without.components.push(component(PackageKind::Deb, "lost", &[]));
        assert_eq!(why(without), "the files of package lost are not known");
        let foreign = vec![component(PackageKind::Pypi, "numpy", &["site/numpy/_core.abi3.so"])];
        assert!(why(Inventory { components: foreign, ..inventory() }).contains("no packages of a distribution"));
        let keys = vec![component(PackageKind::Rpm, "gpg-pubkey", &[])];
        assert!(why(Inventory { components: keys, ..inventory() }).contains("distribution's packages"));
        let elsewhere = [loaded("a", &["/chroot/opt/libown.so"], &[])];
        assert!(unowned(&inventory(), &elsewhere).unwrap_err().contains("belongs to a package"));
    }
}
