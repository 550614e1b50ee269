//! Folding layers gives what a scan of the flattened image gives.

#[path = "fold/files.rs"]
mod files;
mod support;

use std::collections::BTreeMap;
use std::path::Path;

use files::{COMMON, DATABASES, LANGUAGES, Places, content_of};
use proptest::prelude::*;
use proptest::sample::Index;
use stella_domain::Digest;
use stella_inventory::layer::{Budget, LayerDigests, read_layer};
use stella_inventory::{Inventory, LayerInventory, Limits, Provenance, fold, rootfs, sbom};
use support::*;

/// Something a layer does to the image.
#[derive(Debug, Clone)]
enum Change {
    File(String, Vec<u8>),
    Link(String, String),
    /// A second name for one of the layer's files, whichever that is.
    SecondName(String, Index),
    /// The same once it is known: target and content.
    HardLink(String, String, Vec<u8>),
    Folder(String),
    Remove(String),
    Opaque(String),
}

/// A node of the flattened tree; folders are implied by what lies in them or listed on their own.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    File(Vec<u8>),
    Link(String),
    Folder,
}

fn change(places: Places) -> impl Strategy<Value = Change> {
    let file = prop::sample::select(places.files);
    let folder = prop::sample::select(places.folders);
    prop_oneof![
        8 => (file.clone(), any::<u8>()).prop_map(|(path, seed)| Change::File(path.into(), content_of(path, seed))),
        1 => (folder.clone(), any::<u8>()).prop_map(|(path, seed)| Change::File(path.into(), vec![seed])),
        1 => (folder.clone(), folder.clone()).prop_map(|(path, target)| Change::Link(path.into(), format!("/{target}"))),
        1 => (file.clone(), folder.clone()).prop_map(|(path, target)| Change::Link(path.into(), format!("/{target}"))),
        2 => (file.clone(), any::<Index>()).prop_map(|(path, which)| Change::SecondName(path.into(), which)),
        1 => folder.clone().prop_map(|path| Change::Folder(path.into())),
        1 => file.clone().prop_map(|path| Change::Folder(path.into())),
        1 => file.prop_map(|path| Change::Remove(path.into())),
        1 => folder.clone().prop_map(|path| Change::Remove(path.into())),
        1 => folder.prop_map(|path| Change::Opaque(path.into())),
    ]
}

fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// A layer holds one thing at a path: what would contradict an earlier change of the layer is left out.
fn consistent(changes: Vec<Change>) -> Vec<Change> {
    let mut nodes: BTreeMap<String, bool> = BTreeMap::new();
    let mut kept = Vec::new();
    for change in changes {
        let Some(change) = with_target(change, &kept) else { continue };
        let (path, is_folder) = match &change {
            Change::File(path, _)
            | Change::Link(path, _)
            | Change::HardLink(path, ..)
            | Change::SecondName(path, _) => (path.clone(), false),
            Change::Folder(path) | Change::Opaque(path) => (path.clone(), true),
            Change::Remove(path) => (path.clone(), false),
        };
        let agrees = match nodes.get(&path) {
            Some(folder) => *folder && is_folder,
            None => true,
        };
        if agrees && parents(&path).all(|parent| nodes.get(parent) != Some(&false)) {
            for parent in parents(&path) {
                nodes.insert(parent.to_owned(), true);
            }
            nodes.insert(path, is_folder);
            kept.push(change);
        }
    }
    kept
}

/// A second name is for a file that the layer has had before: an archive names the file first.
fn with_target(change: Change, before: &[Change]) -> Option<Change> {
    let Change::SecondName(path, which) = change else { return Some(change) };
    let files: Vec<(&String, &Vec<u8>)> = before
        .iter()
        .filter_map(|change| match change {
            Change::File(path, content) => Some((path, content)),
            _ => None,
        })
        .collect();
    if files.is_empty() {
        return None;
    }
    let (target, content) = *which.get(&files);
    Some(Change::HardLink(path, target.clone(), content.clone()))
}

fn build(changes: &[Change]) -> Vec<u8> {
    let hidden = |path: &str| match path.rsplit_once('/') {
        Some((folder, name)) => format!("{folder}/.wh.{name}"),
        None => format!(".wh.{path}"),
    };
    let layer = changes.iter().fold(Layer::new(), |layer, change| match change {
        Change::File(path, content) => layer.file(path, content),
        Change::Link(path, target) => layer.symlink(path, target),
        Change::HardLink(path, target, _) => layer.hard_link(path, target),
        Change::SecondName(..) => layer,
        Change::Folder(path) => layer.folder(path),
        Change::Remove(path) => layer.file(&hidden(path), ""),
        Change::Opaque(path) => layer.folder(path).file(&format!("{path}/.wh..wh..opq"), ""),
    });
    layer.build()
}

