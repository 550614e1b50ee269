//! Files that catalogers read, one in a layer.

/// Where such files lie.
pub const PATHS: &[&str] = &[
    "etc/os-release",
    "etc/redhat-release",
    "lib/apk/db/installed",
    "usr/lib/apk/db/installed",
    "var/lib/dpkg/status",
    "var/lib/dpkg/status.d/base",
    "var/lib/dpkg/info/base.list",
    "var/lib/rpm/Packages",
    "var/lib/rpm/Packages.db",
    "var/lib/rpm/rpmdb.sqlite",
    "app/package-lock.json",
    "app/yarn.lock",
    "app/pnpm-lock.yaml",
    "app/bun.lock",
    "app/node_modules/a/package.json",
    "site/a-1.dist-info/METADATA",
    "site/a-1.dist-info/RECORD",
    "site/a-1.egg-info/PKG-INFO",
    "app/requirements.txt",
    "app/poetry.lock",
    "app/Pipfile.lock",
    "app/uv.lock",
    "app/pdm.lock",
    "opt/conda/conda-meta/a-1-0.json",
    "app/go.mod",
    "app/Cargo.lock",
    "usr/bin/program",
    "app/a.jar",
    "app/pom.xml",
    "app/gradle.lockfile",
    "usr/lib/ruby/gems/3.1.0/specifications/a-1.gemspec",
    "app/Gemfile.lock",
    "app/composer.lock",
    "app/vendor/composer/installed.json",
    "app/a.deps.json",
    "app/packages.lock.json",
    "app/project.assets.json",
    "app/pylock.toml",
    "app/bun.lockb",
    "app/npm-shrinkwrap.json",
    "usr/share/doc/base/copyright",
    "app/META-INF/maven/g/a/pom.properties",
    "var/lib/rpm/rpmdb.sqlite-wal",
    "site/a-1.egg-info/installed-files.txt",
    "site/a-1-py3.egg-info",
];

/// A tar archive with one executable file.
pub(crate) fn archive(path: &str, content: &[u8]) -> Vec<u8> {
    let mut archive = entry(path, b'0', "", content);
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// One entry of a tar archive: header and padded content.
pub(crate) fn entry(path: &str, kind: u8, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, path.as_bytes());
    put(100, b"0000755\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    // The sum is taken with blanks in its own place (POSIX pax, ustar header).
    put(148, b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut entry = header.to_vec();
    entry.extend_from_slice(content);
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

#[cfg(test)]
mod tests {
    use stella_inventory::cataloger::{LOCKS, NAMED, wanting};

    use super::*;

    #[test]
    fn what_is_put_in_is_read() {
        let content = b"Name: a\nVersion: 1\n";
        let layer = crate::layer_of(&archive("site/a-1.dist-info/METADATA", content)).unwrap();
        assert_eq!(layer.packages[0].name, "a");
    }

    /// A seed that no parser takes shows a fuzzer nothing.
    #[test]
    fn seeds_of_binary_formats_are_understood() {
        let seeds = [
            ("rpm_bdb/seed-two", "var/lib/rpm/Packages", 2),
            ("rpm_ndb/seed-two", "var/lib/rpm/Packages.db", 2),
            ("rpm_sqlite/seed-two", "var/lib/rpm/rpmdb.sqlite", 2),
            ("executable/seed-go", "usr/bin/program", 2),
            ("executable/seed-rust", "usr/bin/program", 1),
            ("executable/seed-python", "usr/bin/program", 1),
            ("bun_lock/seed-1.1", "app/bun.lockb", 19),
            ("jar/seed-one", "app/a.jar", 1),
        ];
        for (seed, path, count) in seeds {
            let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(seed);
            let layer = crate::layer_of(&archive(path, &std::fs::read(file).unwrap())).unwrap();
            assert_eq!(layer.packages.len(), count, "{seed}: {:?}", layer.problems);
        }
    }

    #[test]
    fn every_cataloger_gets_a_file() {
        for cataloger in NAMED.iter().chain(LOCKS) {
            let wants = |path: &&str| wanting(path).is_some_and(|found| found.name == cataloger.name);
            assert!(PATHS.iter().any(wants), "{}", cataloger.name);
        }
    }
}
