//! Reading a live tree that may be hostile.

mod support;

use std::os::unix::fs::symlink;

use stella_inventory::{Limits, Provenance, RootfsError, rootfs};
use support::*;

#[test]
fn links_out_of_the_root_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(outside.path().join("a")).unwrap();
    std::fs::write(outside.path().join("status"), dpkg(&[("secret", "1")])).unwrap();
    std::fs::write(outside.path().join("a/package.json"), r#"{"name":"secret","version":"1.0.0"}"#).unwrap();
    let root = tempfile::tempdir().unwrap();
    for folder in ["var/lib/dpkg", "etc", "proc/var/lib/dpkg", "dev"] {
        std::fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    symlink(outside.path().join("status"), root.path().join("var/lib/dpkg/status")).unwrap();
    symlink(outside.path(), root.path().join("node_modules")).unwrap();
    std::fs::write(root.path().join("etc/os-release"), DEBIAN_12).unwrap();
    let inventory = rootfs(root.path(), &Limits::default()).unwrap();
    assert_eq!(inventory.provenance, Provenance::Rootfs);
    assert!(inventory.components.is_empty(), "{:?}", inventory.components);
    assert_eq!(inventory.os.unwrap().version, "12");
}

#[test]
fn the_tree_is_read_as_it_is_seen_from_its_root() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("usr/lib")).unwrap();
    std::fs::create_dir_all(root.path().join("var/lib/dpkg/info")).unwrap();
    symlink("usr/lib", root.path().join("lib")).unwrap();
    std::fs::write(root.path().join("var/lib/dpkg/status"), dpkg(&[("a", "1")])).unwrap();
    std::fs::write(root.path().join("var/lib/dpkg/info/a.list"), "/.\n/lib\n/lib/a.so\n").unwrap();
    std::fs::write(root.path().join("usr/lib/.wh.x"), "no whiteout here").unwrap();
    let inventory = rootfs(root.path(), &Limits::default()).unwrap();
    assert_eq!(named(&inventory, "a").package.files, ["usr/lib/a.so"]);
    assert_eq!(named(&inventory, "a").layer, None);
    assert!(inventory.layers.is_empty());
}

#[test]
fn the_number_of_entries_is_bounded() {
    let root = tempfile::tempdir().unwrap();
    (0..20).for_each(|index| std::fs::write(root.path().join(format!("f{index}")), "").unwrap());
    let limits = Limits { max_entries: 10, ..Limits::default() };
    assert!(matches!(rootfs(root.path(), &limits), Err(RootfsError::TooManyEntries { max: 10 })));
    assert!(matches!(rootfs(&root.path().join("none"), &limits), Err(RootfsError::Root { .. })));
}

/// The interpreters of this machine, as people copy them into images: they say of themselves what they answer when asked.
#[test]
fn real_interpreters_name_their_version() {
    let mut found = 0;
    for (program, name) in [("python3", "python"), ("node", "node")] {
        // Not those of a version manager in front of them, which are scripts.
        let folders = ["/usr/bin", "/usr/local/bin"].map(std::path::Path::new);
        let Some(real) = folders.iter().find_map(|folder| folder.join(program).canonicalize().ok()) else {
            eprintln!("SKIPPED: no {program} at hand");
            continue;
        };
        let said = std::process::Command::new(&real).arg("--version").output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let version = said.trim().trim_start_matches("Python ").trim_start_matches('v').to_owned();
        let file = real.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = std::fs::read(&real).unwrap();
        // A Python whose code is in a library does not tell its minor version itself.
        let tells = name != "python" || memchr::memmem::find(&bytes, b"cpython-3").is_some();
        for file in [file.as_str(), program].into_iter().take(if tells && file != program { 2 } else { 1 }) {
            let layer = Layer::new().file(&format!("opt/{file}"), &bytes).build();
            let read = scan(&docker_archive(&[layer])).unwrap();
            let packages: Vec<_> = read.components.iter().map(|c| (&*c.package.name, &*c.package.version)).collect();
            assert_eq!(packages, [(name, version.as_str())], "{} as {file}", real.display());
        }
        found += 1;
    }
    assert!(found > 0 || std::env::var_os("STELLA_REQUIRE_DATA").is_none(), "neither python3 nor node is here");
}

/// A program the Go toolchain built, when this machine has one.
#[test]
fn a_real_go_executable_names_its_modules() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(program) = std::env::split_paths(&path).map(|folder| folder.join("kubectl")).find(|p| p.exists()) else {
        eprintln!("SKIPPED: no Go executable at hand");
        return;
    };
    let root = tempfile::tempdir().unwrap();
    std::fs::copy(&program, root.path().join("kubectl")).unwrap();
    let inventory = rootfs(root.path(), &Limits::default()).unwrap();
    assert!(inventory.components.len() > 20);
    assert!(inventory.components.iter().any(|component| component.package.name == "stdlib"));
    let main: Vec<_> = inventory.components.iter().map(|c| &c.package).filter(|package| !package.linked).collect();
    assert_eq!(main.iter().map(|package| &*package.name).collect::<Vec<_>>(), ["k8s.io/kubernetes"]);
    let layer = Layer::new().file("kubectl", std::fs::read(program).unwrap()).build();
    let image = scan(&docker_archive(&[layer])).unwrap();
    assert_eq!(image.components.len(), inventory.components.len());
}