fn read(layer: &[u8]) -> LayerInventory {
    let limits = Limits::default();
    let digests = LayerDigests { blob: None, diff_id: Digest::of(layer) };
    let open =
        || -> std::io::Result<Box<dyn std::io::Read + Send>> { Ok(Box::new(std::io::Cursor::new(layer.to_vec()))) };
    read_layer(&open, digests, &limits, &Budget::new(&limits)).unwrap()
}

type Tree = BTreeMap<String, Node>;

fn remove_below(tree: &mut Tree, path: &str) {
    let below = format!("{path}/");
    tree.retain(|other, _| !other.starts_with(&below));
}

/// What overlayfs makes of the layer on top of the tree.
fn apply(tree: &mut Tree, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Remove(path) => {
                for parent in parents(path) {
                    put(tree, parent, Node::Folder);
                }
                tree.remove(path);
                remove_below(tree, path);
            }
            Change::Opaque(path) => {
                put(tree, path, Node::Folder);
                remove_below(tree, path);
            }
            _ => {}
        }
    }
    for change in changes {
        match change {
            Change::File(path, content) | Change::HardLink(path, _, content) => {
                put(tree, path, Node::File(content.clone()));
            }
            Change::Link(path, target) => put(tree, path, Node::Link(target.clone())),
            Change::Folder(path) => put(tree, path, Node::Folder),
            Change::Remove(_) | Change::Opaque(_) | Change::SecondName(..) => {}
        }
    }
}

fn put(tree: &mut Tree, path: &str, node: Node) {
    for parent in parents(path) {
        if tree.get(parent) != Some(&Node::Folder) {
            tree.insert(parent.to_owned(), Node::Folder);
        }
    }
    if node != Node::Folder {
        remove_below(tree, path);
    }
    tree.insert(path.to_owned(), node);
}

fn write(tree: &Tree, root: &Path) {
    for (path, node) in tree {
        let path = root.join(path);
        match node {
            Node::Folder => std::fs::create_dir_all(path).unwrap(),
            Node::File(content) => std::fs::write(path, content).unwrap(),
            Node::Link(target) => std::os::unix::fs::symlink(target, path).unwrap(),
        }
    }
}

fn without_layers(mut inventory: Inventory) -> Inventory {
    inventory.layers.clear();
    inventory.provenance = Provenance::Rootfs;
    for component in &mut inventory.components {
        component.layer = None;
    }
    inventory
}

/// Stacks of up to five layers.
fn stacks(places: Places) -> impl Strategy<Value = Vec<Vec<Change>>> {
    prop::collection::vec(prop::collection::vec(change(places), 0..9), 1..6)
}

