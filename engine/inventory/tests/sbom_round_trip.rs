//! What is written reads back, whatever the inventory, and depends on nothing but what is in it.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use stella_domain::Digest;
use stella_inventory::sbom::{self, Subject};
use stella_inventory::{
    Inventory, LayerInventory, Limits, OsRelease, Package, PackageKind, Problem, Provenance, SourcePackage, fold,
};

fn name(kind: PackageKind) -> impl Strategy<Value = String> {
    match kind {
        PackageKind::Npm => "(@[a-z]{1,3}/)?[a-z][a-z.-]{0,4}",
        PackageKind::Golang => "[a-z]{1,3}\\.org(/[A-Za-z]{1,4}){1,2}",
        PackageKind::Maven => "[a-z]{1,3}(\\.[a-z]{1,3})?:[A-Za-z_-]{1,5}",
        PackageKind::Composer => "[a-z]{1,4}/[a-z]{1,4}",
        PackageKind::Swift => "[a-z]{1,3}\\.org(/[A-Za-z]{1,4}){1,2}",
        PackageKind::Hex | PackageKind::Conan => "([a-z]{1,3}/)?[a-z][a-z0-9_]{0,5}",
        PackageKind::Cran | PackageKind::Hackage => "[A-Za-z][A-Za-z0-9]{0,5}",
        PackageKind::Deb => "[a-z][a-z0-9+.-]{1,5}",
        PackageKind::Pypi => "[a-z]{1,3}(-[a-z0-9]{1,3})?",
        _ => "[a-z][a-z0-9_-]{0,5}",
    }
}

fn package() -> impl Strategy<Value = Package> {
    let kind = prop::sample::select(PackageKind::ALL.to_vec());
    kind.prop_flat_map(|kind| {
        let version = match kind {
            PackageKind::Rpm => "([1-9]:)?[0-9][0-9a-z.~^]{0,5}-[0-9]",
            PackageKind::Deb => "([0-9]:)?[0-9][0-9a-z.~+-]{0,6}",
            _ => "[0-9][0-9a-z.+-]{0,6}",
        };
        let is_os = kind.is_os();
        let licence = prop_oneof!["MIT|Apache-2.0|GPL-2.0-only", "[ -~]{1,12}", "MIT AND ISC|\\(A OR B\\)|é\n\"x"];
        (
            name(kind),
            version,
            proptest::option::of("amd64|noarch"),
            proptest::option::of(("[a-z]{1,5}", "[0-9]:?[0-9a-z.+~-]{0,5}")),
            prop_oneof!["[a-z]{1,3}", "[a-z]{1,3}/[ -.0-~é]{1,4}x", "go\\.mod|Cargo\\.lock"],
            prop::collection::vec(licence, 0..3),
            any::<bool>(),
        )
            .prop_map(move |(name, version, arch, source, path, licences, linked)| Package {
                kind,
                name,
                version,
                arch: arch.filter(|_| is_os),
                source: source.filter(|_| is_os).map(|(name, version)| SourcePackage::new(name, version)),
                path,
                licences,
                files: Vec::new(),
                linked,
                sha1: None,
            })
    })
}

fn os() -> impl Strategy<Value = OsRelease> {
    let ids = "debian|ubuntu|alpine|rhel|almalinux|opensuse-leap|wolfi|void|sles";
    (ids, "|[0-9]{1,2}(\\.[0-9]{1,2})?", prop::collection::vec("[a-z]{1,4}", 0..3), "[ -~]{0,12}")
        .prop_map(|(id, version, like, name)| OsRelease { id, version, like, name })
}

fn layer(number: u8) -> impl Strategy<Value = LayerInventory> {
    let problem = ("[a-z/: ]{0,6}", "[ -~é]{0,12}").prop_map(|(path, message)| Problem { path, message });
    (prop::collection::vec(package(), 0..7), proptest::option::of(os()), prop::collection::vec(problem, 0..3)).prop_map(
        move |(packages, os, problems)| {
            let os_path = os.as_ref().map(|_| "etc/os-release".to_owned());
            let empty = LayerInventory::empty(Digest::of([number]));
            LayerInventory { packages, os, os_path, problems, ..empty }
        },
    )
}

/// An inventory as folding gives it, or one without layers.
fn inventory() -> impl Strategy<Value = Inventory> {
    let layers = (layer(1), layer(2), layer(1), 0..4usize, any::<bool>());
    layers.prop_map(|(a, b, c, count, is_flat)| {
        let mut inventory = fold(&[&a, &b, &c][..count]);
        if is_flat {
            inventory.provenance = Provenance::Rootfs;
            inventory.layers.clear();
            inventory.components.iter_mut().for_each(|component| component.layer = None);
            inventory.components.dedup_by(|a, b| a.purl == b.purl && a.package.path == b.package.path);
        }
        inventory
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn inventories_read_back_as_they_are(inventory in inventory(), digest: bool, turn in 0..40usize) {
        let digest = digest.then(|| Digest::of("image"));
        let subject = Subject { name: "registry.example/app:1".into(), digest };
        let mut turned = inventory.clone();
        let (components, problems) = (turned.components.len().max(1), turned.problems.len().max(1));
        turned.components.rotate_left(turn % components);
        turned.components.reverse();
        turned.problems.rotate_left(turn % problems);
        let expected = Inventory { provenance: Provenance::Sbom, ..inventory.clone() };
        for write in [sbom::write_cyclonedx, sbom::write_spdx] {
            let bytes = write(&inventory, Some(&subject));
            prop_assert_eq!(&bytes, &write(&turned, Some(&subject)), "the order of what is given makes no difference");
            let document = sbom::parse(&bytes, &Limits::default()).unwrap();
            prop_assert_eq!(&document.inventory, &expected);
            prop_assert_eq!(document.subject.as_ref(), Some(&subject));
            prop_assert_eq!(&write(&document.inventory, Some(&subject)), &bytes, "and reading is no change");
        }
    }
}

/// Writes documents of generated inventories into `$STELLA_SBOM_SAMPLES`, for the validators that
/// `tests/conformance/sbom-validate` runs over them.
#[test]
fn samples_for_validators() {
    let Some(folder) = std::env::var_os("STELLA_SBOM_SAMPLES").map(std::path::PathBuf::from) else {
        eprintln!("SKIPPED: STELLA_SBOM_SAMPLES names no folder for documents to validate");
        return;
    };
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for index in 0..40 {
        let inventory = inventory().new_tree(&mut runner).unwrap().current();
        let subject = Subject { name: "registry.example/app:1".into(), digest: Some(Digest::of("image")) };
        let subject = Some(&subject).filter(|_| index % 4 != 0);
        let write = |kind: &str, bytes: Vec<u8>| {
            std::fs::write(folder.join(format!("generated-{index}.{kind}.json")), bytes).unwrap();
        };
        write("cdx", sbom::write_cyclonedx(&inventory, subject));
        write("spdx", sbom::write_spdx(&inventory, subject));
        let [a, b] = [layer(1), layer(2)].map(|layer| layer.new_tree(&mut runner).unwrap().current());
        write("layers.cdx", sbom::write_layers(&[a.diff_id, b.diff_id], &[&a, &b], subject));
    }
}
