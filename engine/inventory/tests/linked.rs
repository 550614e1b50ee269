//! What is linked into an executable keeps being told as such, whichever way an inventory goes.

use stella_domain::Digest;
use stella_inventory::{LayerInventory, Limits, Package, PackageKind, fold, sbom};

fn package(name: &str, linked: bool) -> Package {
    Package {
        files: vec!["usr/bin/app".into()],
        linked,
        ..Package::new(PackageKind::Golang, name, "v1.0.0", "usr/bin/app")
    }
}

fn layer() -> LayerInventory {
    let packages = vec![package("example.org/app", false), package("example.org/library", true)];
    LayerInventory { packages, ..LayerInventory::empty(Digest::of("layer")) }
}

fn linked(packages: impl IntoIterator<Item = Package>) -> Vec<(String, bool)> {
    packages.into_iter().map(|package| (package.name, package.linked)).collect()
}

fn expected() -> Vec<(String, bool)> {
    vec![("example.org/app".to_owned(), false), ("example.org/library".to_owned(), true)]
}

#[test]
fn it_is_kept_with_layers_and_when_they_are_put_together() {
    let stored = serde_json::to_string(&layer()).unwrap();
    let kept: LayerInventory = serde_json::from_str(&stored).unwrap();
    let above = LayerInventory::empty(Digest::of("above"));
    let folded = fold(&[&kept, &above]);
    assert_eq!(linked(folded.components.into_iter().map(|component| component.package)), expected());
}

#[test]
fn it_is_written_layer_by_layer() {
    let layer = layer();
    let document = sbom::parse(&sbom::write_layers(&[layer.diff_id], &[&layer], None), &Limits::default()).unwrap();
    assert_eq!(linked(document.layers.into_iter().flat_map(|layer| layer.packages)), expected());
}

#[test]
fn it_is_written_in_every_format_without_the_files() {
    let inventory = fold(&[&layer()]);
    for write in [sbom::write_cyclonedx, sbom::write_spdx] {
        let document = sbom::parse(&write(&inventory, None), &Limits::default()).unwrap();
        let packages: Vec<Package> = document.inventory.components.into_iter().map(|found| found.package).collect();
        assert!(packages.iter().all(|package| package.files.is_empty()));
        assert_eq!(linked(packages), expected());
    }
}

#[test]
fn inventories_of_before_are_read_and_those_without_it_are_written_as_before() {
    let before = r#"{"kind":"golang","name":"example.org/library","version":"v1.0.0","path":"usr/bin/app","files":["usr/bin/app"]}"#;
    let read: Package = serde_json::from_str(before).unwrap();
    assert!(!read.linked);
    assert_eq!(serde_json::to_string(&read).unwrap(), before);
}