fn check_folding(stack: Vec<Vec<Change>>) -> Result<(), TestCaseError> {
    let stack: Vec<Vec<Change>> = stack.into_iter().map(consistent).collect();
    let layers: Vec<LayerInventory> = stack.iter().map(|changes| read(&build(changes))).collect();
    let folded = fold(&layers.iter().collect::<Vec<_>>());

    let mut tree = Tree::new();
    stack.iter().for_each(|changes| apply(&mut tree, changes));
    let root = tempfile::tempdir().unwrap();
    write(&tree, root.path());
    let flat = rootfs(root.path(), &Limits::default()).unwrap();
    prop_assert_eq!(&without_layers(folded.clone()), &flat);

    // The same by way of documents: layer by layer, and as one.
    let order: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
    let mut distinct: Vec<&LayerInventory> = Vec::new();
    for layer in &layers {
        if !distinct.iter().any(|other| other.diff_id == layer.diff_id) {
            distinct.push(layer);
        }
    }
    let document = sbom::parse(&sbom::write_layers(&order, &distinct, None), &Limits::default()).unwrap();
    prop_assert_eq!(document.layers.iter().collect::<Vec<_>>(), distinct);
    prop_assert_eq!(without_layers(document.inventory), flat);
    let document = sbom::parse(&sbom::write_cyclonedx(&folded, None), &Limits::default()).unwrap();
    let mut expected = Inventory { provenance: Provenance::Sbom, ..folded };
    expected.components.iter_mut().for_each(|component| component.package.files.clear());
    prop_assert_eq!(document.inventory, expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn folding_is_flattening(stack in stacks(COMMON)) {
        check_folding(stack)?;
    }

    #[test]
    fn folding_is_flattening_for_every_package_database(stack in stacks(DATABASES)) {
        check_folding(stack)?;
    }

    #[test]
    fn folding_is_flattening_for_packages_of_languages(stack in stacks(LANGUAGES)) {
        check_folding(stack)?;
    }
}

#[test]
fn the_layer_of_origin_is_the_lowest_without_a_gap() {
    let status = |packages: &[(&str, &str)]| read(&Layer::new().file("var/lib/dpkg/status", dpkg(packages)).build());
    let layers = [
        status(&[("steady", "1"), ("back", "1"), ("changed", "1")]),
        status(&[("steady", "1"), ("changed", "2")]),
        status(&[("steady", "1"), ("changed", "2"), ("back", "1")]),
    ];
    let inventory = fold(&layers.iter().collect::<Vec<_>>());
    let origin = |name: &str| layers.iter().position(|layer| Some(layer.diff_id) == named(&inventory, name).layer);
    assert_eq!((origin("steady"), origin("changed"), origin("back")), (Some(0), Some(1), Some(2)));
}

#[test]
fn a_folder_that_becomes_a_link_takes_its_packages_along() {
    let layers = [
        read(&Layer::new().file("app/node_modules/a/package.json", r#"{"name":"a","version":"1"}"#).build()),
        read(&Layer::new().symlink("app/node_modules", "/shared").build()),
    ];
    assert!(fold(&layers.iter().collect::<Vec<_>>()).components.is_empty());
}

#[test]
fn the_upper_list_of_files_speaks_for_a_package() {
    let list = |files: &str| Layer::new().file("var/lib/dpkg/info/a.list", files);
    let base = list("/usr/a-old\n").file("var/lib/dpkg/status", dpkg(&[("a", "1"), ("b", "1")]));
    let base = base.file("var/lib/dpkg/info/b.list", "/usr/b\n").build();
    let upper = list("/usr/a-new\n").file("var/lib/dpkg/status", dpkg(&[("a", "2"), ("b", "1")])).build();
    let layers = [read(&base), read(&upper)];
    let inventory = fold(&layers.iter().collect::<Vec<_>>());
    assert_eq!(named(&inventory, "a").package.files, ["usr/a-new"]);
    assert_eq!(named(&inventory, "b").package.files, ["usr/b"], "kept by the lower layer alone");
}

/// What `rm -f /var/lib/dpkg/info/*.list` leaves of packages.
#[test]
fn sums_speak_for_a_package_whose_list_an_upper_layer_takes_away() {
    let sums = "d41d8cd98f00b204e9800998ecf8427e  usr/bin/a\n";
    let base = Layer::new()
        .file("var/lib/dpkg/status", dpkg(&[("a", "1")]))
        .file("var/lib/dpkg/info/a.list", "/.\n/etc\n/etc/a.conf\n/usr\n/usr/bin\n/usr/bin/a\n")
        .file("var/lib/dpkg/info/a.md5sums", sums)
        .build();
    let base = read(&base);
    assert_eq!(base.lesser_lists["var/lib/dpkg/info/a.md5sums"], "etc/a.conf", "told once and not twice");
    assert_eq!(named(&fold(&[&base]), "a").package.files, ["etc/a.conf", "usr/bin/a"]);
    for (upper, files) in [
        (Layer::new().file("var/lib/dpkg/info/.wh.a.list", ""), &["usr/bin/a"][..]),
        (Layer::new().file("var/lib/dpkg/info/.wh.a.md5sums", ""), &["etc/a.conf", "usr/bin/a"]),
        (Layer::new().file("var/lib/dpkg/info/.wh..wh..opq", ""), &[]),
        (Layer::new().file("var/lib/dpkg/info/a.list", "/usr/bin/b\n"), &["usr/bin/b"]),
    ] {
        assert_eq!(named(&fold(&[&base, &read(&upper.build())]), "a").package.files, files);
    }
}

/// Whether a file is marked as a program does not decide what is in it: libraries for Node, and what is copied before it is marked.
#[test]
fn programs_tell_what_they_are_made_of_whatever_their_mode() {
    for (path, program) in
        [("opt/tool", go_program("example.org/a", "v1.2.3")), ("opt/a.node", rust_program("a", "1.2.3"))]
    {
        let layer = Layer::new().file(path, &program).build();
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("opt")).unwrap();
        std::fs::write(root.path().join(path), &program).unwrap();
        let flat = rootfs(root.path(), &Limits::default()).unwrap();
        assert!(!flat.components.is_empty(), "{path}");
        assert_eq!(without_layers(fold(&[&read(&layer)])), flat);
    }
}

#[test]
fn a_digest_names_the_contents() {
    let layer = read(&Layer::new().file("var/lib/dpkg/status", dpkg(&[("a", "1")])).build());
    let inventory = fold(&[&layer]);
    assert_eq!(inventory.digest(), fold(&[&layer]).digest());
    assert_ne!(inventory.digest(), fold(&[]).digest());
}
