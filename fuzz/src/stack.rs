//! Bytes become a stack of layers: two bytes an entry, so that what libFuzzer invents is about what folding does and
//! not about tar.

use crate::files::entry;

/// Begins the next layer.
const NEXT: u8 = 0xff;
const MAX_LAYERS: usize = 8;
const MAX_ENTRIES: usize = 400;

/// Places that mean something, and folders around them.
const NAMES: [&str; 24] = [
    "var/lib/dpkg/status",
    "var/lib/dpkg/status.d/a",
    "var/lib/dpkg/info/a.list",
    "var/lib/dpkg/info",
    "var/lib/dpkg",
    "var/lib",
    "lib/apk/db/installed",
    "usr/lib/apk/db/installed",
    "usr/lib/apk",
    "lib",
    "usr/lib",
    "usr",
    "etc/os-release",
    "usr/lib/os-release",
    "etc",
    "site/a-1.dist-info/METADATA",
    "site/a-1.dist-info/RECORD",
    "site/a-1.dist-info",
    "site",
    "app/node_modules/a/package.json",
    "app/node_modules/a",
    "app/node_modules",
    "app",
    "x",
];

fn content(name: &str, seed: u8) -> String {
    let version = seed % 4;
    match name.rsplit('/').next().unwrap_or_default() {
        "status" | "a" if name.contains("dpkg") => {
            format!("Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: {version}\n\n")
        }
        "a.list" => "/site/a-1.dist-info/METADATA\n/app/node_modules/a/package.json\n".to_owned(),
        "installed" => format!("P:a\nV:{version}\nF:usr/lib\nR:a.so\n\n"),
        "os-release" => format!("ID=debian\nVERSION_ID={version}\n"),
        "METADATA" => format!("Name: a\nVersion: {version}\n"),
        "RECORD" => "a/b.py,,\n".to_owned(),
        "package.json" => format!(r#"{{"name":"a","version":"{version}.0.0"}}"#),
        _ => String::new(),
    }
}

/// The tar archives of the layers, the base first.
pub(crate) fn layers(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut layers = vec![Vec::new()];
    for pair in bytes.as_chunks::<2>().0.iter().take(MAX_ENTRIES) {
        let [what, which] = *pair;
        if what == NEXT {
            if layers.len() == MAX_LAYERS {
                break;
            }
            layers.push(Vec::new());
            continue;
        }
        let name = NAMES[usize::from(which) % NAMES.len()];
        let other = NAMES[usize::from(what >> 3) % NAMES.len()];
        let (folder, last) =
            name.rsplit_once('/').map_or((String::new(), name), |(folder, last)| (format!("{folder}/"), last));
        let made = match what & 7 {
            0..=2 => entry(name, b'0', "", content(name, what >> 3).as_bytes()),
            3 => entry(&format!("{name}/"), b'5', "", b""),
            4 => entry(name, b'2', &format!("/{other}"), b""),
            5 => entry(name, b'1', other, b""),
            6 => entry(&format!("{folder}.wh.{last}"), b'0', "", b""),
            _ => entry(&format!("{name}/.wh..wh..opq"), b'0', "", b""),
        };
        if let Some(layer) = layers.last_mut() {
            layer.extend(made);
        }
    }
    for layer in &mut layers {
        layer.resize(layer.len() + 1024, 0);
    }
    layers
}
